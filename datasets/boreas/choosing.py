"""A run on the disk: which sweeps become frames, with which images, at which poses."""

import os
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from datasets.boreas.calibration import Calibration, read_calibration
from datasets.boreas.layout import CALIBRATION, CAMERA, LIDAR, POSES, SUFFIX, file_of, name_of
from datasets.boreas.poses import Poses, read_poses
from datasets.boreas.sweeps import HALF_SWEEP_NS
from datasets.errors import CrossplaceError
from datasets.interpolation import interpolate_poses, is_covered, nearest_in
from datasets.places import heading_difference_rad
from datasets.transforms import angle_rad

LONGEST_GAP_NS = 10**9
"""The longest gap between two poses across which poses are interpolated; published ones are at most 0.15 s apart."""
MOST_ERROR_RAD = np.radians(20)
"""By this much the vehicle may lean, or look past its direction of travel; on real tables it is less than 1°."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How frames are chosen."""

    image_within_ms: float = 50.0
    """Sweeps whose nearest image is further away in time are dropped."""
    camera_late_ms: float = 0.0
    """Milliseconds to add to an image's time before its pose is looked up."""
    spacing_m: float = 5.0
    correct_motion: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The sweeps that become frames, in order of time, with the image and the pose of the body of each."""

    lidar_us: Int[ndarray, " n"]
    camera_us: Int[ndarray, " n"]
    world_from_body: Float[ndarray, "n 4 4"]
    """At the moment of the image. It is the camera's own pose that says where the body is."""
    counts: Counter[str]


@dataclass(frozen=True)
class Recording:
    """The folder of a run. Everything that reads a file raises CrossplaceError naming the file and the fault."""

    folder: Path

    @property
    def name(self) -> str:
        """The name of the run."""
        return name_of(self.folder.name)

    @cached_property
    def lidar(self) -> Poses:
        """The poses of the LiDAR, one a sweep."""
        return read_poses(self.folder / POSES[LIDAR])

    @cached_property
    def camera(self) -> Poses:
        """The poses of the camera, one an image."""
        return read_poses(self.folder / POSES[CAMERA])

    @cached_property
    def calibration(self) -> Calibration:
        """The calibration of the run."""
        return read_calibration(self.folder)

    @cached_property
    def images_us(self) -> Int[ndarray, " n"]:
        """Times of the images that are there, in microseconds, ascending."""
        return _stamps(self.folder / CAMERA, SUFFIX[CAMERA])

    @cached_property
    def sweeps_us(self) -> Int[ndarray, " n"]:
        """Times of the sweeps that are there, in microseconds, ascending."""
        return _stamps(self.folder / LIDAR, SUFFIX[LIDAR])

    def image(self, time_us: int) -> Path:
        """The file of the image of this time."""
        return self.folder / file_of(CAMERA, time_us)

    def sweep(self, time_us: int) -> Path:
        """The file of the sweep of this time."""
        return self.folder / file_of(LIDAR, time_us)

    def texts(self) -> list[Path]:
        """The small files that are read."""
        return [self.folder / name for name in (*POSES.values(), *CALIBRATION)]

    def world_from_body(self, camera_us: Int[ndarray, " n"], camera_late_ms: float) -> Float[ndarray, "n 4 4"]:
        """The body's poses at images of these times, which the camera's poses must cover."""
        at_ns = camera_us * 1000 + round(camera_late_ms * 1e6)
        found = interpolate_poses(self.camera.time_ns, self.camera.world_from_sensor, at_ns)
        return found @ self.calibration.camera_from_body


def choose(recording: Recording, rules: Rules, *, listed: bool = False) -> Chosen:
    """Frames of what is there, or, if ``listed``, of all that the pose tables name: what there is to fetch.

    A frame is a sweep with the image that is nearest in time. The first is kept, then each one that is at least
    ``spacing_m`` from the last kept one, as the crow flies. What was fetched by this rule is therefore kept by it.
    """
    lidar, camera = recording.lidar, recording.camera
    sweeps = lidar.time_us if listed else np.intersect1d(recording.sweeps_us, lidar.time_us)
    images = camera.time_us if listed else np.intersect1d(recording.images_us, camera.time_us)
    nearest, apart_us = nearest_in(images, sweeps)
    has_image = apart_us <= rules.image_within_ms * 1000
    paired = images[nearest[has_image]]
    sweeps, n_sweeps = sweeps[has_image], len(sweeps)
    margin_ns = HALF_SWEEP_NS if rules.correct_motion else 0
    known = is_covered(camera.time_ns, paired * 1000 + round(rules.camera_late_ms * 1e6), LONGEST_GAP_NS)
    for side in (-margin_ns, margin_ns):
        known &= is_covered(lidar.time_ns, sweeps * 1000 + side, LONGEST_GAP_NS)
    sweeps, paired = sweeps[known], paired[known]
    world_from_body = recording.world_from_body(paired, rules.camera_late_ms)
    rows = spaced(world_from_body[:, :2, 3], rules.spacing_m)
    counts = Counter(
        dropped_no_pose=0 if listed else len(np.setdiff1d(recording.sweeps_us, lidar.time_us)),
        dropped_no_image=n_sweeps - int(has_image.sum()),
        dropped_outside_poses=int((~known).sum()),
        thinned=len(sweeps) - len(rows),
    )
    return Chosen(lidar_us=sweeps[rows], camera_us=paired[rows], world_from_body=world_from_body[rows], counts=counts)


def spaced(plane_m: Float[ndarray, "n 2"], spacing_m: float) -> Int[ndarray, " k"]:
    """The first row, then each row that is at least ``spacing_m`` in the plane from the last one taken."""
    rows, last_m = [], (np.inf, np.inf)
    for row, (east_m, north_m) in enumerate(plane_m.tolist()):
        if np.hypot(east_m - last_m[0], north_m - last_m[1]) >= spacing_m:
            rows.append(row)
            last_m = (east_m, north_m)
    return np.array(rows, dtype=np.int64)


def heading_error_rad(world_from_body: Float[ndarray, "n 4 4"]) -> float:
    """Median angle between the body's x axis and the direction of travel; 0 for a vehicle that hardly moves."""
    rows = spaced(world_from_body[:, :2, 3], 1.0)
    if len(rows) < 2:
        return 0.0
    poses = world_from_body[rows]
    east, north = np.diff(poses[:, :2, 3], axis=0).T
    heading = angle_rad(poses[:-1, 1, 0], poses[:-1, 0, 0])
    return float(np.median(heading_difference_rad(heading, angle_rad(north, east))))


def check_stance(recording: Recording) -> None:
    """Raise :class:`CrossplaceError` if by camera or LiDAR the vehicle does not stand upright, or drives aside."""
    lidar = recording.lidar.world_from_sensor @ np.linalg.inv(recording.calibration.body_from_lidar)
    camera = recording.camera.world_from_sensor @ recording.calibration.camera_from_body
    for sensor, poses in ((LIDAR, lidar), (CAMERA, camera)):
        leaning_rad = float(np.arccos(np.clip(np.median(poses[:, 2, 2]), -1, 1)))
        for error_rad, what in (
            (leaning_rad, "the vehicle's up is {:.0f}° off that of the world"),
            (heading_error_rad(poses), "the vehicle's forward is {:.0f}° off its direction of travel"),
        ):
            if error_rad > MOST_ERROR_RAD:
                raise CrossplaceError(
                    f"{recording.folder / POSES[sensor]}: with the calibration, {what.format(np.degrees(error_rad))} "
                    "(median); fetch the poses and the folder calib of this run again"
                )


def _stamps(folder: Path, suffix: str) -> Int[ndarray, " n"]:
    """Times of the files in ``folder``; files whose names are no numbers are no sensor data."""
    if not folder.is_dir():
        return np.empty(0, dtype=np.int64)
    with os.scandir(folder) as entries:
        stems = [entry.name.removesuffix(suffix) for entry in entries if entry.name.endswith(suffix)]
    return np.sort(np.array([int(stem) for stem in stems if stem.isascii() and stem.isdecimal()], dtype=np.int64))
