"""A drive through the town as the Oxford RobotCar would have recorded it: the raw files of a run, and the truth.

The vehicle carries the RobotCar's INS and push-broom LiDAR where that has them, relative to a stereo camera that looks
a little down and to the side. The camera has a lens that distorts and colour filters in front of its pixels.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from datasets.base import Intrinsics
from datasets.oxford.calibration import CLOUD_FROM_INS, CLOUD_FROM_LMS
from datasets.town import Town
from datasets.town.camera import PinholeCamera
from datasets.town.drives import Drive
from datasets.town.lidar import LMS_FRONT, PushBroom
from datasets.town.light import LIGHTS

START_US = 1_403_772_868_000_000
UTM_M = (620_000.0, 5_735_000.0, 110.0)
"""East, north, up of the town's origin in UTM zone 30."""
TRUE_YAW_RAD = float(np.arctan(np.tan(np.radians(-1.2615 + 3)) * np.sin(np.radians(51.7531))))
"""An angle from grid north becomes one from true north by adding this, at ``UTM_M``: meridians meet at the pole."""
HEADER = (
    "timestamp,ins_status,latitude,longitude,altitude,northing,easting,down,utm_zone,"
    "velocity_north,velocity_east,velocity_down,roll,pitch,yaw"
)
CAMERA_FROM_CLOUD = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])


def _lidar_from_cloud() -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("ZYX", [0.02, 0.03, -0.015]).as_matrix()
    pose[:3, 3] = 0.3, 0.06, -0.3
    return pose


LIDAR_FROM_CLOUD = _lidar_from_cloud()


@dataclass(frozen=True, kw_only=True)
class DistortedCamera(PinholeCamera):
    """What is ``r`` off the axis of an ideal camera, in focal lengths, is at ``r (1 + bend r²)`` in this one."""

    bend: float = -0.15

    def _rays(self, spot: tuple[float, float]) -> np.ndarray:
        k = self.intrinsics
        x, y = np.meshgrid((np.arange(k.width) + spot[0] - k.cx) / k.fx, (np.arange(k.height) + spot[1] - k.cy) / k.fy)
        distorted, ideal = np.hypot(x, y), np.hypot(x, y)
        for _ in range(50):
            ideal = distorted / (1 + self.bend * ideal**2)
        stretch = ideal / np.maximum(distorted, 1e-12)
        rays = np.stack([x * stretch, y * stretch, np.ones_like(x)], axis=-1).reshape(-1, 3)
        return (rays / np.linalg.norm(rays, axis=1, keepdims=True)).astype(np.float32)

    def table(self) -> np.ndarray:
        """Columns, then rows, in the distorted image for each pixel of the ideal one; 0 is a pixel's centre."""
        k = self.intrinsics
        x, y = np.meshgrid((np.arange(k.width) + 0.5 - k.cx) / k.fx, (np.arange(k.height) + 0.5 - k.cy) / k.fy)
        stretch = 1 + self.bend * (x**2 + y**2)
        return np.stack([x * stretch * k.fx + k.cx - 0.5, y * stretch * k.fy + k.cy - 0.5])


@dataclass(frozen=True, kw_only=True)
class RawRun:
    """A piece of a drive, in seconds since its start, and how often its sensors look."""

    name: str = "2014-06-26-09-31-18"
    begin_s: float = 8.0
    end_s: float = 24.0
    images_per_s: float = 2.5
    sweeps_per_s: float = 10.0
    poses_per_s: float = 50.0
    size: tuple[int, int] = (160, 120)
    step_deg: float = 1.0
    """Angle between two rays of a sweep."""
    light: str = "day"
    clock_us: int = 0
    """Added to all times: another day."""
    drive_number: int = 0
    origin_m: tuple[float, float, float] = UTM_M
    """Where the town's origin lies."""

    bad_every: ClassVar[int] = 25
    """One of so many poses has a bad status."""

    @cached_property
    def drive(self) -> Drive:
        """The drive through the town."""
        return replace(Town(preset="tiny").drives()[self.drive_number], light=self.light)

    @cached_property
    def camera(self) -> DistortedCamera:
        """The left stereo camera."""
        width, height = self.size
        k = Intrinsics(
            fx=0.754 * width, fy=0.754 * width, cx=0.503 * width, cy=0.505 * height, width=width, height=height
        )
        camera_from_lidar = CAMERA_FROM_CLOUD @ np.linalg.inv(LIDAR_FROM_CLOUD)
        return DistortedCamera(intrinsics=k, camera_from_lidar=camera_from_lidar, spots=((0.5, 0.5),))

    @cached_property
    def lms(self) -> PushBroom:
        """The push-broom LiDAR."""
        return replace(LMS_FRONT, step_deg=self.step_deg, lidar_from_sensor=LIDAR_FROM_CLOUD @ CLOUD_FROM_LMS)

    def stamps_us(self, per_s: float, late_s: float = 0.0) -> np.ndarray:
        """Times that come ``per_s`` times a second, all but ``late_s`` at either end."""
        times = np.arange(self.begin_s + late_s, self.end_s - late_s, 1 / per_s)
        return START_US + self.clock_us + np.rint(times * 1e6).astype(np.int64)

    @property
    def image_stamps_us(self) -> np.ndarray:
        """Times of images, of which the first and the last are taken while there are no poses."""
        return self.stamps_us(self.images_per_s)

    def seconds(self, stamps_us: np.ndarray) -> np.ndarray:
        """Seconds since the drive began."""
        return (np.asarray(stamps_us) - START_US - self.clock_us) / 1e6

    def world_from_cloud(self, stamps_us: np.ndarray) -> np.ndarray:
        """The truth: poses of the stereo camera turned to x forward, on the ground of Oxford."""
        poses = self.drive.pose_at(self.seconds(stamps_us)) @ LIDAR_FROM_CLOUD
        poses[:, :3, 3] += self.origin_m
        return poses


def write_models(folder: Path, camera: DistortedCamera) -> None:
    """The files of the SDK that describe the camera."""
    folder.mkdir(parents=True, exist_ok=True)
    k = camera.intrinsics
    lines = [f"{k.fx:.6f} {k.fy:.6f} {k.cx - 0.5:.6f} {k.cy - 0.5:.6f}"]
    lines += ["0.0 -0.0 1.0 0.0", "1.0 0.0 -0.0 0.0", "0.0 1.0 0.0 0.0", "0.0 0.0 0.0 1.0"]
    (folder / "stereo_narrow_left.txt").write_text("\n".join(lines) + "\n")
    camera.table().astype("<f8").tofile(folder / "stereo_narrow_left_distortion_lut.bin")


def write_official(source: Path, run: RawRun, *, rtk: bool = False) -> None:
    """The files of a run as the official archives unpack, and the camera's model beside it."""
    write_models(source / "models", run.camera)
    folder = source / run.name
    for part in ("stereo/centre", "lms_front", "gps"):
        (folder / part).mkdir(parents=True)
    write_poses(folder / "gps" / "ins.csv", run)
    if rtk:
        write_poses(folder / "gps" / "rtk.csv", run, rtk=True)
    for stamp in run.image_stamps_us.tolist():
        Image.fromarray(mosaiced(taken(run, stamp))).save(folder / "stereo" / "centre" / f"{stamp}.png")
    sweeps = run.stamps_us(run.sweeps_per_s)
    for stamp, time in zip(sweeps, run.seconds(sweeps), strict=True):
        points = run.drive.scan(run.lms, float(time))
        np.column_stack([points[:, :2], 255 * points[:, 3]]).astype("<f8").tofile(folder / "lms_front" / f"{stamp}.bin")
    for name, stamps in (("stereo", run.image_stamps_us), ("lms_front", sweeps)):
        (folder / f"{name}.timestamps").write_text("".join(f"{stamp} 1\n" for stamp in stamps))
    (folder / "tags.csv").write_text("sun,clouds\n")


def taken(run: RawRun, stamp_us: int) -> np.ndarray:
    """What the camera sees then, in colour and distorted."""
    (time,) = run.seconds(np.array([stamp_us]))
    (pose,) = run.drive.pose_at(np.array([time]))
    return run.camera.image(run.drive.scene_at(float(time)), pose, LIGHTS[run.light], np.random.default_rng(stamp_us))


def mosaiced(colours: np.ndarray) -> np.ndarray:
    """Green and blue in even rows, red and green in odd ones."""
    raw = colours[..., 1].copy()
    raw[::2, 1::2] = colours[::2, 1::2, 2]
    raw[1::2, ::2] = colours[1::2, ::2, 0]
    return raw


def write_poses(path: Path, run: RawRun, *, rtk: bool = False) -> None:
    """INS: north, east, down, yaw clockwise from true north; bad status now and then. RTK: no status, yaw 270° less."""
    # Half a second less than the images at either end; irregular, as a real INS.
    regular = run.stamps_us(run.poses_per_s, late_s=0.5)
    stamps = regular + np.random.default_rng(1).integers(-4000, 4000, len(regular))
    world_from_ins = run.world_from_cloud(stamps) @ CLOUD_FROM_INS
    ned = world_from_ins[:, [1, 0, 2]] * np.array([1.0, 1, -1])[None, :, None]
    yaw, pitch, roll = Rotation.from_matrix(ned[:, :3, :3]).as_euler("ZYX").T
    yaw = yaw + TRUE_YAW_RAD
    names, lines = HEADER.split(","), []
    if rtk:
        names.remove("ins_status")
        yaw = yaw - 3 * np.pi / 2
    for i, stamp in enumerate(stamps):
        north, east, down = ned[i, :3, 3]
        cells = dict.fromkeys(HEADER.split(","), "0.000000")
        cells |= {"timestamp": str(stamp), "utm_zone": "30U", "northing": f"{north:.6f}", "easting": f"{east:.6f}"}
        cells |= {"down": f"{down:.6f}", "roll": f"{roll[i]:.6f}", "pitch": f"{pitch[i]:.6f}", "yaw": f"{yaw[i]:.6f}"}
        cells["ins_status"] = "INS_SOLUTION_GOOD" if i % run.bad_every else "INS_BAD_GPS_AGREEMENT"
        lines.append(",".join(cells[name] for name in names))
    path.write_text("\n".join([",".join(names), *lines]) + "\n")


# --- a sample ------------------------------------------------------------------------------------

REACH_M = 150.0
"""Half the side of the published squares in which queries are; frames outside of them are for training."""
SQUARE_M = (620_084.402381, 5_735_712.768124)
"""Middle of the first of these squares."""


RUNS = {"2014-11-14-16-34-33": "night", "2014-12-09-13-21-02": "day"}
"""Light by run: two of those that are tested."""


def write_sample(folder: Path) -> Iterator[str]:
    """Write two runs, half inside of a published square; yields the name of each."""
    drive = RawRun(end_s=52.0, size=(320, 240), poses_per_s=25.0)
    middle = drive.drive.pose_at(np.linspace(drive.begin_s, drive.end_s - 20, 50))[:, :2, 3].mean(axis=0)
    east_m, north_m = SQUARE_M - middle
    at = (float(east_m) + REACH_M, float(north_m), UTM_M[2])
    for number, (name, light) in enumerate(RUNS.items()):
        run = replace(drive, name=name, light=light, origin_m=at, clock_us=number * 25 * 86_400_000_000)
        write_official(folder, run)
        yield name
