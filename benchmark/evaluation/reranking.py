"""Whether registration re-ranks: the nearest frames are registered, and the pose that is believed most is kept."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from benchmark.evaluation.registration import Accuracy, PoseErrors, accuracy

BELIEVED = 0.5
"""A pose is believed if it is right with at least this probability, as its registrar says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Believed:
    """The queries whose registered pose is believed."""

    share: float
    """Share of all queries."""
    accuracy: Accuracy | None
    """The accuracy of these alone; none if no pose is believed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RankAccuracy:
    """Registration from the frame of one rank, over the queries that have such a frame."""

    rank: int
    n_queries: int
    is_right: float
    """Share of queries whose frame of this rank shows the right place."""
    accuracy: Accuracy


@dataclass(frozen=True, slots=True, kw_only=True)
class Reranking:
    """What is gained by registering several frames: all shares are of the same queries."""

    ranks: list[RankAccuracy]
    first: Accuracy
    """Only the nearest frame is registered."""
    chosen: Accuracy
    """The registered pose that is believed most is kept."""
    best: Accuracy
    """The registered pose nearest to the truth is kept: what the best belief could reach."""
    first_is_right: float
    """Share of queries whose nearest frame shows the right place: recall@1."""
    chosen_is_right: float
    """Share of queries whose kept pose came from a frame of the right place: recall@1 after re-ranking."""
    any_is_right: float
    """Share of queries with a right frame among those that were registered."""


def most_certain(belief: Float[ndarray, "n k"]) -> Int[ndarray, " n"]:
    """The column of the largest belief in each row; the first of equal ones; what is not a number never wins."""
    return np.argmax(np.where(np.isnan(belief), -np.inf, belief), axis=1)


def belief_kept(errors: PoseErrors, belief: Float[ndarray, " n"]) -> Believed:
    """The queries that are believed, and how right they are."""
    is_believed = belief >= BELIEVED
    share = float(is_believed.mean()) if len(belief) else 0.0
    return Believed(share=share, accuracy=accuracy(errors.at(is_believed)))


def reranking(errors: PoseErrors, belief: Float[ndarray, "n k"], is_right: Bool[ndarray, "n k"]) -> Reranking:
    """Registration from the k nearest frames of each of n queries, whose errors and belief are n × k.

    A query with fewer frames has belief nan behind its last one.
    """
    rows, chosen = np.arange(len(belief)), most_certain(belief)
    nearest = np.argmin(errors.translation_m, axis=1)
    ranks = []
    for k in range(belief.shape[1]):
        found = ~np.isnan(belief[:, k])
        if of_rank := accuracy(errors.at((found, k))):
            right = float(is_right[found, k].mean())
            ranks.append(RankAccuracy(rank=k + 1, n_queries=int(found.sum()), is_right=right, accuracy=of_rank))
    return Reranking(
        ranks=ranks,
        first=_known(errors.at((rows, 0))),
        chosen=_known(errors.at((rows, chosen))),
        best=_known(errors.at((rows, nearest))),
        first_is_right=float(is_right[:, 0].mean()),
        chosen_is_right=float(is_right[rows, chosen].mean()),
        any_is_right=float(is_right.any(axis=1).mean()),
    )


def _known(errors: PoseErrors) -> Accuracy:
    found = accuracy(errors)
    assert found is not None, "there are queries"
    return found
