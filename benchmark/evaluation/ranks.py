"""Exact search: distances between descriptors, and for each query the rank of the first right answer.

Candidates are masked before anything is ranked, ranks are found by counting instead of by a search of limited
depth, and ties are broken by database index. A collapsed encoder, for which everything ties, therefore scores what
the order of the database gives and nothing else.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from benchmark.evaluation.estimates import Estimate
from benchmark.protocol.ground_truth import Relation, row_blocks

# --- fusion --------------------------------------------------------------------------------------


def fused_ranks(
    main: Float[ndarray, "nq nd"], second: Float[ndarray, "nq nd"], is_candidate: Bool[ndarray, "nq nd"], top: int
) -> Float[ndarray, "nq nd"]:
    """Places in the ranking of each query's candidates after re-ranking, from 0; they serve as distances.

    The ``top`` nearest candidates by ``main`` are ordered by the sum of their ranks among themselves by ``main`` and
    by ``second``; equal sums, like equal distances by ``second``, keep the order by ``main``. All others keep their
    place by ``main``. A frame that is no candidate takes none: it stands half a place before the candidates that are
    not nearer by ``main``.
    """
    fused = np.empty(main.shape)
    for rows in row_blocks(*main.shape):
        fused[rows] = _fused_block(main[rows], second[rows], is_candidate[rows], top)
    return fused


def _fused_block(
    main: Float[ndarray, "nq nd"], second: Float[ndarray, "nq nd"], is_candidate: Bool[ndarray, "nq nd"], top: int
) -> Float[ndarray, "nq nd"]:
    searched = np.where(is_candidate, main, np.inf)
    order = np.argsort(searched, axis=1, kind="stable")
    head = order[:, :top]
    by_second = np.take_along_axis(np.where(is_candidate, second, np.inf), head, axis=1)
    order[:, :top] = np.take_along_axis(head, reranked(by_second), axis=1)
    nearest_first = np.sort(searched, axis=1)
    n_nearer = np.array([np.searchsorted(*pair) for pair in zip(nearest_first, main, strict=True)]).reshape(main.shape)
    return np.where(is_candidate, _places(order), n_nearer - 0.5)


def reranked(second: Float[ndarray, "n m"]) -> Int[ndarray, "n m"]:
    """The new order of places that stand in the order of one distance, by the sum of their ranks by both distances."""
    rank_sum = np.arange(second.shape[1]) + _places(np.argsort(second, axis=1, kind="stable"))
    return np.argsort(rank_sum, axis=1, kind="stable")


def _places(order: Int[ndarray, "n m"]) -> Int[ndarray, "n m"]:
    """The place of each column in ``order``, row by row."""
    places = np.empty_like(order)
    np.put_along_axis(places, order, np.arange(order.shape[1])[None], axis=1)
    return places


# --- ranks ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """What each query found."""

    first_positive_rank: Int[ndarray, " nq"]
    """1 if the nearest candidate is positive, and so on; 0 for a query without positives.

    Beyond every depth (database size plus one) if the search had a depth and no positive was within it.
    """
    n_positives: Int[ndarray, " nq"]
    n_candidates: Int[ndarray, " nq"]
    top_index: Int[ndarray, "nq k"]
    """Database rows of the nearest candidates, by (distance, row); -1 where there are fewer."""
    top_distance: Float[ndarray, "nq k"]
    """Their distances; nan where there are fewer."""
    best_positive_distance: Float[ndarray, " nq"]
    """nan for a query that found no positive."""
    best_negative_distance: Float[ndarray, " nq"]
    """Nearest candidate that is not positive; nan if there is none."""


def rank_queries(
    distances: Estimate | Float[ndarray, "nq nd"],
    relation: Relation,
    top_k: int = 25,
    *,
    search_depth: int | None = None,
) -> Ranking:
    """Rank the candidates of each query by (distance, database row); smaller is nearer.

    With a ``search_depth``, only that many nearest database frames are looked at, candidates or not.

    The rank of the first positive is exact at any depth: one plus the candidates strictly nearer than the nearest
    positive, plus those equally near that stand before the first such positive in the database. Estimated distances
    give the ranking of the exact ones, bit for bit: whatever their error could misplace is computed exactly.

    Raises:
        CrossplaceError: a distance that is not finite (names query and database row).
    """
    known = distances if isinstance(distances, Estimate) else Estimate.certain(distances)
    n_unlisted = np.zeros(len(known.key), dtype=np.int64)
    if search_depth is None:
        is_listed = _to_list(known, relation, top_k, n_unlisted)
    else:
        limit = kth_least(known.key, search_depth) + 2 * known.slack
        is_listed = known.key <= above(limit, known.key)[:, None]
    distance, column = listed(*entries_of(is_listed), len(is_listed), known.exact)
    if search_depth is not None:
        distance, column = distance[:, :search_depth], column[:, :search_depth]
        may_be_found = _at(relation.is_candidate, column)
        distance, column = _ordered(np.where(may_be_found, distance, np.inf), np.where(may_be_found, column, -1))
    return _ranking(distance, column, n_unlisted, relation, top_k)


def _to_list(
    known: Estimate, relation: Relation, top_k: int, n_unlisted: Int[ndarray, " nq"]
) -> Bool[ndarray, "nq nd"]:
    """Which candidates must be known exactly, where all may be found; counts the others that are nearer for certain.

    These are all that can be among the nearest ``top_k``, the nearest wrong one, or as near as the nearest right one.
    ``n_unlisted`` gets the candidates that stand before the nearest right one and are not listed.
    """
    key = known.key if relation.all_candidates else np.where(relation.is_candidate, known.key, np.inf)
    slack, n_queries = 2 * known.slack, len(key)
    rows, columns = relation.positives
    right, least = key[rows, columns], kth_least(key, top_k)
    limit = least + slack
    beyond = np.flatnonzero(np.bincount(rows[right <= least[rows]], minlength=n_queries) >= top_k)
    if len(beyond):  # as many right ones: the nearest wrong one may be farther
        wrong = np.where(relation.is_positive[beyond], np.inf, key[beyond]).min(axis=1)
        limit[beyond] = np.maximum(limit[beyond], wrong + slack[beyond])
    best = np.full(n_queries, np.inf)
    first = np.flatnonzero(np.diff(rows, prepend=-1))
    best[rows[first]] = np.minimum.reduceat(right, first) if len(first) else 0
    limit, low, high = above(limit, key), _below(best - slack, key), above(best + slack, key)
    is_far = (low > limit) & np.isfinite(best)
    is_listed = key <= np.where(is_far | np.isinf(best), limit, np.maximum(limit, high))[:, None]
    if is_far.any():
        far = np.flatnonzero(is_far) if is_far.mean() < 0.5 else slice(None)  # which copies nothing
        low, high = (np.where(is_far, each, -np.inf)[far, None] for each in (low, high))
        is_nearer = key[far] < low
        n_unlisted[far] = np.where(is_far[far], _count(is_nearer) - _count(is_listed)[far], 0)
        is_listed[far] |= is_nearer ^ (key[far] <= high)  # what is nearer for certain is below both
    return is_listed if relation.all_candidates else is_listed & relation.is_candidate


def kth_least(key: Float[ndarray, "nq nd"], k: int) -> Float[ndarray, " nq"]:
    """A number that at least ``k`` keys of each query do not exceed, and few more; infinite where there are fewer.

    It is the k-th of the least keys of many groups, which take turns along the database.
    """
    n_keys = key.shape[1]
    if n_keys < k:
        return np.full(len(key), np.inf)
    if k == 1:
        return key.min(axis=1).astype(np.float64)
    n_groups = n_keys // min(max(n_keys // (8 * k), 1), 16)
    least = key[:, :n_groups].copy()
    for start in range(n_groups, n_keys - n_groups + 1, n_groups):
        np.minimum(least, key[:, start : start + n_groups], out=least)
    return np.sort(least, axis=1)[:, k - 1].astype(np.float64)


def above(limit: Float[ndarray, " nq"], key: Float[ndarray, "nq nd"]) -> Float[ndarray, " nq"]:
    """Limits as numbers of the kind of the keys, none of them smaller than it was."""
    return np.nextafter(limit.astype(key.dtype), key.dtype.type(np.inf))


def _below(limit: Float[ndarray, " nq"], key: Float[ndarray, "nq nd"]) -> Float[ndarray, " nq"]:
    return -above(-limit, key)


def _count(chosen: Bool[ndarray, "nq nd"]) -> Int[ndarray, " nq"]:
    """How many are chosen in each row."""
    return chosen.sum(axis=1, dtype=np.min_scalar_type(chosen.shape[1])).astype(np.int64)


def entries_of(chosen: Bool[ndarray, "nq nd"]) -> tuple[Int[ndarray, " n"], Int[ndarray, " n"]]:
    """Rows and columns of what is chosen, by row and then by column."""
    row, column = np.divmod(np.flatnonzero(chosen), max(chosen.shape[1], 1))
    return row, column


def by_row(rows: Int[ndarray, " n"], values: ndarray, n_rows: int, nothing: float | int) -> ndarray:
    """Values side by side in their rows (ascending), and ``nothing`` behind them; at least one column."""
    n_of = np.bincount(rows, minlength=n_rows)
    width = max(int(n_of.max(initial=0)), 1)
    found = np.full((n_rows, width), nothing, dtype=values.dtype)
    found.reshape(-1)[np.arange(len(rows)) + (np.arange(n_rows) * width - (np.cumsum(n_of) - n_of))[rows]] = values
    return found


def listed(
    rows: Int[ndarray, " n"], columns: Int[ndarray, " n"], n_queries: int, exact: Callable[[ndarray, ndarray], ndarray]
) -> tuple[Float[ndarray, "nq m"], Int[ndarray, "nq m"]]:
    """Entries by (distance, column): exact distances and columns; inf and -1 behind them."""
    distance = by_row(rows, exact(rows, columns), n_queries, np.inf)
    return _ordered(distance, by_row(rows, columns, n_queries, -1))


def _ordered(
    distance: Float[ndarray, "nq m"], column: Int[ndarray, "nq m"]
) -> tuple[Float[ndarray, "nq m"], Int[ndarray, "nq m"]]:
    """By distance; equal ones as they stand."""
    order = np.argsort(distance, axis=1, kind="stable")
    return np.take_along_axis(distance, order, axis=1), np.take_along_axis(column, order, axis=1)


def _at(relation: Bool[ndarray, "nq nd"], column: Int[ndarray, "nq m"]) -> Bool[ndarray, "nq m"]:
    """What holds of each query and the frames at ``column``; nothing holds of -1."""
    is_there = column >= 0
    return relation[np.arange(len(column))[:, None], column] & is_there if relation.shape[1] else is_there


def _ranking(
    distance: Float[ndarray, "nq m"],
    column: Int[ndarray, "nq m"],
    n_unlisted: Int[ndarray, " nq"],
    relation: Relation,
    top_k: int,
) -> Ranking:
    """The ranking, from the candidates in their order of which ``n_unlisted`` are missing before the first positive."""
    n_queries, n_database = relation.is_positive.shape
    n_positives = np.bincount(relation.positives[0], minlength=n_queries)
    n_candidates = np.full(n_queries, n_database) if relation.all_candidates else _count(relation.is_candidate)
    is_right = _at(relation.is_positive, column)
    place, best_positive = _first(is_right, distance)
    rank = np.where(np.isnan(best_positive), n_database + 1, 1 + place + n_unlisted)
    padding = ((0, 0), (0, max(top_k - column.shape[1], 0)))
    top_distance = np.where(column[:, :top_k] < 0, np.nan, distance[:, :top_k])
    return Ranking(
        first_positive_rank=np.where(n_positives > 0, rank, 0),
        n_positives=n_positives,
        n_candidates=n_candidates,
        top_index=np.pad(column[:, :top_k], padding, constant_values=-1),
        top_distance=np.pad(top_distance, padding, constant_values=np.nan),
        best_positive_distance=best_positive,
        best_negative_distance=_first(~is_right & (column >= 0), distance)[1],
    )


def _first(
    chosen: Bool[ndarray, "nq m"], distance: Float[ndarray, "nq m"]
) -> tuple[Int[ndarray, " nq"], Float[ndarray, " nq"]]:
    """The first place that is chosen in each row, and the distance there; nan where nothing is."""
    place, row = chosen.argmax(axis=1), np.arange(len(chosen))
    return place, np.where(chosen[row, place], distance[row, place], np.nan)
