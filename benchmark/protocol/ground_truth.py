"""Who is asked against what: pairs of traversals, the frames a query may find, and which of these are right."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from benchmark.protocol.selection import by_traversal
from datasets.base import Frames, Protocol
from datasets.errors import CrossplaceError
from datasets.places import codes, heading_difference_rad, same_place

BLOCK_ENTRIES = 2**22
"""Entries of a query × database matrix handled at once, which bounds temporary memory (32 MiB for each of float64)."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One traversal that asks and one that is searched."""

    query_traversal: str
    database_traversal: str


@dataclass(frozen=True, kw_only=True)
class Relation:
    """What each query may find (candidates) and what it should find (positives, all of them candidates)."""

    is_candidate: Bool[ndarray, "nq nd"]
    is_positive: Bool[ndarray, "nq nd"]

    def __post_init__(self) -> None:
        assert self.all_candidates or not (self.is_positive & ~self.is_candidate).any(), (
            "a positive must be a candidate"
        )

    @cached_property
    def all_candidates(self) -> bool:
        """Whether every query may find everything."""
        return bool(self.is_candidate.all())

    @cached_property
    def positives(self) -> tuple[Int[ndarray, " n"], Int[ndarray, " n"]]:
        """Queries and their positives, by query and then by place."""
        query, place = np.divmod(np.flatnonzero(self.is_positive), max(self.is_positive.shape[1], 1))
        return query, place


def ordered_pairs(
    protocol: Protocol, query_traversals: Sequence[str], database_traversals: Sequence[str]
) -> list[Pair]:
    """The traversal pairs that ``protocol`` evaluates, in the order of the names (listed ones: as listed).

    The names are those of traversals with at least one selected frame. A listed pair without frames is an error,
    because leaving it out would silently change the mean over pairs.
    """
    if protocol.pairs == "within":
        return [Pair(name, name) for name in query_traversals if name in database_traversals]
    if protocol.pairs == "across":
        return [Pair(q, d) for q in query_traversals for d in database_traversals if q != d]
    for query, database in protocol.pairs:
        for name, role, present in ((query, "query", query_traversals), (database, "database", database_traversals)):
            if name not in present:
                raise CrossplaceError(
                    f"protocol {protocol.name} lists the pair {query!r} -> {database!r}, but {role} traversal {name!r} "
                    "has no selected frame in this dataset; prepare that traversal too or choose another protocol"
                )
    return [Pair(query, database) for query, database in protocol.pairs]


def relate(query: Frames, database: Frames, protocol: Protocol) -> Relation:
    """Candidates and positives of every query.

    A database frame is a candidate unless it is the query's own frame (``own_frame="drop"``), lies within
    ``min_gap_s`` of it in time (inclusive) or, under ``earlier_only``, is not strictly earlier. Under
    ``travel="opposite"`` frames with the query's own heading, within the limit, are no candidates. Candidates are
    decided before anything is ranked: frames from elsewhere, other worlds too, stay in as distractors. Positives
    are the candidates that show the same place.
    """
    rows = np.arange(len(query))
    blocks = [_relation(query.take(rows[b]), database, protocol) for b in row_blocks(len(query), len(database))]
    return Relation(
        is_candidate=np.concatenate([block.is_candidate for block in blocks]),
        is_positive=np.concatenate([block.is_positive for block in blocks]),
    )


def facing_rad(protocol: Protocol, yaw_rad: Float[ndarray, " n"]) -> Float[ndarray, " n"]:
    """Headings of a map that a query's heading is compared with: reversed where the map was driven the other way."""
    return yaw_rad + np.pi if protocol.travel == "opposite" else yaw_rad


def _relation(query: Frames, database: Frames, protocol: Protocol) -> Relation:
    """Candidates and positives of a few queries."""
    is_candidate = np.ones((len(query), len(database)), dtype=bool)
    if protocol.own_frame == "drop" and not set(query.frame_id.tolist()).isdisjoint(database.frame_id.tolist()):
        asking, searched = codes(query.frame_id, database.frame_id)
        is_candidate &= asking[:, None] != searched[None, :]
    if protocol.min_gap_s is not None or protocol.earlier_only:
        query_is_later_ns = query.timestamp_ns[:, None] - database.timestamp_ns[None, :]
        if protocol.min_gap_s is not None:
            is_candidate &= np.abs(query_is_later_ns) > round(protocol.min_gap_s * 1e9)
        if protocol.earlier_only:
            is_candidate &= query_is_later_ns > 0
    limit_rad = protocol.heading_limit_rad
    if protocol.travel == "opposite" and limit_rad is not None:
        is_candidate &= heading_difference_rad(query.yaw_rad[:, None], database.yaw_rad[None, :]) >= limit_rad
    facing = replace(database, yaw_rad=facing_rad(protocol, database.yaw_rad))
    same = same_place(query, facing, protocol.radius_m, limit_rad, protocol.distance_axes)
    return Relation(is_candidate=is_candidate, is_positive=is_candidate & same)


def row_blocks(n_rows: int, n_columns: int) -> Iterator[slice]:
    """Rows of a matrix in parts of at most ``BLOCK_ENTRIES`` entries; a matrix without rows is one empty part."""
    step = max(BLOCK_ENTRIES // max(n_columns, 1), 1)
    return (slice(start, start + step) for start in range(0, max(n_rows, 1), step))


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Some queries of one pair of traversals, the frames that they are asked among, and how both relate."""

    pair: Pair
    query_rows: Int[ndarray, " nq"]
    """Rows of the dataset's frames that ask."""
    database_rows: Int[ndarray, " nd"]
    """Rows of the dataset's frames that are searched."""
    relation: Relation

    def among(self, asks: Bool[ndarray, " nq"], is_searched: Bool[ndarray, " nd"]) -> "Asked":
        """The same for a part of the queries and of the database."""
        if asks.all() and is_searched.all():
            return self
        inside = np.ix_(asks, is_searched)
        relation = Relation(
            is_candidate=self.relation.is_candidate[inside], is_positive=self.relation.is_positive[inside]
        )
        rows, others = self.query_rows[asks], self.database_rows[is_searched]
        return Asked(pair=self.pair, query_rows=rows, database_rows=others, relation=relation)


def relations(
    frames: Frames, protocol: Protocol, query_rows: Int[ndarray, " q"], database_rows: Int[ndarray, " d"]
) -> Iterator[Asked]:
    """Every traversal pair of ``protocol`` between the selected rows of ``frames``, a block of queries at a time.

    The blocks of a pair follow each other, so that memory is bounded by a block and not by the size of a pair.
    """
    by_query, by_database = (by_traversal(frames, rows) for rows in (query_rows, database_rows))
    for pair in ordered_pairs(protocol, list(by_query), list(by_database)):
        asking, searched = by_query[pair.query_traversal], by_database[pair.database_traversal]
        database = frames.take(searched)
        for block in row_blocks(len(asking), len(searched)):
            relation = _relation(frames.take(asking[block]), database, protocol)
            yield Asked(pair=pair, query_rows=asking[block], database_rows=searched, relation=relation)
