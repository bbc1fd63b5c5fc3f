"""One drive through a district: its streets on that day, where the vehicle is, and the files that its sensors write."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, lru_cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from PIL import Image

from datasets.town.camera import forward_camera
from datasets.town.district import District, build_district
from datasets.town.lidar import HEIGHT_M, SpinningLidar
from datasets.town.light import LIGHTS
from datasets.town.route import Route, drive_through
from datasets.town.scene import Scene
from datasets.town.seeding import generator_for
from datasets.town.streets import DistrictPlan, StreetGraph, lay_streets

CAMERA = forward_camera(width=160, height=120, horizontal_fov_deg=78.0)
LIDAR = SpinningLidar()
FRAMES_PER_JOB = 80
JPEG_QUALITY = 92
"""A fifth of a PNG's size at a thirtieth of its encoding time (measured)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drive:
    """One traversal: a lap through a district under one light."""

    plan: DistrictPlan
    light: str
    spacing_m: float
    """Path length between frames."""
    seed: int

    @property
    def name(self) -> str:
        """The traversal's name."""
        return f"{self.plan.name}-{self.light}"

    def distances_m(self) -> Float[ndarray, " n"]:
        """Path length driven at each frame."""
        return np.arange(0.0, route_of(self).length_m, self.spacing_m)

    def image_path(self, number: int) -> str:
        """Where the image of a frame lies in the prepared folder."""
        return f"images/{self.name}/{number:04d}.jpg"

    def cloud_path(self, number: int) -> str:
        """Where the cloud of a frame lies in the prepared folder."""
        return f"clouds/{self.name}/{number:04d}.npy"


@cache
def route_of(drive: Drive) -> Route:
    """The path of a drive."""
    return drive_through(_graph(drive.plan, drive.seed), generator_for(drive.seed, drive.name, "drive"))


@lru_cache(maxsize=1)
def scene_of(drive: Drive) -> Scene:
    """The streets of a drive as they are on its day."""
    return _district(drive.plan, drive.seed).on_day(drive.seed, drive.light)


@cache
def _graph(plan: DistrictPlan, seed: int) -> StreetGraph:
    return lay_streets(plan, generator_for(seed, plan.name, "streets"))


@lru_cache(maxsize=1)
def _district(plan: DistrictPlan, seed: int) -> District:
    return build_district(plan.name, _graph(plan, seed), seed)


def world_from_lidar(position_m: Float[ndarray, "n 2"], yaw_rad: Float[ndarray, " n"]) -> Float[ndarray, "n 4 4"]:
    """LiDAR poses of a vehicle on flat ground."""
    poses = np.tile(np.eye(4), (len(yaw_rad), 1, 1))
    cos, sin = np.cos(yaw_rad), np.sin(yaw_rad)
    poses[:, :2, :2] = np.moveaxis(np.array([[cos, -sin], [sin, cos]]), 2, 0)
    poses[:, :2, 3] = position_m
    poses[:, 2, 3] = HEIGHT_M
    return poses


def write_drives(drives: Sequence[Drive], folder: Path, workers: int) -> Iterator[int]:
    """Write all images and clouds below ``folder``; yields how many more frames are written.

    The files do not depend on ``workers``: every random number is drawn from a generator of its frame or drive.
    """
    for drive in drives:
        for path in (drive.image_path(0), drive.cloud_path(0)):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
    jobs = [
        (drive, numbers[start : start + FRAMES_PER_JOB], folder)
        for drive in drives
        for numbers in [range(len(drive.distances_m()))]
        for start in numbers[::FRAMES_PER_JOB]
    ]
    if workers == 1:
        yield from map(_write_frames, jobs)
        return
    # Forked children of a process that has started threads (torch) can hang; fresh ones cannot.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_write_frames, jobs)


def _write_frames(job: tuple[Drive, range, Path]) -> int:
    drive, numbers, folder = job
    scene, light = scene_of(drive), LIGHTS[drive.light]
    poses = world_from_lidar(*route_of(drive).pose_at(drive.distances_m()[list(numbers)]))
    for number, pose in zip(numbers, poses, strict=True):
        noise = generator_for(drive.seed, drive.name, "sensor noise", number)
        pixels = CAMERA.image(scene, pose, light, noise)
        Image.fromarray(pixels).save(folder / drive.image_path(number), quality=JPEG_QUALITY)
        np.save(folder / drive.cloud_path(number), LIDAR.scan(scene, pose))
    return len(numbers)
