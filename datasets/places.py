"""The rules for "the same place" and for "as far apart as wanted", in one place."""

from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from datasets.base import Axis, Frame, Frames

AXES: tuple[Axis, ...] = ("east", "north", "up")
"""The names of the three columns of positions."""
PLANE: tuple[Axis, ...] = ("east", "north")
MARGIN = 1 + 1e-9
"""Radii are this much larger where frames are only sorted out, so that rounding sorts out none too many."""


@runtime_checkable
class HasPoses(Protocol):
    """Anything with poses as columns: :class:`datasets.base.Frames`, or :class:`Poses` of a few frames."""

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


def wrapped_rad(angle: Float[ndarray, "..."]) -> Float[ndarray, "..."]:
    """Angles brought into ``[−π, π)``."""
    return (angle + np.pi) % (2 * np.pi) - np.pi


def heading_difference_rad(a: Float[ndarray, "..."], b: Float[ndarray, "..."]) -> Float[ndarray, "..."]:
    """Absolute difference of two headings, wrapped into ``[0, π]``; the arrays are broadcast."""
    return np.abs(wrapped_rad(a - b))


def milestones(steps_m: Float[ndarray, " n"], spacing_m: float) -> Int[ndarray, " k"]:
    """Rows at which at least ``spacing_m`` of path has been driven since the milestone before, or since row 0.

    Row 0 itself is not a milestone. ``steps_m[i]`` is the path from row ``i`` to row ``i + 1``. Path beyond the
    spacing does not count towards the next milestone.
    """
    rows, driven_m = [], 0.0
    for row, step_m in enumerate(steps_m.tolist(), start=1):
        driven_m += step_m
        if driven_m >= spacing_m:
            rows.append(row)
            driven_m = 0.0
    return np.array(rows, dtype=np.int64)


def codes(a: ndarray, b: ndarray) -> tuple[Int[ndarray, " n"], Int[ndarray, " m"]]:
    """Integers that are equal where the objects in ``a`` and ``b`` are equal; numpy compares them 100 times as fast."""
    numbers: dict[object, int] = {}
    found = [np.array([numbers.setdefault(value, len(numbers)) for value in c], dtype=np.int64) for c in (a, b)]
    return found[0], found[1]


def same_place(
    a: HasPoses, b: HasPoses, radius_m: float, heading_limit_rad: float | None, axes: Sequence[Axis] = PLANE
) -> Bool[ndarray, "n m"]:
    """Which frames of ``a`` and ``b`` show the same place.

    Two frames do if they are in the same world and at most ``radius_m`` apart over ``axes``. If a limit is given, the
    wrapped difference of their headings must also be strictly below ``heading_limit_rad``.
    """
    same = np.zeros((len(a.position_m), len(b.position_m)), dtype=bool)
    columns = [AXES.index(axis) for axis in axes]
    i, j = _within_strip(a.position_m[:, columns[0]], b.position_m[:, columns[0]], radius_m)
    for column in columns[1:]:  # what is outside the box around the disc is cheap to tell
        is_near = np.abs(a.position_m[i, column] - b.position_m[j, column]) <= radius_m * MARGIN
        i, j = i[is_near], j[is_near]
    a_world, b_world = codes(a.world, b.world)
    offsets_m = [np.abs(a.position_m[i, column] - b.position_m[j, column]) for column in columns]
    is_right = (a_world[i] == b_world[j]) & (reduce(np.hypot, offsets_m) <= radius_m)
    if heading_limit_rad is not None:
        is_right &= heading_difference_rad(a.yaw_rad[i], b.yaw_rad[j]) < heading_limit_rad
    same[i[is_right], j[is_right]] = True
    return same


def _within_strip(
    a_m: Float[ndarray, " n"], b_m: Float[ndarray, " m"], radius_m: float
) -> tuple[Int[ndarray, " k"], Int[ndarray, " k"]]:
    """Rows of ``a`` and ``b`` whose coordinates are at most ``radius_m`` apart, and a few that are hardly farther."""
    order = np.argsort(b_m)
    ascending, reach_m = b_m[order], radius_m * MARGIN + np.spacing(np.abs(a_m))
    first, last = np.searchsorted(ascending, a_m - reach_m), np.searchsorted(ascending, a_m + reach_m, side="right")
    n_of = np.maximum(last - first, 0)
    rows = np.repeat(np.arange(len(a_m)), n_of)
    return rows, order[np.arange(len(rows)) + np.repeat(first - np.cumsum(n_of) + n_of, n_of)]


def neighbours(frames: Frames, radius_m: float, heading_limit_rad: float | None) -> list[ndarray]:
    """For each frame, the rows of all *other* frames that show the same place, in ascending order.

    The rule is that of :func:`same_place`. A k-d tree finds the frames, so that large training sets need no matrix.
    """
    from scipy.spatial import cKDTree  # here: a plan needs none of it

    plane = frames.position_m[:, :2]
    lists: list[ndarray] = [np.empty(0, dtype=np.int64)] * len(frames)
    for world in dict.fromkeys(frames.world.tolist()):
        rows = np.flatnonzero(frames.world == world)
        # The tree compares squared distances; the slack and the exact test below keep the radius inclusive.
        found = cKDTree(plane[rows]).query_ball_point(plane[rows], radius_m * MARGIN + 1e-9)
        for row, near in zip(rows, found, strict=True):
            others = rows[np.sort(np.asarray(near, dtype=np.int64))]
            others = others[others != row]
            ok = np.hypot(*(plane[others] - plane[row]).T) <= radius_m
            if heading_limit_rad is not None:
                ok &= heading_difference_rad(frames.yaw_rad[others], frames.yaw_rad[[row]]) < heading_limit_rad
            lists[row] = others[ok]
    return lists
