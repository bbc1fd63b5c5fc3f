"""What the public stores hold, in small: drives along a line, as KITTI's archives and as Boreas' files."""

from pathlib import Path

import numpy as np
from http_store import content_of, zipped

from datasets.fetching.fetch import fetching
from datasets.fetching.manifest import MANIFEST
from datasets.fetching.store import Store, Wish
from datasets.fetching.transfer import Patience, Transfer
from datasets.origin import ORIGIN

DAY, NIGHT = "boreas-2021-06-17-17-52", "boreas-2021-09-14-20-00"
TWO = Wish(runs=("2021-06-17-17-52", "*20-00"), spacing_m=10.0, stretches_m=((0.0, 35.0),))

METRES_PER_FRAME = 1.0
CALIBRATION = {
    "P_camera": ("1460 0 1230 0", "0 1460 1035 0", "0 0 1 0", "0 0 0 1"),
    "T_applanix_lidar": ("0 -1 0 0", "1 0 0 0", "0 0 1 0", "0 0 0 1"),
    "T_camera_lidar": ("0 -1 0 0", "0 0 -1 0", "1 0 0 0", "0 0 0 1"),
}
"""Files of Boreas: sensors in one place, the camera looking along the x axis of the LiDAR."""


def kitti_pose(row: int) -> str:
    """A pose of the first camera, which drives forward (z) and sinks (y), which is no path in the plane."""
    pose = np.eye(4)[:3]
    pose[:, 3] = 0.0, 5.0 * row, METRES_PER_FRAME * row
    return " ".join(f"{value:.6e}" for value in pose.ravel())


def kitti_files(frames: dict[str, int], n_bytes: int = 4000) -> dict[str, bytes]:
    """The four archives by path, with so many frames of each sequence."""
    calib: dict[str, bytes] = {}
    poses: dict[str, bytes] = {}
    color: dict[str, bytes] = {}
    velodyne: dict[str, bytes] = {}
    for name, n in frames.items():
        folder = f"dataset/sequences/{name}"
        calib[f"{folder}/calib.txt"] = b"P0: 1\n"
        calib[f"{folder}/times.txt"] = "".join(f"{row / 10:e}\n" for row in range(n)).encode()
        poses[f"dataset/poses/{name}.txt"] = "".join(f"{kitti_pose(row)}\n" for row in range(n)).encode()
        for row in range(n):
            for camera in ("image_2", "image_3"):
                path = f"{folder}/{camera}/{row:06d}.png"
                color[path] = content_of(path, n_bytes)
            path = f"{folder}/velodyne/{row:06d}.bin"
            velodyne[path] = content_of(path, n_bytes)
    archives = {"calib": calib, "poses": poses, "color": color, "velodyne": velodyne}
    return {f"/data_odometry_{name}.zip": zipped(files) for name, files in archives.items()}


def boreas_files(runs: list[str], n: int = 40, metres: float = 2.0, n_bytes: int = 3000) -> dict[str, bytes]:
    """Runs by path: sweeps so many metres apart; every third image is missing."""
    header = "GPSTime,easting,northing,altitude,vel_east,vel_north,vel_up,roll,pitch,heading,angvel_z,angvel_y,angvel_x"
    files: dict[str, bytes] = {}
    for number, run in enumerate(runs):
        start_us = 1_600_000_000_000_000 + number * 10**12
        times = {
            "lidar": [start_us + 100_000 * row for row in range(n)],
            "camera": [start_us + 100_000 * row + 20_000 for row in range(n) if row % 3],
        }
        for sensor, suffix in (("lidar", "bin"), ("camera", "png")):
            lines = [f"{us},{metres * (us - start_us) / 1e5},0.5,0" + ",0" * 9 for us in times[sensor]]
            files[f"/{run}/applanix/{sensor}_poses.csv"] = "\n".join([header, *lines]).encode() + b"\n"
            for us in times[sensor]:
                path = f"/{run}/{sensor}/{us}.{suffix}"
                files[path] = content_of(path, n_bytes)
        for name, rows in CALIBRATION.items():
            files[f"/{run}/calib/{name}.txt"] = "".join(f"{row}\n" for row in rows).encode()
    return files


def fetched_into(folder: Path, store: Store, wish: Wish) -> str:
    """Fetch all, as the command does, without waiting long; returns the plan."""
    patience = Patience(tries=5, silence_s=0.2)
    with (
        Transfer(connections=3, patience=patience, pause=lambda seconds: None) as transfer,
        fetching(store, wish, folder, transfer, connections=3) as work,
    ):
        list(work.tables())
        plan = work.plan()
        list(work.frames())
    return plan


def files_in(folder: Path) -> dict[str, bytes]:
    """Everything in a folder, but what says how it was fetched."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (MANIFEST, ORIGIN)
    }
