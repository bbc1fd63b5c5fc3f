"""One drive through a district: at any time, the vehicle's pose, its surroundings, and what its sensors see.

Writers of other formats need nothing else. ``drive.pose_at(times)`` places the vehicle. ``drive.cast(time, rays)``
answers for any bundle of rays, and ``drive.scan(sensor, time)`` for a laser sensor. A camera takes an image of
``drive.scene_at(time)``.
"""

from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from datasets.town.camera import PinholeCamera, forward_camera
from datasets.town.casting import Echoes, cast_from
from datasets.town.district import District, build_district
from datasets.town.lidar import HEIGHT_M, LIDARS, RangeSensor, SpinningLidar
from datasets.town.light import LIGHTS
from datasets.town.route import Route, drive_through
from datasets.town.scene import Scene
from datasets.town.seeding import generator_for
from datasets.town.streets import DistrictPlan, StreetGraph, lay_streets
from datasets.town.traffic import SceneWithTraffic, Traffic, plan_traffic

CAMERA_FOV_DEG = 78.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Drive:
    """One traversal: a lap through a district on one day, under one light. Times are seconds since the start."""

    plan: DistrictPlan
    light: str
    occasion: int = 1
    """Number of the drive among those under the same light; parked cars, traffic, lane offsets and speed differ."""
    spacing_m: float
    """Path length between frames."""
    seed: int
    image_size: tuple[int, int] = (160, 120)
    """Width and height of images."""
    lidar: SpinningLidar = LIDARS["town-32"]

    @property
    def day(self) -> str:
        """The name of the light, with a number from the second drive under it on."""
        return self.light if self.occasion == 1 else f"{self.light}-{self.occasion}"

    @property
    def name(self) -> str:
        """The name of the traversal."""
        return f"{self.plan.name}-{self.day}"

    @property
    def camera(self) -> PinholeCamera:
        """The vehicle's camera."""
        return _camera(self.image_size)

    def frame_times_s(self) -> Float[ndarray, " n"]:
        """The times at which frames are taken, every ``spacing_m`` of path."""
        route = route_of(self)
        return route.time_at(np.arange(0.0, route.length_m, self.spacing_m))

    def pose_at(self, time_s: Float[ndarray, " n"]) -> Float[ndarray, "n 4 4"]:
        """``world_from_lidar`` at any times; the poses are continuous and repeat after a lap."""
        route = route_of(self)
        return world_from_lidar(*route.pose_at(route.distance_at(time_s)))

    def scene_at(self, time_s: float) -> Scene:
        """Everything that stands or moves around the vehicle at a time within its lap."""
        return _scene_at(self, time_s)

    def cast(
        self, time_s: float, directions: Float[ndarray, "n 3"], lidar_from_sensor: Float[ndarray, "4 4"] | None = None
    ) -> Echoes:
        """The surfaces, including moving cars, that rays meet which leave a sensor at one time.

        ``directions`` are unit vectors in the axes of the sensor. Without ``lidar_from_sensor``, the sensor is the
        vehicle's LiDAR.
        """
        return cast_from(self.scene_at(time_s), self._world_from(lidar_from_sensor, time_s), directions)

    def scan(self, sensor: RangeSensor, time_s: float, *, is_ideal: bool = False) -> Float[ndarray, "n 4"]:
        """Points and intensity in the sensor's axes: one revolution or sweep, taken at one instant.

        Noise and dropout depend only on the drive, the kind of sensor and the time; ``is_ideal`` leaves both out.
        """
        purpose = (type(sensor).__name__, len(sensor.directions), round(time_s * 1e9))
        random = None if is_ideal else generator_for(self.seed, self.name, *purpose)
        pose = self._world_from(sensor.lidar_from_sensor, time_s)
        light = LIGHTS[self.light]
        return sensor.scan(self.scene_at(time_s), pose, random, wet=light.wet, snow=light.snow)

    def _world_from(self, lidar_from_sensor: Float[ndarray, "4 4"] | None, time_s: float) -> Float[ndarray, "4 4"]:
        (pose,) = self.pose_at(np.array([time_s]))
        return pose if lidar_from_sensor is None else pose @ lidar_from_sensor


@cache
def route_of(drive: Drive) -> Route:
    """The path of ``drive``."""
    return drive_through(_graph(drive.plan, drive.seed), generator_for(drive.seed, drive.name, "drive"))


@lru_cache(maxsize=1)
def scene_of(drive: Drive) -> Scene:
    """The streets of ``drive`` as they are on its day, without traffic."""
    return _district(drive.plan, drive.seed).on_day(drive.seed, drive.day, drive.light)


@lru_cache(maxsize=2)
def traffic_of(drive: Drive) -> Traffic:
    """The cars that move during ``drive``."""
    random = generator_for(drive.seed, drive.name, "traffic")
    return plan_traffic(_graph(drive.plan, drive.seed), route_of(drive), random)


@lru_cache(maxsize=1)
def _scene_at(drive: Drive, time_s: float) -> Scene:
    around = drive.pose_at(np.array([time_s]))[0, :2, 3]
    moving = traffic_of(drive).mesh_at(time_s, around)
    return SceneWithTraffic(scene_of(drive), moving) if moving else scene_of(drive)


@cache
def _camera(size: tuple[int, int]) -> PinholeCamera:
    return forward_camera(*size, horizontal_fov_deg=CAMERA_FOV_DEG)


@cache
def _graph(plan: DistrictPlan, seed: int) -> StreetGraph:
    return lay_streets(plan, generator_for(seed, plan.name, "streets"))


@lru_cache(maxsize=1)
def _district(plan: DistrictPlan, seed: int) -> District:
    return build_district(plan.name, _graph(plan, seed), seed)


def world_from_lidar(position_m: Float[ndarray, "n 2"], yaw_rad: Float[ndarray, " n"]) -> Float[ndarray, "n 4 4"]:
    """Poses of the LiDAR of a vehicle on flat ground, from its positions and headings."""
    poses = np.tile(np.eye(4), (len(yaw_rad), 1, 1))
    cos, sin = np.cos(yaw_rad), np.sin(yaw_rad)
    poses[:, :2, :2] = np.moveaxis(np.array([[cos, -sin], [sin, cos]]), 2, 0)
    poses[:, :2, 3] = position_m
    poses[:, 2, 3] = HEIGHT_M
    return poses
