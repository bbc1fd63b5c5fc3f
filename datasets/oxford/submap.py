"""The road ahead as a cloud: sweeps of the push-broom LiDAR, placed by poses, cropped, without the ground."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from datasets.errors import CrossplaceError
from datasets.files import unreadable
from datasets.planes import ground_plane

TRIPLET_BYTES = 24
"""Bytes of a point in a sweep: float64 x, y, reflectance."""
SWEEPS_KEPT = 2048
"""How many sweeps are kept in memory: those of 40 s. Consecutive frames share nearly all their sweeps."""

Rejection = Literal["empty_submap", "too_shallow", "no_ground_plane", "only_ground"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """Which points of the road ahead are kept, and how far they must reach. As published by VXP, limits are strict."""

    ahead_m: float = 50.0
    aside_m: float = 25.0
    above_m: float = 25.0
    """Largest height of a point above the camera, and also its largest depth below."""
    depth_at_least_m: float = 30.0

    def __call__(self, points: Float[ndarray, "n 3"]) -> Float[ndarray, "m 3"]:
        """The points inside the limits, in their order."""
        x, y, z = points.T
        inside = (x > 0) & (x < self.ahead_m) & (np.abs(y) < self.aside_m) & (np.abs(z) < self.above_m)
        return points[inside]


@lru_cache(maxsize=SWEEPS_KEPT)
def read_sweep(path: Path) -> tuple[Float[ndarray, "n 2"], int]:
    """Points of a sweep in the scanner's plane in metres, and how many were left out because they are not finite."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error
    if len(content) % TRIPLET_BYTES:
        raise CrossplaceError(
            f"{path}: {len(content)} bytes are no whole number of float64 x, y, reflectance; fetch it again, or delete "
            "it to do without that sweep"
        )
    points = np.frombuffer(content, dtype="<f8").reshape(-1, 3)[:, :2]
    finite = np.isfinite(points).all(1)
    return points[finite], int((~finite).sum())


def accumulated(
    sweeps: Iterable[Float[ndarray, "_ 2"]], cloud_from_lms: Float[ndarray, "k 4 4"]
) -> Float[ndarray, "n 3"]:
    """Points of all sweeps in the axes of one cloud, sweep after sweep, each point in its order."""
    # The last bits of a matrix product depend on the number of threads; those of einsum do not.
    placed = [
        np.einsum("ij,nj->ni", pose[:3, :2], points) + pose[:3, 3]
        for points, pose in zip(sweeps, cloud_from_lms, strict=True)
    ]
    return np.concatenate([np.empty((0, 3)), *placed])


def submap(points: Float[ndarray, "n 3"], crop: Crop, random: np.random.Generator) -> Float[ndarray, "m 3"] | Rejection:
    """The points that are stored of accumulated ``points``, or the reason why they are no submap.

    As published by VXP, points are cropped, and rejected if none reaches ``depth_at_least_m`` ahead. Then RANSAC finds
    one plane (0.2 m, 1,000 iterations). A submap whose plane is not level is rejected; else its inliers are removed.
    """
    points = crop(points)
    if not len(points):
        return "empty_submap"
    if points[:, 0].max() < crop.depth_at_least_m:
        return "too_shallow"
    plane = ground_plane(points, random)
    if plane is None or not plane.is_level:
        return "no_ground_plane"
    rest = points[~plane.is_inlier]
    return rest if len(rest) else "only_ground"
