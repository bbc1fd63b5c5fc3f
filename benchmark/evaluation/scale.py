"""Recall in maps of any size: every query is ranked once among real frames, and a stream of distractors is counted."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from benchmark.descriptors.files import Descriptors
from benchmark.descriptors.shards import Shards
from benchmark.evaluation.distractors import among_foreign
from benchmark.evaluation.evaluate import Block, PairEvaluation, Scored, from_descriptors, joined, scored
from benchmark.evaluation.ranks import Ranking, rank_queries
from benchmark.evaluation.search import count_nearer, top_k
from benchmark.protocol.directions import Direction
from benchmark.protocol.ground_truth import Asked
from benchmark.protocol.selection import Selected
from datasets.base import Modality, Protocol

TIMED, FEWEST_TIMED, LONGEST_S = 21, 3, 20.0
"""Searches that a latency is the median of, the fewest of them, and the time after which no further one begins."""


@dataclass(frozen=True, kw_only=True)
class Questions:
    """Every query of a test that searches one modality, ranked among the real frames."""

    parts: list[tuple[Scored, Ranking]]
    query: Float[ndarray, "nq 1 size"]
    """Descriptors of each query once, although several traversals may be asked for it."""
    best: Float[ndarray, "nq several"]
    """Distances of the right answers of each query; nan where a traversal holds none, or where there are fewer."""
    place: tuple[Int[ndarray, " n"], Int[ndarray, " n"]]
    """Row and column of ``best`` for every query of every part, one after the other."""

    @classmethod
    def of(cls, chosen: Selected, descriptors: Descriptors, modality: Modality) -> "Questions":
        """The queries of all directions that search frames of ``modality``."""
        frames = chosen.frames
        directions = [d for d in Direction.among(descriptors.arrays) if d.database == modality]
        scorer = from_descriptors(descriptors, frames, directions=directions)
        blocks = scored({"": scorer}, chosen)
        parts = [(part, rank_queries(part.distances, part.asked.relation, top_k=1)) for part in blocks]
        asking: list[Modality] = ["image", "cloud"]
        code = [asking.index(part.direction.query) * len(frames) + part.asked.query_rows for part, _ in parts]
        query = [descriptors.at(part.direction.query, frames, part.asked.query_rows) for part, _ in parts]
        _, first, row = np.unique(np.concatenate(code), return_index=True, return_inverse=True)
        column = _occurrence(row)
        best = np.full((len(first), column.max(initial=0) + 1), np.nan)
        best[row, column] = np.concatenate([ranking.best_positive_distance for _, ranking in parts])
        return cls(parts=parts, query=np.concatenate(query)[first], best=best, place=(row, column))

    def evaluations(self, nearer: Int[ndarray, " n"], n_foreign: int, protocol: Protocol) -> list[PairEvaluation]:
        """Recall with ``n_foreign`` further frames in the map, of which ``nearer`` stand before the right answers."""
        starts = np.cumsum([0, *(len(part.asked.query_rows) for part, _ in self.parts)])
        blocks = [
            Block.of(part, among_foreign(ranking, nearer[start:stop], n_foreign))
            for (part, ranking), (start, stop) in zip(self.parts, pairwise(starts.tolist()), strict=True)
        ]
        return joined(blocks, protocol, n_foreign=n_foreign)

    def among(self, traversal: str) -> list[tuple[Direction, Asked]]:
        """What is asked of one traversal."""
        return [(p.direction, p.asked) for p, _ in self.parts if p.asked.pair.database_traversal == traversal]


def _occurrence(group: Int[ndarray, " n"]) -> Int[ndarray, " n"]:
    """How often the group of each entry has occurred before it."""
    order = np.argsort(group, kind="stable")
    first = np.flatnonzero(np.diff(group[order], prepend=-1))
    found = np.empty_like(group)
    found[order] = np.arange(len(group)) - np.repeat(first, np.diff([*first, len(group)]))
    return found


@dataclass(frozen=True, kw_only=True)
class Counted:
    """Distractors that are nearer than the right answers, and what counting them took."""

    nearer: Int[ndarray, " n"]
    """For every query of every part of the questions."""
    seconds: float
    """Time for all queries together, reading from disk or from what the system remembers of it."""


def counted(questions: Questions, distractors: Shards, numbers: Sequence[int], kind: Descriptors) -> list[Counted]:
    """Counts among the first of the distractors, for each of the ascending ``numbers``; each is read once."""
    total, seconds, found = np.zeros(questions.best.shape, dtype=np.int64), 0.0, []
    for start, stop in pairwise([0, *numbers]):
        before = time.perf_counter()
        total += count_nearer(questions.query, distractors.between(start, stop), questions.best, kind.distance)
        seconds += time.perf_counter() - before
        found.append(Counted(nearer=total[questions.place], seconds=seconds))
    return found


def latency_ms(questions: Questions, shards: Shards, kind: Descriptors) -> tuple[float, int]:
    """Median time of a search for the nearest place by one query alone, and how many searches were timed.

    One search before them is not timed: as far as the map fits into memory, the system then remembers it.
    """
    rows = np.linspace(0, len(questions.query) - 1, TIMED).round().astype(int).tolist()
    times: list[float] = []
    begin = time.perf_counter()
    for number, row in enumerate([rows[0], *rows]):
        before = time.perf_counter()
        if len(times) >= FEWEST_TIMED and before - begin > LONGEST_S:
            break
        top_k(questions.query[row : row + 1], shards, 1, kind.distance)
        times += [time.perf_counter() - before] if number else []
    return 1e3 * float(np.median(times)), len(times)
