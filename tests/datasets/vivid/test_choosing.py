"""Which clouds become frames, by hand and against naive searches."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.interpolation import nearest_in
from datasets.samples.vivid import degrees_of
from datasets.vivid.bags import Place
from datasets.vivid.choosing import Rules, choose, spaced
from datasets.vivid.survey import Survey

S = 1_000_000_000
RULES = Rules(lidar_offset_ns=100 * S, image_within_s=0.1, gps_gap_s=1.5, heading_over_m=6.0, every=1, spacing_m=0.0)


def place(number: int) -> Place:
    return Place(number, 1, "none", 0, 0, 0)


def seen(clouds_s: list[float], images_s: list[float], fixes_s: list[float], without_fix: int = 0) -> Survey:
    """A car that drives north at 10 m/s; clouds have a clock that began at 100 s."""

    def stamped(times: list[float], first: int) -> list[tuple[int, Place]]:
        return [(round(time * S), place(first + i)) for i, time in enumerate(times)]

    fixes = [(round(time * S), *degrees_of(0.0, (time - 100) * 10.0, 50.0)) for time in fixes_s]
    return Survey(stamped(images_s, 1000), stamped(clouds_s, 0), fixes, [0] * without_fix)


def test_every_cloud_is_counted_once_by_the_first_reason_against_it() -> None:
    found = seen(
        clouds_s=[-1.0, 0.5, 0.5, 1.5, 2.5, 4.0, 6.5, 9.0],
        images_s=[100.55, 101.39, 102.5, 104.0, 106.5],
        fixes_s=[100.0, 101.0, 102.0, 103.0, 106.0, 107.0],
        without_fix=2,
    )
    chosen = choose(found, RULES)
    assert (chosen.time_ns / S).tolist() == [100.5, 102.5, 106.5]
    assert (chosen.image_ns / S).tolist() == [100.55, 102.5, 106.5]
    assert [p.chunk_at for p in chosen.cloud_places] == [1, 4, 6]
    assert [p.chunk_at for p in chosen.image_places] == [1000, 1002, 1004]
    assert {name: n for name, n in chosen.counts.items() if n} == {
        "gps_without_fix": 2,
        "dropped_repeated_time": 1,
        "dropped_outside_gps": 2,
        "dropped_gps_gap": 1,
        "dropped_no_image": 1,
    }
    np.testing.assert_allclose(chosen.position_m, [[0, 5, 50], [0, 25, 50], [0, 65, 50]], atol=1e-4)
    np.testing.assert_allclose(chosen.yaw_rad, np.pi / 2, atol=1e-6)


def test_the_published_heading_is_constant() -> None:
    rules = replace(RULES, heading_over_m=None)
    found = seen([1.0, 2.0], [101.0, 102.0], [100.0, 101.0, 102.0, 103.0])
    assert choose(found, rules).yaw_rad.tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("thinning", "expected", "thinned"),
    [
        ({"every": 3}, [0, 3, 6, 9], 7),
        ({"spacing_m": 3.5}, [0, 4, 8], 8),
        ({"every": 2, "spacing_m": 3.0}, [0, 4, 8], 8),
    ],
)
def test_thinning_is_counted(thinning: dict[str, float], expected: list[int], thinned: int) -> None:
    times = [0.1 * i for i in range(11)]
    found = seen(times, [100 + t for t in times], [99.0, 100.0, 101.0, 102.0])
    rules = replace(RULES, **thinning)
    chosen = choose(found, rules)
    assert [p.chunk_at for p in chosen.cloud_places] == expected
    assert chosen.counts["thinned"] == thinned


def test_fixes_on_another_continent_are_left_out_and_counted() -> None:
    found = seen([1.0], [101.0], [100.0, 102.0])
    found.fixes.insert(1, (101 * S, 0.0, 0.0, 0.0))
    chosen = choose(found, replace(RULES, gps_gap_s=3.0))
    assert chosen.counts["gps_far_away"] == 1
    np.testing.assert_allclose(chosen.position_m[0, 1], 10, atol=1e-4)


@pytest.mark.parametrize("missing", ["images", "clouds", "fixes"])
def test_without_one_of_the_three_there_are_no_frames(missing: str) -> None:
    found = seen([1.0], [101.0], [100.0, 101.0, 102.0])
    getattr(found, missing).clear()
    assert len(choose(found, RULES).time_ns) == 0


ascending = st.lists(st.integers(0, 10**12), min_size=1, max_size=20, unique=True).map(sorted)


@given(ascending, st.lists(st.integers(-(10**12), 2 * 10**12), max_size=20))
def test_the_nearest_is_that_of_a_naive_search(times: list[int], at: list[int]) -> None:
    rows, distances = nearest_in(np.array(times), np.array(at, dtype=np.int64))
    for row, distance, wanted in zip(rows, distances, at, strict=True):
        expected = min(range(len(times)), key=lambda i: (abs(times[i] - wanted), i))
        assert (row, distance) == (expected, abs(times[expected] - wanted))


@given(st.lists(st.tuples(st.floats(-50, 50), st.floats(-50, 50)), max_size=30), st.floats(0.1, 40))
def test_spacing_is_path_since_the_last_kept(points: list[tuple[float, float]], spacing: float) -> None:
    position = np.array([(*point, 0.0) for point in points]).reshape(-1, 3)
    expected, driven = [], float("inf")
    for i, point in enumerate(points):
        driven += float(np.hypot(*(np.array(point) - points[i - 1]))) if i else 0
        if driven >= spacing:
            expected.append(i)
            driven = 0.0
    assert spaced(position, spacing).tolist() == expected
