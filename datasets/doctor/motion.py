"""Whether clouds move as their poses say: two neighbouring clouds must lie upon each other, and no other way better."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from datasets.doctor.clouds import cells_of

NEAREST_M, FARTHEST_M = 3.0, 20.0
"""Pairs of clouds that are compared were taken this far apart."""
CLOSE_M = 0.4
"""A point that is this near to a point of the other cloud has found its own surface."""
REACH_M = 40.0
CELL_M, STANDING_M = 1.0, 1.0
"""Only columns of ground plan with points this far above each other count: a plain looks alike wherever it is."""
FEWEST, MOST_POINTS = 100, 3000

AS_GIVEN = "as given"
READINGS: Mapping[str, Sequence[Sequence[float]]] = {
    AS_GIVEN: [(1, 0, 0), (0, 1, 0), (0, 0, 1)],
    "with left and right exchanged": [(1, 0, 0), (0, -1, 0), (0, 0, 1)],
    "turned by 90° to the left": [(0, -1, 0), (1, 0, 0), (0, 0, 1)],
    "turned by 90° to the right": [(0, 1, 0), (-1, 0, 0), (0, 0, 1)],
    "turned by 180°": [(-1, 0, 0), (0, -1, 0), (0, 0, 1)],
    "with x and y exchanged": [(0, 1, 0), (1, 0, 0), (0, 0, 1)],
    "with x and z exchanged": [(0, 0, 1), (0, 1, 0), (1, 0, 0)],
    "with y and z exchanged": [(1, 0, 0), (0, 0, 1), (0, 1, 0)],
    "upside down": [(1, 0, 0), (0, -1, 0), (0, 0, -1)],
    "from the axes of a camera": [(0, 0, 1), (-1, 0, 0), (0, -1, 0)],
    "at a third of their size": [(0.3048, 0, 0), (0, 0.3048, 0), (0, 0, 0.3048)],
    "at half of their size": [(0.5, 0, 0), (0, 0.5, 0), (0, 0, 0.5)],
    "at twice their size": [(2, 0, 0), (0, 2, 0), (0, 0, 2)],
}
"""How clouds may be meant: the matrix that brings their points into metres and the axes of the LiDAR."""


def overlap(
    a: Float[ndarray, "n 3"], b: Float[ndarray, "m 3"], a_from_b: Float[ndarray, "4 4"]
) -> dict[str, float] | None:
    """Share of the points of ``b`` that lie close to ``a`` under ``a_from_b``, for each way to read both clouds.

    The reading is applied to the motion instead of the clouds, so that no reading has larger clouds than another. None
    if there are too few points on standing things.
    """
    from scipy.spatial import cKDTree  # here: a plan needs none of it

    a, b = _standing(a), _standing(b)
    if min(len(a), len(b)) < FEWEST:
        return None
    tree, found = cKDTree(a), {}
    for name, rows in READINGS.items():
        inverse = np.linalg.inv(np.array(rows, dtype=np.float64))
        turned = inverse @ a_from_b[:3, :3] @ np.array(rows)
        moved = np.einsum("ij,nj->ni", turned, b) + inverse @ a_from_b[:3, 3]
        found[name] = float(np.isfinite(tree.query(moved, distance_upper_bound=CLOSE_M)[0]).mean())
    return found


def _standing(points: Float[ndarray, "n 3"]) -> Float[ndarray, "m 3"]:
    """Points of columns that are high, within reach; at most ``MOST_POINTS``, evenly thinned."""
    points = points.astype(np.float64)
    away_m = np.linalg.norm(points, axis=1)
    near = points[(away_m > 1) & (away_m < REACH_M)]
    if len(near) == 0:
        return near
    cell = cells_of(near[:, :2], CELL_M)
    lowest, highest = np.full(cell.max() + 1, np.inf), np.full(cell.max() + 1, -np.inf)
    np.minimum.at(lowest, cell, near[:, 2])
    np.maximum.at(highest, cell, near[:, 2])
    standing = near[(highest - lowest)[cell] > STANDING_M]
    return standing[:: max(len(standing) // MOST_POINTS, 1)]
