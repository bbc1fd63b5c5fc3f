"""Where the vehicle was: the poses of INS and RTK, and poses between them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy.spatial.transform import Rotation

from datasets.columns import numbers, read_columns, refuse_lines
from datasets.errors import CrossplaceError
from datasets.interpolation import interpolate_poses, is_covered
from datasets.places import heading_difference_rad
from datasets.transforms import angle_rad

PoseSource = Literal["ins", "rtk"]
COLUMNS = ("northing", "easting", "down", "roll", "pitch", "yaw")
"""Columns of a pose: metres on UTM and below the ellipsoid, then radians; yaw is clockwise from true north."""
GOOD = "INS_SOLUTION_GOOD"
YAW_OFFSET_RAD: dict[PoseSource, float] = {"ins": 0.0, "rtk": 3 * np.pi / 2}
"""Angle to add to a yaw so that it is clockwise from true north. RTK's is 270° less (published: VXP, SDK issue 30)."""
CONVERGENCE_RAD = np.radians(1.37)
"""Clockwise angle from true north to grid north of UTM zone 30 where the car drove (to 0.02°).

Deviation: the SDK and VXP treat yaw as measured from grid north, and so place each sweep aside by 2.4 % of its
distance. On real runs the course by northing and easting is 1.3° to 1.5° less than the course by the velocities north
and east.
"""
LONGEST_GAP_NS = 10 * 10**9
"""The longest gap between two poses across which poses are interpolated."""
MOST_OUT_OF_ORDER = 0.01
"""The largest share of rows that are left out because a row before them is as late or later.

Published files repeat or exchange single rows. At 50 rows a second each loses 20 ms. A hundredth of a run is some
twenty seconds, in which few images lie; more is no slip, but a file that was sorted or joined wrongly.
"""
MOST_STEP_M = 1000.0
MOST_ANGLE_RAD = 4 * np.pi
MOST_HEADING_ERROR_RAD = np.pi / 4
WORLD_FROM_NED = np.array([[0.0, 1, 0, 0], [1, 0, 0, 0], [0, 0, -1, 0], [0, 0, 0, 1]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectory:
    """Poses ``world_from_ins`` at times that rise strictly. The INS' axes are x forward, y right, z down."""

    time_ns: Int[ndarray, " n"]
    world_from_ins: Float[ndarray, "n 4 4"]
    is_good: Bool[ndarray, " n"]
    """Whether the INS calls its solution good; RTK has no such column, and all its poses count as good."""
    n_not_finite: int
    """How many rows were left out because a number in them is not finite."""
    n_out_of_order: int = 0
    """How many rows were left out because they are not later than the latest row before."""

    def bridged(self) -> "Trajectory":
        """The trajectory with the good poses alone; interpolation bridges the gaps."""
        return Trajectory(
            time_ns=self.time_ns[self.is_good],
            world_from_ins=self.world_from_ins[self.is_good],
            is_good=self.is_good[self.is_good],
            n_not_finite=self.n_not_finite,
            n_out_of_order=self.n_out_of_order,
        )

    def covers(self, at_ns: Int[ndarray, " m"]) -> Bool[ndarray, " m"]:
        """Which times lie between two poses that are at most ``LONGEST_GAP_NS`` apart."""
        return is_covered(self.time_ns, at_ns, LONGEST_GAP_NS)

    def at(self, at_ns: Int[ndarray, " m"]) -> Float[ndarray, "m 4 4"]:
        """``world_from_ins`` at times that the trajectory ``covers``, interpolated between neighbouring poses."""
        return interpolate_poses(self.time_ns, self.world_from_ins, at_ns)

    def latest(self, at_ns: Int[ndarray, " m"]) -> Float[ndarray, "m 4 4"]:
        """The last pose until each time that the trajectory ``covers``: what VXP has where it meant to interpolate."""
        return self.world_from_ins[np.searchsorted(self.time_ns, at_ns, side="right") - 1]

    def longest_bad_s(self) -> float:
        """Duration of the longest series of poses that are not good."""
        padded = np.concatenate([[False], ~self.is_good, [False]]).astype(np.int8)
        starts, ends = np.flatnonzero(np.diff(padded) == 1), np.flatnonzero(np.diff(padded) == -1)
        return float(max((self.time_ns[ends - 1] - self.time_ns[starts]) / 1e9, default=0.0))

    def heading_error_rad(self) -> float:
        """Median angle between the heading and the direction of travel; 0 for a vehicle that hardly moves."""
        step = max(int(np.searchsorted(self.time_ns, self.time_ns[0] + 10**9)), 1)
        poses = self.world_from_ins[::step]
        east, north = np.diff(poses[:, :2, 3], axis=0).T
        moved = np.hypot(east, north) > 1.0
        if not moved.any():
            return 0.0
        heading = angle_rad(poses[:-1, 1, 0], poses[:-1, 0, 0])[moved]
        return float(np.median(heading_difference_rad(heading, angle_rad(north, east)[moved])))


def read_trajectory(path: Path, kind: PoseSource, *, convergence_rad: float = CONVERGENCE_RAD) -> Trajectory:
    """Poses of ``ins.csv`` or ``rtk.csv``; raises :class:`CrossplaceError` naming the file and the line.

    Columns are found by the names in the first line. Rows with numbers that are not finite are left out and counted.
    So are a few rows that are not later than the latest row before (``MOST_OUT_OF_ORDER``).
    Headings are turned from true north to grid north by ``convergence_rad``, which is 0 as published.
    """
    columns = read_columns(path, ("timestamp", *COLUMNS), optional="ins_status")
    time_ns = _times(columns["timestamp"], path)
    values = np.column_stack([numbers(columns[name], name, path) for name in COLUMNS])
    is_later = _later(time_ns, path)
    finite = np.isfinite(values).all(1)
    n_not_finite, n_out_of_order = int((~finite).sum()), int((finite & ~is_later).sum())
    finite &= is_later
    if not finite.any():
        raise CrossplaceError(f"{path}: no row with a pose; fetch the file again")
    world_from_ins = _world_from_ins(values[finite], YAW_OFFSET_RAD[kind] - convergence_rad)
    lines = np.flatnonzero(finite) + 2
    refuse_lines(np.abs(values[finite, 3:]).max(1) > MOST_ANGLE_RAD, lines, path, "no angles in radians")
    steps_m = np.linalg.norm(np.diff(world_from_ins[:, :3, 3], axis=0), axis=1)
    refuse_lines(steps_m > MOST_STEP_M, lines[1:], path, f"more than {MOST_STEP_M:.0f} m from the line before")
    status = columns.get("ins_status", [GOOD] * len(time_ns))
    trajectory = Trajectory(
        time_ns=time_ns[finite],
        world_from_ins=world_from_ins,
        is_good=np.array([s == GOOD for s in status])[finite],
        n_not_finite=n_not_finite,
        n_out_of_order=n_out_of_order,
    )
    error_rad = trajectory.heading_error_rad()
    if error_rad > MOST_HEADING_ERROR_RAD:
        raise CrossplaceError(
            f"{path}: headings are {np.degrees(error_rad):.0f}° off the direction of travel (median); expected yaw "
            f"clockwise from north{' less 270°' if kind == 'rtk' else ''}: the other pose file may do (poses=…)"
        )
    return trajectory


def _world_from_ins(values: Float[ndarray, "n 6"], yaw_offset_rad: float) -> Float[ndarray, "n 4 4"]:
    """Poses in east, north, up from values in north, east, down; as published, R = Rz(yaw) Ry(pitch) Rx(roll)."""
    ned_from_ins = np.tile(np.eye(4), (len(values), 1, 1))
    roll, pitch, yaw = values[:, 3:].T
    turns = np.column_stack([yaw + yaw_offset_rad, pitch, roll])
    ned_from_ins[:, :3, :3] = Rotation.from_euler("ZYX", turns).as_matrix()
    ned_from_ins[:, :3, 3] = values[:, :3]
    return np.einsum("ij,njk->nik", WORLD_FROM_NED, ned_from_ins)


def _times(cells: list[str], path: Path) -> Int[ndarray, " n"]:
    lines = np.arange(len(cells)) + 2
    is_time = np.array([cell.isascii() and cell.isdecimal() and len(cell) == 16 for cell in cells], dtype=bool)
    refuse_lines(~is_time, lines, path, "timestamp is no time in microseconds since 1970")
    return np.array([int(cell) * 1000 for cell in cells], dtype=np.int64)


def _later(time_ns: Int[ndarray, " n"], path: Path) -> Bool[ndarray, " n"]:
    """Which rows are later than all rows before; too many others are refused."""
    is_later = np.ones(len(time_ns), dtype=bool)
    is_later[1:] = time_ns[1:] > np.maximum.accumulate(time_ns)[:-1]
    n_others = int((~is_later).sum())
    if n_others > MOST_OUT_OF_ORDER * len(time_ns):
        raise CrossplaceError(
            f"{path}: line {int(np.argmin(is_later)) + 2}: not later than the latest line before, as {n_others:,} of "
            f"{len(time_ns):,} lines; at most {MOST_OUT_OF_ORDER:.0%} of them can be left out: fetch the file again"
        )
    return is_later
