"""From points of the LiDAR to pixels of the camera."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from datasets.base import Intrinsics


def project(
    points_m: Float[ndarray, "n 3"], intrinsics: Intrinsics, camera_from_lidar: Float[ndarray, "4 4"]
) -> tuple[Float[ndarray, "m 2"], Float[ndarray, " m"]]:
    """Where the points of the LiDAR frame that the camera sees lie on its image, and their depth in metres.

    Pixels are continuous, (right, down), 0 at the upper left edge. Points behind the camera or off the image are
    left out; order is kept. Occlusion is not looked at.
    """
    k, in_camera = intrinsics, points_m @ camera_from_lidar[:3, :3].T + camera_from_lidar[:3, 3]
    x, y, depth_m = in_camera[in_camera[:, 2] > 1e-3].T
    pixels = np.stack([k.fx * x / depth_m + k.cx, k.fy * y / depth_m + k.cy], axis=1)
    inside = ((pixels >= 0) & (pixels < (k.width, k.height))).all(axis=1)
    return pixels[inside], depth_m[inside]
