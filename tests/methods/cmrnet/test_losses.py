"""Losses of CMRNet: published values for identity predictions, and loops."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from methods.cmrnet.config import LARGE, MIDDLE, SMALL, DrawnRange
from methods.cmrnet.losses import displacement_loss, matching_loss, pose_loss
from methods.cmrnet.stages import drawn_starts
from methods.layers.poses import between, inverse, quaternion_of_rotation


def drawn(n: int, ranges: DrawnRange) -> Tensor:
    uniform = torch.rand(n, 6, generator=torch.Generator().manual_seed(0))
    return drawn_starts(uniform, [ranges] * n)


@pytest.mark.parametrize(
    ("ranges", "identity_loss", "mean_m", "mean_deg"),
    [(LARGE, 1.778, 1.83, 9.60), (MIDDLE, 0.533, 0.96, 1.92), (SMALL, 0.214, 0.58, 1.92)],
)
def test_drawn_starts_are_as_far_away_as_published(
    ranges: DrawnRange, identity_loss: float, mean_m: float, mean_deg: float
) -> None:
    """Values that others computed from the published ranges, with 150,000 draws."""
    starts = drawn(40_000, ranges)
    at_rest = torch.eye(4).expand_as(starts)
    distance_m, angle_rad = between(starts, at_rest)
    assert distance_m.mean().item() == pytest.approx(mean_m, abs=0.02)
    assert math.degrees(angle_rad.mean().item()) == pytest.approx(mean_deg, abs=0.1)
    target = inverse(starts)
    nothing = torch.tensor([[1.0, 0.0, 0.0, 0.0]]).expand(len(starts), 4)
    loss = pose_loss(torch.zeros(len(starts), 3), nothing, target[:, :3, 3], quaternion_of_rotation(target[:, :3, :3]))
    assert loss.mean().item() == pytest.approx(identity_loss, abs=0.01)


def test_starts_lie_in_their_ranges_along_the_axes_of_the_camera() -> None:
    starts = drawn(2000, LARGE)
    right, down, forward = starts[:, :3, 3].unbind(1)
    for shift, low, high in ((right, -2.0, 2.0), (down, -2.0, 1.0), (forward, -2.0, 2.0)):
        assert low <= shift.min() < low + 0.05
        assert high - 0.05 < shift.max() <= high


def test_the_pose_loss_is_the_angle_and_smooth_l1() -> None:
    rng = np.random.default_rng(0)
    found, true = Rotation.random(6, random_state=rng), Rotation.random(6, random_state=rng)
    shift, wanted = torch.tensor(rng.normal(size=(2, 6, 3)))

    def quaternions(rotations: Rotation) -> Tensor:
        return torch.tensor(rotations.as_quat()[:, [3, 0, 1, 2]])

    expected = []
    for number in range(6):
        off = (shift[number] - wanted[number]).abs().tolist()
        smooth = sum(d * d / 2 if d < 1 else d - 0.5 for d in off)
        expected.append(smooth + (found[number] * true[number].inv()).magnitude())
    assert torch.allclose(pose_loss(shift, quaternions(found), wanted, quaternions(true)), torch.tensor(expected))
    assert torch.allclose(pose_loss(shift, -quaternions(found), wanted, quaternions(true)), torch.tensor(expected))


def test_the_pose_loss_has_a_gradient_at_the_truth() -> None:
    quaternion = torch.tensor([[1.0, 0.0, 0.0, 0.0]], requires_grad=True)
    pose_loss(torch.zeros(1, 3), quaternion, torch.zeros(1, 3), quaternion.detach()).sum().backward()
    assert quaternion.grad is not None
    assert quaternion.grad.isfinite().all()


def test_the_displacement_loss_is_that_of_loops() -> None:
    generator = torch.Generator().manual_seed(0)
    found, true = torch.randn(2, 2, 2, 5, generator=generator)
    log_spread = torch.randn(2, 5, generator=generator)
    weight = torch.tensor([[1.0, 0, 1, 1, 0], [0, 0, 0, 0, 0]])
    terms = [
        sum(abs(float(found[0, axis, n] - true[0, axis, n])) for axis in range(2)) / math.exp(log_spread[0, n])
        + 2 * float(log_spread[0, n])
        for n in (0, 2, 3)
    ]
    assert torch.allclose(displacement_loss(found, log_spread, true, weight), torch.tensor([sum(terms) / 3, 0.0]))


def test_the_matching_loss_shares_the_truth_among_the_nearest_shifts() -> None:
    logits = torch.randn(1, 9, 3, generator=torch.Generator().manual_seed(0))
    true = torch.tensor([[[0.25, 1.0, 1.5], [-0.5, 1.0, 0.0]]])  # right, then down; the last is outside
    chances = logits.log_softmax(1)[0]

    def shift(down: int, right: int, cell: int) -> float:
        return float(chances[(down + 1) * 3 + right + 1, cell])

    first = -(0.375 * shift(0, 0, 0) + 0.125 * shift(0, 1, 0) + 0.375 * shift(-1, 0, 0) + 0.125 * shift(-1, 1, 0))
    second = -shift(1, 1, 1)
    found = matching_loss(logits, true, torch.ones(1, 3))
    assert found.item() == pytest.approx((first + second) / 2, abs=1e-5)
