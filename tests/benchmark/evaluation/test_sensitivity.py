"""Every axis against an evaluation under the changed protocol alone."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from benchmark.descriptors.files import Descriptors
from benchmark.evaluation.distractors import Foreign
from benchmark.evaluation.evaluate import PairEvaluation, evaluate, from_descriptors
from benchmark.evaluation.sensitivity import (
    AXES,
    LEAST_STEP,
    Ground,
    Setting,
    evaluate_settings,
    ground_of,
    tried_on,
)
from benchmark.protocol.selection import Selected, thinned
from datasets.base import Frames, Protocol
from datasets.prepared import PreparedDataset


def descriptors_of(frames: Frames, *, fused: bool = False) -> Descriptors:
    """Whole numbers, so that there are ties; with ``fused``, second descriptors re-rank the nearest five."""
    random = np.random.default_rng(0)
    known = {frame_id: row for row, frame_id in enumerate(frames.frame_id)}
    rows: Any = {"image": known, "cloud": known}

    def arrays() -> Any:
        place = frames.position_m[:, None, :2] / 10
        return {m: np.round(place + random.normal(size=(len(frames), 1, 2))) for m in ("image", "cloud")}

    main = Descriptors(rows=rows, arrays=arrays(), distance="l2", method="noisy")
    return replace(main, top=5, second=replace(main, arrays=arrays())) if fused else main


def ranks(evaluations: list[PairEvaluation]) -> list[Any]:
    return [
        (e.direction, e.pair, e.query_rows.tolist(), e.database_rows.tolist(), e.ranking.first_positive_rank.tolist())
        for e in evaluations
    ]


@pytest.mark.parametrize("fused", [False, True], ids=["main", "fused"])
def test_every_setting_is_what_its_protocol_alone_gives(
    small_world: PreparedDataset, protocol: Protocol, fused: bool
) -> None:
    frames = small_world.frames
    descriptors = descriptors_of(frames, fused=fused)
    ground = ground_of(Selected(frames=frames, protocol=protocol))
    settings = [
        tried.setting
        for name in ("radius", "spacing", "heading")
        for tried in tried_on(AXES[name], ground)
        if not tried.why_not
    ]
    assert len(set(settings)) == 1 + 6 + 2 + 1, "the protocol's own, six radii, 20 and 50 m, any heading"
    found = evaluate_settings(frames, protocol, descriptors, settings)
    scorer = from_descriptors(descriptors, frames)
    for setting in settings:
        chosen = Selected(frames=frames, protocol=setting.protocol, spacing_m=setting.spacing_m)
        expected = evaluate(frames, setting.protocol, {"": scorer}, chosen)[""]
        assert ranks(found[setting]) == ranks(expected), setting
        assert [e.recall for e in found[setting]] == [e.recall for e in expected]


def test_foreign_frames_enlarge_the_map_and_its_one_percent(small_world: PreparedDataset, protocol: Protocol) -> None:
    """Recall@1% of 12 + 138 places has a depth of 2, and ranks are those over real and foreign frames together."""
    frames, descriptors = small_world.frames, descriptors_of(small_world.frames)
    random = np.random.default_rng(1)
    arrays: Any = {m: np.round(random.normal(4, 4, (138, 1, 2))) for m in ("image", "cloud")}
    foreign = Foreign(descriptors=arrays, distance="l2")
    settings = [Setting(protocol=protocol, n_foreign=n) for n in (0, 7, 138)]
    found = evaluate_settings(frames, protocol, descriptors, settings, foreign)
    plain = evaluate(frames, protocol, {"": from_descriptors(descriptors, frames)})[""]
    assert ranks(found[settings[0]]) == ranks(plain)
    for setting in settings[1:]:
        for evaluation, alone in zip(found[setting], plain, strict=True):
            assert evaluation.recall.one_percent_depth == (2 if setting.n_foreign == 138 else 1)
            query = descriptors.at(evaluation.direction.query, frames, evaluation.query_rows)[:, 0]
            searched = descriptors.at(evaluation.direction.database, frames, evaluation.database_rows)[:, 0]
            added = arrays[evaluation.direction.database][: setting.n_foreign, 0]
            for row, (asked, rank) in enumerate(zip(query, alone.ranking.first_positive_rank, strict=True)):
                best = alone.ranking.best_positive_distance[row]
                beyond = sum(np.linalg.norm(asked - other) < best for other in added)
                assert evaluation.ranking.first_positive_rank[row] == rank + beyond
            assert len(searched) == 12
    hits = [sum(e.recall.recall_at[0] or 0.0 for e in found[setting]) for setting in settings]
    assert hits[0] > hits[1] > hits[2] > 0


def test_more_queries_count_and_more_are_right_within_a_larger_radius(
    small_world: PreparedDataset, protocol: Protocol
) -> None:
    frames = small_world.frames
    tried = tried_on(AXES["radius"], ground_of(Selected(frames=frames, protocol=protocol)))
    assert [each.value for each in tried] == [5.0, 10.0, 13.0, 15.0, 20.0, 25.0, 50.0]
    assert [each.is_own for each in tried].index(True) == 2
    found = evaluate_settings(frames, protocol, descriptors_of(frames), [each.setting for each in tried])
    n_counted = [sum(e.recall.n_counted for e in found[each.setting]) for each in tried]
    n_right = [sum((e.ranking.first_positive_rank == 1).sum() for e in found[each.setting]) for each in tried]
    assert n_counted == sorted(n_counted)
    assert n_right == sorted(n_right)
    assert n_right[0] < n_right[-1]


def test_a_map_is_thinned_to_the_nearest_frame_and_queries_stay(
    small_world: PreparedDataset, protocol: Protocol
) -> None:
    """Frames are 12 m apart: 20 m is nearer to two steps than to one, 50 m to four."""
    frames, chosen = small_world.frames, Selected(frames=small_world.frames, protocol=protocol)
    for spacing_m, step in ((20.0, 2), (24.0, 2), (50.0, 4)):
        expected = [row for row in range(36) if row % 12 % step == 0]
        assert thinned(frames, chosen.database, spacing_m).tolist() == expected
        changed = Selected(frames=frames, protocol=protocol, spacing_m=spacing_m)
        assert changed.database.tolist() == expected
        assert changed.query.tolist() == chosen.query.tolist()


def test_denser_maps_than_the_data_are_left_out_with_the_reason(
    small_world: PreparedDataset, protocol: Protocol
) -> None:
    ground = ground_of(Selected(frames=small_world.frames, protocol=protocol))
    assert (ground.spacing_m, ground.database_size) == (12.0, 12.0)
    tried = {each.value: each for each in tried_on(AXES["spacing"], ground)}
    assert [value for value, each in tried.items() if each.why_not] == [5.0, 10.0]
    assert tried[10.0].why_not == "the frames of the map are 12.0 m apart already"
    assert tried[12.0].setting == Setting(protocol=protocol)
    assert LEAST_STEP * 12.0 <= 20.0
    nothing = replace(ground, spacing_m=None)
    assert [each.why_not for each in tried_on(AXES["spacing"], nothing) if not each.is_own] == [
        "no drive of the map has two frames"
    ] * 4


def test_a_protocol_without_a_heading_limit_gets_one_beside_it(protocol: Protocol) -> None:
    for limit in (0.5, None):
        own = replace(protocol, heading_limit_rad=limit)
        ground = Ground(protocol=own, spacing_m=12.0, database_size=12.0)
        tried = tried_on(AXES["heading"], ground)
        assert [each.setting.protocol.heading_limit_rad for each in tried] == [0.5, None]
        assert [each.is_own for each in tried] == [limit == 0.5, limit is None]


def test_foreign_frames_are_multiples_of_the_map_as_far_as_there_are_any(protocol: Protocol) -> None:
    ground = Ground(protocol=protocol, spacing_m=12.0, database_size=12.0, n_foreign=30)
    tried = {each.value: each for each in tried_on(AXES["distractors"], ground)}
    assert {value: each.setting.n_foreign for value, each in tried.items() if not each.why_not} == {0: 0, 1: 12, 2: 24}
    assert tried[5.0].why_not == "60 foreign frames are needed, and there are 30"
    refused = tried_on(AXES["distractors"], replace(ground, why_no_foreign="because"))
    assert [each.why_not for each in refused] == ["", *["because"] * 4]
