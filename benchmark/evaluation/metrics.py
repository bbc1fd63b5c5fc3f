"""Metrics: from ranks to the numbers in the tables. A new metric is one entry of ``METRICS``."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from benchmark.evaluation.chance import chance_recall
from benchmark.evaluation.ranks import Ranking
from datasets.base import OnePercent, Protocol

DEPTHS = range(1, 26)
"""The N of recall@N that every result holds."""

Depth = Callable[[int, OnePercent], int]
"""The N of a recall, from the size of the database and the protocol's rule of one percent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A number for each query, which is then averaged over the counted queries."""

    title: str
    value: Callable[[Ranking, int, Protocol], ndarray]
    """Value of each query, from its ranking, the size of the database and the protocol."""
    by_chance: Callable[[Ranking, int, Protocol], ndarray] | None = None
    """Expected value of each query if all orders of the database are equally likely."""
    is_share: bool = True
    """Whether values lie within 0 and 1, so that the ends of intervals do."""


def recall_metric(title: str, depth: Depth) -> Metric:
    """Whether a query has a positive among its nearest ``depth`` candidates."""
    return Metric(
        title=title,
        value=lambda found, size, protocol: is_found(found, depth(size, protocol.one_percent), size).astype(np.float64),
        by_chance=lambda found, size, protocol: _by_chance(found, depth(size, protocol.one_percent), size, protocol),
    )


def _by_chance(found: Ranking, depth: int, database_size: int, protocol: Protocol) -> Float[ndarray, " n"]:
    """Expected recall of each query."""
    return chance_recall(
        found.n_positives, found.n_candidates, depth, database_size=database_size, search_depth=protocol.search_depth
    )


def one_percent_depth(database_size: int, rule: OnePercent) -> int:
    """The N that recall@1% stands for in a database of ``database_size`` places.

    >>> [one_percent_depth(n, OnePercent()) for n in (49, 150, 250, 350)]
    [1, 2, 2, 4]
    """
    depth = max(round(rule.share * database_size), 1)
    return depth if rule.cap is None else min(depth, rule.cap)


METRICS: dict[str, Metric] = {
    "R@1": recall_metric("Recall@1, %: the nearest frame of the database shows the place of the query", lambda *_: 1),
    "R@5": recall_metric("Recall@5, %: one of the nearest 5 frames shows the place of the query", lambda *_: 5),
    "R@1%": recall_metric("Recall@1%, %: one of the nearest 1 % of the frames shows the place", one_percent_depth),
}
"""Everything that is recorded of a ranking, averaged, and given an interval, by the name that tables use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """Recall of one traversal pair, or averaged over several pairs. Values are fractions; none if no query counts."""

    n_queries: int
    n_counted: int
    """Queries in the denominator: all of them, or only those with a positive, as the protocol says."""
    n_without_positives: int
    n_pairs: int
    """Traversal pairs with at least one counted query."""
    recall_at: tuple[float | None, ...]
    """Recall@1 to recall@25."""
    recall_at_one_percent: float | None
    one_percent_depth: int | None
    """The N that one percent came to; none where pairs with different N were averaged."""
    values: dict[str, float | None] = field(default_factory=dict)
    """Value of every metric of ``METRICS``, by name."""


def is_hit(first_positive_rank: Int[ndarray, " n"], depth: int | Int[ndarray, " n"]) -> Bool[ndarray, " n"]:
    """Which queries have a positive among their ``depth`` (one for all, or each its own) nearest candidates."""
    return (first_positive_rank >= 1) & (first_positive_rank <= depth)


def is_found(found: Ranking, depth: int, database_size: int) -> Bool[ndarray, " n"]:
    """Which queries of a pair have a positive within ``depth``; what lies beyond a search is never found."""
    return is_hit(found.first_positive_rank, min(depth, database_size))


def is_counted(first_positive_rank: Int[ndarray, " n"], no_positive: str) -> Bool[ndarray, " n"]:
    """Which queries enter the denominator; rank 0 says that a query has no positive."""
    return (first_positive_rank >= 1) | (no_positive == "miss")


def recall_at(first_positive_rank: Int[ndarray, " n"], depth: int | Int[ndarray, " n"]) -> float:
    """Share of queries that find a positive among their ``depth`` nearest candidates; nan without queries."""
    return float(np.mean(is_hit(first_positive_rank, depth))) if len(first_positive_rank) else float("nan")


def values_of(
    found: Ranking, database_size: int, protocol: Protocol, *, by_chance: bool = False
) -> dict[str, Float[ndarray, " n"]]:
    """Every metric of each counted query of a pair whose database has ``database_size`` places (candidates or not).

    ``by_chance``, the expectation over all orders of the database; nan where a metric does not know it.
    """
    counted = is_counted(found.first_positive_rank, protocol.no_positive)
    values = {}
    for name, metric in METRICS.items():
        value = metric.by_chance if by_chance else metric.value
        whole = np.full(len(counted), np.nan) if value is None else value(found, database_size, protocol)
        values[name] = whole[counted]
    return values


def summarise(found: Ranking, database_size: int, protocol: Protocol, *, by_chance: bool = False) -> Recall:
    """Recall of one traversal pair, see :func:`values_of`."""
    ranks, one_percent = found.first_positive_rank, one_percent_depth(database_size, protocol.one_percent)
    counted = is_counted(ranks, protocol.no_positive)
    depths = [*DEPTHS, one_percent]
    if by_chance:
        shares = [_mean(_by_chance(found, depth, database_size, protocol)[counted]) for depth in depths]
    else:
        shares = _shares(ranks[counted], np.minimum(depths, database_size))
    values = values_of(found, database_size, protocol, by_chance=by_chance)
    return Recall(
        n_queries=len(ranks),
        n_counted=int(counted.sum()),
        n_without_positives=int((ranks == 0).sum()),
        recall_at=tuple(shares[:-1]),
        recall_at_one_percent=shares[-1],
        one_percent_depth=one_percent,
        n_pairs=int(counted.any()),
        values={name: _mean(value) for name, value in values.items()},
    )


def _shares(first_positive_rank: Int[ndarray, " n"], depths: Int[ndarray, " k"]) -> list[float | None]:
    """Share of queries that find a positive within each of some depths, as :func:`is_hit`; None without queries."""
    n_queries, ascending = len(first_positive_rank), np.sort(first_positive_rank)
    n_within = np.searchsorted(ascending, depths, side="right") - np.searchsorted(ascending, 1)
    return (n_within / n_queries).tolist() if n_queries else [None] * len(depths)


def mean_over_pairs(recalls: Sequence[Recall]) -> Recall:
    """Unweighted mean over the traversal pairs that have a counted query."""
    return _average(recalls, [float(recall.n_counted > 0) for recall in recalls])


def pooled(recalls: Sequence[Recall]) -> Recall:
    """All queries of all traversal pairs together, each with the one-percent depth of its own pair."""
    return _average(recalls, [float(recall.n_counted) for recall in recalls])


def _average(recalls: Sequence[Recall], weights: Sequence[float]) -> Recall:
    used = [(recall, weight) for recall, weight in zip(recalls, weights, strict=True) if weight > 0]

    def average(values: Sequence[float | None]) -> float | None:
        known = [float("nan") if value is None else value for value in values]
        return _or_none(float(np.average(known, weights=[weight for _, weight in used]))) if used else None

    depths = {recall.one_percent_depth for recall, _ in used}
    return Recall(
        n_queries=sum(recall.n_queries for recall in recalls),
        n_counted=sum(recall.n_counted for recall in recalls),
        n_without_positives=sum(recall.n_without_positives for recall in recalls),
        recall_at=tuple(average([recall.recall_at[n - 1] for recall, _ in used]) for n in DEPTHS),
        recall_at_one_percent=average([recall.recall_at_one_percent for recall, _ in used]),
        one_percent_depth=depths.pop() if len(depths) == 1 else None,
        n_pairs=sum(recall.n_pairs for recall in recalls),
        values={name: average([recall.values.get(name) for recall, _ in used]) for name in METRICS},
    )


def _mean(values: Float[ndarray, " n"]) -> float | None:
    return _or_none(float(np.mean(values))) if len(values) else None


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value
