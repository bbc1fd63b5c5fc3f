"""The ground under a vehicle: the plane that most points of a cloud lie on."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

BLOCK = 2_000_000
"""How many distances are in memory at once."""
MOST_COUNTED = 20_000
"""How many points at most vote on a plane; from a larger cloud this many are drawn at random."""
LEVEL_COSINE = 0.9
"""A plane can be the ground if the upright part of its unit normal is at least this: VXP's value for Oxford."""


@dataclass(frozen=True, slots=True)
class Plane:
    """All points ``p`` with ``normal · p = offset_m``."""

    normal: Float[ndarray, "3"]
    """The normal of the plane, of unit length and pointing up (z ≥ 0)."""
    offset_m: float
    is_inlier: Bool[ndarray, " n"]
    """Which points lie on the plane, among those that it was found in."""

    @property
    def is_level(self) -> bool:
        """Whether the plane is level enough to be the ground."""
        return bool(self.normal[2] >= LEVEL_COSINE)


def ground_plane(
    points: Float[ndarray, "n _"], random: np.random.Generator, distance_m: float = 0.2, iterations: int = 1000
) -> Plane | None:
    """The best plane through three of ``points`` (x, y, z first), or None if no three points span a plane.

    The best plane is the one with the most points nearer than ``distance_m`` to it. Source: as published for VXP's
    Oxford submaps (RANSAC by Open3D with 0.2 m, three points, 1,000 iterations). Deviations: it is seeded, tries all
    triples at once and does not refit the best plane. In a large cloud ``MOST_COUNTED`` points decide which is best.
    """
    everything = np.asarray(points[:, :3], dtype=np.float64)
    if len(everything) < 3:
        return None
    is_large = len(everything) > MOST_COUNTED
    xyz = everything[random.choice(len(everything), MOST_COUNTED, replace=False)] if is_large else everything
    a, b, c = np.moveaxis(xyz[_triples(len(xyz), iterations, random)], 1, 0)
    normals = np.cross(b - a, c - a)
    lengths = np.linalg.norm(normals, axis=1)
    spans = lengths > 1e-9
    if not spans.any():
        return None
    normals, a = normals[spans] / lengths[spans, None], a[spans]
    normals *= np.where(normals[:, 2:] < 0, -1, 1)
    offsets = np.einsum("ij,ij->i", normals, a)
    best = int(np.argmax(_count_inliers(xyz, normals, offsets, distance_m)))
    is_inlier = _distances(everything, normals[[best]], offsets[[best]])[0] < distance_m
    return Plane(normals[best], float(offsets[best]), is_inlier)


def _triples(n: int, count: int, random: np.random.Generator) -> ndarray:
    """``count`` rows of three different numbers below ``n``."""
    drawn = random.integers(0, [n, n - 1, n - 2], (count, 3))
    drawn[:, 1] += drawn[:, 1] >= drawn[:, 0]
    low, high = np.sort(drawn[:, :2], axis=1).T
    drawn[:, 2] += drawn[:, 2] >= low
    drawn[:, 2] += drawn[:, 2] >= high
    return drawn


def _count_inliers(
    xyz: Float[ndarray, "n 3"], normals: Float[ndarray, "k 3"], offsets: Float[ndarray, " k"], distance_m: float
) -> ndarray:
    step = max(BLOCK // len(xyz), 1)
    blocks = (slice(start, start + step) for start in range(0, len(normals), step))
    return np.concatenate([(_distances(xyz, normals[b], offsets[b]) < distance_m).sum(1) for b in blocks])


def _distances(
    xyz: Float[ndarray, "n 3"], normals: Float[ndarray, "k 3"], offsets: Float[ndarray, " k"]
) -> Float[ndarray, "k n"]:
    # The last bits of a matrix product depend on the number of threads; those of einsum do not.
    return np.abs(np.einsum("kj,nj->kn", normals, xyz) - offsets[:, None])
