"""The simple alternative to searching a whole city: only places near a position that is roughly known."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from benchmark.evaluation.evaluate import Block, PairEvaluation, Scored, joined
from benchmark.evaluation.ranks import Ranking, rank_queries
from benchmark.protocol.ground_truth import Relation
from datasets.base import Frames, Protocol
from datasets.randomness import generator


@dataclass(frozen=True, kw_only=True)
class RoughPosition:
    """A position that is known up to noise, and how far around it is searched."""

    radius_m: float
    deviation_m: float
    """Standard deviation of the noise on each axis."""
    seed: int = 0

    def is_near(self, frames: Frames, part: Scored) -> Bool[ndarray, "nq nd"]:
        """Which frames of the map lie within the radius of each query's noisy position, in its own world.

        The noise of a frame is the same in every pair of traversals.
        """
        noise_m = generator(self.seed, "prior").normal(0, self.deviation_m, (len(frames), 2))
        asking, searched = part.asked.query_rows, part.asked.database_rows
        known_m = frames.position_m[asking, :2] + noise_m[asking]
        away_m = np.linalg.norm(known_m[:, None] - frames.position_m[None, searched, :2], axis=2)
        same_world: ndarray = frames.world[asking][:, None] == frames.world[searched][None, :]
        return (away_m <= self.radius_m) & same_world


PRIORS = (RoughPosition(radius_m=25.0, deviation_m=5.0), RoughPosition(radius_m=100.0, deviation_m=25.0))
"""Satellite navigation under an open sky and between houses: what is searched is four to five deviations wide."""


def ranked_near(part: Scored, is_near: Bool[ndarray, "nq nd"]) -> Ranking:
    """The ranking of a block in which only near frames may be found.

    A query whose right answers are all too far from the noisy position has missed: its rank is behind the whole map.
    """
    asked = part.asked.relation
    relation = Relation(is_candidate=asked.is_candidate & is_near, is_positive=asked.is_positive & is_near)
    ranking, n_positives = rank_queries(part.distances, relation, top_k=1), asked.is_positive.sum(axis=1)
    is_lost = (n_positives > 0) & (ranking.first_positive_rank == 0)
    rank = np.where(is_lost, asked.is_positive.shape[1] + 1, ranking.first_positive_rank)
    return replace(ranking, first_positive_rank=rank, n_positives=n_positives)


def with_prior(
    parts: Sequence[Scored], frames: Frames, protocol: Protocol, prior: RoughPosition
) -> tuple[list[PairEvaluation], float]:
    """Recall if only near frames may be found, and how many frames those are, as a mean over queries."""
    rankings = [(part, ranked_near(part, prior.is_near(frames, part))) for part in parts]
    n_searched = np.concatenate([ranking.n_candidates for _, ranking in rankings])
    return joined([Block.of(part, ranking) for part, ranking in rankings], protocol), float(n_searched.mean())
