"""Where the sensors of Boreas are, and the body that prepared clouds are placed in."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from datasets.base import Intrinsics
from datasets.boreas.layout import APPLANIX_FROM_LIDAR, CAMERA_FROM_LIDAR, PROJECTION
from datasets.errors import CrossplaceError
from datasets.files import read_text
from datasets.transforms import is_rigid

PLAUSIBLE_CENTRE = (0.35, 0.65)
"""Where the principal point of the rectified images can be, as a share of width and height."""
PLAUSIBLE_FOCAL = (0.3, 1.5)
"""Focal length of the camera in image widths; the published one is 0.6."""
MOST_LEANING = 0.99
"""Least component of the LiDAR's z axis along the vehicle's: the LiDAR stands upright, turned about its own axis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The rectified camera, and how camera and LiDAR stand to the body.

    The body has the LiDAR's place and z axis. Its x axis is the vehicle's forward, where the LiDAR's own x axis points
    some 47° aside. Prepared clouds are in the body's axes: x forward, y left, z up.
    """

    projection: Float[ndarray, "4 4"]
    body_from_lidar: Float[ndarray, "4 4"]
    camera_from_lidar: Float[ndarray, "4 4"]
    """At one moment. The body follows the camera by it, so no sweep is projected by it alone."""
    folder: Path

    @property
    def camera_from_body(self) -> Float[ndarray, "4 4"]:
        """The transform that every prepared frame shares."""
        return self.camera_from_lidar @ np.linalg.inv(self.body_from_lidar)

    def intrinsics(self, size: tuple[int, int]) -> Intrinsics:
        """The camera of stored images of this size (width, height).

        The devkit does not say where pixel 0 is: the centre of the first pixel is taken, so one half is added.

        Raises:
            CrossplaceError: the camera matrix is that of images of another size.
        """
        p, (width, height) = self.projection, size
        shares = np.array([(p[0, 2] + 0.5) / width, (p[1, 2] + 0.5) / height])
        low, high = PLAUSIBLE_CENTRE
        if (
            not ((low < shares) & (shares < high)).all()
            or not PLAUSIBLE_FOCAL[0] < p[0, 0] / width < PLAUSIBLE_FOCAL[1]
        ):
            raise CrossplaceError(
                f"{self.folder / PROJECTION}: fx {p[0, 0]:.0f}, cx {p[0, 2]:.0f}, cy {p[1, 2]:.0f} do not fit images "
                f"of {width}×{height} pixels; fetch the calibration and the images of one run again, at full size"
            )
        return Intrinsics(fx=p[0, 0], fy=p[1, 1], cx=p[0, 2] + 0.5, cy=p[1, 2] + 0.5, width=width, height=height)


def read_calibration(run: Path) -> Calibration:
    """The calibration of the run's folder; raises :class:`CrossplaceError` naming the file and the fault."""
    applanix_from_lidar, camera_from_lidar = (_rigid(run / name) for name in (APPLANIX_FROM_LIDAR, CAMERA_FROM_LIDAR))
    if applanix_from_lidar[2, 2] < MOST_LEANING:
        raise CrossplaceError(f"{run / APPLANIX_FROM_LIDAR}: the LiDAR does not stand upright; fetch the file again")
    projection = _matrix(run / PROJECTION)
    if min(projection[0, 0], projection[1, 1]) <= 0 or (projection[2, :3] != [0, 0, 1]).any():
        raise CrossplaceError(f"{run / PROJECTION}: no camera matrix with fx, fy, cx, cy; fetch the file again")
    # The vehicle's forward is the y axis of the Applanix unit.
    forward = applanix_from_lidar[1, :2] / np.linalg.norm(applanix_from_lidar[1, :2])
    body_from_lidar = np.eye(4)
    body_from_lidar[:2, :2] = [forward, [-forward[1], forward[0]]]
    return Calibration(
        projection=projection, body_from_lidar=body_from_lidar, camera_from_lidar=camera_from_lidar, folder=run
    )


def _rigid(path: Path) -> Float[ndarray, "4 4"]:
    matrix = _matrix(path)
    if not is_rigid(matrix):
        raise CrossplaceError(f"{path}: no rigid transform; fetch the file again")
    return matrix


def _matrix(path: Path) -> Float[ndarray, "4 4"]:
    try:
        rows = [[float(word) for word in line.split()] for line in read_text(path).splitlines() if line.strip()]
    except ValueError as error:
        raise CrossplaceError(f"{path}: words that are no numbers; fetch the file again") from error
    if [len(row) for row in rows] != [4] * 4 or not np.isfinite(rows).all():
        raise CrossplaceError(f"{path}: expected four lines of four numbers; fetch the file again")
    return np.array(rows)
