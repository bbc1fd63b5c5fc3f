"""What calibration and sampled images say: an upright camera that sees the cloud, and pictures that show something."""

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from datasets.base import Intrinsics
from datasets.doctor.tables import Facts

BLANK_LEVELS = 3.0
"""Pixels of a picture that shows anything spread by more grey levels than this (standard deviation)."""
NEAREST_M = 0.1


def of_calibration(intrinsics: Intrinsics | None, camera_from_lidar: Float[ndarray, "4 4"] | None) -> Facts:
    """Facts of a traversal's calibration; nothing is said of what is not given."""
    facts: Facts = {}
    if intrinsics is not None:
        fx, _, cx, cy = intrinsics.fractions().tolist()
        facts["principal-point"] = max(abs(cx - 0.5), abs(cy - 0.5))
        facts["focal-length"] = fx
        facts["pixel-aspect"] = intrinsics.fx / intrinsics.fy
    if camera_from_lidar is not None:
        _, down, ahead = camera_from_lidar[:3, :3]
        facts["camera-upright"] = _angle_deg(-down[2])
        facts["camera-ahead"] = _angle_deg(ahead[0] / max(float(np.hypot(*ahead[:2])), 1e-9))
        facts["camera-away"] = float(np.linalg.norm(camera_from_lidar[:3, :3].T @ camera_from_lidar[:3, 3]))
    return facts


def in_view(
    points: Float[ndarray, "n 3"], intrinsics: Intrinsics, camera_from_lidar: Float[ndarray, "4 4"]
) -> float | None:
    """Share of the points of a cloud that fall into the image; None without points."""
    if len(points) == 0:
        return None
    x, y, z = np.einsum("ij,nj->in", camera_from_lidar[:3, :3], points) + camera_from_lidar[:3, 3:]
    ahead = z > NEAREST_M
    u = intrinsics.fx * x[ahead] / z[ahead] + intrinsics.cx
    v = intrinsics.fy * y[ahead] / z[ahead] + intrinsics.cy
    inside = (u > 0) & (u < intrinsics.width) & (v > 0) & (v < intrinsics.height)
    return float(inside.sum() / len(points))


def of_image(pixels: UInt8[ndarray, "h w 3"]) -> Facts:
    """Facts of one image: its level, and whether anything is on it."""
    grey = pixels.mean(2)
    return {"blank-images": float(grey.std() < BLANK_LEVELS), "brightness": float(grey.mean())}


def _angle_deg(cosine: float) -> float:
    return float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))
