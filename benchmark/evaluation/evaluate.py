"""From descriptors (or a trivial ranker) to ranks and recall, under a protocol."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from benchmark.descriptors.files import Descriptors
from benchmark.evaluation.distances import distances
from benchmark.evaluation.metrics import Recall, summarise
from benchmark.evaluation.rankers import RANKERS
from benchmark.evaluation.ranks import Ranking, fused_ranks, rank_queries
from benchmark.protocol.directions import Direction
from benchmark.protocol.ground_truth import Pair, Relation, relations
from benchmark.protocol.selection import select
from datasets.base import Frames, Modality, Protocol
from datasets.errors import CrossplaceError
from datasets.randomness import generator


@dataclass(frozen=True, slots=True, kw_only=True)
class PairEvaluation:
    """One direction between one pair of traversals."""

    direction: Direction
    pair: Pair
    query_rows: Int[ndarray, " nq"]
    """Rows of the dataset's frames."""
    database_rows: Int[ndarray, " nd"]
    ranking: Ranking
    recall: Recall


Distances = Callable[[Direction, Pair, list[str], list[str], Relation], Float[ndarray, "nq nd"]]
"""Distances between the frames with the given query and database ids."""


def from_descriptors(
    descriptors: Descriptors, perturbed: Descriptors | None = None, modality: Modality = "cloud"
) -> Distances:
    """Rank by distance between descriptors; with those of ``perturbed`` frames of ``modality`` on their side.

    Where a second descriptor re-ranks the nearest frames, places in the fused ranking stand for distances.
    """

    def compute(
        direction: Direction, pair: Pair, query_ids: list[str], database_ids: list[str], relation: Relation
    ) -> Float[ndarray, "nq nd"]:
        side = direction.perturbed_side(modality)
        query = perturbed if perturbed and side == "query" else descriptors
        database = perturbed if perturbed and side == "database" else descriptors

        def between(asking: Descriptors, searched: Descriptors) -> Float[ndarray, "nq nd"]:
            found, known = asking.of(direction.query, query_ids), searched.of(direction.database, database_ids)
            return distances(found, known, searched.distance)

        main = between(query, database)
        if query.second is None or database.second is None:
            return main
        second = between(query.second, database.second)
        return fused_ranks(main, second, relation.is_candidate, descriptors.top)

    return compute


def from_ranker(name: str, seed: int) -> Distances:
    """Rank by one of the trivial rankers."""

    def compute(
        direction: Direction, pair: Pair, query_ids: list[str], database_ids: list[str], relation: Relation
    ) -> Float[ndarray, "nq nd"]:
        return RANKERS[name](relation, generator(seed, pair.query_traversal, pair.database_traversal, direction.label))

    return compute


def needed_rows(frames: Frames, protocol: Protocol) -> Int[ndarray, " n"]:
    """Rows of all frames that ask or are searched under ``protocol``, ascending."""
    return np.union1d(select(frames, protocol.query), select(frames, protocol.database))


def check_answerable(frames: Frames, protocol: Protocol) -> None:
    """Refuse a selection in which no query has a right answer: known from poses alone, before anything is trained."""
    query, database = select(frames, protocol.query), select(frames, protocol.database)
    if not any(asked.relation.is_positive.any() for asked in relations(frames, protocol, query, database)):
        raise _unanswerable(protocol, len(query), len(database))


def _unanswerable(protocol: Protocol, n_queries: int, n_database: int) -> CrossplaceError:
    return CrossplaceError(
        f"protocol {protocol.name}: no query has a positive within {protocol.radius_m:g} m among {n_queries} queries "
        f"and {n_database} database frames; nothing can be evaluated on this selection: take more of the data "
        "(this part may lie outside the protocol's regions) or another --protocol (crossplace list protocols)"
    )


def evaluate(
    frames: Frames, protocol: Protocol, compute: Distances, directions: Collection[Direction] = tuple(Direction)
) -> list[PairEvaluation]:
    """All traversal pairs of ``protocol`` in every one of ``directions``.

    Frames that lack a modality are left out of its directions, and directions without frames altogether.
    """
    has: dict[Modality, ndarray] = {"image": frames.image != "", "cloud": frames.cloud != ""}
    query, database = select(frames, protocol.query), select(frames, protocol.database)
    evaluations = []
    for direction in directions:
        asking, searched = query[has[direction.query][query]], database[has[direction.database][database]]
        for asked in relations(frames, protocol, asking, searched):
            query_ids, database_ids = (frames.frame_id[r].tolist() for r in (asked.query_rows, asked.database_rows))
            found = compute(direction, asked.pair, query_ids, database_ids, asked.relation)
            ranking = rank_queries(found, asked.relation, search_depth=protocol.search_depth)
            evaluations.append(
                PairEvaluation(
                    direction=direction,
                    pair=asked.pair,
                    query_rows=asked.query_rows,
                    database_rows=asked.database_rows,
                    ranking=ranking,
                    recall=summarise(ranking.first_positive_rank, len(asked.database_rows), protocol),
                )
            )
    if not any(e.recall.n_counted for e in evaluations):
        raise _unanswerable(protocol, len(query), len(database))
    return evaluations
