"""Where a difference between results lies: between which traversals, under which conditions, at which places."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from benchmark.evaluation.intervals import block_side_m, map_blocks
from benchmark.records.comparison import comparable_groups, shared_directions
from benchmark.records.ranks import conditions_in


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The queries between two traversals, or between two conditions."""

    query: str
    database: str
    n_queries: int
    difference: float
    """Mean over these queries, a fraction."""
    contribution: float
    """What they add to the difference of the headline; all parts sum to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacePart:
    """The queries in one block of the map."""

    world: str
    east_m: float
    north_m: float
    """The south-west corner of the block, with ``east_m``."""
    side_m: float
    n_queries: int
    difference: float
    contribution: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """One difference, taken apart in three ways; what adds or takes most comes first."""

    pairs: tuple[Part, ...]
    conditions: tuple[Part, ...]
    places: tuple[PlacePart, ...]


def whereabouts(runs: Sequence[Path], others: Sequence[Path], metric: str = "R@1") -> dict[str, Whereabouts]:
    """Where the value of ``runs`` minus that of ``others`` (seeds: their means) lies, by direction.

    Raises:
        CrossplaceError: results that cannot be compared, or without ``ranks.npz``.
    """
    groups = comparable_groups([runs, others])
    found = {}
    for direction in shared_directions(groups):
        queries = groups[1][0].queries(direction)
        one, other = (np.mean([run.values(direction, metric) for run in group], axis=0) for group in groups)
        difference, weights = one - other, queries.weights(groups[1][0].result.protocol["averaging"])
        pairs = queries.ranks["pairs"][queries.column("pair")].astype(str)
        condition = conditions_in(queries.ranks)
        conditions = np.array([[condition[name] for name in pair] for pair in pairs.tolist()])
        world, position_m = queries.of_frame("world").astype(str), queries.position_m
        side_m, _ = block_side_m(world, position_m, difference[:, None], weights)
        block, corner_m = map_blocks(world, position_m, side_m)
        first = np.unique(block, return_index=True)[1]
        found[direction] = Whereabouts(
            pairs=_parts(pairs, difference, weights),
            conditions=_parts(conditions, difference, weights),
            places=tuple(
                PlacePart(
                    world=str(world[first[number]]),
                    east_m=float(corner_m[number, 0]),
                    north_m=float(corner_m[number, 1]),
                    side_m=side_m,
                    n_queries=n,
                    difference=mean,
                    contribution=share,
                )
                for number, n, mean, share in _by_contribution(block, difference, weights)
            ),
        )
    return found


def _parts(names: ndarray, difference: Float[ndarray, " n"], weights: Float[ndarray, " n"]) -> tuple[Part, ...]:
    found, number = np.unique(names, axis=0, return_inverse=True)
    return tuple(
        Part(query=str(found[k, 0]), database=str(found[k, 1]), n_queries=n, difference=mean, contribution=share)
        for k, n, mean, share in _by_contribution(number.reshape(-1), difference, weights)
    )


def _by_contribution(
    part: Int[ndarray, " n"], difference: Float[ndarray, " n"], weights: Float[ndarray, " n"]
) -> list[tuple[int, int, float, float]]:
    """Number, queries, weighted mean and contribution of each part, the largest contribution of either sign first."""
    weight, total, n = np.bincount(part, weights), np.bincount(part, weights * difference), np.bincount(part)
    shares = total / weights.sum()
    order = np.argsort(-np.abs(shares), kind="stable")
    return [(int(k), int(n[k]), float(total[k] / weight[k]), float(shares[k])) for k in order]
