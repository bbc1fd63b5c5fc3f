"""A furnished district: everything built and planted along its streets, and the cars parked there on one day."""

from collections.abc import Iterator
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from datasets.town import furniture
from datasets.town.furniture import Spot, Tree
from datasets.town.ground import KERB_REACH_M, PAVEMENT_M, GroundMap, Plots, map_ground
from datasets.town.light import LIGHTS
from datasets.town.materials import Material
from datasets.town.scene import Mesh, Scene
from datasets.town.seeding import generator_for
from datasets.town.streets import Street, StreetGraph

JUNCTION_CLEAR_M = 13.0
"""Trees, lamps and parked cars are at least this far from a junction, along the street."""
CORNER_M = 12.0
"""Length of the rows of buildings beyond the ends of a street, so that corners are built up."""
SIGNED = 0.3
"""Share of buildings with a sign that juts out from the front."""
BACKYARD_M2 = 250.0
"""Area of ground for which one building or tree is tried, where the streets have left room."""

Range = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Character:
    """How a stretch along one side of a street is built up; pairs of numbers are ranges."""

    share: float
    """Share of stretches with this character."""
    width_m: Range
    depth_m: Range
    height_m: Range
    setback_m: Range
    """Distance from the back of the pavement to the front of a building."""
    gap_m: Range
    gabled: float
    """Share of buildings with a gable roof; other buildings have a flat roof."""
    built: float = 1.0
    """Share of plots that have a building."""
    annexed: float = 0.0
    """Share of buildings with a smaller building in front."""
    fence_m: Range | None = None
    """Height of a wall or hedge along the pavement; without a value there is no wall or hedge."""
    garden_trees: float = 0.0
    """Chance of a tree beside each plot."""
    pylons: float = 0.05
    """Chance of a mast with a shop's sign in front of each plot."""


CHARACTERS = {
    "terrace": Character(
        share=0.24, width_m=(6.0, 9.0), depth_m=(8.0, 11.0), height_m=(6.0, 10.0),
        setback_m=(0.2, 1.6), gap_m=(0.0, 0.1), gabled=0.9, annexed=0.3,
    ),
    "houses": Character(
        share=0.24, width_m=(8.0, 13.0), depth_m=(8.0, 11.0), height_m=(3.2, 6.0),
        setback_m=(3.0, 8.0), gap_m=(3.0, 9.0), gabled=0.9, annexed=0.6, fence_m=(0.6, 1.4), garden_trees=0.7,
    ),
    "flats": Character(
        share=0.18, width_m=(14.0, 24.0), depth_m=(10.0, 13.0), height_m=(9.0, 16.0),
        setback_m=(0.5, 5.0), gap_m=(4.0, 11.0), gabled=0.1, annexed=0.4, garden_trees=0.4,
    ),
    "towers": Character(
        share=0.08, width_m=(11.0, 16.0), depth_m=(11.0, 15.0), height_m=(20.0, 34.0),
        setback_m=(4.0, 9.0), gap_m=(9.0, 16.0), gabled=0.0, annexed=0.6, garden_trees=0.5,
    ),
    "workshops": Character(
        share=0.12, width_m=(14.0, 26.0), depth_m=(12.0, 15.0), height_m=(3.5, 6.5),
        setback_m=(2.0, 7.0), gap_m=(3.0, 8.0), gabled=0.3, built=0.8, annexed=0.4, fence_m=(1.2, 2.4), pylons=0.4,
    ),
    "gardens": Character(
        share=0.14, width_m=(5.0, 9.0), depth_m=(4.0, 6.0), height_m=(2.5, 4.0),
        setback_m=(5.0, 9.0), gap_m=(1.0, 4.0), gabled=0.4, built=0.3, fence_m=(0.5, 1.8), garden_trees=0.9,
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class District:
    """Streets, and everything that stands along them on every day."""

    name: str
    graph: StreetGraph
    ground: GroundMap
    standing: Mesh
    """Everything that stands, except the trees."""
    trees: Tree

    def on_day(self, seed: int, day: str, light: str | None = None) -> Scene:
        """The district with the cars that are parked there on ``day``.

        Trees are bare under a leafless ``light``. By default it is the light that the day is named after, if there is
        such a light.
        """
        random = generator_for(seed, self.name, "parked cars", day)
        cars = [car for street in self.graph.streets for car in _parked_cars(street, random)]
        seen_by = LIGHTS.get(light or day)
        trees = self.trees.bare if seen_by and seen_by.is_leafless else self.trees.in_leaf
        return Scene(Mesh.joined([self.standing, trees, *cars]), self.ground, day=crc32(day.encode()))


Part = Mesh | Tree


def build_district(name: str, graph: StreetGraph, seed: int) -> District:
    """The district called ``name``: the streets of ``graph``, furnished."""
    ground = map_ground(graph)
    plots, random = Plots(ground), generator_for(seed, name, "furniture")
    parts = [part for street in graph.streets for side in (1, -1) for part in _built_side(street, side, plots, random)]
    parts += [part for street in graph.streets for part in _kerbside(street, plots, random)]
    parts += _backyards(ground, plots, random)
    trees = [part for part in parts if isinstance(part, Tree)]
    return District(
        name=name,
        graph=graph,
        ground=ground,
        standing=Mesh.joined([part for part in parts if isinstance(part, Mesh)]),
        trees=Tree(Mesh.joined([tree.in_leaf for tree in trees]), Mesh.joined([tree.bare for tree in trees])),
    )


def _beside(street: Street, distance_m: float, side: int, offset_m: float) -> Spot:
    """A spot on the left (1) or right (-1) of a street, ``offset_m`` behind the kerb; local y points off the street."""
    line = street.centreline_m
    steps = np.hypot(*np.diff(line, axis=0).T)
    ends = np.cumsum(steps)
    i = min(int(np.searchsorted(ends, distance_m)), len(steps) - 1)
    tangent = (line[i + 1] - line[i]) / steps[i]
    middle = line[i] + (distance_m - ends[i] + steps[i]) * tangent
    heading = Spot(middle, float(np.arctan2(*(side * tangent)[::-1])))
    return heading.moved(0.0, street.half_width_m + offset_m)


def _built_side(street: Street, side: int, plots: Plots, random: np.random.Generator) -> Iterator[Part]:
    """Buildings, fences and garden trees along one side, in stretches of 20-45 m with one character each."""
    characters = list(CHARACTERS.values())
    start = -CORNER_M
    while start < street.length_m + CORNER_M:
        character = characters[random.choice(len(characters), p=[c.share for c in characters])]
        end = min(start + random.uniform(20, 45), street.length_m + CORNER_M)
        setback, height = random.uniform(*character.setback_m), random.uniform(*character.height_m)
        distance = start
        while distance < end:
            size = (random.uniform(*character.width_m), random.uniform(*character.depth_m), height)
            if random.random() < character.built:
                front = _beside(street, distance + size[0] / 2, side, PAVEMENT_M + setback + random.uniform(0, 0.6))
                yield from _built_plot(front, size, character, plots, random)
            distance += size[0] + random.uniform(*character.gap_m)
            if random.random() < character.garden_trees:
                offset = PAVEMENT_M + random.uniform(1.5, 6.0)
                yield from _planted(_beside(street, distance - random.uniform(0, 3), side, offset), plots, random)
            if random.random() < character.pylons:
                yield from _masted(_beside(street, distance, side, PAVEMENT_M + 0.8), plots, random)
        if character.fence_m:
            yield from _fenced(street, side, (start, distance), character.fence_m, plots, random)
        start = distance


def _built_plot(
    front: Spot,
    size_m: tuple[float, float, float],
    character: Character,
    plots: Plots,
    random: np.random.Generator,
) -> Iterator[Part]:
    width, depth, height = size_m
    height *= random.uniform(0.85, 1.15)
    middle = front.moved(0.0, depth / 2)
    if not plots.claim(middle.position_m, (width, depth), middle.yaw_rad, PAVEMENT_M):
        return
    yield furniture.building(middle, (width, depth, height), random.random() < character.gabled, random)
    if random.random() < SIGNED:
        across, bottom = width * random.uniform(-0.4, 0.4), min(2.6, height - 1.2)
        yield furniture.shop_sign(front.moved(across, -0.5).turned(np.pi / 2), (0.9, 0.15, 0.8), bottom, random)
    if random.random() < character.annexed:
        across, out = width * random.uniform(0.25, 0.6), random.uniform(0.8, 3.5)
        before = front.moved((width - across) * random.uniform(-0.5, 0.5), -out / 2)
        # The cells along the front are taken by the building itself.
        if plots.claim(before.moved(0.0, -0.3).position_m, (across, out - 0.6), before.yaw_rad, PAVEMENT_M):
            yield furniture.annex(before, (across, out, min(height, random.uniform(2.2, 4.5))), random)


def _fenced(
    street: Street, side: int, stretch_m: Range, height_m: Range, plots: Plots, random: np.random.Generator
) -> Iterator[Part]:
    """Pieces of fence, 3 m long, along the back of the pavement, with openings."""
    height, thickness = random.uniform(*height_m), random.uniform(0.2, 0.7)
    kind, number = random.choice(len(furniture.FENCES)), furniture.any_number(random)
    albedo = furniture.FENCES[kind] * random.uniform(0.8, 1.2)
    material = Material.HEDGE if kind == 0 else Material.FENCE
    for distance in np.arange(*stretch_m, 3.0):
        spot = _beside(street, distance, side, PAVEMENT_M + 0.2 + thickness / 2)
        if random.random() < 0.85 and plots.claim(spot.position_m, (2.7, thickness), spot.yaw_rad, PAVEMENT_M):
            yield furniture.fence(spot, (3.05, thickness, height), albedo, number, material)


def _planted(spot: Spot, plots: Plots, random: np.random.Generator) -> Iterator[Part]:
    radius = random.uniform(1.2, 2.4)
    if plots.claim(spot.position_m, (1.5 * radius, 1.5 * radius), spot.yaw_rad, 0.0):
        yield furniture.tree(spot, radius, random)


def _masted(spot: Spot, plots: Plots, random: np.random.Generator) -> Iterator[Part]:
    if plots.claim(spot.position_m, (0.5, 0.5), spot.yaw_rad, PAVEMENT_M):
        yield furniture.pylon(spot.turned(np.pi / 2), random)


def _kerbside(street: Street, plots: Plots, random: np.random.Generator) -> Iterator[Part]:
    """Street lamps on one side, signs on both sides, and rows of trees on some sides."""
    clear = (JUNCTION_CLEAR_M, street.length_m - JUNCTION_CLEAR_M)
    lamp_side = int(random.choice((1, -1)))
    for distance in np.arange(clear[0] + random.uniform(0, 10), clear[1], 24.0):
        spot = _beside(street, distance + random.uniform(-3, 3), lamp_side, 0.5)
        if plots.claim(spot.position_m, (0.4, 0.4), spot.yaw_rad, 0.0):
            yield furniture.lamp(spot.turned(-np.pi / 2))
    for side in (1, -1):
        for distance in np.arange(clear[0] - 2 + random.uniform(0, 12), clear[1], 20.0):
            spot = _beside(street, distance + random.uniform(-3, 3), side, 0.4)
            is_large = random.random() < 0.25
            spot = spot.moved(0.0, 1.4 * is_large)
            if plots.claim(spot.position_m, (0.4, 2.4 if is_large else 0.8), spot.yaw_rad, 0.0):
                yield (furniture.direction_board if is_large else furniture.traffic_sign)(spot, random)
    for side in (1, -1):
        spacing = random.choice((7.0, 11.0, 16.0))
        if random.random() < 0.5:
            for distance in np.arange(clear[0] + random.uniform(0, 8), clear[1], spacing):
                yield from _planted(_beside(street, distance + random.uniform(-1, 1), side, 1.9), plots, random)


def _backyards(ground: GroundMap, plots: Plots, random: np.random.Generator) -> Iterator[Part]:
    """Buildings and trees away from the streets, where there is room; they can be seen between the first rows."""
    for _ in range(int(ground.size_m.prod() / BACKYARD_M2)):
        spot = Spot(ground.south_west_m + random.uniform(0, 1, size=2) * ground.size_m, random.uniform(0, np.pi))
        if random.random() < 0.5:
            if ground.at(spot.position_m[None])[0] > KERB_REACH_M:
                yield from _planted(spot, plots, random)
            continue
        width, depth, height = random.uniform(6, 18), random.uniform(5, 12), random.uniform(2.5, 14)
        if plots.claim(spot.position_m, (width + 3, depth + 3), spot.yaw_rad, KERB_REACH_M):
            yield furniture.building(spot, (width, depth, height), random.random() < 0.5, random)


def _parked_cars(street: Street, random: np.random.Generator) -> Iterator[Mesh]:
    """Parked cars along both kerbs, heading with the traffic; each day other slots are used."""
    if not street.has_parking:
        return
    for side in (1, -1):
        share = random.uniform(0.1, 0.8)
        for distance in np.arange(JUNCTION_CLEAR_M, street.length_m - JUNCTION_CLEAR_M, 6.2):
            if random.random() < share:
                spot = _beside(street, distance + random.uniform(-0.5, 0.5), side, -1.1)
                yield furniture.car(spot.turned(np.pi + random.uniform(-0.03, 0.03)), random)
