"""What sampled clouds say: units, axes, field of view, ground, and whether they move as their poses do."""

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from datasets.base import Lidar
from datasets.doctor.tables import Facts

HIGH_M = 30.0
BELOW_M = 6.0
"""Where roads fall ahead of a vehicle, little of what it sees lies this far below its LiDAR."""
SLACK = 1.02
"""Ranges beyond the stated maximum by this factor are no rounding."""
FOV_SLACK_DEG = 2.0
"""Beams of real sensors lie up to this far outside of the stated field of view."""
CHOSEN_POINTS = 2000
"""At most so many points are looked at for repetitions, drawn with a fixed seed."""
NEAR_M = 3.0
"""Directions of nearer points depend on where exactly the sensor's centre is."""


def of_sensor(lidar: Lidar) -> Facts:
    """Facts of the description of a LiDAR."""
    low, high = lidar.vertical_fov_deg
    return {"field-of-view": high - low, "max-range": lidar.max_range_m}


def of_cloud(points: Float[ndarray, "n 3"], lidar: Lidar | None) -> Facts:
    """Facts of one cloud, in metres in the axes of its LiDAR; ``lidar`` is what its traversal says of the sensor."""
    if len(points) == 0:
        return {"empty-clouds": 1.0}
    points = points.astype(np.float64)  # files of another layout hold numbers whose squares overflow
    range_m = np.linalg.norm(points, axis=1)
    facts: Facts = {
        "empty-clouds": 0.0,
        "points": float(len(points)),
        "reach": float(np.quantile(range_m, 0.95)),
        "high": float(np.mean(np.abs(points[:, 2]) > HIGH_M)),
        "below": float(np.mean(points[:, 2] < -BELOW_M)),
        "flat": float(np.ptp(np.quantile(points[:, 2], [0.02, 0.98]))),
    }
    if lidar is None or lidar.form == "scan":
        facts["ground"] = ground_m(points)
    facts["repeated-points"] = _most_frequent(points)
    if lidar is not None and lidar.form == "scan":
        facts["beyond-range"] = float(np.mean(range_m > lidar.max_range_m * SLACK))
        facts |= _of_view(points[range_m > NEAR_M], lidar)
    return facts


def _of_view(points: Float[ndarray, "n 3"], lidar: Lidar) -> Facts:
    if len(points) == 0:
        return {}
    elevation_deg = np.degrees(np.arctan2(points[:, 2].copy(), np.hypot(points[:, 0], points[:, 1])))
    low, high = lidar.vertical_fov_deg
    outside = (elevation_deg < low - FOV_SLACK_DEG) | (elevation_deg > high + FOV_SLACK_DEG)
    used_deg = float(np.ptp(np.quantile(elevation_deg, [0.01, 0.99])))
    return {"outside-view": float(outside.mean()), "view-used": used_deg / max(high - low, 1e-9)}


def _most_frequent(points: Float[ndarray, "n 3"]) -> float:
    """The share of the most frequent point among chosen ones; 0 of clouds so small that one point is a share."""
    chosen = np.random.default_rng(0).permutation(points)[:CHOSEN_POINTS] if len(points) > CHOSEN_POINTS else points
    return float(np.unique(chosen, axis=0, return_counts=True)[1].max() / len(chosen)) if len(chosen) > 99 else 0.0


def cells_of(places_m: Float[ndarray, "n 2"], side_m: float) -> Int[ndarray, " n"]:
    """Numbers of the cells of a grid in which places lie: from 0 on, and every number is that of a cell."""
    if len(places_m) == 0:
        return np.zeros(0, dtype=np.int64)
    column, row = np.floor(places_m / side_m).astype(np.int64).T
    in_order = (column - column.min()) * (np.ptp(row) + 1) + row - row.min()  # one number sorts faster than two
    return np.unique(in_order, return_inverse=True)[1].reshape(-1)


def ground_m(points: Float[ndarray, "n 3"]) -> float | None:
    """Height of the ground in the axes of the LiDAR: where most area of the nearby plane has its lowest point."""
    away_m = np.hypot(points[:, 0], points[:, 1])
    near = points[(away_m > 2) & (away_m < 25)]
    cells = cells_of(near[:, :2], side_m=1.0)
    if len(near) == 0 or cells.max() < 20:
        return None
    lowest = np.full(cells.max() + 1, np.inf)
    np.minimum.at(lowest, cells, near[:, 2])
    return float(np.median(lowest))
