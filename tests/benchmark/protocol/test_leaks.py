"""Distances between test and training places, against all pairs in plain loops."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.frames.preparing import find_protocol
from benchmark.protocol.leaks import QUANTILES, Leak, find_leaks, leak_warnings, nearest_distances_m
from benchmark.report.data import leak_table
from benchmark.report.screen import screen
from benchmark.report.table import NONE
from datasets.base import Frames, Protocol, Selection, Split
from datasets.prepared import PreparedDataset


def frames_of(places: list[tuple[str, str, float, float]]) -> Frames:
    """Frames from (traversal, world, east, north)."""
    n = len(places)
    traversal, world, east, north = zip(*places, strict=True) if places else [()] * 4
    blank = np.full(n, "", dtype=object)
    return Frames(
        frame_id=np.array([f"f{i}" for i in range(n)], dtype=object),
        traversal=np.array(traversal, dtype=object),
        world=np.array(world, dtype=object),
        timestamp_ns=np.arange(n),
        position_m=np.column_stack([east, north, np.arange(n) * 1000.0]).astype(float),
        quaternion_wxyz=np.tile([1.0, 0, 0, 0], (n, 1)),
        yaw_rad=np.zeros(n),
        image=blank,
        cloud=blank,
    )


def rules(
    train: str = "train", validation: str = "validation", query: str = "query", database: str = "database"
) -> Protocol:
    split = Split(train=Selection(traversals=(train,)), validation=Selection(traversals=(validation,)))
    parts = {"query": Selection(traversals=(query,)), "database": Selection(traversals=(database,))}
    return Protocol(name="p", version=1, title="", dataset="d", split=split, **parts, pairs="across", radius_m=20.0)


def leak(leaks: list[Leak], test: str, other: str) -> Leak:
    (found,) = [leak for leak in leaks if (leak.test, leak.other) == (test, other)]
    return found


BY_HAND = frames_of(
    [
        ("train", "w", 0, 0),
        ("train", "w", 100, 0),
        ("query", "w", 3, 4),  # 5 m
        ("query", "w", 10, 0),  # 10 m: within the positive radius, which is inclusive
        ("query", "w", 75, 0),  # 25 m
        ("query", "elsewhere", 0, 0),
        ("database", "w", 200, 0),
        ("validation", "w", 200, 1),
    ]
)


def test_leaks_by_hand() -> None:
    leaks = find_leaks(BY_HAND, rules())
    queries = leak(leaks, "queries", "training")
    assert (queries.n_test, queries.n_other, queries.n_shared) == (4, 2, 0)
    assert (queries.n_within_positive, queries.n_within_negative, queries.n_elsewhere) == (2, 3, 1)
    assert queries.quantiles_m == pytest.approx([np.quantile([5, 10, 25], q) for q in QUANTILES])
    database = leak(leaks, "database frames", "training")
    assert (database.n_within_positive, database.n_within_negative, database.quantiles_m[0]) == (0, 0, 100.0)
    assert leak(leaks, "database frames", "validation").quantiles_m[-1] == 1.0


def test_frames_in_both_parts_are_counted() -> None:
    found = leak(find_leaks(BY_HAND, rules(train="*", database="query")), "database frames", "training")
    assert (found.n_shared, found.n_within_positive, found.n_elsewhere) == (4, 4, 0)


def test_parts_without_frames_are_no_leak() -> None:
    leaks = find_leaks(BY_HAND, rules(validation="none", query="nobody"))
    assert leak(leaks, "database frames", "validation").n_elsewhere == 1
    assert all(math.isnan(q) for q in leak(leaks, "database frames", "validation").quantiles_m)
    assert leak(leaks, "queries", "training").n_test == 0
    assert screen(leak_table(leaks, rules())).count(NONE) >= len(QUANTILES)


PLACE = st.tuples(st.sampled_from("ab"), st.sampled_from("vw"), st.integers(-30, 30), st.integers(-30, 30))


@given(places=st.lists(PLACE, max_size=14))
def test_nearest_distances_are_those_of_all_pairs(places: list[tuple[str, str, float, float]]) -> None:
    frames = frames_of(places)
    rows, others = np.flatnonzero(frames.traversal == "a"), np.flatnonzero(frames.traversal == "b")
    expected = [
        min(
            (math.dist(places[i][2:], places[j][2:]) for j in others if places[i][1] == places[j][1]),
            default=math.inf,
        )
        for i in rows
    ]
    assert nearest_distances_m(frames, rows, others).tolist() == pytest.approx(expected)
    found = leak(find_leaks(frames, rules(train="b", validation="b", query="a", database="a")), "queries", "training")
    assert found.n_within_positive == sum(d <= 10 for d in expected)
    assert found.n_within_negative == sum(d <= 25 for d in expected)
    assert found.n_elsewhere == sum(map(math.isinf, expected))


# --- what a result says --------------------------------------------------------------------------


def test_a_leak_is_one_sentence_that_names_both_sides() -> None:
    (warning,) = leak_warnings(BY_HAND, rules(database="train"))
    assert warning == (
        "leak: within 10 m of a place that the protocol trains on are 2 of 4 queries (0 trained on themselves) and "
        "2 of 2 database frames (2 trained on themselves) (crossplace protocol leaks p)"
    )


def test_nothing_is_said_without_a_leak_or_of_a_smoke_run() -> None:
    assert leak_warnings(BY_HAND, rules(train="validation", validation="query", database="nobody")) == []
    assert leak_warnings(BY_HAND, replace(rules(train="*"), smoke=True)) == []


def test_vivid_says_that_day1_is_trained_on_and_asks(small_world: PreparedDataset) -> None:
    """The small world's drives under the names of ViViD++: all along one road."""
    names = {"morning": "campus_day1", "evening": "campus_day2", "midnight": "campus_night"}
    frames = replace(
        small_world.frames, traversal=np.array([names[t] for t in small_world.frames.traversal], dtype=object)
    )
    traversals = {names[t]: replace(found, name=names[t]) for t, found in small_world.traversals.items()}
    vivid = replace(small_world, name="vivid", frames=frames, traversals=traversals)
    for name, n_shared in (("vivid-campus-day1-day2", 12), ("vivid-campus-night-day2", 0)):
        protocol, _ = find_protocol(name, vivid)
        assert protocol.absent == ()
        (warning,) = leak_warnings(vivid.frames, protocol)
        assert f"24 of 24 queries ({n_shared} trained on themselves)" in warning


@pytest.mark.parametrize("name", ["town", "town-night", "town-revisit"])  # the tiny preset has no winter
def test_the_town_leaks_nothing(tiny_town: PreparedDataset, name: str) -> None:
    protocol, _ = find_protocol(name, tiny_town)
    assert leak_warnings(tiny_town.frames, protocol) == []
    for found in find_leaks(tiny_town.frames, protocol):
        assert found.n_shared == found.n_within_negative == 0
