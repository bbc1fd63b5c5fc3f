"""What calibration and sampled images say: an upright camera that sees the cloud, and pictures that show something."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from datasets.base import Intrinsics
from datasets.doctor.tables import Facts
from datasets.projection import project

BLANK_LEVELS = 0.5
"""Pixels of a picture that shows anything spread by more grey levels than this (standard deviation)."""
AHEAD, DOWNWARDS = 0.5, -0.7
"""A camera whose view goes along the LiDAR's x axis by more, or along its z axis by less, looks ahead or down."""
STRIPS = 16
"""The image is divided into so many upright strips, to see which of them have points."""
THUMBNAIL = (24, 32)
"""Rows and columns of a picture that is small enough to be compared by its pixels."""
NEXT_M, NEXT_RAD, FAR_M = 12.0, 0.2, 40.0
"""Images nearer than this, in distance and heading, are alike; images further apart than the last are not."""


def of_calibration(intrinsics: Intrinsics | None, camera_from_lidar: Float[ndarray, "4 4"] | None) -> Facts:
    """Facts of a traversal's calibration; nothing is said of what is not given."""
    facts: Facts = {}
    if intrinsics is not None:
        fx, _, cx, cy = intrinsics.fractions().tolist()
        facts["principal-point"] = abs(cx - 0.5)
        facts["principal-height"] = abs(cy - 0.5)
        facts["focal-length"] = fx
        facts["pixel-aspect"] = intrinsics.fx / intrinsics.fy
    if camera_from_lidar is not None:
        _, down, ahead = camera_from_lidar[:3, :3]
        facts["camera-upright"] = _angle_deg(-down[2])
        is_usual = ahead[0] > AHEAD or ahead[2] < DOWNWARDS
        facts["camera-axes"] = None if is_usual else facts["camera-upright"]
        facts["camera-ahead"] = _angle_deg(ahead[0] / max(float(np.hypot(*ahead[:2])), 1e-9))
        facts["camera-away"] = float(np.linalg.norm(camera_from_lidar[:3, :3].T @ camera_from_lidar[:3, 3]))
    return facts


def of_view(points: Float[ndarray, "n 3"], intrinsics: Intrinsics, camera_from_lidar: Float[ndarray, "4 4"]) -> Facts:
    """Facts of a cloud in the camera's view: the share of its points there, and the width that they fill."""
    if len(points) == 0:
        return {}
    pixels, _ = project(points.astype(np.float64), intrinsics, camera_from_lidar)
    strips = np.unique((pixels[:, 0] / intrinsics.width * STRIPS).astype(np.int64))
    return {"in-view": len(pixels) / len(points), "view-covered": len(strips) / STRIPS}


def of_image(pixels: UInt8[ndarray, "h w 3"]) -> Facts:
    """Facts of one image: its level, and whether anything is on it."""
    grey = pixels.mean(2)
    return {"blank-images": float(grey.std() < BLANK_LEVELS), "brightness": float(grey.mean())}


def thumbnail(pixels: UInt8[ndarray, "h w 3"]) -> Float[ndarray, " n"]:
    """A small grey picture without its level and contrast, for comparisons; images smaller than it are not reduced."""
    grey = pixels.mean(2)
    parts = zip(grey.shape, THUMBNAIL, strict=True)
    rows, columns = (np.linspace(0, size, min(n, size) + 1).astype(int) for size, n in parts)
    sums = np.add.reduceat(np.add.reduceat(grey, rows[:-1], axis=0), columns[:-1], axis=1)
    means = sums / np.outer(np.diff(rows), np.diff(columns))
    return ((means - means.mean()) / max(float(means.std()), 1e-6)).reshape(-1)


def shares_less_alike(
    pictures: Sequence[Float[ndarray, " n"]], nexts: Sequence[Float[ndarray, " n"]], position_m: Float[ndarray, "k 3"]
) -> list[float]:
    """For each picture, the share of far pictures that resemble it less than the next one: a half in any order.

    ``pictures`` were taken at ``position_m``, and ``nexts`` by the frames that follow them.
    """
    shares = []
    for picture, following, here_m in zip(pictures, nexts, position_m, strict=True):
        away_m = np.linalg.norm(position_m - here_m, axis=1)
        far = [np.abs(picture - other).sum() for other, m in zip(pictures, away_m, strict=True) if m > FAR_M]
        if far:
            shares.append(float(np.mean(np.array(far) > np.abs(picture - following).sum())))
    return shares


def _angle_deg(cosine: float) -> float:
    return float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))
