"""Poses between poses: rotations along the shortest arc, positions along the straight line; and the nearest times."""

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy.spatial.transform import Rotation, Slerp


def is_inside(time_ns: Int[ndarray, " n"], at_ns: Int[ndarray, " m"]) -> Bool[ndarray, " m"]:
    """Which of ``at_ns`` lie between the first and the last of ``time_ns`` (both included)."""
    if len(time_ns) == 0:
        return np.zeros(len(at_ns), dtype=bool)
    return (time_ns[0] <= at_ns) & (at_ns <= time_ns[-1])


def is_covered(time_ns: Int[ndarray, " n"], at_ns: Int[ndarray, " m"], longest_gap_ns: int) -> Bool[ndarray, " m"]:
    """Which of ``at_ns`` lie between two neighbours in ``time_ns`` that are at most ``longest_gap_ns`` apart."""
    inside = is_inside(time_ns, at_ns)
    after = np.clip(np.searchsorted(time_ns, at_ns), 1, max(len(time_ns) - 1, 1))
    if len(time_ns) > 1:
        inside &= time_ns[after] - time_ns[after - 1] <= longest_gap_ns
    return inside


def nearest_in(times_ns: Int[ndarray, " n"], at_ns: Int[ndarray, " m"]) -> tuple[Int[ndarray, " m"], ndarray]:
    """For each of ``at_ns``, the row of the nearest of the ascending times, and the distance; the earlier wins ties."""
    if len(times_ns) == 0:
        return np.zeros(len(at_ns), dtype=np.int64), np.full(len(at_ns), np.iinfo(np.int64).max)
    after = np.clip(np.searchsorted(times_ns, at_ns), 1, max(len(times_ns) - 1, 1))
    before, after = after - 1, np.minimum(after, len(times_ns) - 1)
    is_later = times_ns[after] - at_ns < at_ns - times_ns[before]
    row = np.where(is_later, after, before)
    return row, np.abs(times_ns[row] - at_ns)


def interpolate_poses(
    time_ns: Int[ndarray, " n"], poses: Float[ndarray, "n 4 4"], at_ns: Int[ndarray, " m"]
) -> Float[ndarray, "m 4 4"]:
    """``world_from_body`` at times ``at_ns`` from the poses at ``time_ns``, which increase strictly.

    Raises:
        ValueError: a time is not inside the interval (:func:`is_inside`); nothing is extrapolated.
    """
    if not is_inside(time_ns, at_ns).all():
        raise ValueError("poses are asked for outside of the interval in which they are known")
    result = np.tile(np.eye(4), (len(at_ns), 1, 1))
    if len(at_ns) == 0:
        return result
    if len(time_ns) == 1:
        return np.repeat(poses, len(at_ns), axis=0)
    # float64 cannot hold nanoseconds since 1970 exactly, but it can hold seconds since the first pose.
    known, wanted = (time_ns - time_ns[0]) / 1e9, (at_ns - time_ns[0]) / 1e9
    result[:, :3, :3] = Slerp(known, Rotation.from_matrix(poses[:, :3, :3]))(wanted).as_matrix()
    for axis in range(3):
        result[:, axis, 3] = np.interp(wanted, known, poses[:, axis, 3])
    return result
