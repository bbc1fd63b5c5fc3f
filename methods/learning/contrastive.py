"""Contrastive learning of two sides: each picks its partners among all of the other side."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from datasets.base import Frame, Split
from methods.learning.losses import pair_masks

_LARGEST_SCALE = 100.0


class Temperature(nn.Module):
    """A learnt temperature of a contrastive loss, kept as the logarithm of its inverse. Source: CLIP (2021).

    The inverse is cut to at most 100 before each use, as published.
    """

    def __init__(self, initial: float = 0.07) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(-math.log(initial)))

    def forward(self) -> Float[Tensor, ""]:
        """Logarithm of the factor by which similarities are multiplied."""
        with torch.no_grad():
            self.log_scale.clamp_(max=math.log(_LARGEST_SCALE))
        return self.log_scale


def contrast_masks(
    frames: Sequence[Frame], split: Split, device: torch.device | str
) -> tuple[Bool[Tensor, "b b"], Bool[Tensor, "b b"]]:
    """Positive and masked pairs among the frames of a batch, by the rule of :func:`pair_masks`.

    A frame is a positive of itself, since its image and its cloud belong together. Pairs that are neither positive nor
    negative are masked.
    """
    positive, negative = pair_masks(frames, split, device)
    ids = np.array([f.frame_id for f in frames], dtype=object)
    positive = positive | torch.from_numpy(ids[:, None] == ids).to(device)
    return positive, ~(positive | negative)


def masked_info_nce(
    a: Float[Tensor, "n d"],
    b: Float[Tensor, "m d"],
    positive: Bool[Tensor, "n m"],
    masked: Bool[Tensor, "n m"],
    log_scale: Float[Tensor, ""],
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Symmetric InfoNCE with several positives: (sum over terms, number of terms).

    A row of ``a`` with a positive gives a term: the mean over its positives of the negative log-probability to pick
    it. The probabilities are the softmax over the positives and the negatives. Masked pairs take no part, unless they
    are positives. A row of ``b`` with a positive gives a term likewise. Similarity is the dot product times
    ``exp(log_scale)``, so both sides should have unit length. The loss is computed in float32, also under autocast.

    Source: van den Oord et al. 2018; both directions as in CLIP (Radford et al. 2021); the mean over positives as
    "out" in Khosla et al. 2020.
    """
    with torch.autocast(a.device.type, enabled=False):
        logits = (a.float() @ b.float().T) * log_scale.float().exp()
        logits = logits.masked_fill(masked & ~positive, -torch.inf)
        of_a, of_b = _terms(logits, positive), _terms(logits.T, positive.T)
        return of_a.sum() + of_b.sum(), logits.new_tensor(float(len(of_a) + len(of_b)))


def _terms(logits: Float[Tensor, "n m"], positive: Bool[Tensor, "n m"]) -> Float[Tensor, " k"]:
    """The terms of the rows with a positive."""
    rows = positive.any(1)
    positive, log_probabilities = positive[rows], logits[rows].log_softmax(1)
    return -torch.where(positive, log_probabilities, 0.0).sum(1) / positive.sum(1)
