"""Poses between poses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from datasets.interpolation import interpolate_poses, is_inside

START_NS = 1_403_537_850_763_040_000


def pose(x, yaw_deg):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("z", yaw_deg, degrees=True).as_matrix()
    matrix[0, 3] = x
    return matrix


def test_half_way_is_half_the_angle_the_short_way_round():
    poses = np.array([pose(0, 170), pose(4, -170)])
    found = interpolate_poses(START_NS + np.array([0, 100]), poses, START_NS + np.array([0, 50, 75, 100]))
    np.testing.assert_allclose(found, [pose(0, 170), pose(2, 180), pose(3, 185), pose(4, 190)], atol=1e-12)


@given(st.integers(0, 10**6))
def test_equal_steps_turn_and_move_equally(seed):
    random = np.random.default_rng(seed)
    poses = np.tile(np.eye(4), (2, 1, 1))
    poses[:, :3, :3] = Rotation.random(2, random_state=seed).as_matrix()
    poses[:, :3, 3] = random.normal(size=(2, 3))
    found = interpolate_poses(np.array([0, 9]), poses, np.arange(10))
    steps = Rotation.from_matrix(found[1:, :3, :3]) * Rotation.from_matrix(found[:-1, :3, :3]).inv()
    np.testing.assert_allclose(np.ptp(steps.as_rotvec(), axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(
        np.diff(found[:, :3, 3], axis=0), np.tile((poses[1] - poses[0])[:3, 3] / 9, (9, 1)), atol=1e-9
    )


def test_nothing_is_extrapolated():
    times = np.array([10, 20])
    assert is_inside(times, np.array([9, 10, 15, 20, 21])).tolist() == [False, True, True, True, False]
    assert not is_inside(times[:0], times).any()
    poses = np.array([pose(0, 0), pose(1, 0)])
    with pytest.raises(ValueError, match="outside"):
        interpolate_poses(times, poses, np.array([21]))
    assert interpolate_poses(times, poses, times[:0]).shape == (0, 4, 4)
    np.testing.assert_array_equal(interpolate_poses(times[:1], poses[:1], times[:1]), poses[:1])
