"""From descriptors (or a ranker) to ranks and recall, under a protocol: every pair, every direction, block by block."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from benchmark.descriptors.files import Descriptors
from benchmark.evaluation.distances import distances
from benchmark.evaluation.estimates import Estimate, Side, Space, estimate
from benchmark.evaluation.metrics import Recall, summarise, values_of
from benchmark.evaluation.rankers import CHANCE, RANKERS
from benchmark.evaluation.ranks import Ranking, fused_ranks, rank_queries
from benchmark.protocol.directions import Direction
from benchmark.protocol.ground_truth import Asked, Pair, Relation, ordered_pairs, relations
from benchmark.protocol.selection import Selected, by_traversal
from datasets.base import Frames, Modality, Protocol
from datasets.errors import CrossplaceError
from datasets.randomness import generator


@dataclass(frozen=True, slots=True, kw_only=True)
class PairEvaluation:
    """One direction between one pair of traversals."""

    direction: Direction
    pair: Pair
    query_rows: Int[ndarray, " nq"]
    """Rows of the dataset's frames that ask."""
    database_rows: Int[ndarray, " nd"]
    """Rows of the dataset's frames that are searched."""
    ranking: Ranking
    recall: Recall
    values: dict[str, Float[ndarray, " _"]]
    """Every metric of each counted query, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorer:
    """How far frames are apart, for one row of a table."""

    directions: tuple[Direction, ...]
    """Directions that can be scored."""
    score: Callable[[Direction, Asked], Estimate | Float[ndarray, "nq nd"]]
    """Distances between the queries and the database of a block, or an estimate of them."""
    by_chance: bool = False
    """Whether numbers are expectations over all orders of the database."""
    is_directed: bool = True
    """Whether distances depend on the direction; without, a relation is ranked once for all directions."""


def from_descriptors(
    descriptors: Descriptors,
    frames: Frames,
    perturbed: Descriptors | None = None,
    modality: Modality = "cloud",
    *,
    directions: Sequence[Direction] = tuple(Direction),
) -> Scorer:
    """Rank by distance between descriptors; with those of ``perturbed`` frames of ``modality`` on their side.

    Where a second descriptor re-ranks the nearest frames, places in the fused ranking stand for distances.
    """
    sets = [each.arrays for each in (descriptors, perturbed) if each]

    @cache
    def space(size: int) -> Space:
        arrays = [array for each in sets for array in each.values() if array.shape[2] == size]
        return Space.of(arrays, descriptors.distance)

    @cache
    def side(modality: Modality, is_perturbed: bool) -> Side:
        array = sets[is_perturbed][modality]
        return space(array.shape[2]).side(array)

    def score(direction: Direction, asked: Asked) -> Estimate | Float[ndarray, "nq nd"]:
        changed = direction.perturbed_side(modality) if perturbed else None
        query = perturbed if perturbed and changed == "query" else descriptors
        database = perturbed if perturbed and changed == "database" else descriptors
        if query.second is None or database.second is None:
            found = query.places(direction.query, frames, asked.query_rows)
            known = database.places(direction.database, frames, asked.database_rows)
            asking, searched = (
                side(direction.query, changed == "query"),
                side(direction.database, changed == "database"),
            )
            return estimate(asking[found], searched[known], descriptors.distance)

        def between(asking: Descriptors, searched: Descriptors) -> Float[ndarray, "nq nd"]:
            found = asking.at(direction.query, frames, asked.query_rows)
            known = searched.at(direction.database, frames, asked.database_rows)
            return distances(found, known, searched.distance)

        second = between(query.second, database.second)
        return fused_ranks(between(query, database), second, asked.relation.is_candidate, descriptors.top)

    return Scorer(directions=tuple(directions), score=score)


def from_ranker(name: str, seed: int) -> Scorer:
    """Rank by one of the rankers that need no descriptors."""
    drawing: dict[tuple[Direction, Pair], tuple[int, np.random.Generator]] = {}

    def score(direction: Direction, asked: Asked) -> Estimate | Float[ndarray, "nq nd"]:
        pair, rows = asked.pair, asked.query_rows
        last, random = drawing.get((direction, pair), (-1, None))
        if random is None or (len(rows) and rows[0] <= last):  # blocks draw one after the other, as the pair would
            random = generator(seed, pair.query_traversal, pair.database_traversal, direction.label)
        drawing[direction, pair] = (int(rows[-1]) if len(rows) else last, random)
        return RANKERS[name](asked.relation, random)

    return Scorer(directions=tuple(Direction), score=score, by_chance=name == CHANCE, is_directed=name == CHANCE)


def check_answerable(chosen: Selected) -> None:
    """Refuse a selection in which no query has a right answer: known from poses alone, before anything is trained."""
    blocks = relations(chosen.frames, chosen.protocol, chosen.query, chosen.database)
    if not any(asked.relation.is_positive.any() for asked in blocks):
        raise _unanswerable(chosen)


def _unanswerable(chosen: Selected) -> CrossplaceError:
    protocol = chosen.protocol
    return CrossplaceError(
        f"protocol {protocol.name}: no query has a positive within {protocol.radius_m:g} m among {len(chosen.query)} "
        f"queries and {len(chosen.database)} database frames; nothing can be evaluated on this selection: take more of "
        "the data (this part may lie outside the protocol's regions) or another --protocol (crossplace list protocols)"
    )


def evaluate(
    frames: Frames, protocol: Protocol, scorers: Mapping[str, Scorer], chosen: Selected | None = None
) -> dict[str, list[PairEvaluation]]:
    """All traversal pairs of ``protocol`` in all directions of each scorer, by the scorers' names.

    How queries and database relate is found once for all scorers and directions. Frames that lack a modality are left
    out of its directions, and directions without frames altogether.
    """
    chosen = chosen or Selected(frames=frames, protocol=protocol)
    protocol = chosen.protocol
    blocks: dict[str, list[Block]] = {name: [] for name in scorers}
    ranked: dict[str, tuple[Relation, Ranking]] = {}
    for part in scored(scorers, chosen):
        relation, (last, ranking) = part.asked.relation, ranked.get(part.name, (None, None))
        if ranking is None or last is not relation or scorers[part.name].is_directed:
            ranking = rank_queries(part.distances, relation, search_depth=protocol.search_depth)
            ranked[part.name] = (relation, ranking)
        blocks[part.name].append(Block.of(part, ranking))
    found = {name: joined(blocks[name], protocol, by_chance=scorer.by_chance) for name, scorer in scorers.items()}
    if not all(any(e.recall.n_counted for e in evaluations) for evaluations in found.values()):
        raise _unanswerable(chosen)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """How far the queries of a block are from the database, by one scorer in one direction."""

    name: str
    """The scorer."""
    direction: Direction
    asked: Asked
    distances: Estimate | Float[ndarray, "nq nd"]


def scored(scorers: Mapping[str, Scorer], chosen: Selected) -> Iterator[Scored]:
    """Every block of every traversal pair in every direction of each scorer; the blocks of a pair follow each other."""
    frames, protocol = chosen.frames, chosen.protocol
    has: dict[Modality, ndarray] = {"image": frames.image != "", "cloud": frames.cloud != ""}
    pairs = {d: _pairs(chosen, d, has) for d in _directions(scorers.values())}
    for asked in relations(frames, protocol, chosen.query, chosen.database):
        for direction, wanted in pairs.items():
            if asked.pair not in wanted:
                continue
            part = asked.among(has[direction.query][asked.query_rows], has[direction.database][asked.database_rows])
            for name, scorer in scorers.items():
                if direction in scorer.directions:
                    matrix = scorer.score(direction, part)
                    yield Scored(name=name, direction=direction, asked=part, distances=matrix)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """What is kept of a block: nothing as large as queries times database."""

    direction: Direction
    pair: Pair
    query_rows: Int[ndarray, " nq"]
    database_rows: Int[ndarray, " nd"]
    ranking: Ranking

    @classmethod
    def of(cls, part: Scored, ranking: Ranking) -> "Block":
        """The block of ``part``, ranked."""
        asked = part.asked
        return cls(
            direction=part.direction,
            pair=asked.pair,
            query_rows=asked.query_rows,
            database_rows=asked.database_rows,
            ranking=ranking,
        )


def joined(
    blocks: Sequence[Block], protocol: Protocol, *, by_chance: bool = False, n_foreign: int = 0
) -> list[PairEvaluation]:
    """The blocks as one evaluation a direction and pair, in the usual order of directions.

    The database of each pair counts as larger by ``n_foreign`` frames that are never right.
    """
    groups: dict[tuple[Direction, Pair], list[Block]] = {}
    for direction in Direction:
        for block in blocks:
            if block.direction == direction:
                groups.setdefault((direction, block.pair), []).append(block)
    return [_evaluation(group, protocol, by_chance=by_chance, n_foreign=n_foreign) for group in groups.values()]


def _directions(scorers: Iterable[Scorer]) -> list[Direction]:
    """Directions that any scorer has, in their usual order."""
    wanted = {direction for scorer in scorers for direction in scorer.directions}
    return [direction for direction in Direction if direction in wanted]


def _pairs(chosen: Selected, direction: Direction, has: Mapping[Modality, ndarray]) -> list[Pair]:
    """The pairs of traversals between which there are frames for a direction."""
    frames = chosen.frames
    asking = by_traversal(frames, chosen.query[has[direction.query][chosen.query]])
    searched = by_traversal(frames, chosen.database[has[direction.database][chosen.database]])
    return ordered_pairs(chosen.protocol, list(asking), list(searched))


def _evaluation(blocks: Sequence[Block], protocol: Protocol, *, by_chance: bool, n_foreign: int) -> PairEvaluation:
    """The blocks of one pair in one direction as one evaluation."""
    first, ranking = blocks[0], blocks[0].ranking
    if len(blocks) > 1:
        parts = {f.name: [getattr(block.ranking, f.name) for block in blocks] for f in fields(Ranking)}
        ranking = Ranking(**{name: np.concatenate(arrays) for name, arrays in parts.items()})
    size = len(first.database_rows) + n_foreign
    return PairEvaluation(
        direction=first.direction,
        pair=first.pair,
        query_rows=np.concatenate([block.query_rows for block in blocks]),
        database_rows=first.database_rows,
        ranking=ranking,
        recall=summarise(ranking, size, protocol, by_chance=by_chance),
        values=values_of(ranking, size, protocol, by_chance=by_chance),
    )
