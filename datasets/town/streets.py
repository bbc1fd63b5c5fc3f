"""The street graph of a district: a jittered grid with some streets missing and slight bends."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from datasets.town.circuit import Pair, Way, plan_circuit

ATTEMPTS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class DistrictPlan:
    """The numbers that a district's street graph is drawn from."""

    name: str
    columns: int
    rows: int
    missing: int = 0
    """Number of streets of the full grid that are left out."""
    centre_m: tuple[float, float]
    """East and north of the middle of the district."""
    pitch_m: tuple[float, float]
    """Range of the distance between neighbouring junctions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Street:
    """One street between two junctions."""

    ends: Pair
    """Numbers of the junctions at the first and last point of the centreline."""
    centreline_m: Float[ndarray, "k 2"]
    half_width_m: float
    """Distance from the centreline to the kerb."""
    has_parking: bool

    @property
    def length_m(self) -> float:
        """Length of the centreline."""
        return float(np.hypot(*np.diff(self.centreline_m, axis=0).T).sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class StreetGraph:
    """Junctions, the streets between them, and the tour that vehicles drive."""

    junctions_m: Float[ndarray, "j 2"]
    streets: tuple[Street, ...]
    circuit: tuple[Way, ...]
    """The tour: every street once in each direction, in driving order."""


def lay_streets(plan: DistrictPlan, random: np.random.Generator) -> StreetGraph:
    """Draw a district's streets; missing streets are drawn again until there is a tour through the others."""
    junctions = _junctions(plan, random)
    grid = _grid_pairs(plan)
    for _ in range(ATTEMPTS):
        pairs = [grid[i] for i in np.sort(random.permutation(len(grid))[plan.missing :])]
        circuit = plan_circuit(pairs, random) if _is_connected(pairs, len(junctions)) else None
        if circuit:
            streets = tuple(_street(pair, junctions, random) for pair in pairs)
            return StreetGraph(junctions_m=junctions, streets=streets, circuit=tuple(circuit))
    raise AssertionError(f"no tour through {plan} in {ATTEMPTS} attempts: fewer streets must be missing")


def _junctions(plan: DistrictPlan, random: np.random.Generator) -> Float[ndarray, "j 2"]:
    east = np.cumsum(random.uniform(*plan.pitch_m, size=plan.columns))
    north = np.cumsum(random.uniform(*plan.pitch_m, size=plan.rows))
    grid = np.stack(np.meshgrid(east, north), axis=-1).reshape(-1, 2)
    jittered = grid + random.uniform(-8, 8, size=grid.shape)
    return jittered - (jittered.min(0) + jittered.max(0)) / 2 + np.array(plan.centre_m)


def _grid_pairs(plan: DistrictPlan) -> list[Pair]:
    index = np.arange(plan.columns * plan.rows).reshape(plan.rows, plan.columns)
    along = [*zip(index[:, :-1].ravel(), index[:, 1:].ravel(), strict=True)]
    across = [*zip(index[:-1].ravel(), index[1:].ravel(), strict=True)]
    return [(int(a), int(b)) for a, b in along + across]


def _is_connected(pairs: list[Pair], junctions: int) -> bool:
    reached, before = set(pairs[0]), 0
    while len(reached) > before:
        before = len(reached)
        reached |= {junction for pair in pairs if reached & set(pair) for junction in pair}
    return len(reached) == junctions


def _street(pair: Pair, junctions: Float[ndarray, "j 2"], random: np.random.Generator) -> Street:
    start, end = junctions[list(pair)]
    sideways = np.array([start[1] - end[1], end[0] - start[0]]) / np.hypot(*(end - start))
    control = (start + end) / 2 + random.uniform(-9, 9) * sideways
    t = np.linspace(0, 1, 13)[:, None]
    has_parking = bool(random.random() < 0.7)
    return Street(
        ends=pair,
        centreline_m=(1 - t) ** 2 * start + 2 * t * (1 - t) * control + t**2 * end,
        half_width_m=float(random.uniform(5.2, 6.0) if has_parking else random.uniform(3.8, 4.6)),
        has_parking=has_parking,
    )
