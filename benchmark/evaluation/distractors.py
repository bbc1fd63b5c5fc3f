"""Recall if the map also holds foreign places, by counting: no query is ranked again, and no matrix grows.

A foreign frame is never right, so it can only stand before the best right answer or behind it. The rank among real
and foreign frames is the rank among the real ones, plus the number of foreign frames that are nearer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from benchmark.evaluation.distances import distances
from benchmark.evaluation.ranks import Ranking
from benchmark.protocol.ground_truth import row_blocks
from datasets.base import DistanceKind, Modality


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """Descriptors of foreign frames, in the order in which they are put into the map."""

    descriptors: Mapping[Modality, Float[ndarray, "n views size"]]
    distance: DistanceKind

    def __len__(self) -> int:
        return min(map(len, self.descriptors.values()), default=0)


def n_nearer(
    query: Float[ndarray, "nq v d"],
    foreign: Float[ndarray, "n w _"],
    best: Float[ndarray, " nq"],
    distance: DistanceKind,
    numbers: Sequence[int],
) -> Int[ndarray, "nq k"]:
    """How many of the first so many foreign frames are strictly nearer to each query than ``best``.

    A column for each of the ascending ``numbers`` of foreign frames. Equally near ones stand behind; where ``best`` is
    nan, none is counted. Distances are computed block by block, each of them once.
    """
    found = np.zeros((len(query), len(numbers)), dtype=np.int64)
    for column, (start, stop) in enumerate(pairwise([0, *numbers])):
        added = foreign[start:stop]
        for block in row_blocks(len(added), len(query)):
            found[:, column] += (distances(query, added[block], distance) < best[:, None]).sum(axis=1)
    return found.cumsum(axis=1)


def among_foreign(ranking: Ranking, nearer: Int[ndarray, " nq"], n_foreign: int) -> Ranking:
    """``ranking`` in a map with ``n_foreign`` further frames, of which ``nearer`` stand before the first right answer.

    The nearest frames and the best negative stay those of the real database.
    """
    rank = ranking.first_positive_rank
    return replace(
        ranking, first_positive_rank=np.where(rank > 0, rank + nearer, 0), n_candidates=ranking.n_candidates + n_foreign
    )
