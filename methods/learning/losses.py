"""Losses that several methods share."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from datasets.base import Frame, Split
from datasets.places import Poses, same_place


def pair_masks(
    frames: Sequence[Frame], split: Split, device: torch.device | str
) -> tuple[Bool[Tensor, "b b"], Bool[Tensor, "b b"]]:
    """Positive and negative masks among the frames of a batch, by the split's radii.

    A positive is the same place within ``positive_m`` and the heading limit. A frame is not a positive of itself, even
    if the batch holds it twice. A negative is not the same place within ``negative_m``, for any heading. Pairs in
    between are neither positive nor negative. Source: VXP as published.
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
    nearest negative. With ``swap`` the negative's distance is the smaller one of its distances to anchor and positive.
    The mean over *active* (non-zero) triplets is ``sum / active``. Source: VXP as published; Hermans et al. 2017.
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

    This loss does not collapse where the hardest positives are far, as across day and night. Source: Hermans et al.
    2017.
    """
    distance = pairwise_distance(embeddings)
    to_negative = torch.minimum(distance[:, None], distance[None]) if swap else distance[:, None]
    losses = torch.relu(distance[:, :, None] - to_negative + margin)[positive[:, :, None] & negative[:, None, :]]
    return losses.sum(), (losses > 0).sum().to(losses.dtype), losses.new_tensor(float(len(losses)))


TRIPLET_LOSSES = {"hardest": batch_hard_triplet, "all": batch_all_triplet}
"""Triplet losses: name of the mining → loss."""


def multi_similarity(
    similarity: Float[Tensor, "b b"],
    positive: Bool[Tensor, "b b"],
    negative: Bool[Tensor, "b b"],
    positive_base: Float[Tensor, "b b"] | float = 0.0,
    negative_base: float = 0.0,
    *,
    alpha: float = 1.0,
    beta: float = 50.0,
    margin: float = 0.1,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""], Float[Tensor, ""]]:
    """Multi-similarity loss: (sum over anchors, anchors with a pair that counts, anchors).

    A negative of an anchor counts if it is more similar than the least similar positive less ``margin``. A positive
    counts if it is less similar than the most similar negative plus ``margin``. The loss of an
    anchor is log(1 + Σ exp(−α (s − λ))) / α over its positives, plus log(1 + Σ exp(β (s − λ))) / β over its negatives.
    Here s is the similarity of a pair, and λ its base. Source: Wang et al. 2019, there with one base.
    """
    least_positive = similarity.masked_fill(~positive, torch.inf).amin(1, keepdim=True)
    most_negative = similarity.masked_fill(~negative, -torch.inf).amax(1, keepdim=True)
    pull = positive & (similarity < most_negative + margin)
    push = negative & (similarity > least_positive - margin)
    pulled = _log_one_plus(-alpha * (similarity - positive_base), pull) / alpha
    pushed = _log_one_plus(beta * (similarity - negative_base), push) / beta
    active = (pull | push).any(1).sum().to(similarity.dtype)
    return (pulled + pushed).sum(), active, similarity.new_tensor(float(len(similarity)))


def _log_one_plus(exponents: Float[Tensor, "b n"], counts: Bool[Tensor, "b n"]) -> Float[Tensor, " b"]:
    """Logarithm of 1 plus the powers of e that count, in each row, without overflow."""
    masked = exponents.masked_fill(~counts, -torch.inf)
    return torch.cat([torch.zeros_like(masked[:, :1]), masked], dim=1).logsumexp(1)


def mean_over_triplets(statistics: dict[str, float]) -> float:
    """Mean loss over *all* triplets, from the mean over active triplets (``loss``) and the numbers of both kinds."""
    return statistics["loss"] * statistics["active"] / max(statistics["triplets"], 1.0)


def pairwise_distance(embeddings: Float[Tensor, "b d"]) -> Float[Tensor, "b b"]:
    """Euclidean distances in float32 with a finite gradient where two embeddings coincide."""
    x = embeddings.float() if embeddings.dtype in (torch.float16, torch.bfloat16) else embeddings
    squared = (x[:, None] - x[None, :]).square().sum(-1)
    return torch.where(squared > 0, squared.clamp(min=1e-24).sqrt(), squared)


# --- across modalities ---------------------------------------------------------------------------


def cross_modal_masks(
    frames: Sequence[Frame], split: Split, device: torch.device | str
) -> tuple[Bool[Tensor, "m m"], Bool[Tensor, "m m"]]:
    """Positive and negative masks (2b, 2b) among the images and then the clouds of a batch.

    Only pairs of an image and a cloud count, by the rule of :func:`pair_masks`. In addition, the image and the cloud
    of one frame are positives of each other.
    """
    positive, negative = pair_masks(frames, split, device)
    ids = np.array([f.frame_id for f in frames], dtype=object)
    positive = positive | torch.from_numpy(ids[:, None] == ids).to(device)
    across = torch.ones(2, 2, device=device).fill_diagonal_(0)
    return torch.kron(across, positive.float()).bool(), torch.kron(across, negative.float()).bool()


def symmetric_info_nce(
    images: Float[Tensor, "b d"], clouds: Float[Tensor, "b d"], temperature: float = 1.0
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Cross-entropy of picking each image's own cloud and each cloud's own image: (sum over frames, frames).

    The loss of a frame is the mean of its two directions. Similarity is the dot product over ``temperature``. Every
    other frame of the batch is a negative, even one of the same place. Source: CLIP (Radford et al. 2021), without a
    learnt temperature.
    """
    logits = _dots(images, clouds) / temperature
    own = torch.arange(len(logits), device=logits.device)
    of_images, of_clouds = (functional.cross_entropy(x, own, reduction="sum") for x in (logits, logits.T))
    return (of_images + of_clouds) / 2, logits.new_tensor(float(len(logits)))


def soft_target_cross_entropy(
    images: Float[Tensor, "b d"], clouds: Float[Tensor, "b d"], temperature: float = 1.0
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """:func:`symmetric_info_nce` towards soft targets instead of the diagonal: (sum over frames, frames).

    The targets of the clouds' rows are the softmax of the mean of image-image and cloud-cloud similarities *times* the
    temperature. The targets of the images' rows are the transposed matrix. Its rows need not sum to one. Gradients also
    flow through the targets. Source: the code of LIP-Loc (Shubodh/lidar-image-pretrain-VPR).
    """
    logits = _dots(clouds, images) / temperature
    targets = ((_dots(images, images) + _dots(clouds, clouds)) / 2 * temperature).softmax(1)
    of_clouds, of_images = -(targets * logits.log_softmax(1)).sum(), -(targets.T * logits.T.log_softmax(1)).sum()
    return (of_clouds + of_images) / 2, logits.new_tensor(float(len(logits)))


def _dots(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
    """Dot products in float32: a matrix product would run in half precision under autocast."""
    return (a.float()[:, None] * b.float()).sum(-1)
