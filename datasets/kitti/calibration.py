"""Where the sensors sit and how a rectified camera projects, from the odometry download or from a raw day."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from datasets.base import Intrinsics
from datasets.errors import CrossplaceError
from datasets.kitti.layout import LAYOUT, RAW_LAYOUT, RAW_SOURCE, SOURCE
from datasets.kitti.texts import read_entries, transforms

RAW_FILES = ("calib_cam_to_cam.txt", "calib_velo_to_cam.txt", "calib_imu_to_velo.txt")
FROM = f"{LAYOUT}; from {SOURCE}"
HAS_TR = (
    f"take calib.txt of data_odometry_calib.zip (calibration files, {SOURCE}) and unpack it last, because the archives "
    "of images bring one without Tr"
)
FROM_RAW = f"{RAW_LAYOUT}; the calibration of the day, from {RAW_SOURCE}"


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The calibration of one camera and the LiDAR. KITTI's poses are those of camera 0, the rectified left grey one."""

    k: Float[ndarray, "3 3"]
    """Camera matrix as published: coordinate 0 is at the centre of the first pixel."""
    camera_from_lidar: Float[ndarray, "4 4"]
    camera0_from_lidar: Float[ndarray, "4 4"]
    image_size: tuple[int, int] | None = None
    """Width and height of the images, if the calibration states them."""

    def intrinsics(self, width: int, height: int) -> Intrinsics:
        """The camera for images of this size, with coordinate 0 moved from the first pixel's centre to its edge."""
        fx, fy, cx, cy = self.k[[0, 1, 0, 1], [0, 1, 2, 2]].tolist()
        return Intrinsics(fx=fx, fy=fy, cx=cx + 0.5, cy=cy + 0.5, width=width, height=height)


def odometry_calibration(path: Path, camera: int) -> Calibration:
    """The calibration in ``calib.txt``.

    The file has ``P = K [I | camera_from_camera0]`` for each camera, and ``Tr``, which is ``camera0_from_lidar``.
    """
    entries = read_entries(path, {f"P{camera}": 12, "Tr": 12}, FROM, HAS_TR)
    k, camera_from_camera0 = _split(entries[f"P{camera}"], f"{path}: P{camera}")
    camera0_from_lidar = transforms(entries["Tr"][None], lambda _: f"{path}: Tr")[0]
    return Calibration(
        k=k, camera_from_lidar=camera_from_camera0 @ camera0_from_lidar, camera0_from_lidar=camera0_from_lidar
    )


def raw_calibration(day: Path, camera: int) -> Calibration:
    """The calibration in the files of a recording day.

    ``Tr`` of the odometry download is ``R_rect_00 · [R | T]``, with R and T of ``calib_velo_to_cam.txt``.
    """
    path, keys = day / RAW_FILES[0], (f"P_rect_0{camera}", "R_rect_00", f"S_rect_0{camera}")
    projection, rotation, size = read_entries(path, dict(zip(keys, (12, 9, 2), strict=True)), FROM_RAW).values()
    k, camera_from_camera0 = _split(projection, f"{path}: {keys[0]}")
    rectified = transforms(np.c_[rotation.reshape(3, 3), np.zeros(3)].reshape(1, 12), lambda _: f"{path}: R_rect_00")
    if not (size > 0).all() or (size % 1).any():
        raise CrossplaceError(f"{path}: {keys[2]}: {size[0]:g}×{size[1]:g} is no image size; fetch the file again")
    camera0_from_lidar = rectified[0] @ _mount(day / RAW_FILES[1])
    return Calibration(
        k=k,
        camera_from_lidar=camera_from_camera0 @ camera0_from_lidar,
        camera0_from_lidar=camera0_from_lidar,
        image_size=(int(size[0]), int(size[1])),
    )


def lidar_from_imu(day: Path) -> Float[ndarray, "4 4"]:
    """The pose of the OXTS unit (x forward, y left, z up) in the LiDAR's axes, from ``calib_imu_to_velo.txt``."""
    return _mount(day / RAW_FILES[2])


def _mount(path: Path) -> Float[ndarray, "4 4"]:
    entries = read_entries(path, {"R": 9, "T": 3}, FROM_RAW)
    return transforms(np.c_[entries["R"].reshape(3, 3), entries["T"]].reshape(1, 12), lambda _: f"{path}: R")[0]


def _split(projection: Float[ndarray, "12"], where: str) -> tuple[Float[ndarray, "3 3"], Float[ndarray, "4 4"]]:
    """``K`` and ``camera_from_camera0`` of a projection matrix; rectified cameras differ by a translation alone."""
    matrix = projection.reshape(3, 4)
    k = matrix[:, :3]
    pinhole = [[k[0, 0], 0, k[0, 2]], [0, k[1, 1], k[1, 2]], [0, 0, 1]]
    if min(k[0, 0], k[1, 1]) <= 0 or not np.array_equal(k, pinhole):
        raise CrossplaceError(f"{where} is no projection of a rectified camera, K [I | t] without skew")
    camera_from_camera0 = np.eye(4)
    camera_from_camera0[:3, 3] = np.linalg.solve(k, matrix[:, 3])
    return k, camera_from_camera0
