"""Losses that several methods share."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from datasets.base import Frame, Split
from datasets.places import Poses, same_place


def pair_masks(
    frames: Sequence[Frame], split: Split, device: torch.device | str
) -> tuple[Bool[Tensor, "b b"], Bool[Tensor, "b b"]]:
    """Positive and negative masks among the frames of a batch, by the split's radii.

    Positive: the same place within ``positive_m`` and the heading limit; a frame is no positive of itself, also where
    the batch holds it twice. Negative: not the same place within ``negative_m`` whatever the heading. Pairs in
    between are neither. Source: VXP as published.
    """
    poses, ids = Poses.of(frames), np.array([f.frame_id for f in frames], dtype=object)
    positive = same_place(poses, poses, split.positive_m, split.heading_limit_rad) & (ids[:, None] != ids)
    negative = ~same_place(poses, poses, split.negative_m, None)
    return torch.from_numpy(positive).to(device), torch.from_numpy(negative).to(device)


def batch_hard_triplet(
    embeddings: Float[Tensor, "b d"],
    positive: Bool[Tensor, "b b"],
    negative: Bool[Tensor, "b b"],
    margin: float = 0.3,
    *,
    swap: bool = True,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""], Float[Tensor, ""]]:
    """Batch-hard triplet loss on Euclidean distances: (sum over triplets, active triplets, triplets).

    Each anchor that has a positive and a negative in the batch forms one triplet with the farthest positive and the
    nearest negative. With ``swap`` the negative's distance is the smaller of those to anchor and positive. The mean
    over *active* (non-zero) triplets is ``sum / active``. Source: VXP as published; Hermans et al. 2017.
    """
    distance = pairwise_distance(embeddings)
    anchors = positive.any(1) & negative.any(1)
    hardest_positive = distance.masked_fill(~positive, -torch.inf).argmax(1)
    hardest_negative = distance.masked_fill(~negative, torch.inf).argmin(1)
    rows = torch.arange(len(embeddings), device=embeddings.device)
    to_positive = distance[rows, hardest_positive]
    to_negative = distance[rows, hardest_negative]
    if swap:
        to_negative = torch.minimum(to_negative, distance[hardest_positive, hardest_negative])
    losses = torch.relu(to_positive - to_negative + margin)[anchors]
    return losses.sum(), (losses > 0).sum().to(losses.dtype), anchors.sum().to(losses.dtype)


def batch_all_triplet(
    embeddings: Float[Tensor, "b d"],
    positive: Bool[Tensor, "b b"],
    negative: Bool[Tensor, "b b"],
    margin: float = 0.3,
    *,
    swap: bool = True,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""], Float[Tensor, ""]]:
    """:func:`batch_hard_triplet` with every positive and every negative of each anchor instead of the hardest.

    Does not collapse where the hardest positives are far, as across day and night. Source: Hermans et al. 2017.
    """
    distance = pairwise_distance(embeddings)
    to_negative = torch.minimum(distance[:, None], distance[None]) if swap else distance[:, None]
    losses = torch.relu(distance[:, :, None] - to_negative + margin)[positive[:, :, None] & negative[:, None, :]]
    return losses.sum(), (losses > 0).sum().to(losses.dtype), losses.new_tensor(float(len(losses)))


def pairwise_distance(embeddings: Float[Tensor, "b d"]) -> Float[Tensor, "b b"]:
    """Euclidean distances in float32 with a finite gradient where two embeddings coincide."""
    x = embeddings.float() if embeddings.dtype in (torch.float16, torch.bfloat16) else embeddings
    squared = (x[:, None] - x[None, :]).square().sum(-1)
    return torch.where(squared > 0, squared.clamp(min=1e-24).sqrt(), squared)
