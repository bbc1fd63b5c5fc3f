"""Laser range sensors: the pulses they fire, which pulses come back, and how well the range of each is known."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from datasets.base import Lidar
from datasets.town.casting import Echoes, cast_from
from datasets.town.scene import Scene

HEIGHT_M = 1.9
"""Height of the vehicle's LiDAR above the ground."""
REFERENCE_REFLECTIVITY = 0.1
"""Reflectivity of the target for which data sheets state ranges: it returns a tenth of the light."""
WET_SHARE = 0.2
"""Share of the power that returns from a wet surface that faces up; the film of water mirrors the rest away."""
SNOW = 0.8
"""Reflectivity of snow on surfaces that face up."""
FACES_UP = 0.7
"""Least vertical part of the unit normal of a surface that water and snow stay on."""


@dataclass(frozen=True, kw_only=True)
class RangeSensor:
    """A bundle of pulses fired from one spot; subclasses define their ``directions``.

    A pulse comes back with probability ``1 - 2 ** -p``. Here ``p`` is the received power, reflectivity · cos(incidence)
    / range². Its unit is the power from a target of 10 % reflectivity, met head-on at ``half_return_m``.
    """

    max_range_m: float
    range_noise_m: float = 0.02
    """Standard deviation of a measured range."""
    half_return_m: float = 50.0
    lidar_from_sensor: Float[ndarray, "4 4"] = field(default_factory=lambda: np.eye(4), hash=False, compare=False)
    """Pose of the sensor relative to the vehicle's LiDAR."""

    @cached_property
    def directions(self) -> Float[ndarray, "n 3"]:
        """Unit vectors in the sensor's axes, float32, in firing order."""
        raise NotImplementedError

    def scan(
        self,
        scene: Scene,
        world_from_sensor: Float[ndarray, "4 4"],
        random: np.random.Generator | None = None,
        *,
        wet: float = 0.0,
        snow: float = 0.0,
    ) -> Float[ndarray, "n 4"]:
        """Points in the sensor's axes in metres, and their intensity; float32, in firing order.

        Intensity is reflectivity times cos(incidence), in [0, 1]: the received power without its fall-off over range.
        Without ``random`` the sensor is ideal: every surface in range returns, at its true range. ``wet`` and ``snow``
        are shares from 0 to 1.
        """
        echoes = cast_from(scene, world_from_sensor, self.directions)
        power = _power(echoes, wet, snow)
        distance = echoes.distance_m
        returned = distance <= self.max_range_m
        if random is not None:
            returned &= random.random(len(distance), dtype=np.float32) < self._chance_of_return(distance, power)
            noise = random.standard_normal(len(distance), dtype=np.float32)
            distance = distance + np.float32(self.range_noise_m) * noise
        points = distance[returned, None] * self.directions[returned]
        return np.column_stack([points, np.minimum(power[returned], 1)])

    def _chance_of_return(self, distance_m: Float[ndarray, " n"], power: Float[ndarray, " n"]) -> Float[ndarray, " n"]:
        relative = np.float32(self.half_return_m) / np.maximum(distance_m, np.float32(0.1))
        return 1 - np.exp2(-(power / np.float32(REFERENCE_REFLECTIVITY)) * relative**2)


def _power(echoes: Echoes, wet: float, snow: float) -> Float[ndarray, " n"]:
    """The received power without its fall-off over range; above 1 for retroreflectors."""
    faces_up = echoes.normal[:, 2] > FACES_UP
    snowy = np.float32(snow) * faces_up
    kept = 1 - np.float32(wet * (1 - WET_SHARE)) * faces_up
    return kept * ((1 - snowy) * echoes.reflectivity + snowy * np.float32(SNOW)) * echoes.cos_incidence


def evenly(lowest_deg: float, highest_deg: float, beams: int) -> tuple[float, ...]:
    """Elevations of evenly spaced beams, including both ends."""
    return tuple(np.linspace(lowest_deg, highest_deg, beams).tolist())


@dataclass(frozen=True, kw_only=True)
class SpinningLidar(RangeSensor):
    """Beams at fixed elevations, fired at evenly spaced azimuths at one instant. Axes: x forward, y left, z up."""

    elevations_deg: tuple[float, ...]
    """Elevation of each beam in degrees above the horizon, from the lowest to the highest."""
    azimuths: int
    """Number of firings in a revolution."""

    def block(self) -> Lidar:
        """The description of the sensor in the prepared form."""
        return Lidar(
            beams=len(self.elevations_deg),
            vertical_fov_deg=(self.elevations_deg[0], self.elevations_deg[-1]),
            max_range_m=self.max_range_m,
            form="scan",
        )

    @cached_property
    def directions(self) -> Float[ndarray, "n 3"]:
        """Unit vectors in the LiDAR's axes, azimuth by azimuth, each from the lowest beam to the highest."""
        azimuth = 2 * np.pi * np.arange(self.azimuths) / self.azimuths
        a, e = (grid.ravel() for grid in np.meshgrid(azimuth, np.deg2rad(self.elevations_deg), indexing="ij"))
        return np.stack([np.cos(a) * np.cos(e), np.sin(a) * np.cos(e), np.sin(e)], axis=1).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class PushBroom(RangeSensor):
    """A 2-D scanner whose sweeps the vehicle's motion pushes over the surroundings.

    A sweep runs in the plane of x and y, from negative to positive angles; x is its middle.
    """

    fov_deg: float
    step_deg: float
    sweeps_per_s: float

    @cached_property
    def directions(self) -> Float[ndarray, "n 3"]:
        """Unit vectors in the scanner's axes, along a sweep."""
        angle = np.deg2rad(np.linspace(-0.5, 0.5, round(self.fov_deg / self.step_deg) + 1) * self.fov_deg)
        return np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)], axis=1).astype(np.float32)


VLP_32C_DEG = (
    -25.0, -15.639, -11.31, -8.843, -7.254, -6.148, -5.333, -4.667, -4.0, -3.667, -3.333, -3.0, -2.667, -2.333,
    -2.0, -1.667, -1.333, -1.0, -0.667, -0.333, 0.0, 0.333, 0.667, 1.0, 1.333, 1.667, 2.333, 3.333, 4.667, 7.0,
    10.333, 15.0,
)  # fmt: skip

LIDARS = {
    # The sensor of the town alone: it is coarse in azimuth so that scans of x, y, z, intensity stay small.
    "town-32": SpinningLidar(elevations_deg=evenly(-22.5, 22.5, 32), azimuths=300, max_range_m=80.0),
    # As published (HDL-64E data sheet): +2° to -24.8°, a third of a degree apart above -8.5°, half a degree below.
    "hdl-64": SpinningLidar(
        elevations_deg=(*evenly(-24.8, -8.83, 32), *evenly(-8.33, 2.0, 32)), azimuths=2083, max_range_m=120.0
    ),
    # Ouster OS1-64 (45° version), mode of 512 columns. Deviation: one instant, without the offsets between columns.
    "os1-64": SpinningLidar(elevations_deg=evenly(-22.5, 22.5, 64), azimuths=512, max_range_m=120.0),
    # As published (VLP-32C user manual, beam elevations), 10 Hz. Deviation: without the azimuth offsets between beams.
    "vlp-32": SpinningLidar(
        elevations_deg=VLP_32C_DEG, azimuths=1800, max_range_m=200.0, range_noise_m=0.03, half_return_m=80.0
    ),
}
"""Spinning sensors by name."""


def _on_front_bumper() -> Float[ndarray, "4 4"]:
    """A sweep across the driving direction; its middle points down and 6.5° forward, as Oxford's ``lms_front``."""
    from scipy.spatial.transform import Rotation  # here: a plan needs none of it

    mount = np.eye(4)
    mount[:3, :3] = Rotation.from_euler("y", 83.5, degrees=True).as_matrix()
    mount[:3, 3] = (1.8, 0.0, 0.5 - HEIGHT_M)
    return mount


LMS_FRONT = PushBroom(
    fov_deg=270.0,
    step_deg=0.5,
    sweeps_per_s=50.0,
    max_range_m=50.0,
    range_noise_m=0.012,
    half_return_m=18.0,
    lidar_from_sensor=_on_front_bumper(),
)
"""A SICK LMS-151 as on Oxford RobotCar: 541 rays over 270° at 50 Hz, on the front bumper; range 18 m at 10 %."""
