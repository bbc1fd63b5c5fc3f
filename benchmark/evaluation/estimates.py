"""Distances by a matrix product in float32, with a bound of its error: what need not be computed exactly.

A ranking needs few exact distances: those of the nearest frames, and those that are nearly as far as the best right
answer. A :class:`Estimate` orders all others, because it knows how wrong it can be.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int
from numpy import ndarray

from benchmark.evaluation.distances import KERNELS, check_finite, check_size, distances, distances_at, is_finite
from benchmark.protocol.ground_truth import row_blocks
from datasets.base import DistanceKind
from datasets.errors import CrossplaceError

UNIT = 2.0**-24
"""Unit roundoff of float32: rounding to nearest changes a number by at most this share of it."""
LARGEST = 2.0**490
"""Numbers of magnitudes beyond this or below its inverse are not estimated: their squares would leave float64."""
FARTHEST = 2.0**40
"""Vectors longer than this, as scaled, are not estimated: they came after their space, and may leave float32."""
MOST_VALUES = 2**15
"""Longest descriptors that are estimated; the bound holds while this many roundoffs are far below one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Numbers that order the database for each query nearly as its distances do."""

    key: Float[ndarray, "nq nd"]
    """Ascends with distance, up to an error."""
    slack: Float[ndarray, " nq"]
    """Where two keys differ by more than twice this, the frame with the smaller one is strictly nearer."""
    exact: Callable[[ndarray, ndarray], ndarray]
    """The distances, float64, at rows (ascending) and columns."""

    @classmethod
    def certain(cls, distances: Float[ndarray, "nq nd"]) -> "Estimate":
        """Distances that are known already.

        Raises:
            CrossplaceError: a distance that is not finite (names query and database row).
        """
        broken = ~np.isfinite(distances)
        if broken.any():
            row, column = np.argwhere(broken)[0].tolist()
            raise CrossplaceError(
                f"distance between query row {row} and database row {column} is {distances[row, column]}; "
                "all distances must be finite: check the descriptors of both rows"
            )
        return cls(key=distances, slack=np.zeros(len(distances)), exact=lambda rows, columns: distances[rows, columns])


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """Descriptors that ask or are searched, ready to be multiplied; rows are taken by indexing."""

    descriptors: Float[ndarray, "n v d"]
    vectors: Float32[ndarray, "n v d+1"]
    """Centred and scaled vectors, and half of their squared lengths behind them (zero for inner products)."""
    length: Float[ndarray, " n"]
    """Length of the longest view, as scaled."""
    is_finite: Bool[ndarray, " n"]
    is_estimated: Bool[ndarray, " n"]
    """Whether the vectors stand for the descriptors; a zero vector has no direction, for example."""

    def __getitem__(self, rows: slice | Int[ndarray, " m"]) -> "Side":
        """The same for some of the rows."""
        return Side(**{name: getattr(self, name)[rows] for name in self.__slots__})

    def __len__(self) -> int:
        return len(self.descriptors)


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """What descriptors of several sets have in common: how they are compared, their middle and their size."""

    distance: DistanceKind
    centre: Float[ndarray, " d"]
    """A point near all vectors, so that few digits are lost where they are close together; zero for ``dot``."""
    scale: float
    """A power of two that brings every value below one; 0 where values are too large or too small to be estimated."""

    @classmethod
    def of(cls, sets: Sequence[Float[ndarray, "_ _ d"]], distance: DistanceKind) -> "Space":
        """The space of some sets of descriptors of one size."""
        size, n = sets[0].shape[2], sum(len(descriptors) * descriptors.shape[1] for descriptors in sets)
        centre = np.zeros(size)
        with np.errstate(over="ignore", invalid="ignore"):  # what leaves float64 is not estimated
            if distance != "dot":
                for _, vectors, _ in _blocks(sets, distance):
                    centre += vectors.sum(axis=(0, 1)) / n
            reach = np.max([np.abs(vectors - centre).max() for _, vectors, _ in _blocks(sets, distance)], initial=0)
            fits = size <= MOST_VALUES and reach + np.abs(centre).max(initial=0) <= LARGEST
        fits = fits and (reach == 0 or reach >= 1 / LARGEST)
        return cls(distance=distance, centre=centre, scale=float(2.0 ** -np.frexp(reach)[1]) if fits else 0.0)

    def side(self, descriptors: Float[ndarray, "n v d"]) -> Side:
        """Descriptors of one of the sets, or others that are compared with them, ready to be multiplied."""
        n, n_views, size = descriptors.shape
        found = np.zeros((n, n_views, size + 1), dtype=np.float32)
        length, is_estimated = np.zeros(n), np.zeros(n, dtype=bool)
        for rows, vectors, is_known in _blocks([descriptors], self.distance) if self.scale else ():
            with np.errstate(over="ignore"):  # what leaves float32 is not estimated
                found[rows, :, :size] = (vectors - self.centre) * self.scale
                square = np.square(found[rows, :, :size], dtype=np.float64).sum(axis=2)
                found[rows, :, size] = 0 if self.distance == "dot" else square / 2
            length[rows] = np.sqrt(square.max(axis=1, initial=0))
            is_estimated[rows] = is_known & (length[rows] <= FARTHEST)
        finite = is_finite(descriptors)
        return Side(descriptors=descriptors, vectors=found, length=length, is_finite=finite, is_estimated=is_estimated)


def estimate(query: Side, database: Side, distance: DistanceKind) -> Estimate:
    """Distances between two sides of one space, the least over all pairs of their views.

    The key of a query q and a place d is |d|²/2 − q·d. This is half of the squared distance without |q|²/2, which all
    places share; it is added where a query has several views. For ``dot`` the key is −q·d. Between directions, half
    of the squared distance is the cosine distance.

    **The bound.** Let u = 2⁻²⁴ be the unit roundoff of float32 and n the size of a descriptor. Q is the length of the
    query and M that of the longest place, both as scaled.

    A computed inner product of m terms is off by at most γ(m) = mu / (1 − mu) times that of the absolute values. This
    holds for any order of summation, and with or without fused operations (Higham, Accuracy and Stability of Numerical
    Algorithms, 2nd edition, §3.1). The half square is one more term, so the error is at most γ(n + 1) (QM + M²/2). Let
    R = (Q + M)²/2, which is no less than QM + M²/2. The other errors are

    - 2uR from rounding the centred vectors to float32, which enters the products and the squares;
    - uR from rounding half squares to float32, and uR from adding that of the query;
    - less than uR/2 from the exact distance itself, whose relative error in float64 is below (n + 6) 2⁻⁵³; the square
      of the true distance, scaled, is at most 2R;
    - n 2⁻⁷⁰ from numbers that are too small for float32 (or flushed to zero, below 2⁻¹²⁶) or, squared, for float64.

    Together they stay below 1.01 (n + 8) uR + n 2⁻⁷⁰, as n is at most 2¹⁵. Roots and halves ascend, and equal exact
    distances have equal squares: so a key that is larger by more than twice the bound belongs to a larger distance.

    Raises:
        CrossplaceError: descriptors that are not finite (names side and row) or differ in size.
    """
    check_size(query.descriptors, database.descriptors)
    check_finite("query", query.is_finite)
    check_finite("database", database.is_finite)
    if not (query.is_estimated.all() and database.is_estimated.all()):
        return Estimate.certain(distances(query.descriptors, database.descriptors, distance))
    return Estimate(
        key=keys(query, database),
        slack=slack_of(query, database),
        exact=lambda rows, columns: distances_at(query.descriptors, database.descriptors, distance, rows, columns),
    )


def slack_of(query: Side, database: Side) -> Float[ndarray, " nq"]:
    """The bound of :func:`estimate`, for each query."""
    n_values = database.descriptors.shape[2]
    reach = (query.length + database.length.max(initial=0)) ** 2 / 2
    return 1.01 * (n_values + 8) * UNIT * reach + n_values * 2.0**-70


def keys(query: Side, database: Side) -> Float32[ndarray, "nq nd"]:
    """The keys of :func:`estimate`: the least over all pairs of views."""
    asking, n_views = -query.vectors, query.vectors.shape[1]
    asking[:, :, -1] = 1  # the last value of a place is half of its squared length
    key = np.empty((0, 0), dtype=np.float32)
    for view, other in np.ndindex(n_views, database.vectors.shape[1]):
        found = asking[:, view] @ database.vectors[:, other].T
        if n_views > 1:
            found += query.vectors[:, view, -1:]
        key = found if (view, other) == (0, 0) else np.minimum(key, found, out=key)
    return key


def _blocks(
    sets: Sequence[Float[ndarray, "_ _ d"]], distance: DistanceKind
) -> Iterator[tuple[slice, Float[ndarray, "m _ d"], Bool[ndarray, " m"]]]:
    """Rows, their vectors in float64, and which of these are known; those that are not are zero."""
    for descriptors in sets:
        for rows in row_blocks(len(descriptors), descriptors.shape[1] * descriptors.shape[2]):
            found = descriptors[rows]
            is_known = is_finite(found)
            vectors = KERNELS[distance].vectors(np.where(is_known[:, None, None], found, 0))
            is_known &= is_finite(vectors)
            if len(vectors):
                yield rows, np.where(is_known[:, None, None], vectors, 0), is_known
