"""Exact distances between descriptors: every entry on its own, so that equal descriptors are equally far."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.spatial.distance import cdist

from benchmark.protocol.ground_truth import row_blocks
from datasets.base import DistanceKind
from datasets.errors import CrossplaceError


def distances(
    query: Float[ndarray, "nq v d"], database: Float[ndarray, "nd w _"], distance: DistanceKind
) -> Float[ndarray, "nq nd"]:
    """Distance between each query and each database place, float64; the least over all pairs of their views.

    ``l2`` is Euclidean, ``cosine`` is 1 − cos (exactly 1 if either vector is zero), ``dot`` is minus the inner
    product. Equal descriptors get bitwise equal distances, wherever they stand in the database: every entry is
    summed on its own, in float64 and always in the same order. A matrix product is ten times as fast but sums the
    columns at a block's edge in another order, and so breaks ties by position. No centring is needed in float64.

    Raises:
        CrossplaceError: descriptors that are not finite (names side and row) or differ in size.
    """
    if query.shape[2] != database.shape[2]:
        raise CrossplaceError(
            f"query descriptors have {query.shape[2]} values and database descriptors {database.shape[2]}; "
            "both must come from the same method and descriptor"
        )
    for side, values in (("query", query), ("database", database)):
        broken = ~np.isfinite(values).all(axis=(1, 2))
        if broken.any():
            raise CrossplaceError(
                f"{side} row {int(np.argmax(broken))}: descriptor is not finite ({int(broken.sum())} of {len(values)} "
                "rows are affected); the encoder diverged or the file is damaged: encode this traversal again"
            )
    kernel = _KERNELS[distance]
    database_views = _as_views(database)
    nearest = np.full((len(query), len(database)), np.inf)
    for rows in row_blocks(len(query), len(database)):
        for query_view in _as_views(query[rows]):
            for database_view in database_views:
                np.minimum(nearest[rows], kernel(query_view, database_view), out=nearest[rows])
    return nearest


def _as_views(descriptors: Float[ndarray, "n v d"]) -> Float[ndarray, "v n d"]:
    return np.ascontiguousarray(descriptors.transpose(1, 0, 2), dtype=np.float64)


def _l2(a: Float[ndarray, "n d"], b: Float[ndarray, "m d"]) -> Float[ndarray, "n m"]:
    return cdist(a, b, "euclidean")


def _cosine(a: Float[ndarray, "n d"], b: Float[ndarray, "m d"]) -> Float[ndarray, "n m"]:
    # |a − b|² / 2 = 1 − cos for unit vectors, and unlike 1 − cos keeps its precision where the two are close.
    a_norm, b_norm = (np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    a_unit, b_unit = (x / np.where(norm > 0, norm, 1) for x, norm in ((a, a_norm), (b, b_norm)))
    return np.where((a_norm > 0) & (b_norm > 0).T, cdist(a_unit, b_unit, "sqeuclidean") / 2, 1.0)


def _dot(a: Float[ndarray, "n d"], b: Float[ndarray, "m d"]) -> Float[ndarray, "n m"]:
    return -np.einsum("nd,md->nm", a, b, optimize=False)  # optimised, this would be a matrix product


_KERNELS = {"l2": _l2, "cosine": _cosine, "dot": _dot}
