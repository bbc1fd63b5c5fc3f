"""Exact search: distances between descriptors, and for each query the rank of the first right answer.

Candidates are masked before anything is ranked, ranks are found by counting instead of by a search of limited
depth, and ties are broken by database index. A collapsed encoder, for which everything ties, therefore scores what
the order of the database gives and nothing else.
"""

from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from benchmark.protocol.ground_truth import Relation, row_blocks
from datasets.errors import CrossplaceError

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
    rank_sum = np.arange(head.shape[1]) + _places(np.argsort(by_second, axis=1, kind="stable"))
    order[:, :top] = np.take_along_axis(head, np.argsort(rank_sum, axis=1, kind="stable"), axis=1)
    nearest_first = np.sort(searched, axis=1)
    n_nearer = np.array([np.searchsorted(*pair) for pair in zip(nearest_first, main, strict=True)]).reshape(main.shape)
    return np.where(is_candidate, _places(order), n_nearer - 0.5)


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
    distances: Float[ndarray, "nq nd"], relation: Relation, top_k: int = 25, *, search_depth: int | None = None
) -> Ranking:
    """Rank the candidates of each query by (distance, database row); smaller is nearer.

    With a ``search_depth``, only that many nearest database frames are looked at, candidates or not.

    The rank of the first positive is exact at any depth: one plus the candidates strictly nearer than the nearest
    positive, plus those equally near that stand before the first such positive in the database.

    Raises:
        CrossplaceError: a distance that is not finite (names query and database row).
    """
    broken = np.argwhere(~np.isfinite(distances))
    if len(broken):
        row, column = broken[0].tolist()
        raise CrossplaceError(
            f"distance between query row {row} and database row {column} is {distances[row, column]}; "
            "all distances must be finite: check the descriptors of both rows"
        )
    blocks = [
        _rank_block(distances[rows], relation.is_candidate[rows], relation.is_positive[rows], top_k, search_depth)
        for rows in row_blocks(*distances.shape)
    ]
    return Ranking(**{f.name: np.concatenate([getattr(block, f.name) for block in blocks]) for f in fields(Ranking)})


def _rank_block(
    distances: Float[ndarray, "nq nd"],
    is_candidate: Bool[ndarray, "nq nd"],
    is_positive: Bool[ndarray, "nq nd"],
    top_k: int,
    search_depth: int | None,
) -> Ranking:
    n_database = distances.shape[1]
    index = np.arange(n_database)
    searched = np.where(is_candidate, distances, np.inf)
    if search_depth is not None:
        beyond = np.argsort(distances, axis=1, kind="stable")[:, search_depth:]
        np.put_along_axis(searched, beyond, np.inf, axis=1)
    best_positive = np.min(searched, axis=1, where=is_positive, initial=np.inf)
    best_negative = np.min(searched, axis=1, where=~is_positive, initial=np.inf)

    is_tied = searched == best_positive[:, None]
    first_positive = np.min(np.where(is_tied & is_positive, index, n_database), axis=1, initial=n_database)
    n_nearer = (searched < best_positive[:, None]).sum(axis=1)
    n_tied_before = (is_tied & (index < first_positive[:, None])).sum(axis=1)
    n_positives = is_positive.sum(axis=1)
    rank = np.where(np.isfinite(best_positive), 1 + n_nearer + n_tied_before, n_database + 1)

    nearest = np.argsort(searched, axis=1, kind="stable")[:, :top_k]
    found = np.take_along_axis(searched, nearest, axis=1)
    padding = ((0, 0), (0, top_k - nearest.shape[1]))
    return Ranking(
        first_positive_rank=np.where(n_positives > 0, rank, 0),
        n_positives=n_positives,
        n_candidates=is_candidate.sum(axis=1),
        top_index=np.pad(np.where(np.isfinite(found), nearest, -1), padding, constant_values=-1),
        top_distance=np.pad(_nan_if_none(found), padding, constant_values=np.nan),
        best_positive_distance=_nan_if_none(best_positive),
        best_negative_distance=_nan_if_none(best_negative),
    )


def _nan_if_none(distance: Float[ndarray, "*shape"]) -> Float[ndarray, "*shape"]:
    return np.where(np.isfinite(distance), distance, np.nan)
