"""What the public stores hold, in small: archives of KITTI with drives along a line."""

import numpy as np
from http_store import content_of, zipped

METRES_PER_FRAME = 1.0


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
        for name in ("P_camera", "T_applanix_lidar", "T_camera_lidar"):
            files[f"/{run}/calib/{name}.txt"] = f"{run} {name}\n".encode()
    return files
