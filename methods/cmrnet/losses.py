"""Losses of CMRNet: of regressed poses as published, and of displacements."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def pose_loss(
    translation: Float[Tensor, "b 3"],
    quaternion: Float[Tensor, "b 4"],
    true_translation: Float[Tensor, "b 3"],
    true_quaternion: Float[Tensor, "b 4"],
) -> Float[Tensor, " b"]:
    """Smooth L1 of the translation, summed over the axes (bend at 1 m), plus the angle between rotations in radians.

    Quaternions are (w, x, y, z) of unit length. A quaternion and its negative are the same rotation.
    """
    of_translation = functional.smooth_l1_loss(translation, true_translation, reduction="none").sum(1)
    w, vector = quaternion[:, :1], quaternion[:, 1:]
    true_w, true_vector = true_quaternion[:, :1], -true_quaternion[:, 1:]
    scalar = w * true_w - (vector * true_vector).sum(1, keepdim=True)
    rest = w * true_vector + true_w * vector + torch.linalg.cross(vector, true_vector)
    # The norm has no gradient at zero.
    length = (rest.square().sum(1) + 1e-12).sqrt()
    return of_translation + 2 * torch.atan2(length, scalar[:, 0].abs())


def displacement_loss(
    displacement: Float[Tensor, "b 2 n"],
    log_spread: Float[Tensor, "b n"],
    true_displacement: Float[Tensor, "b 2 n"],
    weight: Float[Tensor, "b n"],
) -> Float[Tensor, " b"]:
    """Negative log-likelihood of the displacements of cells under Laplace's law, up to a constant.

    Both directions share a spread. The mean over the cells of a frame, weighted; 0 for a frame without any.
    """
    off = (displacement - true_displacement).abs().sum(1)
    likelihood = off * (-log_spread).exp() + 2 * log_spread
    return (likelihood * weight).sum(1) / weight.sum(1).clamp(min=1)


def matching_loss(
    matching: Float[Tensor, "b d n"], true_displacement: Float[Tensor, "b 2 n"], weight: Float[Tensor, "b n"]
) -> Float[Tensor, " b"]:
    """Cross-entropy of the shifts of cells. The truth is shared among the four nearest shifts (bilinear).

    Cells whose true shift is outside the cost volume do not count. The mean over the others, weighted.
    """
    reach = (round(matching.shape[1] ** 0.5) - 1) // 2
    is_within = true_displacement.abs().amax(1) <= reach
    side = torch.arange(-reach, reach + 1, device=matching.device, dtype=matching.dtype)[:, None]
    right, down = ((1 - (row[:, None] - side).abs()).clamp(min=0) for row in true_displacement.unbind(1))
    target = (down[:, :, None] * right[:, None]).flatten(1, 2)
    counts = weight * is_within
    entropy = -(target * matching.log_softmax(1)).sum(1)
    return (entropy * counts).sum(1) / counts.sum(1).clamp(min=1)
