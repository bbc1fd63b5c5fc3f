"""The nearest places of a large map, exactly: the map is multiplied block by block, and few distances are computed."""

from functools import partial

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from benchmark.evaluation.distances import check_finite, check_size, distances, distances_at
from benchmark.evaluation.estimates import Side, keys, slack_of
from benchmark.evaluation.ranks import above, by_row, entries_of, kth_least, listed
from datasets.base import DistanceKind

QUERIES, ENTRIES = 1024, 2**22
"""Queries, and queries times places, that are multiplied at once."""
WAITING = 2**20
"""So many places may wait for their exact distances: this bounds memory where a map is full of equal places."""


def nearest(
    query: Side, database: Side, distance: DistanceKind, k: int, allowed: Bool[ndarray, "nq nd"] | None = None
) -> tuple[Int[ndarray, "nq k"], Float[ndarray, "nq k"]]:
    """Rows and distances of the ``k`` nearest places, by (distance, row); -1 and nan where there are fewer.

    They are what sorting all :func:`~benchmark.evaluation.distances.distances` gives; both sides are of one space.
    ``allowed`` says which places each query may find; by default, it may find all.

    Raises:
        CrossplaceError: descriptors that are not finite (names side and row) or differ in size.
    """
    check_size(query.descriptors, database.descriptors)
    check_finite("query", query.is_finite)
    check_finite("database", database.is_finite)
    row, found = np.full((len(query), k), -1), np.full((len(query), k), np.nan)
    for start in range(0, len(query), QUERIES):
        block = slice(start, start + QUERIES)
        near, column = _nearest(query[block], database, distance, k, None if allowed is None else allowed[block])
        row[block, : column.shape[1]] = column
        found[block, : column.shape[1]] = np.where(column < 0, np.nan, near)
    return row, found


def _nearest(
    query: Side, database: Side, distance: DistanceKind, k: int, allowed: Bool[ndarray, "nq nd"] | None
) -> tuple[Float[ndarray, "nq m"], Int[ndarray, "nq m"]]:
    """Distances and rows of at most ``k`` places for each query of a block, inf and -1 where there are fewer."""
    is_estimated = bool(query.is_estimated.all() and database.is_estimated.all())
    slack = 2 * slack_of(query, database) if is_estimated else np.zeros(len(query))
    least, limit = np.full((len(query), k), np.inf), np.full(len(query), np.inf)
    none = np.empty(0, dtype=np.int64)
    rows, columns, key = none, none, np.empty(0)  # places that wait for their exact distances
    step = max(ENTRIES // max(len(query), 1), 1)
    for start in range(0, len(database), step):
        part = database[start : start + step]
        block = keys(query, part) if is_estimated else distances(query.descriptors, part.descriptors, distance)
        if allowed is not None:
            block = np.where(allowed[:, start : start + step], block, np.inf)
        limit = np.minimum(limit, kth_least(block, k)) if start == 0 else limit
        row, column = entries_of((block <= above(limit + slack, block)[:, None]) & (block < np.inf))
        near = block[row, column].astype(np.float64)
        least = np.sort(np.concatenate([least, by_row(row, near, len(query), np.inf)], axis=1), axis=1)[:, :k]
        limit = least[:, -1]
        rows, columns, key = (np.concatenate(p) for p in ((rows, row), (columns, column + start), (key, near)))
        if len(rows) > WAITING:
            _, column = _settled(query, database, distance, k, rows, columns, key <= (limit + slack)[rows])
            rows, place = entries_of(column >= 0)
            columns, key = column[rows, place], np.full(len(rows), -np.inf)
    return _settled(query, database, distance, k, rows, columns, key <= (limit + slack)[rows])


def _settled(
    query: Side,
    database: Side,
    distance: DistanceKind,
    k: int,
    rows: Int[ndarray, " n"],
    columns: Int[ndarray, " n"],
    is_near: Bool[ndarray, " n"],
) -> tuple[Float[ndarray, "nq m"], Int[ndarray, "nq m"]]:
    """The nearest of the places that wait, of which those that are not ``is_near`` are certainly none."""
    rows, columns = rows[is_near], columns[is_near]
    order = np.lexsort((columns, rows))
    exact = partial(distances_at, query.descriptors, database.descriptors, distance)
    found, column = listed(rows[order], columns[order], len(query), exact)
    return found[:, :k], column[:, :k]
