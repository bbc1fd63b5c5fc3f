"""Recall@N and recall@1%: from ranks to the numbers in the tables."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int
from numpy import ndarray

from datasets.base import OnePercent, Protocol

DEPTHS = range(1, 26)
"""The N of recall@N that every result holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """Recall of one traversal pair, or averaged over several. Values are fractions; nan if no query counted."""

    n_queries: int
    n_counted: int
    """Queries in the denominator: all of them, or only those with a positive, as the protocol says."""
    n_without_positives: int
    recall_at: tuple[float, ...]
    """Recall@1 to recall@25."""
    recall_at_one_percent: float
    one_percent_depth: int | None
    """The N that one percent came to; none where pairs with different N were averaged."""
    n_pairs: int
    """Traversal pairs with at least one counted query."""


def one_percent_depth(database_size: int, rule: OnePercent) -> int:
    """The N that recall@1% stands for in a database of ``database_size`` places.

    >>> [one_percent_depth(n, OnePercent()) for n in (49, 150, 250, 350)]
    [1, 2, 2, 4]
    """
    depth = max(round(rule.share * database_size), 1)
    return depth if rule.cap is None else min(depth, rule.cap)


def is_hit(first_positive_rank: Int[ndarray, " n"], depth: int | Int[ndarray, " n"]) -> Bool[ndarray, " n"]:
    """Which queries have a positive among their ``depth`` (one for all, or each its own) nearest candidates."""
    return (first_positive_rank >= 1) & (first_positive_rank <= depth)


def is_counted(first_positive_rank: Int[ndarray, " n"], no_positive: str) -> Bool[ndarray, " n"]:
    """Which queries enter the denominator; rank 0 says that a query has no positive."""
    return (first_positive_rank >= 1) | (no_positive == "miss")


def recall_at(first_positive_rank: Int[ndarray, " n"], depth: int | Int[ndarray, " n"]) -> float:
    """Share of queries that find a positive among their ``depth`` nearest candidates; nan without queries."""
    return float(np.mean(is_hit(first_positive_rank, depth))) if len(first_positive_rank) else float("nan")


def summarise(first_positive_rank: Int[ndarray, " n"], database_size: int, protocol: Protocol) -> Recall:
    """Recall of one traversal pair whose database has ``database_size`` places (candidates or not)."""
    counted = first_positive_rank[is_counted(first_positive_rank, protocol.no_positive)]
    one_percent = one_percent_depth(database_size, protocol.one_percent)
    return Recall(
        n_queries=len(first_positive_rank),
        n_counted=len(counted),
        n_without_positives=int((first_positive_rank == 0).sum()),
        recall_at=tuple(recall_at(counted, depth) for depth in DEPTHS),
        recall_at_one_percent=recall_at(counted, one_percent),
        one_percent_depth=one_percent,
        n_pairs=min(len(counted), 1),
    )


def mean_over_pairs(recalls: Sequence[Recall]) -> Recall:
    """Unweighted mean over the traversal pairs that have a counted query."""
    return _average(recalls, [float(recall.n_counted > 0) for recall in recalls])


def pooled(recalls: Sequence[Recall]) -> Recall:
    """All queries of all traversal pairs together, each with the one-percent depth of its own pair."""
    return _average(recalls, [float(recall.n_counted) for recall in recalls])


def _average(recalls: Sequence[Recall], weights: Sequence[float]) -> Recall:
    used = [(recall, weight) for recall, weight in zip(recalls, weights, strict=True) if weight > 0]

    def average(values: list[float]) -> float:
        return float(np.average(values, weights=[weight for _, weight in used])) if used else float("nan")

    depths = {recall.one_percent_depth for recall, _ in used}
    return Recall(
        n_queries=sum(recall.n_queries for recall in recalls),
        n_counted=sum(recall.n_counted for recall in recalls),
        n_without_positives=sum(recall.n_without_positives for recall in recalls),
        recall_at=tuple(average([recall.recall_at[n - 1] for recall, _ in used]) for n in DEPTHS),
        recall_at_one_percent=average([recall.recall_at_one_percent for recall, _ in used]),
        one_percent_depth=depths.pop() if len(depths) == 1 else None,
        n_pairs=sum(recall.n_pairs for recall in recalls),
    )
