"""The town as the store of Boreas holds runs: pose tables, calibration, rectified images, and sweeps that take time.

Nothing here shares code with the preparer. The LiDAR turns while the vehicle drives, so that each sector of a sweep is
seen from another place, and the camera looks between two sweeps.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray
from PIL import Image

from datasets.town import Town
from datasets.town.camera import PinholeCamera
from datasets.town.drives import Drive
from datasets.town.lidar import SpinningLidar, evenly
from datasets.town.light import LIGHTS

HEADER = "GPSTime,easting,northing,altitude,vel_east,vel_north,vel_up,roll,pitch,heading,angvel_z,angvel_y,angvel_x"
TURNED_RAD = 0.8265
"""The vehicle's forward is this far to the left of the LiDAR's x axis."""
APPLANIX_FROM_VEHICLE = np.array([[0.0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
"""The Applanix unit has x to the right and y forward; the town's vehicle has x forward and y to the left."""
PIECE_S = 600.0
"""Time from the start of one piece of a run to that of the next."""
MARGIN_S = 1.0


def about_z(angle_rad: float) -> ndarray:
    """A turn about the z axis as 4×4."""
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    return np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


VEHICLE_FROM_LIDAR = about_z(-TURNED_RAD)
COARSE = SpinningLidar(elevations_deg=evenly(-25.0, 15.0, 32), azimuths=240, max_range_m=120.0)
"""Every fourth beam of the real sensor, and every seventh of its azimuths."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A part of a run: some seconds of a drive through one district, which lies somewhere on the map."""

    drive: Drive
    times_s: tuple[float, ...]
    """When frames are taken, in seconds since the start of the drive, ascending."""
    at_m: tuple[float, float] = (0.0, 0.0)
    """East and north of the town's origin."""


@dataclass(frozen=True, kw_only=True)
class RawBoreas:
    """A run, and how finely its sensors look."""

    pieces: tuple[Piece, ...]
    name: str = "2020-12-18-13-44"
    start_us: int = 1_608_317_049_000_000
    lidar: SpinningLidar = COARSE
    sectors: int = 12
    """In how many steps a sweep is taken; the beams of a sector fire at one time."""
    sweep_s: float = 0.1
    image_late_s: float = 0.03
    """Time from a sweep to the nearest image."""

    # --- truth -------------------------------------------------------------------------------------

    @property
    def camera(self) -> PinholeCamera:
        """The camera that all pieces share."""
        return self.pieces[0].drive.camera

    @property
    def camera_from_lidar(self) -> ndarray:
        """How camera and LiDAR stand to each other at one moment."""
        return self.camera.camera_from_lidar @ VEHICLE_FROM_LIDAR

    def drive_s(self, piece: int, stamps_us: Any) -> Any:
        """Seconds since the drive of a piece began."""
        return (np.asarray(stamps_us) - self.start_us) / 1e6 - PIECE_S * piece

    def world_from_vehicle(self, piece: int, stamps_us: ndarray) -> ndarray:
        """Poses on the map."""
        poses = self.pieces[piece].drive.pose_at(self.drive_s(piece, stamps_us))
        poses[:, :2, 3] += self.pieces[piece].at_m
        return poses

    def _stamps(self, piece: int, late_s: float, period_s: float) -> ndarray:
        """Times of all that a sensor takes from a little before the first frame to a little after the last."""
        times = self.pieces[piece].times_s
        first = max(times[0] - MARGIN_S, 0.0) + late_s
        ticks = np.arange(first, times[-1] + MARGIN_S, period_s)
        return self.start_us + np.rint((PIECE_S * piece + ticks) * 1e6).astype(np.int64)

    @cached_property
    def sweep_stamps_us(self) -> list[ndarray]:
        """Times of the sweeps of each piece, whether or not there is a file."""
        return [self._stamps(i, 0.0, 0.1036) for i in range(len(self.pieces))]

    @cached_property
    def image_stamps_us(self) -> list[ndarray]:
        """Times of the images of each piece, whether or not there is a file."""
        return [self._stamps(i, self.image_late_s, 0.1036) for i in range(len(self.pieces))]

    @cached_property
    def frames_us(self) -> list[tuple[int, int, int]]:
        """The piece, the time of the sweep and that of the image, for each frame."""
        frames = []
        for i, piece in enumerate(self.pieces):
            sweeps, images = self.sweep_stamps_us[i], self.image_stamps_us[i]
            for time in piece.times_s:
                sweep = sweeps[np.argmin(np.abs(self.drive_s(i, sweeps) - time))]
                image = images[np.argmin(np.abs(images - sweep))]
                frames.append((i, int(sweep), int(image)))
        return list(dict.fromkeys(frames))

    # --- writers -----------------------------------------------------------------------------------

    def write(self, source: Path) -> Path:
        """The folder ``boreas-NAME`` with tables and calibration, and the files of all frames; returns the folder."""
        folder = self.write_texts(source)
        for i, sweep_us, image_us in self.frames_us:
            self.write_sweep(folder / "lidar" / f"{sweep_us}.bin", i, sweep_us)
            self.write_image(folder / "camera" / f"{image_us}.png", i, image_us)
        return folder

    def write_texts(self, source: Path) -> Path:
        """Tables of poses and calibration; returns the folder of the run."""
        folder = source / f"boreas-{self.name}"
        for part in ("applanix", "calib", "camera", "lidar"):
            (folder / part).mkdir(parents=True)
        camera_from_vehicle = self.camera.camera_from_lidar
        for sensor, stamps, vehicle_from_sensor in (
            ("lidar", self.sweep_stamps_us, VEHICLE_FROM_LIDAR),
            ("camera", self.image_stamps_us, np.linalg.inv(camera_from_vehicle)),
        ):
            poses = [self.world_from_vehicle(i, piece) @ vehicle_from_sensor for i, piece in enumerate(stamps)]
            lines = table_lines(np.concatenate(stamps), np.concatenate(poses))
            (folder / "applanix" / f"{sensor}_poses.csv").write_text("\n".join([HEADER, *lines]) + "\n")
        k = self.camera.intrinsics
        projection = np.eye(4)
        projection[:3, :3] = [[k.fx, 0, k.cx - 0.5], [0, k.fy, k.cy - 0.5], [0, 0, 1]]
        write_matrix(folder / "calib" / "P_camera.txt", projection)
        write_matrix(folder / "calib" / "T_applanix_lidar.txt", APPLANIX_FROM_VEHICLE @ VEHICLE_FROM_LIDAR)
        write_matrix(folder / "calib" / "T_camera_lidar.txt", self.camera_from_lidar)
        return folder

    def write_image(self, path: Path, piece: int, stamp_us: int) -> None:
        """The image of this time."""
        drive, time = self.pieces[piece].drive, float(self.drive_s(piece, stamp_us))
        (pose,) = drive.pose_at(np.array([time]))
        random = np.random.default_rng(stamp_us)
        Image.fromarray(self.camera.image(drive.scene_at(time), pose, LIGHTS[drive.light], random)).save(path)

    def write_sweep(self, path: Path, piece: int, stamp_us: int) -> None:
        """The sweep of this time."""
        self.sweep(piece, stamp_us).astype("<f4").tofile(path)

    def sweep(self, piece: int, stamp_us: int) -> ndarray:
        """Points x, y, z, intensity, ring, t of a sweep in the LiDAR's axes, ideal, sector after sector."""
        drive, beams = self.pieces[piece].drive, len(self.lidar.elevations_deg)
        rays = self.lidar.directions.reshape(self.sectors, -1, 3)
        rings = np.tile(np.arange(beams) * (128 // beams), self.lidar.azimuths // self.sectors)
        parts = []
        for directions, late_s in zip(rays, self._late_s(), strict=True):
            echoes = drive.cast(float(self.drive_s(piece, stamp_us)) + late_s, directions, VEHICLE_FROM_LIDAR)
            back = echoes.distance_m <= self.lidar.max_range_m
            points = echoes.distance_m[back, None] * directions[back]
            bright = np.round(255 * np.clip(echoes.reflectivity[back], 0, 1))
            parts.append(np.column_stack([points, bright, rings[back], np.full(back.sum(), late_s)]))
        return np.concatenate(parts)

    def _late_s(self) -> list[float]:
        """When each sector fires, after the middle of the sweep."""
        middles = (np.arange(self.sectors) + 0.5) / self.sectors - 0.5
        return (middles * self.sweep_s).tolist()


AREAS_M = {"train": (-1000.0, 1600.0), "validation": (-350.0, 1025.0), "test": (-100.0, 250.0)}
"""East and north where the districts of the town are laid, so that each is in its part of the protocols' route."""


def run_through(
    drives: Iterable[Drive],
    name: str,
    n_frames: int,
    start_us: int = 1_608_317_049_000_000,
    again: RawBoreas | None = None,
) -> RawBoreas:
    """A run through the districts of some drives, one after the other, with so many frames in each at most.

    Tours differ from drive to drive. With ``again``, frames are taken where this run passes the frames of that one.
    """
    pieces = []
    for number, drive in enumerate(drives):
        (east, north), centre = AREAS_M[drive.plan.name], drive.plan.centre_m
        lap = drive.frame_times_s()
        times = lap[:n_frames] + MARGIN_S
        if again is not None:
            times = _passing(drive, np.arange(MARGIN_S, lap[-1], 0.2), again.pieces[number])
        at_m = (east - centre[0], north - centre[1])
        pieces.append(Piece(drive=drive, times_s=tuple(times.tolist()), at_m=at_m))
    return RawBoreas(name=name, pieces=tuple(pieces), start_us=start_us)


def _passing(drive: Drive, times_s: ndarray, other: Piece) -> ndarray:
    """Those of ``times_s`` at which the drive is nearest to a frame of another piece, in its direction."""
    poses, there = drive.pose_at(times_s), other.drive.pose_at(np.array(other.times_s))
    apart_m = np.linalg.norm(poses[:, None, :2, 3] - there[None, :, :2, 3], axis=2)
    is_opposite = np.einsum("ni,mi->nm", poses[:, :2, 0], there[:, :2, 0]) < 0.5
    return times_s[np.unique(np.argmin(apart_m + 1e6 * is_opposite, axis=0))]


def table_lines(stamps_us: ndarray, world_from_sensor: ndarray) -> Iterable[str]:
    """Lines of a pose table; velocities are those to the next line."""
    # world_from_sensor = Rx(-roll) Ry(-pitch) Rz(-heading), so that its transpose is Rz(heading) Ry(pitch) Rx(roll).
    turned = world_from_sensor[:, :3, :3].transpose(0, 2, 1)
    roll = np.arctan2(turned[:, 2, 1], turned[:, 2, 2])
    pitch = -np.arcsin(np.clip(turned[:, 2, 0], -1, 1))
    heading = np.arctan2(turned[:, 1, 0], turned[:, 0, 0])
    position = world_from_sensor[:, :3, 3]
    velocity = np.gradient(position, stamps_us / 1e6, axis=0) if len(position) > 1 else np.zeros_like(position)
    rows = np.column_stack([position, velocity, roll, pitch, heading, np.zeros((len(position), 3))])
    return [f"{stamp},{','.join(f'{value:.15g}' for value in row)}" for stamp, row in zip(stamps_us, rows, strict=True)]


def write_matrix(path: Path, matrix: ndarray) -> None:
    """Write a calibration, four numbers a line."""
    path.write_text("".join(" ".join(f"{value:.18e}" for value in row) + "\n" for row in matrix))


# --- a sample ------------------------------------------------------------------------------------

RUNS = {"2021-06-17-17-52": "day", "2021-09-14-20-00": "night"}
"""Light by run."""
FRAMES = 40
"""Frames of a run in each district."""


def write_sample(folder: Path) -> Iterator[str]:
    """Write two runs through a district where the protocols train and one where they test; yields the name of each."""
    drives = {drive.name: drive for drive in Town(preset="tiny").drives()}
    run: RawBoreas | None = None
    for number, (name, light) in enumerate(RUNS.items()):
        through = [
            replace(drives[f"{district}-day"], light=light, spacing_m=5.5, image_size=(204, 171))
            for district in ("train", "test")
        ]
        run = run_through(through, name, FRAMES, start_us=1_623_966_720_000_000 + number * 10**13, again=run)
        run.write(folder)
        yield name
