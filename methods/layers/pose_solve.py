"""The motion of a camera from where points should appear in its image: weighted least squares with a prior."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from methods.layers.poses import Rigid, composed, rigid, rotation_of_vector, skew

LEAST_DEPTH_M = 0.5
"""Depth below which a moved point has no weight, metres."""


class Solved(NamedTuple):
    """Motions, and how well they are determined."""

    target_from_source: Rigid
    information: Float[Tensor, "b 6 6"]
    """Inverse covariance of translation (metres) and rotation vector (radians), both in the axes of the target."""
    misfit: Float[Tensor, " b"]
    """Weighted mean of the robust cost of a point; about 1 where the stated spreads are true."""


def solve_motion(
    points: Float[Tensor, "b n 3"],
    wanted_px: Float[Tensor, "b n 2"],
    weight: Float[Tensor, "b n"],
    pixel_intrinsics: Float[Tensor, "b 4"],
    prior_information: Float[Tensor, "6"],
    steps: int = 8,
) -> Solved:
    """The rigid motion after which ``points`` (right, down, forward, metres) appear at ``wanted_px``.

    ``weight`` is the inverse variance of each wanted position, per axis, in 1/px²; 0 leaves a point out. The prior says
    how large motions are. Residuals are weighed down by Cauchy's rule, so that single wrong positions do little harm.
    Gauss-Newton from no motion; each step is a turn and a shift in the axes of the target.
    """
    motion = torch.eye(4).to(points).repeat(len(points), 1, 1)
    moved_so_far = points.new_zeros(len(points), 6)
    information, cost = torch.diag(prior_information).repeat(len(points), 1, 1), points.new_zeros(len(points), 1)
    for _ in range(steps):
        residual, jacobian, is_seen = _linearised(motion, points, wanted_px, pixel_intrinsics)
        square = residual.square().sum(2) * weight
        robust = torch.where(is_seen, weight / (1 + square / 4), 0.0)
        cost = (4 * torch.log1p(square / 4) * is_seen * (weight > 0)).sum(1)
        weighted = jacobian * robust[:, :, None, None]
        information = torch.einsum("bnki,bnkj->bij", weighted, jacobian) + torch.diag(prior_information)
        slope = torch.einsum("bnki,bnk->bi", weighted, residual) - prior_information * moved_so_far
        step = torch.linalg.solve(information, slope)
        step = step.clamp(-1.0, 1.0)
        moved_so_far = moved_so_far + step
        motion = composed(rigid(rotation_of_vector(step[:, 3:]), step[:, :3]), motion)
    n_points = (weight > 0).sum(1).clamp(min=1)
    return Solved(motion, information, cost.view(-1) / n_points)


def inflated_covariance(information: Float[Tensor, "b 6 6"], inflation: tuple[float, float]) -> Float[Tensor, "b 6 6"]:
    """Covariance of solved motions, whose standard deviations of translation and rotation are larger by two factors.

    Points that err together count as if each told something of its own, so that a solve believes itself too much.
    """
    spread = information.new_tensor([inflation[0]] * 3 + [inflation[1]] * 3)
    return torch.linalg.inv(information) * spread[:, None] * spread


def _linearised(
    motion: Rigid, points: Float[Tensor, "b n 3"], wanted_px: Float[Tensor, "b n 2"], k: Float[Tensor, "b 4"]
) -> tuple[Float[Tensor, "b n 2"], Float[Tensor, "b n 2 6"], Tensor]:
    """Residuals in pixels, how a step changes the positions, and which points are in front of the camera."""
    moved = composed(points, motion[:, :3, :3].transpose(1, 2)) + motion[:, None, :3, 3]
    is_seen = moved[..., 2] > LEAST_DEPTH_M
    right, down, depth = moved[..., 0], moved[..., 1], moved[..., 2].clamp(min=LEAST_DEPTH_M)
    fx, fy, cx, cy = k[:, :, None].unbind(1)
    found = torch.stack([fx * right / depth + cx, fy * down / depth + cy], dim=2)
    zero = torch.zeros_like(depth)
    of_u = torch.stack([fx / depth, zero, -fx * right / depth**2], dim=2)
    of_v = torch.stack([zero, fy / depth, -fy * down / depth**2], dim=2)
    of_position = torch.stack([of_u, of_v], dim=2)
    of_turn = -(of_position[..., None] * skew(moved)[:, :, None]).sum(3)  # d(ω × p) = -[p]× dω
    return wanted_px - found, torch.cat([of_position, of_turn], dim=3), is_seen
