"""What chance alone would score: the exact expectation over all orders of the database."""

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.special import gammaln


def hypergeometric_recall(
    n_positives: Int[ndarray, " n"], n_candidates: Int[ndarray, " n"], depth: int | Int[ndarray, " n"]
) -> Float[ndarray, " n"]:
    """Exact expected recall of a random ranking for each query: 1 − C(N − P, k) / C(N, k); 0 without positives."""
    n_negatives = n_candidates - n_positives
    k = np.minimum(depth, n_candidates)
    log_miss = _log_choose(n_negatives, np.minimum(k, n_negatives)) - _log_choose(n_candidates, k)
    return np.where(k > n_negatives, 1.0, -np.expm1(log_miss))


def chance_recall(
    n_positives: Int[ndarray, " n"],
    n_candidates: Int[ndarray, " n"],
    depth: int,
    *,
    database_size: int,
    search_depth: int | None,
) -> Float[ndarray, " n"]:
    """Exact expected recall of each query if all orders of the database are equally likely.

    With a ``search_depth``, only so many nearest frames of the database are looked at, candidates or not. How many
    candidates are among them is then drawn too, and recall is averaged over that number.
    """
    if search_depth is None:
        return hypergeometric_recall(n_positives, n_candidates, depth)
    n_searched, left, recall = min(search_depth, database_size), np.ones(len(n_candidates)), np.zeros(len(n_candidates))
    log_all = _log_choose(np.full(len(n_candidates), database_size), np.full(len(n_candidates), n_searched))
    for found in range(min(depth, n_searched)):  # fewer candidates among the nearest than the recall asks for
        inside = _log_choose(n_candidates, np.full_like(n_candidates, found))
        outside = _log_choose(database_size - n_candidates, np.full_like(n_candidates, n_searched - found))
        share = np.exp(inside + outside - log_all)  # impossible numbers have an infinite logarithm, and no share
        recall += share * hypergeometric_recall(n_positives, n_candidates, found)
        left -= share
    return recall + np.maximum(left, 0) * hypergeometric_recall(n_positives, n_candidates, min(depth, n_searched))


def _log_choose(n: Int[ndarray, " n"], k: Int[ndarray, " n"]) -> Float[ndarray, " n"]:
    return gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
