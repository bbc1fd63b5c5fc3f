"""The path of a vehicle as a function of path length and of time: closed loops of streets, driven on the right."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from datasets.town.circuit import Way
from datasets.town.streets import StreetGraph
from datasets.transforms import angle_rad

LANE_OFFSET_M = 1.7
"""Distance from the centreline to the middle of the right-hand lane."""
TURN_M = 9.0
"""Distance from a junction at which a turn begins, and also that at which it ends."""
STEP_M = 0.25
"""Distance between stored points of a route; poses between two points are interpolated."""
CRUISE_M_S = 9.0
SLOWEST_M_S = 2.5
SIDEWAYS_M_S2 = 2.2
"""Largest acceleration towards the inside of a turn; turns at junctions are driven at about 4 m/s."""
ALONG_M_S2 = 1.5
"""Largest acceleration along the path, and largest braking."""
ANTICIPATED_M = 6.0
"""Length of path over which curvature is averaged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A closed path with a heading, continuous in path length and in time."""

    distance_m: Float[ndarray, " n"]
    """Path length at each stored point, from 0 to the length of a lap; the last point is the first point again."""
    position_m: Float[ndarray, "n 2"]
    yaw_rad: Float[ndarray, " n"]
    """Headings at the stored points, unwrapped."""
    time_s: Float[ndarray, " n"]
    """Times at which the stored points are reached, strictly rising from 0."""

    @property
    def length_m(self) -> float:
        """Length of one lap."""
        return float(self.distance_m[-1])

    @property
    def lap_s(self) -> float:
        """Duration of one lap."""
        return float(self.time_s[-1])

    def time_at(self, distance_m: Float[ndarray, " m"]) -> Float[ndarray, " m"]:
        """Time in seconds at which ``distance_m`` of path have been driven; both go on over further laps."""
        laps, rest = np.divmod(distance_m, self.length_m)
        return laps * self.lap_s + np.interp(rest, self.distance_m, self.time_s)

    def distance_at(self, time_s: Float[ndarray, " m"]) -> Float[ndarray, " m"]:
        """Length of path that has been driven after ``time_s`` seconds; the inverse of ``time_at``."""
        laps, rest = np.divmod(time_s, self.lap_s)
        return laps * self.length_m + np.interp(rest, self.time_s, self.distance_m)

    def pose_at(self, distance_m: Float[ndarray, " m"]) -> tuple[Float[ndarray, "m 2"], Float[ndarray, " m"]]:
        """East and north, and yaw in (-π, π], after ``distance_m`` of path; all laps are equal."""
        lap = np.mod(distance_m, self.length_m)
        position = np.stack([np.interp(lap, self.distance_m, self.position_m[:, i]) for i in range(2)], axis=1)
        yaw = np.interp(lap, self.distance_m, self.yaw_rad)
        return position, np.arctan2(np.sin(yaw), np.cos(yaw))


def drive_through(graph: StreetGraph, random: np.random.Generator) -> Route:
    """One drive along the district's tour, with a random start; offset, heading and speed waver slowly.

    The offset from the middle of the lane stays within 0.6 m, and the heading within 3° of the path. The cruising speed
    stays within 1 m/s of ``CRUISE_M_S``.
    """
    start = int(random.integers(len(graph.circuit)))
    middle, tangent = _middle_of_lanes(graph, graph.circuit[start:] + graph.circuit[:start])
    offset = _wander(middle, random, amplitude=0.3, wavelength_m=(60.0, 200.0))
    left = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
    position, tangent = _resampled(middle + offset[:, None] * left)
    error = _wander(position, random, amplitude=np.deg2rad(1.5), wavelength_m=(20.0, 80.0))
    cruise = CRUISE_M_S + _wander(position, random, amplitude=0.5, wavelength_m=(100.0, 300.0))
    return _timed(position, tangent, error, cruise)


def loop_along(graph: StreetGraph, ways: tuple[Way, ...], cruise_m_s: float) -> Route:
    """Laps along the middle of the lanes of ``ways``, a closed loop."""
    middle, tangent = _middle_of_lanes(graph, ways)
    return _timed(middle, tangent, np.zeros(len(middle)), np.full(len(middle), cruise_m_s))


def _middle_of_lanes(graph: StreetGraph, ways: tuple[Way, ...]) -> tuple[Float[ndarray, "n 2"], Float[ndarray, "n 2"]]:
    """The closed path along the right-hand lanes of ``ways`` and the turns between ways, with unit tangents."""
    lanes = [_lane(graph, way) for way in ways]
    turns = [_turn(lane, following) for lane, following in zip(lanes, lanes[1:] + lanes[:1], strict=True)]
    return _resampled(_closed(np.concatenate([part for both in zip(lanes, turns, strict=True) for part in both])))


def _timed(
    position_m: Float[ndarray, "n 2"],
    tangent: Float[ndarray, "n 2"],
    heading_error_rad: Float[ndarray, " n"],
    cruise_m_s: Float[ndarray, " n"],
) -> Route:
    """The route along a closed path, on which a vehicle slows down for turns."""
    distance = _path_length(position_m)
    yaw = np.unwrap(angle_rad(tangent[:, 1], tangent[:, 0]))
    speed = _speed_m_s(distance, yaw, cruise_m_s)
    step_s = np.diff(distance) * 2 / (speed[1:] + speed[:-1])
    time = np.concatenate([[0.0], np.cumsum(step_s)])
    return Route(distance_m=distance, position_m=position_m, yaw_rad=yaw + heading_error_rad, time_s=time)


def _speed_m_s(
    distance_m: Float[ndarray, " n"], yaw_rad: Float[ndarray, " n"], cruise_m_s: Float[ndarray, " n"]
) -> Float[ndarray, " n"]:
    """The fastest speed along a closed path within ``cruise_m_s`` and the limits of acceleration.

    Under an acceleration ``a``, squared speed grows by ``2 a`` per metre. So the squared speeds that a slow spot allows
    around it are a cone, and the result is the lower envelope of all cones. Three laps are computed so that it closes.
    """
    from scipy.ndimage import uniform_filter1d  # here: a plan needs none of it

    step = np.diff(distance_m)
    curvature = uniform_filter1d(np.diff(yaw_rad) / step, round(ANTICIPATED_M / step.mean()), mode="wrap")
    allowed = np.sqrt(SIDEWAYS_M_S2 / np.maximum(np.abs(curvature), 1e-9))
    squared = np.tile(np.clip(allowed, SLOWEST_M_S, cruise_m_s[:-1]) ** 2, 3)
    rise = 2 * ALONG_M_S2 * np.concatenate([distance_m[:-1] + lap * distance_m[-1] for lap in range(3)])
    squared = np.minimum.accumulate(squared - rise) + rise
    squared = np.minimum.accumulate((squared + rise)[::-1])[::-1] - rise
    lap = np.sqrt(squared[len(step) : 2 * len(step)])
    return np.append(lap, lap[0])


def _lane(graph: StreetGraph, way: Way) -> Float[ndarray, "k 2"]:
    """The right-hand lane of a street between the areas of its two junctions."""
    street, forward = way
    line = graph.streets[street].centreline_m[:: 1 if forward else -1]
    middle, tangent = _resampled(line)
    right = np.stack([tangent[:, 1], -tangent[:, 0]], axis=1)
    distance = _path_length(middle)
    keep = (distance >= TURN_M) & (distance <= distance[-1] - TURN_M)
    return (middle + LANE_OFFSET_M * right)[keep]


def _turn(lane: Float[ndarray, "k 2"], following: Float[ndarray, "l 2"]) -> Float[ndarray, "t 2"]:
    """A smooth curve (cubic Bézier, tangent to both) from the end of one lane to the start of the next."""
    start, end = lane[-1], following[0]
    ahead = (lane[-1] - lane[-2]) / np.hypot(*(lane[-1] - lane[-2]))
    behind = (following[1] - following[0]) / np.hypot(*(following[1] - following[0]))
    reach = 0.39 * np.hypot(*(end - start))  # with 0.39 of the chord the curve is nearly a quarter of a circle
    t = np.linspace(0, 1, 41)[1:-1, None]
    a, b = start + reach * ahead, end - reach * behind
    return (1 - t) ** 3 * start + 3 * t * (1 - t) ** 2 * a + 3 * t**2 * (1 - t) * b + t**3 * end


def _closed(path: Float[ndarray, "n 2"]) -> Float[ndarray, "m 2"]:
    return np.concatenate([path, path[:1]])


def _path_length(path: Float[ndarray, "n 2"]) -> Float[ndarray, " n"]:
    return np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(path, axis=0).T))])


def _resampled(path: Float[ndarray, "n 2"]) -> tuple[Float[ndarray, "m 2"], Float[ndarray, "m 2"]]:
    """The path in equal steps of about ``STEP_M``, with unit tangents; a closed path stays closed."""
    distance = _path_length(path)
    steps = np.linspace(0, distance[-1], max(round(distance[-1] / STEP_M), 2) + 1)
    even = np.stack([np.interp(steps, distance, path[:, i]) for i in range(2)], axis=1)
    if np.allclose(path[0], path[-1]):
        ahead = np.roll(even[:-1], -1, axis=0) - np.roll(even[:-1], 1, axis=0)
        difference = _closed(ahead)
    else:
        difference = np.gradient(even, axis=0)
    return even, difference / np.linalg.norm(difference, axis=1, keepdims=True)


def _wander(
    path: Float[ndarray, "n 2"],
    random: np.random.Generator,
    amplitude: float,
    wavelength_m: tuple[float, float],
) -> Float[ndarray, " n"]:
    """A slowly varying quantity along a closed path: four sines whose periods divide the lap.

    The quantity stays within twice ``amplitude`` and has the unit of ``amplitude``.
    """
    distance = _path_length(path)
    laps = np.rint(distance[-1] / random.uniform(*wavelength_m, size=4)).clip(min=1)
    phase = random.uniform(0, 2 * np.pi, size=4)
    waves = np.sin(2 * np.pi * laps * distance[:, None] / distance[-1] + phase)
    return amplitude * waves.sum(1) / 2
