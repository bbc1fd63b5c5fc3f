"""The town's geometry has what each of its protocols asks for."""

import numpy as np
import pytest

from benchmark.protocol.ground_truth import relations
from benchmark.protocol.selection import select
from datasets.places import heading_difference_rad
from datasets.protocols import PROTOCOLS
from datasets.town.town import Town, frames_of

PAIRS = {
    ("small", "town"): 6,
    ("small", "town-night"): 1,
    ("small", "town-winter"): 1,
    ("small", "town-revisit"): 5,
    ("small", "town-any"): 20,
    ("small", "town-any-opposite"): 20,
    ("tiny", "town-any"): 6,
    ("tiny", "town-any-opposite"): 6,
    ("tiny", "town"): 2,
    ("tiny", "town-night"): 1,
    ("tiny", "town-revisit"): 3,
    ("large", "town-night"): 2,
}


@pytest.fixture(scope="module")
def frames():
    """Of the test district of each preset."""
    return {
        preset: frames_of([drive for drive in Town(preset=preset).drives() if drive.plan.name == "test"])
        for preset in ("small", "tiny", "large")
    }


def asked_under(frames, protocol):
    """Asking frames, searched frames and their relation, pair by pair."""
    for asked in relations(frames, protocol, select(frames, protocol.query), select(frames, protocol.database)):
        yield frames.take(asked.query_rows), frames.take(asked.database_rows), asked.relation


@pytest.mark.parametrize("preset", ["small", "tiny"])
def test_both_directions_of_travel_are_asked_of_the_same_traversals(preset, frames):
    """Whatever one protocol calls right is never searched by the other, and both keep most of the queries."""
    same, opposite = (
        {(q.traversal[0], d.traversal[0]): r for q, d, r in asked_under(frames[preset], PROTOCOLS[name])}
        for name in ("town-any", "town-any-opposite")
    )
    assert same.keys() == opposite.keys()
    assert {light for pair in same for light in pair} >= {"test-day", "test-evening", "test-night"}
    for pair, relation in same.items():
        assert not (relation.is_positive & opposite[pair].is_candidate).any()
        assert relation.is_candidate.all()
        assert 0.5 < opposite[pair].is_candidate.mean() < 1


@pytest.mark.parametrize(("preset", "name"), PAIRS)
def test_queries_have_positives(preset, name, frames):
    found = list(asked_under(frames[preset], PROTOCOLS[name]))
    assert len(found) == PAIRS[preset, name]
    least = {"town-revisit": 0.4, "town-any-opposite": 0.9}.get(name, 0.95)
    for asked, _, relation in found:
        assert relation.is_positive.any(1).mean() >= least, asked.traversal[0]


def test_only_true_revisits_count(frames):
    """Every positive lies half a minute and more than a block's side of path back, most on the other lane."""
    opposite = []
    for asked, searched, relation in asked_under(frames["small"], PROTOCOLS["town-revisit"]):
        query, row = np.nonzero(relation.is_positive)
        assert ((asked.timestamp_ns[query] - searched.timestamp_ns[row]) > 30e9).all()
        driven = np.cumsum(np.hypot(*np.diff(asked.position_m[:, :2], axis=0, prepend=asked.position_m[:1, :2]).T))
        assert (driven[query] - driven[row]).min() > 100
        assert np.hypot(*(asked.position_m[query, :2] - searched.position_m[row, :2]).T).max() <= 20
        opposite.append(heading_difference_rad(asked.yaw_rad[query], searched.yaw_rad[row]) > 2.5)
    assert np.concatenate(opposite).mean() > 0.5


def test_the_day_that_is_searched_is_every_drive_by_day(frames):
    names = {str(searched.traversal[0]) for _, searched, _ in asked_under(frames["large"], PROTOCOLS["town-night"])}
    assert names == {"test-day", "test-day-2"}


def test_small_trains_under_no_light_of_its_night_and_winter_protocols():
    drives = Town(preset="small").drives()
    trained = {drive.light for drive in drives if drive.plan.name != "test"}
    tested = {drive.light for drive in drives if drive.plan.name == "test"}
    assert tested - trained == {"night", "winter"}
    assert all("night" not in drive.name or drive.plan.name == "test" for drive in Town(preset="tiny").drives())
