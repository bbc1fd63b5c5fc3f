"""Rigid transforms against scipy and against plain matrix products."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from methods.layers.poses import (
    applied,
    between,
    composed,
    inverse,
    quaternion_of_rotation,
    rigid,
    rotation_of_angles,
    rotation_of_quaternion,
    rotation_of_vector,
)

VECTORS = np.random.default_rng(0).uniform(-2, 2, (20, 3))
ROTATIONS = Rotation.from_rotvec(VECTORS)
"""Turns of up to 3.4 radians."""


def poses() -> torch.Tensor:
    return rigid(torch.tensor(ROTATIONS.as_matrix()), torch.tensor(VECTORS[::-1].copy()))


def test_rotation_vectors_are_those_of_scipy() -> None:
    assert np.allclose(rotation_of_vector(torch.tensor(VECTORS)), ROTATIONS.as_matrix())
    assert torch.equal(rotation_of_vector(torch.zeros(1, 3)), torch.eye(3)[None])


def test_angles_turn_about_x_first() -> None:
    expected = Rotation.from_euler("xyz", VECTORS).as_matrix()
    assert np.allclose(rotation_of_angles(torch.tensor(VECTORS)), expected)


def test_quaternions_there_and_back() -> None:
    found = quaternion_of_rotation(torch.tensor(ROTATIONS.as_matrix()))
    expected = ROTATIONS.as_quat()[:, [3, 0, 1, 2]]
    assert np.allclose(np.abs((found.numpy() * expected).sum(1)), 1)
    assert np.allclose(rotation_of_quaternion(found), ROTATIONS.as_matrix())


@pytest.mark.parametrize("axis", range(3))
def test_half_turns_have_a_quaternion(axis: int) -> None:
    half_turn = torch.tensor(Rotation.from_euler("xyz"[axis], np.pi).as_matrix())[None]
    expected = torch.zeros(4)
    expected[1 + axis] = 1.0
    assert torch.allclose(quaternion_of_rotation(half_turn)[0].abs().float(), expected, atol=1e-6)


def test_composition_and_inverse_are_those_of_matrices() -> None:
    a, b = poses(), poses().flip(0)
    assert torch.allclose(composed(a, b), a @ b)
    assert torch.allclose(inverse(a), torch.linalg.inv(a))
    points = torch.tensor(VECTORS)
    assert torch.allclose(applied(a[3], points), points @ a[3, :3, :3].T + a[3, :3, 3])


def test_the_error_between_poses_is_a_distance_and_an_angle() -> None:
    turned = torch.tensor(Rotation.from_rotvec([0.0, 0.3, 0.0]).as_matrix())[None]
    error = rigid(turned, torch.tensor([[3.0, 0.0, 4.0]], dtype=torch.float64))
    distance_m, angle_rad = between(composed(poses(), error.expand(20, 4, 4)), poses())
    assert torch.allclose(distance_m, torch.full_like(distance_m, 5.0))
    assert torch.allclose(angle_rad, torch.full_like(angle_rad, 0.3))
