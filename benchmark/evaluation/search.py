"""Exact search of a map that does not fit into memory: one pass over its shards, in memory that does not depend on it.

Places are multiplied in float32. Whatever the error of that could decide otherwise is computed in float64, so that
counts and ranks are those of :func:`~benchmark.evaluation.distances.distances`.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int
from numpy import ndarray

from benchmark.descriptors.shards import Shards
from benchmark.evaluation.distances import KERNELS, check_finite, check_size, distances, distances_at, is_finite
from benchmark.evaluation.estimates import FARTHEST, UNIT
from benchmark.evaluation.ranks import above, entries_of, kth_least, listed
from datasets.base import DistanceKind

QUERIES = 1024
"""Queries that are multiplied with a block at once."""
LAST = np.iinfo(np.int64).max
"""A number behind all places."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """Some queries, ready to be multiplied with the blocks of a map."""

    descriptors: Float[ndarray, "nq 1 size"]
    distance: DistanceKind
    vectors: Float32[ndarray, "nq size"]
    """Minus the vectors that are compared."""
    length: Float[ndarray, " nq"]
    """Lengths of these vectors."""

    @classmethod
    def of(cls, query: Float[ndarray, "nq 1 size"], distance: DistanceKind) -> "Asking":
        """Queries as they are encoded, of one view."""
        vectors = np.nan_to_num(KERNELS[distance].vectors(query)[:, 0], nan=0.0)  # a zero vector has no direction
        with np.errstate(over="ignore"):  # what leaves float32 is not estimated
            narrow, length = -vectors.astype(np.float32), np.linalg.norm(vectors, axis=1)
        return cls(descriptors=query, distance=distance, vectors=narrow, length=length)

    def __getitem__(self, rows: slice) -> "Asking":
        return Asking(
            descriptors=self.descriptors[rows],
            distance=self.distance,
            vectors=self.vectors[rows],
            length=self.length[rows],
        )

    def __len__(self) -> int:
        return len(self.descriptors)

    def limit(self, best: Float[ndarray, " nq"]) -> Float[ndarray, " nq"]:
        """Distances as keys: half of the squared distance without the query's part, the cosine alone, the product."""
        if self.distance == "l2":
            return (best**2 - self.length**2) / 2
        return best - 1 if self.distance == "cosine" else best


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Some queries and a block of places."""

    asking: Asking
    block: Float32[ndarray, "m size"]
    key: Float[ndarray, "nq m"]
    """Ascends with distance, up to an error."""
    slack: Float[ndarray, " nq"]
    """Bound of the error of a key, in either direction."""
    limit: Callable[[ndarray], ndarray]
    """Distances as keys."""

    def exact(self, rows: Int[ndarray, " n"], columns: Int[ndarray, " n"]) -> Float[ndarray, " n"]:
        """The distances at rows (ascending) and columns, float64."""
        return distances_at(self.asking.descriptors, self.block[:, None], self.asking.distance, rows, columns)


def compared(asking: Asking, block: Float32[ndarray, "m size"]) -> Compared:
    """Keys of queries and the places of a block, with a bound of their error.

    The key is |d|²/2 − q·d for ``l2``, −q·d for ``dot`` and −q·d / |d| for ``cosine``, where q has length one. The
    bound is that of :func:`~benchmark.evaluation.estimates.estimate` without its centre and scale. Places are exact in
    float32, and half squares are summed in float32, which the same n + 1 terms cover.

    For cosines the sum, the root and two more roundings are below (1.5 n + 6) u, and the bound is above 2 (n + 8) u.
    Queries that are too long for float32 are compared exactly.
    """
    if not (asking.length <= FARTHEST).all():
        found = distances(asking.descriptors, block[:, None], asking.distance)
        return Compared(asking=asking, block=block, key=found, slack=np.zeros(len(asking)), limit=lambda best: best)
    key, size = asking.vectors @ block.T, block.shape[1]
    square = np.einsum("ij,ij->i", block, block)
    longest = float(np.sqrt(square.max(initial=0), dtype=np.float64)) * (1 + size * UNIT)
    if asking.distance == "l2":
        key += square / 2
    if asking.distance == "cosine":
        length = np.sqrt(square)
        key /= np.where(length > 0, length, 1)  # where there is no direction, the product is zero
        longest = 1.0
    slack = 1.01 * (size + 8) * UNIT * (asking.length + longest) ** 2 / 2 + size * 2.0**-70
    return Compared(asking=asking, block=block, key=key, slack=slack, limit=asking.limit)


def count_nearer(
    query: Float[ndarray, "nq 1 size"],
    shards: Shards,
    best: Float[ndarray, "nq ..."],
    distance: DistanceKind,
    before: Int[ndarray, "nq ..."] | None = None,
) -> Int[ndarray, "nq ..."]:
    """How many places of a map are strictly nearer to each query than ``best``, which may be several distances.

    Equally near places count if their number in the map is below ``before``, as the evaluator orders ties; by default
    none does. Where ``best`` is nan, none is counted. Counts of parts of a map, here or on other machines, add up.

    The rank of a right answer with distance ``best`` among further places is its rank without them plus this count.

    Raises:
        CrossplaceError: descriptors that are not finite or of another size, or a damaged map.
    """
    asking = _asking(query, shards, distance)
    limits = best.reshape(len(query), math.prod(best.shape[1:]))
    places = np.zeros(limits.shape, dtype=np.int64) if before is None else before.reshape(limits.shape)
    found = np.zeros(limits.shape, dtype=np.int64)
    for start, rows, part in _parts(asking, shards):
        for column in range(limits.shape[1]):
            found[rows, column] += _n_nearer(part, limits[rows, column], places[rows, column] - start)
    return found.reshape(best.shape)


def _n_nearer(part: Compared, best: Float[ndarray, " nq"], before: Int[ndarray, " nq"]) -> Int[ndarray, " nq"]:
    """Places of one block; ``before`` counts from its first."""
    with np.errstate(over="ignore"):  # a distance beyond float32 is farther than every place
        limit = part.limit(best)
        low, high = -above(part.slack - limit, part.key), above(limit + part.slack, part.key)
    n_nearer = _n_true(part.key < low[:, None])
    rows = np.flatnonzero(_n_true(part.key <= high[:, None]) > n_nearer)
    if len(rows):  # the error of some keys could decide
        key = part.key[rows]
        of_rows, columns = entries_of((key >= low[rows, None]) & (key <= high[rows, None]))
        unsure = rows[of_rows]
        exact = part.exact(unsure, columns)
        is_before = (exact < best[unsure]) | ((exact == best[unsure]) & (columns < before[unsure]))
        n_nearer += np.bincount(unsure[is_before], minlength=len(best))
    return n_nearer


def _n_true(is_true: Bool[ndarray, "nq m"]) -> Int[ndarray, " nq"]:
    return is_true.sum(axis=1, dtype=np.int32).astype(np.int64)


Found = tuple[Int[ndarray, "nq _"], Float[ndarray, "nq _"]]
"""Places and distances of the nearest, by (distance, place); -1 and nan where there are fewer."""


def top_k(query: Float[ndarray, "nq 1 size"], shards: Shards, k: int, distance: DistanceKind) -> Found:
    """The ``k`` nearest places of a map, exactly as sorting all distances gives them.

    Raises:
        CrossplaceError: descriptors that are not finite or of another size, or a damaged map.
    """
    asking = _asking(query, shards, distance)
    place, near = _nothing(len(query), k)
    for start, rows, part in _parts(asking, shards):
        limit = part.limit(near[rows, -1]) + part.slack
        limit = np.minimum(limit, kth_least(part.key, k) + 2 * part.slack)
        of_rows, columns = entries_of(part.key <= above(limit, part.key)[:, None])
        if len(of_rows):
            far, column = listed(of_rows, columns, len(part.asking), part.exact)
            found = (np.where(column < 0, -1, column + start), far)
            place[rows], near[rows] = _nearest_of([(place[rows], near[rows]), found], k)
    return place, np.where(place < 0, np.nan, near)


def merged(parts: Sequence[Found], k: int) -> Found:
    """The ``k`` nearest places of several parts of a map, which were searched one by one, here or elsewhere."""
    known = [(place, np.where(place < 0, np.inf, near)) for place, near in parts]
    place, near = _nearest_of([*known, _nothing(len(parts[0][0]), k)], k)
    return place, np.where(place < 0, np.nan, near)


def _nothing(n_queries: int, k: int) -> Found:
    return np.full((n_queries, k), -1), np.full((n_queries, k), np.inf)


def _nearest_of(parts: Sequence[Found], k: int) -> Found:
    """The nearest of lists that have at least ``k`` columns together; inf where there is no place."""
    place, near = (np.concatenate(columns, axis=1) for columns in zip(*parts, strict=True))
    order = np.lexsort((np.where(place < 0, LAST, place), near), axis=1)[:, :k]
    return np.take_along_axis(place, order, axis=1), np.take_along_axis(near, order, axis=1)


def _asking(query: Float[ndarray, "nq 1 size"], shards: Shards, distance: DistanceKind) -> Asking:
    check_size(query, np.empty((0, 1, shards.manifest.size)))
    check_finite("query", is_finite(query))
    return Asking.of(query, distance)


def _parts(asking: Asking, shards: Shards) -> Iterator[tuple[int, slice, Compared]]:
    """Every block of the map with every block of queries: its first place, these queries, and their keys."""
    for start, block in shards.blocks():
        for first in range(0, len(asking), QUERIES):
            rows = slice(first, first + QUERIES)
            yield start, rows, compared(asking[rows], block)
