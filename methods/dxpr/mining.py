"""Which pairs of frames are positives and negatives, and how much their views overlap (DXPR §III-C)."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from datasets.base import Frame
from datasets.places import Poses, heading_difference_rad, same_place
from methods.dxpr.config import MiningConfig

PairOverlaps = Callable[[Int[Tensor, "k 2"]], Float[Tensor, " k"]]
"""Function from the rows of some pairs to the overlaps of these pairs."""


class Pairs(NamedTuple):
    """What every two frames of a batch are to each other, a frame and itself included."""

    positive: Bool[Tensor, "b b"]
    negative: Bool[Tensor, "b b"]
    overlap: Float[Tensor, "b b"]

    def of_both_modalities(self) -> "Pairs":
        """The same among the images and then the clouds of the frames; no descriptor is a pair with itself."""
        other = ~torch.eye(2 * len(self.positive), dtype=torch.bool, device=self.positive.device)
        return Pairs(self.positive.repeat(2, 2) & other, self.negative.repeat(2, 2), self.overlap.repeat(2, 2))


def mined_pairs(
    frames: Sequence[Frame], overlaps_of: PairOverlaps, config: MiningConfig, device: torch.device | str
) -> Pairs:
    """Near pairs are positives of overlap 1, far pairs negatives of overlap 0. Overlap decides all pairs in between.

    Only for pairs in between, ``overlaps_of`` is asked. Frames of different worlds are far apart.
    """
    poses = Poses.of(frames)
    turned_rad = heading_difference_rad(poses.yaw_rad[:, None], poses.yaw_rad)
    near = same_place(poses, poses, config.near_m, None) & (turned_rad <= math.radians(config.near_deg))
    between = same_place(poses, poses, config.far_m, None) & ~near
    overlap = torch.from_numpy(near).to(device, torch.float32)
    pairs = torch.from_numpy(_upper(between)).to(device)
    if len(pairs):
        found = overlaps_of(pairs).to(overlap)
        overlap[pairs[:, 0], pairs[:, 1]] = found
        overlap[pairs[:, 1], pairs[:, 0]] = found
    is_near, is_between = (torch.from_numpy(mask).to(device) for mask in (near, between))
    positive = is_near | (is_between & (overlap > config.positive_overlap))
    return Pairs(positive, ~positive & ~(is_between & (overlap > config.negative_overlap)), overlap)


def _upper(mask: Bool[ndarray, "b b"]) -> Int[ndarray, "k 2"]:
    """Each pair once, the smaller row first."""
    return np.argwhere(np.triu(mask, 1)).astype(np.int64)
