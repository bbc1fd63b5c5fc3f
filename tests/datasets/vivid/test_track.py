"""Tracks: the plane against WGS84's formulas, interpolation by hand, headings of lines, circles and standing cars."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.samples.vivid import ORIGIN_DEG, degrees_of
from datasets.vivid.track import Track, east_north_up_m

S = 1_000_000_000


def track(times_s: np.ndarray, east: np.ndarray, north: np.ndarray) -> Track:
    position = np.stack([east, north, np.zeros(len(east))], axis=1).astype(float)
    return Track(time_ns=np.rint(np.asarray(times_s) * 1e9).astype(np.int64), position_m=position)


metres = st.floats(-20_000, 20_000)


@given(metres, metres, st.floats(-100, 1000))
def test_the_plane_undoes_wgs84s_formulas(east: float, north: float, up: float) -> None:
    fix = np.array([degrees_of(east, north, up)])
    np.testing.assert_allclose(east_north_up_m(fix)[0], [east, north, up], atol=1e-5)


def test_the_published_origin_is_the_origin() -> None:
    np.testing.assert_allclose(east_north_up_m(np.array([[*ORIGIN_DEG, 0.0]])), 0, atol=1e-6)


def test_positions_are_interpolated_and_gaps_are_those_around() -> None:
    t = track(np.array([10.0, 11.0, 15.0]), np.array([0.0, 10.0, 50.0]), np.array([0.0, 0.0, 4.0]))
    at = np.array([9.9, 10.0, 10.25, 11.0, 12.0, 15.0, 15.1])
    np.testing.assert_array_equal(t.gap_s((at * S).astype(np.int64)), [np.inf, 0, 1, 0, 4, 0, np.inf])
    inside = (at[1:-1] * S).astype(np.int64)
    np.testing.assert_allclose(t.position_at(inside)[:, :2], [[0, 0], [2.5, 0], [10, 0], [20, 1], [50, 4]])


def test_a_run_without_fixes_is_all_gap() -> None:
    empty = Track(time_ns=np.empty(0, np.int64), position_m=np.empty((0, 3)))
    assert np.isinf(empty.gap_s(np.array([5]))).all()


@given(st.floats(-np.pi, np.pi), st.floats(1, 20))
def test_on_a_straight_road_the_heading_is_the_roads(yaw: float, speed: float) -> None:
    times = np.arange(0, 10, 0.1)
    t = track(times, speed * times * np.cos(yaw), speed * times * np.sin(yaw))
    heading, is_known = t.heading_at((np.array([0.0, 4.32, 9.9]) * S).astype(np.int64), 6.0)
    assert is_known.all()
    np.testing.assert_allclose(np.angle(np.exp(1j * (heading - yaw))), 0, atol=1e-6)


@pytest.mark.parametrize("turn", [1, -1])
def test_on_a_circle_the_heading_is_its_tangent(turn: int) -> None:
    times, radius = np.arange(0, 20, 0.05), 12.0
    angle = turn * 5 * times / radius
    t = track(times, radius * np.cos(angle), radius * np.sin(angle))
    at = np.arange(2.0, 18, 0.7)
    heading, _ = t.heading_at((at * S).astype(np.int64), 6.0)
    tangent = turn * 5 * at / radius + turn * np.pi / 2
    assert np.abs(np.angle(np.exp(1j * (heading - tangent)))).max() < 0.03


def test_a_standing_car_keeps_its_heading_however_its_fixes_scatter() -> None:
    random = np.random.default_rng(0)
    times = np.arange(0, 60, 0.1)
    north = np.clip(times, 0, 20) * 5 + np.clip(times - 40, 0, None) * 5  # stands from 20 s to 40 s
    scatter = random.normal(scale=0.15, size=(2, len(times)))
    t = track(times, scatter[0], north + scatter[1])
    heading, is_known = t.heading_at((np.arange(1.0, 59, 0.5) * S).astype(np.int64), 6.0)
    assert is_known.all()
    assert np.abs(heading - np.pi / 2).max() < 0.25


def test_the_heading_of_a_car_that_never_moves_is_unknown() -> None:
    times = np.arange(0, 10, 0.1)
    t = track(times, 0.1 * np.sin(times), np.zeros(len(times)))
    heading, is_known = t.heading_at(np.array([5 * S]), 6.0)
    assert (heading.tolist(), is_known.tolist()) == ([0.0], [False])


def test_many_fixes_inside_the_circle_are_passed_over() -> None:
    east = np.concatenate([[-10.0], np.zeros(5000), [0.0, 10.0]])
    t = track(np.arange(len(east)), east, np.zeros(len(east)))
    heading, is_known = t.heading_at(np.array([2500 * S]), 6.0)
    assert (heading.tolist(), is_known.tolist()) == ([0.0], [True])
