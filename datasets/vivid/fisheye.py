"""The car's calibration, and images without their fisheye distortion."""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from datasets.base import Intrinsics
from datasets.pixels import remap, resize

LIDAR_FROM_OS1 = np.diag([-1.0, -1.0, 1.0, 1.0])
"""The OS1 is mounted with x backward and y right; half a turn makes x forward, y left and z up."""

PUBLISHED = Intrinsics(
    fx=702.6030497884977,
    fy=703.4541726858521,
    cx=644.9296487349911 + 0.5,
    cy=526.4572414665469 + 0.5,
    width=1280,
    height=1024,
)
"""Intrinsics of the fisheye image. Source: process_rosbag_vxp.py of VXP, where 0 is the first pixel's centre."""


def _published_camera_from_os1() -> Float[ndarray, "4 4"]:
    """The published transform. Source: VXP's setups for ViViD++, which take it from the dataset's calibration."""
    matrix = np.eye(4)
    matrix[:3] = [
        [-0.02706162, 0.99963206, -0.00184903, -0.38352616],
        [0.01903198, -0.00133414, -0.99981799, -0.38655251],
        [-0.99945258, -0.02709189, -0.01898888, -0.03873405],
    ]
    return matrix


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The calibration of the colour camera, and of the LiDAR relative to the camera."""

    raw: Intrinsics = PUBLISHED
    """Intrinsics of the fisheye image and, as published, of the pinhole image made of it at full size."""
    distortion: tuple[float, float, float, float] = (
        0.5424763304847061, -1.7515099175022195,
        6.050489512760127, -5.786170959900578,
    )  # fmt: skip
    """k1 to k4 of Kannala-Brandt: a ray at angle θ is seen at θ (1 + k1 θ² + k2 θ⁴ + k3 θ⁶ + k4 θ⁸) focal lengths."""
    camera_from_os1: Float[ndarray, "4 4"] = field(default_factory=_published_camera_from_os1, compare=False)

    @property
    def camera_from_lidar(self) -> Float[ndarray, "4 4"]:
        """The transform from the axes of stored clouds: x forward, y left, z up."""
        return self.camera_from_os1 @ np.linalg.inv(LIDAR_FROM_OS1)

    def at_width(self, width: int) -> Intrinsics:
        """The camera of images that are ``width`` pixels wide and have the same shape."""
        return self.raw.resized(width, round(self.raw.height * width / self.raw.width))

    @property
    def widest_rad(self) -> float:
        """Largest angle for which the model is valid: rays at larger angles would be seen nearer to the axis again."""
        odd = np.arange(9, -1, -2)
        derivative = np.zeros(9)
        derivative[::2] = odd * [*self.distortion[::-1], 1.0]
        roots = np.roots(derivative)
        turns = roots.real[(abs(roots.imag) < 1e-9) & (roots.real > 0)]
        return float(turns.min(initial=np.pi / 2))

    def bent(self, theta_rad: Float[ndarray, "..."]) -> Float[ndarray, "..."]:
        """Distance from the axis, in focal lengths, at which a ray at the angle ``theta_rad`` to the axis is seen."""
        k1, k2, k3, k4 = self.distortion
        square = theta_rad**2
        return theta_rad * (1 + square * (k1 + square * (k2 + square * (k3 + square * k4))))


def undistorted(image: UInt8[ndarray, "h w 3"], calibration: Calibration, width: int) -> UInt8[ndarray, "h2 w2 3"]:
    """``image`` as a pinhole image, ``width`` pixels wide; its camera is ``calibration.at_width(width)``.

    The image is made smaller first (antialiased) and undistorted then, which is several times faster. Pixels outside of
    the fisheye image are black. Deviation: so are the corners, where the model folds over (``widest_rad``); as
    published, they show the scene a second time.
    """
    camera = calibration.at_width(width)
    smaller = image if image.shape[1] == width else resize(image, camera.width, camera.height)
    return remap(smaller, *_source_pixels(calibration, width))


@lru_cache(maxsize=1)
def _source_pixels(calibration: Calibration, width: int) -> tuple[Float[ndarray, "h w"], Float[ndarray, "h w"]]:
    """Column and row in the fisheye image for each pixel of the pinhole image; 0 is the first pixel's centre."""
    k = calibration.at_width(width)
    x, y = np.meshgrid((np.arange(k.width) + 0.5 - k.cx) / k.fx, (np.arange(k.height) + 0.5 - k.cy) / k.fy)
    radius = np.hypot(x, y)
    theta = np.arctan(radius)
    scale = np.where(radius > 1e-9, calibration.bent(theta) / np.maximum(radius, 1e-9), 1.0)
    scale[theta > calibration.widest_rad] = np.nan
    outside = -1e6
    column, row = k.fx * x * scale + k.cx - 0.5, k.fy * y * scale + k.cy - 0.5
    return np.nan_to_num(column, nan=outside), np.nan_to_num(row, nan=outside)
