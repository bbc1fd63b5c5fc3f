"""The town as KITTI's downloads hold a drive: the odometry layout, OXTS packets, and raw "sync" drives.

The town's plane is laid on UTM zone 32 at Karlsruhe. Nothing here shares code with the preparer: maps are pyproj's.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray
from PIL import Image
from scipy.spatial.transform import Rotation

from datasets.town.drives import Drive
from datasets.town.lidar import LIDARS
from datasets.town.light import LIGHTS
from datasets.town.streets import DistrictPlan

ORIGIN_M = np.array([458_000.0, 5_428_000.0, 110.0])
"""East and north in UTM zone 32 and altitude of the town's origin."""
START = np.datetime64("2011-09-30T12:34:56.789012345", "ns")
HDL_64E = replace(LIDARS["hdl-64"], azimuths=150)
"""As coarse in azimuth as the town's own sensor."""
BASELINE_M = 0.06
"""Camera 2 sits so far left of camera 0, in rectified coordinates; the other cameras 0.48 m further right."""


DISTRICT = DistrictPlan(name="test", columns=3, rows=2, centre_m=(0.0, 800.0), pitch_m=(45.0, 55.0))


def utm_of(first: Any, second: Any, *, inverse: bool = False) -> tuple[Any, Any]:
    """East and north of a longitude and latitude in degrees, or the other way round; needs the extra ``georef``."""
    from pyproj import Proj  # here: it is an extra

    return Proj("+proj=utm +zone=32 +datum=WGS84")(first, second, inverse=inverse)


def transform(rotation: ndarray, translation: ndarray | list) -> ndarray:
    """The rigid transform with this rotation (3×3) and translation as 4×4."""
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, translation
    return matrix


LIDAR_FROM_IMU = transform(
    Rotation.from_euler("xyz", [0.8, -0.1, -0.04], degrees=True).as_matrix(), [-0.81, 0.32, -0.8]
)
RECTIFICATION = transform(Rotation.from_euler("xyz", [0.25, -0.43, -0.56], degrees=True).as_matrix(), np.zeros(3))


@dataclass(frozen=True, kw_only=True)
class RawKitti:
    """A drive through the town and the frames of it that are written."""

    n_frames: int = 8
    lidar_points: int | None = None
    """Write so many points of a scan at most, evenly; none writes all."""
    late_s: float = 0.0
    """Where the drive is at its first frame: another lap has frames at other places of the same streets."""
    image_size: tuple[int, int] = (160, 120)
    spacing_m: float = 10.0
    occasion: int = 1
    """Number of the drive by day: another one takes another tour, among other parked and moving cars."""
    plan: DistrictPlan = DISTRICT

    @cached_property
    def drive(self) -> Drive:
        """The drive through the town."""
        return Drive(
            plan=self.plan,
            light="day",
            occasion=self.occasion,
            spacing_m=self.spacing_m,
            seed=0,
            image_size=self.image_size,
        )

    @cached_property
    def drive_times_s(self) -> ndarray:
        """Times of the frames since the drive began."""
        return self.drive.frame_times_s()[: self.n_frames] + self.late_s

    @cached_property
    def times_s(self) -> ndarray:
        """Times of the frames since the first of them."""
        return self.drive_times_s - self.drive_times_s[0]

    @cached_property
    def world_from_lidar(self) -> ndarray:
        """Poses of the LiDAR in UTM."""
        poses = self.drive.pose_at(self.drive_times_s)
        poses[:, :3, 3] += ORIGIN_M
        return poses

    @cached_property
    def camera_from_camera0(self) -> ndarray:
        """The transform from camera 0 to the written camera."""
        return transform(np.eye(3), [BASELINE_M, 0, 0])

    @cached_property
    def camera0_from_lidar(self) -> ndarray:
        """The transform from the LiDAR to camera 0."""
        return np.linalg.inv(self.camera_from_camera0) @ self.drive.camera.camera_from_lidar

    @cached_property
    def world_from_camera(self) -> ndarray:
        """Poses of camera 0 in UTM."""
        return self.world_from_lidar @ np.linalg.inv(self.camera0_from_lidar)

    @cached_property
    def latitude_longitude(self) -> ndarray:
        """Position of the IMU in degrees."""
        east, north = (self.world_from_lidar @ LIDAR_FROM_IMU)[:, :2, 3].T
        longitude, latitude = utm_of(east, north, inverse=True)
        return np.stack([latitude, longitude], axis=1)

    # --- writers -----------------------------------------------------------------------------------

    def write_odometry(self, source: Path, name: str = "04") -> Path:
        """``sequences/NAME`` and ``poses/NAME.txt``; returns the sequence's folder."""
        folder = source / "sequences" / name
        self._write_sensors(folder / "image_2", folder / "velodyne", digits=6)
        rows = {f"P{i}": self._projection(i)[:3] for i in range(4)} | {"Tr": self.camera0_from_lidar[:3]}
        (folder / "calib.txt").write_text("".join(f"{key}: {words(row)}\n" for key, row in rows.items()))
        (folder / "times.txt").write_text("".join(f"{time:.9e}\n" for time in self.times_s))
        relative = np.linalg.inv(self.world_from_camera[0]) @ self.world_from_camera
        (source / "poses").mkdir(exist_ok=True)
        (source / "poses" / f"{name}.txt").write_text("".join(f"{words(pose[:3])}\n" for pose in relative))
        return folder

    def write_oxts(self, drives: Path, date: str = "2011_09_30", number: str = "0016", first: int = 0) -> Path:
        """The day's ``calib_imu_to_velo.txt`` and the drive's packets, frame 0 being ``first``; returns the drive.

        Where frame 0 is not the first packet, the packets before it are taken a kilometre further north.
        """
        folder = drives / date / f"{date}_drive_{number}_sync"
        (folder / "oxts" / "data").mkdir(parents=True)
        write_mount(folder.parent / "calib_imu_to_velo.txt", LIDAR_FROM_IMU)
        poses = self.world_from_lidar @ LIDAR_FROM_IMU
        before = poses[:1] + np.array([[0, 0, 0, 0], [0, 0, 0, 1000], [0, 0, 0, 0], [0, 0, 0, 0]])
        for i, pose in enumerate(np.concatenate([np.tile(before, (first, 1, 1)), poses])):
            longitude, latitude = utm_of(*pose[:2, 3], inverse=True)
            roll, pitch, yaw = Rotation.from_matrix(pose[:3, :3]).as_euler("xyz")
            # A step to the true north on the grid: where it points differs from grid north by the convergence.
            ahead = np.subtract(utm_of(longitude, latitude + 1e-5), pose[:2, 3])
            true_yaw = yaw + np.arctan2(ahead[0], ahead[1])
            rest = np.linspace(-0.5, 9.8, 19).tolist()
            fix = [latitude, longitude, pose[2, 3], roll, pitch, true_yaw, *rest]
            text = " ".join(f"{value:.13g}" for value in fix) + " 4 7 4 4 0\n"
            (folder / "oxts" / "data" / f"{i:010d}.txt").write_text(text)
        stamps = [START - np.timedelta64(100_000_000 * (first - i), "ns") for i in range(first)]
        (folder / "oxts" / "timestamps.txt").write_text(stamp_lines([*stamps, *self.stamps]))
        return folder

    def write_raw(self, source: Path, date: str = "2011_09_30", number: str = "0016") -> Path:
        """A whole raw drive with the calibration of its day; returns the drive's folder."""
        folder, camera = self.write_oxts(source, date, number), self.drive.camera.intrinsics
        self._write_sensors(folder / "image_02" / "data", folder / "velodyne_points" / "data", digits=10)
        write_mount(folder.parent / "calib_velo_to_cam.txt", np.linalg.inv(RECTIFICATION) @ self.camera0_from_lidar)
        lines = [f"R_rect_00: {words(RECTIFICATION[:3, :3])}"]
        lines += [f"S_rect_0{i}: {words(np.array([camera.width, camera.height]))}" for i in range(4)]
        lines += [f"P_rect_0{i}: {words(self._projection(i)[:3])}" for i in range(4)]
        (folder.parent / "calib_cam_to_cam.txt").write_text("calib_time: 09-Jan-2012 13:57:47\n" + "\n".join(lines))
        for sensor in ("image_02", "velodyne_points"):
            (folder / sensor / "timestamps.txt").write_text(stamp_lines(self.stamps))
        return folder

    @property
    def stamps(self) -> list[np.datetime64]:
        """Local times of the frames."""
        return [START + np.timedelta64(round(time * 1e9), "ns") for time in self.times_s]

    def _write_sensors(self, images: Path, clouds: Path, digits: int) -> None:
        images.mkdir(parents=True)
        clouds.mkdir(parents=True)
        times = self.drive_times_s
        for i, (time, pose) in enumerate(zip(times, self.drive.pose_at(times), strict=True)):
            random = np.random.default_rng(i)
            pixels = self.drive.camera.image(self.drive.scene_at(time), pose, LIGHTS[self.drive.light], random)
            Image.fromarray(pixels).save(images / f"{i:0{digits}d}.png")
            scan = self.drive.scan(HDL_64E, time, is_ideal=True)
            if self.lidar_points is not None:
                scan = scan[:: max(len(scan) // self.lidar_points, 1)]
            scan.astype("<f4").tofile(clouds / f"{i:0{digits}d}.bin")

    def _projection(self, camera: int) -> ndarray:
        """``K [I | t]`` of a rectified camera; KITTI counts pixels from the centre of the first."""
        k = self.drive.camera.intrinsics
        matrix = np.array([[k.fx, 0, k.cx - 0.5, 0], [0, k.fy, k.cy - 0.5, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
        right_m = (0.0, 0.54, -BASELINE_M, 0.54 - BASELINE_M)[camera]
        return matrix @ transform(np.eye(3), [-right_m, 0, 0])


def words(values: ndarray) -> str:
    """The numbers as KITTI writes them, separated by blanks."""
    return " ".join(f"{value:.12e}" for value in np.ravel(values))


def write_mount(path: Path, matrix: ndarray) -> None:
    """Write a rigid transform as the raw calibrations hold it."""
    path.write_text(f"calib_time: 25-May-2012 16:47:16\nR: {words(matrix[:3, :3])}\nT: {words(matrix[:3, 3])}\n")


def stamp_lines(stamps: list[np.datetime64]) -> str:
    """The times as ``timestamps.txt`` holds them."""
    return "".join(f"{str(stamp).replace('T', ' ')}\n" for stamp in stamps)


# --- a sample ------------------------------------------------------------------------------------

ELSEWHERE = replace(DISTRICT, name="train", centre_m=(0.0, 0.0))
RUNS = {"03": (ELSEWHERE, 1), "04": (ELSEWHERE, 2), "10": (ELSEWHERE, 3), "07": (DISTRICT, 1)}
"""District and number of the drive by sequence: 07 is tested, and trains nothing."""


def write_sample(folder: Path) -> Iterator[str]:
    """Write four short sequences of the odometry layout; yields the name of each."""
    for name, (plan, occasion) in RUNS.items():
        drive = RawKitti(n_frames=60, spacing_m=4.0, image_size=(414, 125), plan=plan, occasion=occasion)
        drive.write_odometry(folder, name)
        yield name
