"""Ranking by a whole matrix of exact distances, every row sorted: what the fast ranking is compared with."""

import numpy as np
from scipy.spatial.distance import cdist

from benchmark.evaluation.ranks import Ranking
from benchmark.protocol.ground_truth import Relation
from datasets.base import DistanceKind


def plain_distances(query: np.ndarray, database: np.ndarray, distance: DistanceKind) -> np.ndarray:
    """The least distance over all pairs of views, every entry in float64."""
    found = np.full((len(query), len(database)), np.inf)
    for a in query.astype(np.float64).transpose(1, 0, 2):
        for b in database.astype(np.float64).transpose(1, 0, 2):
            found = np.minimum(found, KERNELS[distance](np.ascontiguousarray(a), np.ascontiguousarray(b)))
    return found


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a_norm, b_norm = (np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    a_unit, b_unit = (x / np.where(norm > 0, norm, 1) for x, norm in ((a, a_norm), (b, b_norm)))
    return np.where((a_norm > 0) & (b_norm > 0).T, cdist(a_unit, b_unit, "sqeuclidean") / 2, 1.0)


KERNELS = {
    "l2": lambda a, b: cdist(a, b, "euclidean"),
    "cosine": cosine,
    "dot": lambda a, b: -np.einsum("nd,md->nm", a, b, optimize=False),
}


def plain_ranking(
    distances: np.ndarray, relation: Relation, top_k: int = 25, search_depth: int | None = None
) -> Ranking:
    """One query after the other, by lists."""
    n_database = distances.shape[1]
    columns: dict[str, list] = {name: [] for name in Ranking.__slots__}
    for row, is_candidate, is_positive in zip(distances, relation.is_candidate, relation.is_positive, strict=True):
        order = np.lexsort((np.arange(n_database), row))[:search_depth]
        order = order[is_candidate[order]]
        right, wrong = np.flatnonzero(is_positive[order]), np.flatnonzero(~is_positive[order])
        rank = right[0] + 1 if len(right) else n_database + 1
        near = np.concatenate([order[:top_k], np.full(max(top_k - len(order), 0), -1)]).astype(np.int64)
        columns["first_positive_rank"].append(rank if is_positive.any() else 0)
        columns["n_positives"].append(is_positive.sum())
        columns["n_candidates"].append(is_candidate.sum())
        columns["top_index"].append(near)
        columns["top_distance"].append([row[j] if j >= 0 else np.nan for j in near])
        columns["best_positive_distance"].append(row[order[right[0]]] if len(right) else np.nan)
        columns["best_negative_distance"].append(row[order[wrong[0]]] if len(wrong) else np.nan)
    return Ranking(**{name: np.array(column) for name, column in columns.items()})
