"""A furnished district: buildings, walls, trees, lamps along its streets, and the cars of one day."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from datasets.town.scene import PAVEMENT_M, GroundMap, Mesh, Scene
from datasets.town.seeding import generator_for
from datasets.town.solids import Triangles, boulder, box, column, gable, placed
from datasets.town.streets import DistrictPlan, Street, StreetGraph, lay_streets

CELL_M = 0.25
MAP_MARGIN_M = 45.0
"""How far the map reaches beyond the outermost junctions: room for the buildings behind the last street."""
KERB_REACH_M = 5.0
"""The map knows distances from kerbs up to this; farther away it says ``FAR_M``."""
FAR_M = 100.0
JUNCTION_CLEAR_M = 13.0
"""No trees, lamps or parked cars nearer to a junction than this, along the street."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Character:
    """How one stretch of one street side is built up; pairs are ranges in metres."""

    width_m: tuple[float, float]
    depth_m: tuple[float, float]
    height_m: tuple[float, float]
    setback_m: tuple[float, float]
    """From the back of the pavement to the front."""
    gap_m: tuple[float, float]
    gabled: float = 0.0
    """Share of buildings with a gable roof; the others are flat."""
    fence_m: tuple[float, float] | None = None
    """Height of a wall or hedge along the pavement."""
    garden_trees: float = 0.0
    """Chance of a tree beside each building."""
    built: float = 1.0
    """Share of plots that carry a building."""


CHARACTERS = (
    Character(width_m=(6, 9), depth_m=(8, 11), height_m=(6, 10), setback_m=(0, 0.8), gap_m=(0, 0.1), gabled=0.9),
    Character(
        *(), width_m=(8, 13), depth_m=(8, 11), height_m=(3.2, 6), setback_m=(3, 8), gap_m=(4, 10), gabled=0.9,
        fence_m=(0.6, 1.4), garden_trees=0.7,
    ),
    Character(width_m=(14, 24), depth_m=(10, 13), height_m=(9, 16), setback_m=(0.5, 5), gap_m=(4, 11), garden_trees=0.3),
    Character(width_m=(11, 16), depth_m=(11, 15), height_m=(20, 34), setback_m=(4, 9), gap_m=(9, 16), garden_trees=0.5),
    Character(
        width_m=(16, 28), depth_m=(12, 15), height_m=(3.5, 6.5), setback_m=(2, 7), gap_m=(4, 9), gabled=0.3,
        fence_m=(1.2, 2.4), built=0.8,
    ),
    Character(
        width_m=(6, 10), depth_m=(4, 6), height_m=(2.5, 4), setback_m=(5, 9), gap_m=(1, 4), gabled=0.4,
        fence_m=(0.5, 1.8), garden_trees=0.9, built=0.25,
    ),
)  # terrace, detached houses, blocks of flats, towers, workshops, garden or park
CHARACTER_SHARES = (0.24, 0.24, 0.18, 0.08, 0.12, 0.14)

WALLS = np.array(
    [(0.55, 0.50, 0.42), (0.45, 0.42, 0.38), (0.40, 0.24, 0.18), (0.62, 0.60, 0.55), (0.48, 0.40, 0.28), (0.34, 0.35, 0.36)]
)
ROOFS = np.array([(0.28, 0.12, 0.08), (0.16, 0.15, 0.15), (0.22, 0.17, 0.14)])
FENCES = np.array([(0.10, 0.18, 0.06), (0.36, 0.22, 0.16), (0.40, 0.38, 0.34)])
LEAVES = np.array([(0.10, 0.20, 0.05), (0.14, 0.20, 0.06), (0.07, 0.14, 0.06)])
BARK = np.array((0.14, 0.10, 0.07))
STEEL = np.array((0.20, 0.21, 0.22))
TYRES = np.array((0.03, 0.03, 0.03))
CAR_GLASS = np.array((0.05, 0.06, 0.07))
PAINTS = np.array([(0.5, 0.5, 0.5), (0.04, 0.04, 0.05), (0.6, 0.6, 0.6), (0.3, 0.05, 0.04), (0.06, 0.10, 0.25), (0.2, 0.2, 0.2)])


class Plots:
    """Keeps solids off the roads and out of each other, cell by cell."""

    def __init__(self, ground: GroundMap) -> None:
        """Nothing is taken yet but the ground's roads."""
        self.ground = ground
        self._taken: Bool[ndarray, "rows columns"] = np.zeros_like(ground.clearance_m, dtype=bool)

    def claim(self, middle_m: ndarray, size_m: tuple[float, float], yaw_rad: float, clearance_m: float) -> bool:
        """Take a rectangle if all of it is on the map, free, and at least ``clearance_m`` from every kerb."""
        along, across = (np.arange(-s / 2, s / 2 + CELL_M / 2, CELL_M) for s in size_m)
        u, v = (grid.ravel() for grid in np.meshgrid(along, across))
        cos, sin = np.cos(yaw_rad), np.sin(yaw_rad)
        spots = middle_m + np.stack([cos * u - sin * v, sin * u + cos * v], axis=1)
        cells = np.floor((spots - self.ground.south_west_m) / self.ground.cell_m).astype(np.int64)
        if (cells < 0).any() or (cells >= self._taken.shape[::-1]).any():
            return False
        east, north = cells.T
        if self._taken[north, east].any() or (self.ground.clearance_m[north, east] < clearance_m).any():
            return False
        self._taken[north, east] = True
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class District:
    """Streets and everything that stands there on every day."""

    plan: DistrictPlan
    graph: StreetGraph
    ground: GroundMap
    furniture: Mesh

    def on_day(self, seed: int, day: str) -> Scene:
        """The district with the cars parked there on ``day``."""
        random = generator_for(seed, self.plan.name, "parked cars", day)
        cars = [car for street in self.graph.streets for car in _parked_cars(street, random)]
        return Scene(Mesh.joined([self.furniture, *cars]), self.ground)


def build_district(plan: DistrictPlan, seed: int) -> District:
    """Lay the streets of ``plan`` and furnish them."""
    graph = lay_streets(plan, generator_for(seed, plan.name, "streets"))
    ground = map_ground(graph)
    plots = Plots(ground)
    random = generator_for(seed, plan.name, "furniture")
    parts: list[Mesh] = []
    for street in graph.streets:
        for side in (1, -1):
            parts += _built_side(street, side, plots, random)
    for street in graph.streets:
        parts += _kerbside(street, plots, random)
    return District(plan=plan, graph=graph, ground=ground, furniture=Mesh.joined(parts))


def map_ground(graph: StreetGraph) -> GroundMap:
    """Distance of every cell from the nearest kerb, near the kerbs."""
    south_west = graph.junctions_m.min(0) - MAP_MARGIN_M
    columns, rows = np.ceil((graph.junctions_m.max(0) + MAP_MARGIN_M - south_west) / CELL_M).astype(int)
    clearance = np.full((rows, columns), FAR_M, dtype=np.float32)
    east = south_west[0] + (np.arange(columns) + 0.5) * CELL_M
    north = south_west[1] + (np.arange(rows) + 0.5) * CELL_M
    for street in graph.streets:
        line, reach = street.centreline_m, street.half_width_m + KERB_REACH_M
        low, high = line.min(0) - reach, line.max(0) + reach
        i, j = np.searchsorted(north, (low[1], high[1])), np.searchsorted(east, (low[0], high[0]))
        window = (slice(*i), slice(*j))
        spots = np.stack(np.meshgrid(east[window[1]], north[window[0]]), axis=-1)
        outside = _distance_to_line(spots.reshape(-1, 2), line).reshape(spots.shape[:2]) - street.half_width_m
        clearance[window] = np.minimum(clearance[window], outside)
    return GroundMap(south_west_m=south_west, cell_m=CELL_M, clearance_m=clearance)


def _distance_to_line(spots: Float[ndarray, "n 2"], line: Float[ndarray, "k 2"]) -> Float[ndarray, "n"]:
    nearest = np.full(len(spots), np.inf)
    for start, end in zip(line[:-1], line[1:], strict=True):
        along = np.clip((spots - start) @ (end - start) / ((end - start) @ (end - start)), 0, 1)
        foot = start + along[:, None] * (end - start)
        nearest = np.minimum(nearest, np.hypot(*(spots - foot).T))
    return nearest


def _beside(street: Street, distance_m: float, offset_m: float) -> tuple[Float[ndarray, "2"], float]:
    """The spot ``offset_m`` to the left of the centreline after ``distance_m``, and the street's heading there."""
    line = street.centreline_m
    steps = np.hypot(*np.diff(line, axis=0).T)
    ends = np.cumsum(steps)
    i = min(int(np.searchsorted(ends, distance_m)), len(steps) - 1)
    tangent = (line[i + 1] - line[i]) / steps[i]
    middle = line[i] + (distance_m - ends[i] + steps[i]) * tangent
    return middle + offset_m * np.array([-tangent[1], tangent[0]]), float(np.arctan2(tangent[1], tangent[0]))


def _length_m(street: Street) -> float:
    return float(np.hypot(*np.diff(street.centreline_m, axis=0).T).sum())


def _solid(triangles: Triangles, albedo: ndarray) -> Mesh:
    return Mesh(triangles_m=triangles, albedo=np.tile(albedo, (len(triangles), 1)))


def _tinted(palette: Float[ndarray, "k 3"], random: np.random.Generator) -> ndarray:
    return random.choice(palette) * random.uniform(0.8, 1.2)


# --- built-up sides ------------------------------------------------------------------------------


def _built_side(street: Street, side: int, plots: Plots, random: np.random.Generator) -> Iterator[Mesh]:
    """Buildings, fences and garden trees along one side: stretches of 20-45 m, each of one character."""
    distance, length = -12.0, _length_m(street) + 12.0
    while distance < length:
        character = CHARACTERS[random.choice(len(CHARACTERS), p=CHARACTER_SHARES)]
        setback, height = random.uniform(*character.setback_m), random.uniform(*character.height_m)
        end = distance + random.uniform(20, 45)
        while distance < end:
            width, depth = random.uniform(*character.width_m), random.uniform(*character.depth_m)
            front = street.half_width_m + PAVEMENT_M + setback + random.uniform(0, 0.6)
            spot, yaw = _beside(street, distance + width / 2, side * (front + depth / 2))
            if random.random() < character.built and plots.claim(spot, (width, depth), yaw, PAVEMENT_M):
                yield from _building(spot, yaw, (width, depth, height * random.uniform(0.85, 1.15)), character, random)
            distance += width + random.uniform(*character.gap_m)
            if random.random() < character.garden_trees:
                offset = side * (street.half_width_m + PAVEMENT_M + random.uniform(1.5, 6.0))
                yield from _tree(*_beside(street, distance - random.uniform(0, 3), offset), plots, random)
        if character.fence_m:
            yield from _fence(street, side, (end - 30, end), character.fence_m, plots, random)


def _building(
    spot: ndarray, yaw: float, size_m: tuple[float, float, float], character: Character, random: np.random.Generator
) -> Iterator[Mesh]:
    width, depth, height = size_m
    east, north = spot
    wall, roof = _tinted(WALLS, random), _tinted(ROOFS, random)
    yield _solid(placed(box(width, depth, height), (east, north, 0), yaw), wall)
    if random.random() >= character.gabled:
        top = box(width * random.uniform(0.2, 0.5), depth * random.uniform(0.2, 0.5), random.uniform(1.0, 3.0))
        yield _solid(placed(top, (east, north, height), yaw), roof)
    elif random.random() < 0.5:
        top = gable(width + 0.3, depth + 0.6, depth * random.uniform(0.25, 0.6))
        yield _solid(placed(top, (east, north, height), yaw), roof)
    else:
        top = gable(depth + 0.6, width + 0.1, width * random.uniform(0.25, 0.5))
        yield _solid(placed(top, (east, north, height), yaw + np.pi / 2), roof)


def _fence(
    street: Street,
    side: int,
    stretch_m: tuple[float, float],
    height_m: tuple[float, float],
    plots: Plots,
    random: np.random.Generator,
) -> Iterator[Mesh]:
    """Pieces of 3 m along the back of the pavement, with openings."""
    height, colour, thickness = random.uniform(*height_m), _tinted(FENCES, random), random.uniform(0.2, 0.7)
    for distance in np.arange(*stretch_m, 3.0):
        spot, yaw = _beside(street, distance, side * (street.half_width_m + PAVEMENT_M + 0.2 + thickness / 2))
        if random.random() < 0.85 and plots.claim(spot, (2.8, thickness), yaw, PAVEMENT_M):
            yield _solid(placed(box(3.05, thickness, height), (*spot, 0), yaw), colour)


def _tree(spot: ndarray, yaw: float, plots: Plots, random: np.random.Generator) -> Iterator[Mesh]:
    radius = random.uniform(1.2, 2.4)
    if not plots.claim(spot, (1.5 * radius, 1.5 * radius), yaw, 0.6):
        return
    east, north = spot
    trunk, leaves = random.uniform(2.4, 4.0), _tinted(LEAVES, random)
    yield _solid(placed(column(random.uniform(0.12, 0.25), trunk + 0.8, 0.1), (east, north, 0), yaw), BARK)
    if random.random() < 0.25:
        yield _solid(placed(column(radius, random.uniform(4, 8), 0.1, sides=8), (east, north, trunk - 1.4), yaw), leaves)
        return
    half_height = radius * random.uniform(0.8, 1.7)
    crown = boulder((radius, radius, half_height), 0.18, random)
    yield _solid(placed(crown, (east, north, trunk + 0.8 * half_height), yaw), leaves)


# --- along the kerb ------------------------------------------------------------------------------


def _kerbside(street: Street, plots: Plots, random: np.random.Generator) -> Iterator[Mesh]:
    """Street lamps on one side; rows of trees on some sides."""
    length, lamp_side = _length_m(street), int(random.choice((1, -1)))
    for distance in np.arange(JUNCTION_CLEAR_M + random.uniform(0, 10), length - JUNCTION_CLEAR_M, 24.0):
        spot, yaw = _beside(street, distance + random.uniform(-3, 3), lamp_side * (street.half_width_m + 0.5))
        if plots.claim(spot, (0.4, 0.4), yaw, 0.2):
            yield from _lamp(spot, yaw - lamp_side * np.pi / 2)
    for side in (1, -1):
        spacing = random.choice((7.0, 11.0, 16.0))
        if random.random() < 0.55:
            continue
        for distance in np.arange(JUNCTION_CLEAR_M + random.uniform(0, 8), length - JUNCTION_CLEAR_M, spacing):
            offset = side * (street.half_width_m + 1.2)
            yield from _tree(*_beside(street, distance + random.uniform(-1, 1), offset), plots, random)


def _lamp(spot: ndarray, yaw: float) -> Iterator[Mesh]:
    east, north = spot
    arm = np.array([np.cos(yaw), np.sin(yaw)])
    yield _solid(placed(column(0.10, 6.0, 0.06), (east, north, 0), yaw), STEEL)
    yield _solid(placed(box(1.8, 0.12, 0.12), (*(spot + 0.8 * arm), 5.9), yaw), STEEL)
    yield _solid(placed(box(0.7, 0.3, 0.15), (*(spot + 1.6 * arm), 5.8), yaw), STEEL)


def _parked_cars(street: Street, random: np.random.Generator) -> Iterator[Mesh]:
    """Cars along both kerbs, heading with the traffic; which slots are used changes from day to day."""
    if not street.has_parking:
        return
    for side in (1, -1):
        share = random.uniform(0.1, 0.8)
        for distance in np.arange(JUNCTION_CLEAR_M, _length_m(street) - JUNCTION_CLEAR_M, 6.2):
            if random.random() < share:
                spot, yaw = _beside(street, distance + random.uniform(-0.5, 0.5), side * (street.half_width_m - 1.1))
                yield from _car(spot, yaw + (np.pi if side > 0 else 0.0) + random.uniform(-0.03, 0.03), random)


def _car(spot: ndarray, yaw: float, random: np.random.Generator) -> Iterator[Mesh]:
    east, north = spot
    length, width, waist = random.uniform(3.7, 4.8), random.uniform(1.65, 1.85), random.uniform(0.85, 1.0)
    roof = random.uniform(1.4, 1.65) if random.random() < 0.88 else random.uniform(1.9, 2.4)
    cabin = length * (0.5 if roof < 1.8 else 0.8)
    back = -0.08 * length * np.array([np.cos(yaw), np.sin(yaw)])
    yield _solid(placed(box(length - 0.7, width - 0.1, 0.3), (east, north, 0), yaw), TYRES)
    yield _solid(placed(box(length, width, waist - 0.3), (east, north, 0.3), yaw), _tinted(PAINTS, random))
    yield _solid(placed(box(cabin, width - 0.2, roof - waist), (*(spot + back), waist), yaw), CAR_GLASS)
