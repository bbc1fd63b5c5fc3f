"""The solve for a motion: exact data give the motion, wrong data are weighed down, no data leave the prior."""

import numpy as np
import pytest
import torch
from scipy.optimize import least_squares
from torch import Tensor

from methods.layers.pose_solve import solve_motion
from methods.layers.poses import Rigid, applied, between, rigid, rotation_of_vector

K = torch.tensor([[99.0, 97.0, 80.0, 60.0]], dtype=torch.float64)
PRIOR = torch.tensor([1.2**-2] * 3 + [0.1**-2] * 3, dtype=torch.float64)
WEAK = PRIOR * 1e-6


def scene(n: int = 60) -> Tensor:
    drawn = torch.rand(1, n, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return (drawn - torch.tensor([0.5, 0.5, -0.2])) * torch.tensor([20.0, 8.0, 20.0])


def motion(turn: list[float], shift: list[float]) -> Rigid:
    return rigid(
        rotation_of_vector(torch.tensor([turn], dtype=torch.float64)), torch.tensor([shift], dtype=torch.float64)
    )


MOVED = motion([0.05, -0.12, 0.03], [0.8, -0.3, 1.1])


def seen(points: Tensor, pose: Rigid) -> Tensor:
    moved = applied(pose[0], points[0])
    return (moved[:, :2] / moved[:, 2:] * K[0, :2] + K[0, 2:])[None]


def test_exact_positions_give_the_motion() -> None:
    points = scene()
    found = solve_motion(points, seen(points, MOVED), torch.ones(1, 60).double(), K, WEAK, steps=15)
    distance_m, angle_rad = between(found.target_from_source, MOVED)
    assert distance_m < 1e-4
    assert angle_rad < 1e-5


def test_a_tenth_of_wrong_positions_does_little_harm() -> None:
    points = scene()
    wanted = seen(points, MOVED)
    wanted[0, :6] += 40.0
    found = solve_motion(points, wanted, torch.ones(1, 60).double(), K, WEAK, steps=15)
    distance_m, angle_rad = between(found.target_from_source, MOVED)
    assert distance_m < 0.05
    assert angle_rad < 0.01


@pytest.mark.parametrize("weight", [0.0, 1e-12])
def test_without_positions_nothing_moves(weight: float) -> None:
    points = scene()
    found = solve_motion(points, seen(points, MOVED), torch.full((1, 60), weight).double(), K, PRIOR)
    assert torch.allclose(found.target_from_source, torch.eye(4).double(), atol=1e-6)
    assert torch.allclose(found.information, torch.diag(PRIOR)[None], rtol=1e-3, atol=1e-4)


def test_the_information_is_that_of_numerical_derivatives() -> None:
    points, at_rest = scene(), torch.eye(4, dtype=torch.float64)[None]
    wanted, weight = seen(points, at_rest), 0.25

    def residual(step: np.ndarray) -> np.ndarray:
        turned = motion(step[3:].tolist(), step[:3].tolist())
        return (weight**0.5 * (wanted - seen(points, turned))).numpy().ravel()

    jacobian = least_squares(residual, np.zeros(6), jac="3-point", max_nfev=1).jac
    found = solve_motion(points, wanted, torch.full((1, 60), weight).double(), K, PRIOR)
    assert np.allclose(found.information[0], jacobian.T @ jacobian + torch.diag(PRIOR).numpy(), rtol=1e-4, atol=1e-3)


def test_points_behind_the_camera_have_no_part() -> None:
    points = scene()
    behind = torch.cat([points, -points], dim=1)
    wanted = torch.cat([seen(points, MOVED), torch.zeros(1, 60, 2).double()], dim=1)
    found = solve_motion(behind, wanted, torch.ones(1, 120).double(), K, WEAK, steps=15)
    assert between(found.target_from_source, MOVED)[0] < 1e-4
