"""Pose errors and what they come to, beside hand-computed cases and naive loops."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from benchmark.evaluation.intervals import block_units
from benchmark.evaluation.registration import (
    BANDS_M,
    LEVELS,
    THRESHOLDS,
    PoseErrors,
    accuracy,
    by_initial_error,
    cumulative,
    improvement,
    median_difference_interval,
    pose_errors,
    quantile,
    recall_intervals,
)


def errors(translation: list[float], rotation: list[float] | None = None) -> PoseErrors:
    rotation = rotation or [0.0] * len(translation)
    return PoseErrors(translation_m=np.array(translation, float), rotation_deg=np.array(rotation, float))


def pose(translation: tuple[float, float, float], axis_angle_deg: tuple[float, float, float]) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(axis_angle_deg, degrees=True).as_matrix()
    matrix[:3, 3] = translation
    return matrix


def test_a_pose_that_is_off_by_hand() -> None:
    truth = pose((10, 20, 1), (0, 0, 90))
    found = np.stack([truth @ pose((3, 4, 0), (0, 7, 0)), truth, np.full((4, 4), np.nan)])
    off = pose_errors(found, np.stack([truth] * 3))
    np.testing.assert_allclose(off.translation_m, [5, 0, np.inf], atol=1e-9)
    np.testing.assert_allclose(off.rotation_deg, [7, 0, np.inf], atol=1e-9)
    assert off.is_missing.tolist() == [False, False, True]


@given(st.lists(st.floats(-3, 3), min_size=6, max_size=6), st.lists(st.floats(-3, 3), min_size=6, max_size=6))
def test_errors_are_those_of_another_library_and_symmetric(one: list[float], other: list[float]) -> None:
    a, b = (
        np.block([[Rotation.from_rotvec(v[:3]).as_matrix(), np.array(v[3:])[:, None]], [np.array([[0, 0, 0, 1]])]])
        for v in (one, other)
    )
    there, back = pose_errors(a[None], b[None]), pose_errors(b[None], a[None])
    angle = np.degrees((Rotation.from_rotvec(other[:3]).inv() * Rotation.from_rotvec(one[:3])).magnitude())
    assert there.rotation_deg[0] == pytest.approx(angle, abs=1e-6)
    assert back.rotation_deg[0] == pytest.approx(there.rotation_deg[0], abs=1e-6)
    assert back.translation_m[0] == pytest.approx(there.translation_m[0])


def test_small_rotations_are_told_apart() -> None:
    truth = np.eye(4)[None]
    off = pose_errors(pose((0, 0, 0), (1e-6, 0, 0))[None], truth)
    assert off.rotation_deg[0] == pytest.approx(1e-6, rel=1e-6)


def test_recall_counts_both_errors_and_missing_poses() -> None:
    found = accuracy(errors([0.25, 0.25, 0.5, 5.0, 6.0, np.inf], [2.0, 2.1, 5.0, 10.0, 0.0, np.inf]))
    assert found is not None
    assert found.recall == {"0.25 m 2°": 1 / 6, "0.5 m 5°": 3 / 6, "5 m 10°": 4 / 6}
    assert (found.n_queries, found.n_missing) == (6, 1)
    assert found.median == (pytest.approx(2.75), pytest.approx(3.55))
    assert found.translation_m[LEVELS.index(0.95)] is None
    assert accuracy(errors([])) is None


@given(st.lists(st.floats(0, 100), min_size=1, max_size=30), st.sampled_from(LEVELS))
def test_quantiles_are_numpys(values: list[float], level: float) -> None:
    assert quantile(np.array(values), level) == pytest.approx(float(np.quantile(values, level)))


def test_a_quantile_is_infinite_once_a_failure_has_a_part_in_it() -> None:
    values = np.array([1.0, 2.0, np.inf])
    assert quantile(values, 0.5) == 2.0
    assert quantile(values, 0.6) == math.inf
    assert quantile(np.array([np.inf, np.inf]), 0.5) == math.inf


def test_curves_beside_a_loop() -> None:
    values, at = np.array([0.5, 1.0, 1.0, np.inf]), (0.4, 0.5, 1.0, 50.0)
    assert cumulative(values, at) == tuple(sum(v <= limit for v in values) / 4 for limit in at)


def test_improvement_by_hand() -> None:
    start = errors([4.0, 4.0, 4.0, 4.0], [8.0, 8.0, 8.0, 20.0])
    end = errors([0.2, 1.0, 5.0, 5.0], [1.0, 1.0, 1.0, 30.0])
    position_m = np.array([[0.0, 0], [500, 0], [1000, 0], [1500, 0]])
    found = improvement(start, end, np.array(["w"] * 4), position_m)
    assert found is not None
    assert found.median_translation_m is not None
    assert found.median_rotation_deg is not None
    assert found.median_translation_m.value == pytest.approx(4.0 - 3.0)
    assert found.median_rotation_deg.value == pytest.approx(7.0)
    assert found.recall["0.25 m 2°"].value == pytest.approx(0.25)
    assert found.recall["5 m 10°"].value == pytest.approx(0.0)
    assert (found.worse, found.worse_in_both) == (0.5, 0.25)


def test_one_place_gives_no_interval() -> None:
    start, end = errors([4.0, 4.0]), errors([1.0, 1.0])
    found = improvement(start, end, np.array(["w"] * 2), np.zeros((2, 2)))
    assert found is not None
    assert found.median_translation_m is not None
    assert (found.median_translation_m.low, found.median_translation_m.high) == (None, None)
    assert set(recall_intervals(end, np.array(["w"] * 2), np.zeros((2, 2))).values()) == {None}


def test_the_interval_of_a_median_covers_the_true_difference() -> None:
    """Places differ by themselves; 95 % of intervals would hold the truth, and 17 of 20 do by any luck."""
    random, covered = np.random.default_rng(0), 0
    position_m = np.repeat(np.column_stack([np.arange(40) * 100.0, np.zeros(40)]), 5, axis=0)
    world = np.array(["w"] * 200)
    for _ in range(20):
        place = np.repeat(random.normal(size=40), 5)
        start = 10 + place + random.normal(size=200)
        end = 7 + place + random.normal(size=200)
        units = block_units(world, position_m, (start - end)[:, None], np.ones(200))
        interval = median_difference_interval(start, end, units)
        assert interval is not None
        covered += interval.low <= 3 <= interval.high
        assert interval.high - interval.low < 2
    assert covered >= 17


def test_bands_hold_every_query_once_and_agree_with_a_loop() -> None:
    random = np.random.default_rng(1)
    start, end = errors(random.uniform(0, 30, 100).tolist()), errors(random.uniform(0, 10, 100).tolist())
    bands = by_initial_error(start, end)
    assert sum(band.start.n_queries for band in bands) == 100
    for band in bands:
        inside = [i for i in range(100) if band.from_m <= start.translation_m[i] < (band.to_m or math.inf)]
        assert band.end.median[0] == pytest.approx(float(np.median(end.translation_m[inside])))
        assert band.from_m in BANDS_M


def test_thresholds_have_the_names_of_the_field() -> None:
    assert [t.name for t in THRESHOLDS] == ["0.25 m 2°", "0.5 m 5°", "5 m 10°"]
