"""The overlap of two views on the ground, and the contrastive loss that it weighs ((LC)², RA-L 2023).

A view is a sector of a circle around a position. Its middle is the heading, its width the field of view, its radius
the reach.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor

CELLS = 24
"""Number of cells of a sector along its radius, and along its arc."""


class Views(NamedTuple):
    """Sectors on the map, one a row."""

    position_m: Float[ndarray, "n 2"]
    """Position of the sensor: east and north, metres."""
    heading_rad: Float[ndarray, " n"]
    """Heading of the middle of the view, counter-clockwise from east."""
    width_rad: Float[ndarray, " n"]
    """Field of view, at most a full turn, radians."""
    reach_m: float
    world: ndarray
    """Map of each view. Views of different worlds never overlap."""


def overlaps(a: Views, b: Views) -> Float[ndarray, "n m"]:
    """Overlap ψ between every view of ``a`` and of ``b``: shared area over joint area, from 0 to 1.

    The shared area is counted in cells of equal area: those of ``a`` in ``b`` and those of ``b`` in ``a``. The mean of
    both counts is exact to about 0.01. Deviation: the paper asks for the overlap of the fields of view on the ground.
    The authors' code approximates it by the overlap of angles times a factor that falls with distance. It gives no
    overlap to views whose cameras do not face each other.
    """
    area_a, area_b = a.width_rad[:, None] * a.reach_m**2 / 2, b.width_rad * b.reach_m**2 / 2
    share_of_a, share_of_b = _share_within(a, b), _share_within(b, a).T
    shared = (area_a * share_of_a + area_b * share_of_b) / 2
    return np.where(a.world[:, None] == b.world[None, :], shared / (area_a + area_b - shared), 0.0)


def _share_within(a: Views, b: Views) -> Float[ndarray, "n m"]:
    """Share of each view of ``a`` that each view of ``b`` covers."""
    middles = (np.arange(CELLS) + 0.5) / CELLS
    radius_m = a.reach_m * np.sqrt(middles)  # rings of equal area
    angle_rad = (a.heading_rad[:, None] + (middles - 0.5) * a.width_rad[:, None])[:, None]
    offset_m = radius_m[:, None, None] * np.stack([np.cos(angle_rad), np.sin(angle_rad)], axis=-1)  # n rings cells xy
    seen_m = a.position_m[:, None, None, None] + offset_m[:, :, :, None] - b.position_m
    return _is_within(seen_m, b).mean(axis=(1, 2))


def _is_within(seen_m: Float[ndarray, "n rings cells m 2"], b: Views) -> Bool[ndarray, "n rings cells m"]:
    """Whether each view of ``b`` holds each point. Points are relative to the position of the view."""
    east_m, north_m = seen_m[..., 0], seen_m[..., 1]
    ahead_m = east_m * np.cos(b.heading_rad) + north_m * np.sin(b.heading_rad)
    distance_m = np.hypot(east_m, north_m)
    return (distance_m <= b.reach_m) & (ahead_m >= distance_m * np.cos(np.minimum(b.width_rad / 2, np.pi)) - 1e-9)


def overlap_contrastive(
    distance: Float[Tensor, "n m"], psi: Float[Tensor, "n m"], margin: float = 1.0
) -> Float[Tensor, "n m"]:
    """Loss of each pair with distance d: ψ d² + (1 − ψ) max(τ − d, 0)², with margin τ ((LC)² eq. 2)."""
    return psi * distance.square() + (1 - psi) * torch.relu(margin - distance).square()
