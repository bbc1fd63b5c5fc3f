"""The rule for "the same place", in one place."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray
from scipy.spatial import cKDTree

from datasets.base import Frame, Frames


@runtime_checkable
class HasPoses(Protocol):
    """Columns of poses: :class:`datasets.base.Frames`, or :class:`Poses` of a few frames."""

    @property
    def position_m(self) -> ndarray: ...  # noqa: D102
    @property
    def yaw_rad(self) -> ndarray: ...  # noqa: D102
    @property
    def world(self) -> ndarray: ...  # noqa: D102


class Poses(NamedTuple):
    """The poses of some frames as columns."""

    position_m: ndarray
    yaw_rad: ndarray
    world: ndarray

    @classmethod
    def of(cls, frames: Sequence[Frame]) -> "Poses":
        """The poses of ``frames`` in their order."""
        return cls(
            np.array([f.position_m for f in frames]).reshape(-1, 3),
            np.array([f.yaw_rad for f in frames]),
            np.array([f.world for f in frames], dtype=object),
        )


def heading_difference_rad(a: Float[ndarray, "..."], b: Float[ndarray, "..."]) -> Float[ndarray, "..."]:
    """Absolute difference of two headings, wrapped into ``[0, π]``; broadcasts."""
    return np.abs((a - b + np.pi) % (2 * np.pi) - np.pi)


def plane_distance_m(a: Float[ndarray, "n _"], b: Float[ndarray, "m _"]) -> Float[ndarray, "n m"]:
    """Distances between positions in the east-north plane; height is ignored."""
    return np.hypot(a[:, None, 0] - b[None, :, 0], a[:, None, 1] - b[None, :, 1])


def same_place(a: HasPoses, b: HasPoses, radius_m: float, heading_limit_rad: float | None) -> Bool[ndarray, "n m"]:
    """Which frames of ``a`` and ``b`` show the same place.

    Same world, at most ``radius_m`` apart in the plane (inclusive) and, if a limit is given, with a wrapped
    heading difference strictly below ``heading_limit_rad``.
    """
    near = plane_distance_m(a.position_m, b.position_m) <= radius_m
    near &= a.world[:, None] == b.world[None, :]
    if heading_limit_rad is not None:
        near &= heading_difference_rad(a.yaw_rad[:, None], b.yaw_rad[None, :]) < heading_limit_rad
    return near


def neighbours(frames: Frames, radius_m: float, heading_limit_rad: float | None) -> list[ndarray]:
    """For each frame the rows of all *other* frames that show the same place, ascending.

    The rule of :func:`same_place`, found with a k-d tree so that large training sets stay sparse.
    """
    plane = frames.position_m[:, :2]
    lists: list[ndarray] = [np.empty(0, dtype=np.int64)] * len(frames)
    for world in dict.fromkeys(frames.world.tolist()):
        rows = np.flatnonzero(frames.world == world)
        # The tree compares squared distances; the slack and the exact test below keep the radius inclusive.
        found = cKDTree(plane[rows]).query_ball_point(plane[rows], radius_m * (1 + 1e-9) + 1e-9)
        for row, near in zip(rows, found, strict=True):
            others = rows[np.sort(np.asarray(near, dtype=np.int64))]
            others = others[others != row]
            ok = np.hypot(*(plane[others] - plane[row]).T) <= radius_m
            if heading_limit_rad is not None:
                ok &= heading_difference_rad(frames.yaw_rad[others], frames.yaw_rad[[row]]) < heading_limit_rad
            lists[row] = others[ok]
    return lists
