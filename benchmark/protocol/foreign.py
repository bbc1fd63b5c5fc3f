"""Foreign frames: places that are never right, with which a map may be filled up."""

import numpy as np
from jaxtyping import Bool, Int
from numpy import ndarray

from benchmark.protocol.leaks import nearest_distances_m
from benchmark.protocol.selection import Selected
from datasets.base import Frames, Modality
from datasets.randomness import generator


def foreign_rows(chosen: Selected, others: Frames, *, is_same: bool, shares_worlds: bool) -> Int[ndarray, " n"]:
    """Rows of ``others`` that show no query's place and have every modality that the database has.

    If the frames are those of the test itself (``is_same``), traversals of which any frame takes part are left out.
    Where worlds of one name are one map (``shares_worlds``), frames must be farther from every query than a negative
    of training, and than the place radius.
    """
    frames, protocol = chosen.frames, chosen.protocol
    fits = _has_modalities_of(others, frames.take(chosen.database))
    if is_same:
        fits &= ~np.isin(others.traversal.astype(str), frames.traversal[chosen.needed].astype(str))
    rows = np.flatnonzero(fits)
    if not shares_worlds:
        return rows
    both = Frames.concatenate([others, frames])
    distance_m = nearest_distances_m(both, rows, len(others) + chosen.query)
    return rows[distance_m > max(protocol.split.negative_m, protocol.radius_m)]


def order_of_foreign(n: int) -> Int[ndarray, " n"]:
    """The order in which ``n`` foreign frames are put into the map: the same for every method and seed."""
    return generator(0, "foreign").permutation(n)


def _has_modalities_of(others: Frames, database: Frames) -> Bool[ndarray, " n"]:
    modalities: tuple[Modality, ...] = ("image", "cloud")
    needed = [m for m in modalities if (database.paths(m) != "").any()]
    return np.all([others.paths(m) != "" for m in needed], axis=0) & np.ones(len(others), dtype=bool)
