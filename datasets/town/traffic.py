"""Moving cars: laps around blocks, in both directions, timed so that two vehicles are never in the same place."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from datasets.town import furniture
from datasets.town.circuit import Way
from datasets.town.furniture import Spot
from datasets.town.materials import panels
from datasets.town.route import Route, loop_along
from datasets.town.scene import Hits, Mesh, Scene
from datasets.town.solids import normals, placed
from datasets.town.streets import StreetGraph

HEADWAY_S = 8.0
"""Least time between two cars on one loop."""
CRUISE_M_S = (6.5, 9.0)
OWN_SPACE_M = (5.0, 2.2)
"""Space around the middle of the vehicle that carries the sensors: ahead or behind, and to either side. No point of
another car's middle line comes into this space."""
HALF_LENGTH_M = 2.4
"""Half the length of the longest car."""
CHECK_S = 0.1
REACH_M = 130.0
"""Distance from the vehicle beyond which cars are left out of its scene."""
GROUND_SLACK_M = np.float32(1e-3)
"""Slack by which the ground of the standing scene wins against that of the moving scene, whatever the rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MovingCar:
    """A car that drives laps."""

    mesh: Mesh
    """The car around the origin, heading along x."""
    route: Route
    start_s: float
    """Time that the car has driven of its lap at time 0."""

    def pose_at(self, time_s: Float[ndarray, " m"]) -> tuple[Float[ndarray, "m 2"], Float[ndarray, " m"]]:
        """East and north of the car's middle, and its yaw."""
        return self.route.pose_at(self.route.distance_at(time_s + self.start_s))


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """All moving cars during one drive, as a function of the drive's time."""

    cars: tuple[MovingCar, ...]

    def mesh_at(self, time_s: float, around_m: Float[ndarray, "2"]) -> Mesh | None:
        """The cars that are within ``REACH_M`` of a spot at ``time_s``, as one mesh; None if there is no such car."""
        near, triangles = [], []
        for car in self.cars:
            (position,), (yaw,) = car.pose_at(np.array([time_s]))
            if np.hypot(*(position - around_m)) <= REACH_M:
                near.append(car.mesh)
                triangles.append(placed(car.mesh.triangles_m, (*position.tolist(), 0.0), float(yaw)))
        if not near:
            return None
        mesh = replace(Mesh.joined(near), triangles_m=np.concatenate(triangles))
        mesh.looks()["panel"] = panels(mesh.triangles_m, normals(mesh.triangles_m))
        return mesh


def plan_traffic(graph: StreetGraph, ego: Route, random: np.random.Generator) -> Traffic:
    """The traffic during one lap of ``ego``.

    Cars drive on loops that have no junction in common. On a loop they are evenly spaced in time, so that two cars
    cannot meet; the two directions of a loop run side by side. Slots that would come into the own space of ``ego`` stay
    empty.
    """
    time = np.arange(0.0, ego.lap_s, CHECK_S)
    ego_pose = ego.pose_at(ego.distance_at(time))
    cars = []
    for loop in _separate_loops(graph, random):
        for ways in (loop, tuple((street, not forward) for street, forward in reversed(loop))):
            route = loop_along(graph, ways, random.uniform(*CRUISE_M_S))
            slots = int(route.lap_s // HEADWAY_S)
            first, share = random.uniform(0, route.lap_s), random.uniform(0.4, 0.9)
            for slot in range(slots):
                start = first + slot * route.lap_s / slots
                mesh = furniture.car(Spot(np.zeros(2), 0.0), random, is_lit=True)
                car = MovingCar(mesh=mesh, route=route, start_s=start)
                if random.random() < share and not intrudes(car, time, *ego_pose).any():
                    cars.append(car)
    return Traffic(cars=tuple(cars))


def intrudes(
    car: MovingCar, time_s: Float[ndarray, " m"], ego_m: Float[ndarray, "m 2"], ego_yaw_rad: Float[ndarray, " m"]
) -> Bool[ndarray, " m"]:
    """At which times the car reaches into the space of a vehicle with the poses ``ego_m`` and ``ego_yaw_rad``."""
    position, yaw = car.pose_at(time_s)
    offset, turned = position - ego_m, np.stack([np.cos(yaw), np.sin(yaw)], axis=1)
    cos, sin = np.cos(ego_yaw_rad), np.sin(ego_yaw_rad)
    inside = np.zeros(len(time_s), dtype=bool)
    for along in (-HALF_LENGTH_M, 0.0, HALF_LENGTH_M):
        x, y = (offset + along * turned).T
        ahead, left = cos * x + sin * y, cos * y - sin * x
        inside |= (np.abs(ahead) < OWN_SPACE_M[0]) & (np.abs(left) < OWN_SPACE_M[1])
    return inside


def _separate_loops(graph: StreetGraph, random: np.random.Generator) -> Iterator[tuple[Way, ...]]:
    """Closed loops of ways that have no junction in common, found street by street in random order."""
    free = {junction for street in graph.streets for junction in street.ends}
    for street in random.permutation(len(graph.streets)).tolist():
        loop = _shortest_loop(graph, street, free)
        if loop:
            yield loop
            free -= {graph.streets[way].ends[0] for way, _ in loop} | {graph.streets[way].ends[1] for way, _ in loop}


def _shortest_loop(graph: StreetGraph, street: int, free: set[int]) -> tuple[Way, ...] | None:
    """The loop of fewest ways that begins with ``street`` and passes only ``free`` junctions, each of them once."""
    goal, start = graph.streets[street].ends
    if not {goal, start} <= free:
        return None
    paths: dict[int, tuple[Way, ...]] = {start: ((street, True),)}
    frontier = [start]
    for junction in frontier:  # the list grows while it is read, which makes the search breadth-first
        for number, other in enumerate(graph.streets):
            if number == street or junction not in other.ends:
                continue
            forward = other.ends[0] == junction
            following = other.ends[int(forward)]
            if following in free and following not in paths:
                paths[following] = (*paths[junction], (number, forward))
                frontier.append(following)
    return paths.get(goal)


class SceneWithTraffic(Scene):
    """A standing scene and a small scene of moving cars: rays are cast into both, and the nearer surface counts.

    Rows of surfaces, and numbers of faces, are those of the standing scene, followed by those of the moving scene.
    Everything else is that of the standing scene.
    """

    def __init__(self, standing: Scene, moving: Mesh) -> None:
        """Build the moving scene, which takes a millisecond for a handful of cars."""
        vars(self).update(vars(standing))
        self._standing, self._moving = standing, Scene(moving, standing.ground)
        self._first = len(standing.albedo)  # all faces of the standing scene have lower numbers
        for rows in ("albedo", "normal", "look", "reflectivity"):
            setattr(self, rows, np.concatenate([getattr(standing, rows), getattr(self._moving, rows)]))

    def cast(self, origins_m: Float[ndarray, "n 3"] | Float[ndarray, "3"], directions: Float[ndarray, "n 3"]) -> Hits:
        """The first surface that each ray meets."""
        standing, moving = (scene.cast(origins_m, directions) for scene in (self._standing, self._moving))
        nearer = moving.distance_m < standing.distance_m - GROUND_SLACK_M
        return Hits(
            distance_m=np.where(nearer, moving.distance_m, standing.distance_m),
            face=np.where(nearer, moving.face + self._first, standing.face),
        )

    def surface(
        self, hits: Hits, origin_m: Float[ndarray, "3"], directions: Float[ndarray, "n 3"]
    ) -> Int[ndarray, " n"]:
        """Row of the surface that each ray from ``origin_m`` hit; every ray must have hit a surface."""
        surface = np.empty_like(hits.face)
        for scene, first, rows in (
            (self._standing, 0, np.flatnonzero(hits.face < self._first)),
            (self._moving, self._first, np.flatnonzero(hits.face >= self._first)),
        ):
            part = Hits(distance_m=hits.distance_m[rows], face=hits.face[rows] - first)
            surface[rows] = scene.surface(part, origin_m, directions[rows]) + first
        return surface
