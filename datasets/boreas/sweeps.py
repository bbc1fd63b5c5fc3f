"""Sweeps of the LiDAR: reading, correction for the vehicle's motion, placing and cropping."""

from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from datasets.boreas.layout import POINT, POINT_BYTES
from datasets.boreas.poses import Poses
from datasets.errors import CrossplaceError
from datasets.files import unreadable
from datasets.interpolation import interpolate_poses

BEAMS = 128
HALF_SWEEP_NS = 60_000_000
"""Points are measured at most this long before or after the time of their sweep; published ones at most 54 ms."""
NEAR_NS = 2 * 10**9
"""Poses within this time of a sweep are looked at: more than half a sweep and the longest gap that is bridged."""
STEP_NS = 1_000_000
"""Poses for the correction are interpolated this often; at 15 m/s a point is then at most 8 mm off."""


def read_sweep(path: Path) -> tuple[Float[ndarray, "n 3"], Int[ndarray, " n"], int]:
    """Points in metres in the LiDAR's axes, their times after the sweep's in nanoseconds, and a number.

    The number counts points that were left out because they are not finite.

    Raises:
        CrossplaceError: the file is damaged or holds points in another layout; the sentence names it.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error
    if len(content) % POINT_BYTES or not content:
        raise CrossplaceError(
            f"{path}: {len(content)} bytes are no whole number of points of {len(POINT)} × float32 "
            f"({', '.join(POINT)}); fetch it again, or delete it to do without that sweep"
        )
    values = np.frombuffer(content, dtype="<f4").reshape(-1, len(POINT))
    finite = np.isfinite(values).all(axis=1)
    values = values[finite]
    ring, time_s = values[:, POINT.index("ring")], values[:, POINT.index("t")]
    wrong = (ring != np.round(ring)) | (ring < 0) | (ring >= BEAMS) | (np.abs(time_s) * 1e9 > HALF_SWEEP_NS)
    if wrong.any():
        first = int(np.argmax(wrong))
        raise CrossplaceError(
            f"{path}: point {first} has ring {ring[first]:g} and t {time_s[first]:g}; expected a beam from 0 to "
            f"{BEAMS - 1} and at most {HALF_SWEEP_NS / 1e9:g} s: the file is damaged or of another layout; fetch it "
            "again, or delete it to do without that sweep"
        )
    time_ns = np.round(time_s.astype(np.float64) * 1e9).astype(np.int64)
    return values[:, :3], time_ns, int((~finite).sum())


def placed(
    points: Float[ndarray, "n 3"],
    time_ns: Int[ndarray, " n"],
    sweep_ns: int,
    lidar: Poses,
    body_from_world: Float[ndarray, "4 4"],
    *,
    correct_motion: bool,
) -> Float[ndarray, "n 3"]:
    """``points`` of the sweep taken at ``sweep_ns`` in the axes of a body at ``body_from_world``.

    The LiDAR is where its own poses say: for each point when that was measured, or, without ``correct_motion``, for all
    points at the time of the sweep.
    """
    step = np.round(time_ns / STEP_NS).astype(np.int64) if correct_motion else np.zeros(len(points), dtype=np.int64)
    steps, which = np.unique(step, return_inverse=True)
    near = slice(*np.searchsorted(lidar.time_ns, sweep_ns + np.array([-NEAR_NS, NEAR_NS])))
    world_from_lidar = interpolate_poses(lidar.time_ns[near], lidar.world_from_sensor[near], sweep_ns + steps * STEP_NS)
    body_from_lidar = body_from_world @ world_from_lidar
    result = np.empty((len(points), 3))
    order = np.argsort(which, kind="stable")
    bounds = np.searchsorted(which[order], np.arange(len(steps) + 1))
    for pose, start, end in zip(body_from_lidar, bounds[:-1], bounds[1:], strict=True):
        rows = order[start:end]
        # The last bits of a matrix product depend on the number of threads; those of einsum do not.
        result[rows] = np.einsum("ij,nj->ni", pose[:3, :3], points[rows]) + pose[:3, 3]
    return result
