"""Poses between poses: rotations along the shortest arc, positions along the straight line."""

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy.spatial.transform import Rotation, Slerp


def is_inside(time_ns: Int[ndarray, " n"], at_ns: Int[ndarray, " m"]) -> Bool[ndarray, " m"]:
    """Which of ``at_ns`` lie between the first and the last of ``time_ns`` (both included)."""
    if len(time_ns) == 0:
        return np.zeros(len(at_ns), dtype=bool)
    return (time_ns[0] <= at_ns) & (at_ns <= time_ns[-1])


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
