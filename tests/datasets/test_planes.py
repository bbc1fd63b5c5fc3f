"""The ground plane, by hand and against a loop over all triples."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.planes import _triples, ground_plane


def test_the_road_is_found_among_walls():
    random = np.random.default_rng(0)
    road = np.column_stack([random.uniform(0, 50, 600), random.uniform(-5, 5, 600), random.normal(-1.5, 0.02, 600)])
    wall = np.column_stack([random.uniform(0, 50, 400), np.full(400, 6.0), random.uniform(-1, 8, 400)])
    plane = ground_plane(np.concatenate([road, wall]), random)
    assert plane is not None
    assert plane.normal[2] > 0.999
    assert abs(plane.offset_m + 1.5) < 0.1
    assert plane.is_inlier[:600].all()
    assert plane.is_inlier[600:].sum() < 0.05 * 400


def test_in_a_large_cloud_a_part_decides_and_all_are_told() -> None:
    random = np.random.default_rng(0)
    road = np.column_stack([random.uniform(0, 50, (50_000, 2)), random.normal(-1.5, 0.02, 50_000)])
    clutter = random.uniform((0, 0, -1), (50, 50, 8), (30_000, 3))
    plane = ground_plane(np.concatenate([road, clutter]), random)
    assert plane is not None
    assert plane.is_inlier[:50_000].mean() > 0.99
    assert plane.is_inlier[50_000:].mean() < 0.05


def test_a_slope_and_its_upward_normal():
    x, y = np.meshgrid(np.arange(10.0), np.arange(10.0))
    plane = ground_plane(np.column_stack([x.ravel(), y.ravel(), 0.1 * x.ravel()]), np.random.default_rng(1))
    assert plane is not None
    np.testing.assert_allclose(plane.normal, np.array([-0.1, 0, 1]) / np.sqrt(1.01), atol=1e-12)
    assert plane.is_inlier.all()
    assert plane.is_level


@pytest.mark.parametrize(("slope_deg", "is_level"), [(0, True), (25.8, True), (25.9, False), (89, False), (-30, False)])
def test_a_plane_is_level_up_to_an_arc_cosine_of_nine_tenths(slope_deg: float, is_level: bool) -> None:
    x, y = np.meshgrid(np.arange(4.0), np.arange(4.0))
    turned = np.column_stack([x.ravel(), y.ravel(), np.tan(np.deg2rad(slope_deg)) * x.ravel()])
    plane = ground_plane(turned, np.random.default_rng(0))
    assert plane is not None
    assert plane.is_level == is_level


@given(st.integers(0, 10**6))
def test_no_plane_beats_the_best_of_all_triples_and_its_inliers_are_near(seed):
    random = np.random.default_rng(seed)
    points = random.uniform(-1, 1, (7, 3))
    plane = ground_plane(points, random, distance_m=0.3, iterations=400)  # of 35 triples: surely all
    assert plane is not None
    most = 0
    for triple in combinations(points, 3):
        normal = np.cross(triple[1] - triple[0], triple[2] - triple[0])
        normal /= np.linalg.norm(normal)
        most = max(most, sum(abs(normal @ (p - triple[0])) < 0.3 for p in points))
    assert plane.is_inlier.sum() == most
    np.testing.assert_array_equal(plane.is_inlier, np.abs(points @ plane.normal - plane.offset_m) < 0.3)


def test_seeds_decide_and_degenerate_clouds_have_none():
    points = np.random.default_rng(0).normal(size=(500, 4))
    first, again = (ground_plane(points, np.random.default_rng(5)) for _ in range(2))
    assert first is not None
    assert again is not None
    np.testing.assert_array_equal(first.normal, again.normal)
    assert ground_plane(points[:2], np.random.default_rng(0)) is None
    assert ground_plane(np.outer(np.arange(9.0), [1.0, 2.0, 3.0]), np.random.default_rng(0)) is None


def test_triples_are_of_different_points_and_all_come():
    drawn = _triples(4, 2000, np.random.default_rng(0))
    assert {tuple(sorted(row)) for row in drawn.tolist()} == set(combinations(range(4), 3))
    counts = np.bincount(drawn[:, 2], minlength=4)
    assert counts.min() > 400
