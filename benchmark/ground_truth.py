"""Who is asked against what: pairs of traversals, the frames a query may find, and which of these are right."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from datasets.base import Frames, Protocol
from datasets.errors import CrossplaceError
from datasets.places import same_place


@dataclass(frozen=True, slots=True)
class Pair:
    """One traversal that asks and one that is searched."""

    query_traversal: str
    database_traversal: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """What each query may find (candidates) and what it should find (positives, all of them candidates)."""

    is_candidate: Bool[ndarray, "nq nd"]
    is_positive: Bool[ndarray, "nq nd"]

    def __post_init__(self) -> None:
        assert not (self.is_positive & ~self.is_candidate).any(), "a positive must be a candidate"


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
    ``min_gap_s`` of it in time (inclusive) or, under ``earlier_only``, is not strictly earlier. Candidates are
    decided before anything is ranked: frames from elsewhere, other worlds too, stay in as distractors. Positives
    are the candidates that show the same place.
    """
    is_candidate = np.ones((len(query), len(database)), dtype=bool)
    if protocol.own_frame == "drop":
        is_candidate &= query.frame_id[:, None] != database.frame_id[None, :]
    if protocol.min_gap_s is not None or protocol.earlier_only:
        query_is_later_ns = query.timestamp_ns[:, None] - database.timestamp_ns[None, :]
        if protocol.min_gap_s is not None:
            is_candidate &= np.abs(query_is_later_ns) > round(protocol.min_gap_s * 1e9)
        if protocol.earlier_only:
            is_candidate &= query_is_later_ns > 0
    same = same_place(query, database, protocol.radius_m, protocol.heading_limit_rad)
    return Relation(is_candidate=is_candidate, is_positive=is_candidate & same)
