"""Clouds of given points before a camera 90° wide, with a LiDAR of four beams."""

import math

import numpy as np
import torch
from torch import Tensor

from datasets.base import Frame, Intrinsics, Lidar
from methods.batch import Sample

FOUR_BEAMS = Lidar(beams=4, vertical_fov_deg=(-15.0, 15.0), max_range_m=50.0, form="scan")
CAMERA_FROM_LIDAR = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
SQUARE = Intrinsics(fx=50.0, fy=50.0, cx=50.0, cy=50.0, width=100, height=100)


def sample(points: Tensor, lidar: Lidar | None = FOUR_BEAMS, yaw_deg: float | None = 0.0) -> Sample:
    """A cloud, with a camera that looks ``yaw_deg`` to the left and 90° wide."""
    matrix = None
    if yaw_deg is not None:
        cos, sin = math.cos(math.radians(yaw_deg)), math.sin(math.radians(yaw_deg))
        turn = np.array([[cos, sin, 0, 0], [-sin, cos, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
        matrix = CAMERA_FROM_LIDAR @ turn
    frame = Frame(
        frame_id="drive/7",
        traversal="drive",
        world="w",
        timestamp_ns=0,
        position_m=(0.0, 0.0, 0.0),
        yaw_rad=0.0,
        image="",
        cloud="c.npy",
        intrinsics=SQUARE,
        camera_from_lidar=matrix,
        lidar=lidar,
    )
    return Sample(
        frame=frame,
        image=None,
        points=points,
        intrinsics=torch.from_numpy(SQUARE.fractions()).to(points),
        camera_from_lidar=None if matrix is None else torch.from_numpy(matrix).to(points),
    )


def direction(azimuth_deg: float, elevation_deg: float, range_m: float) -> list[float]:
    azimuth, elevation = math.radians(azimuth_deg), math.radians(elevation_deg)
    flat = range_m * math.cos(elevation)
    return [flat * math.cos(azimuth), flat * math.sin(azimuth), range_m * math.sin(elevation)]
