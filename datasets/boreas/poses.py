"""The pose tables of the camera and of the LiDAR, and what is recognised as another table, unit or map."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.spatial.transform import Rotation

from datasets.boreas.layout import ANGLES, POSES, POSITION, TIME
from datasets.columns import numbers, read_columns, refuse_lines
from datasets.errors import CrossplaceError

MOST_FROM_ORIGIN_M = 50_000.0
"""The route stays within 3 km of the origin; on UTM it is thousands of kilometres north of zero."""
MOST_ANGLE_RAD = 2 * np.pi
MOST_STEP_M = 50.0
"""Longest way between two poses of a table, which are 0.1 s apart."""
OTHER_UNITS = {1e8: "seconds", 1e11: "milliseconds", 1e17: "nanoseconds"}
"""Times since 1970 by the unit that makes numbers of about this size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Poses:
    """A sensor's poses, one a file, at times that rise strictly; the LiDAR's axes are z up, the camera's z forward."""

    time_us: Int[ndarray, " n"]
    """Microseconds since 1970, which are the names of the sensor's files."""
    world_from_sensor: Float[ndarray, "n 4 4"]

    @property
    def time_ns(self) -> Int[ndarray, " n"]:
        """The same times in nanoseconds."""
        return self.time_us * 1000


def rotation(angles_rad: Float[ndarray, "n 3"]) -> Float[ndarray, "n 3 3"]:
    """``world_from_sensor`` of roll, pitch and heading, as published: roll @ pitch @ heading.

    Source: pyboreas, whose elementary matrices are transposes of the usual ones, so that each angle is negated here.
    """
    return Rotation.from_euler("XYZ", -angles_rad).as_matrix()


def read_poses(path: Path) -> Poses:
    """The poses in ``applanix/{camera,lidar}_poses.csv``; columns are found by the names in the first line.

    Raises:
        CrossplaceError: naming the file and the fault: times in another unit, positions on UTM, angles in degrees, rows
            that are no poses, repeat a time or jump.
    """
    columns = read_columns(path, (TIME, *POSITION, *ANGLES))
    if not columns[TIME]:
        raise CrossplaceError(f"{path}: no pose; fetch the file again")
    time_us = _times(columns[TIME], path)
    lines = np.arange(len(time_us)) + 2
    values = np.column_stack([numbers(columns[name], name, path) for name in (*POSITION, *ANGLES)])
    refuse_lines(~np.isfinite(values).all(axis=1), lines, path, "a number of the pose is not finite")
    position_m, angles_rad = values[:, :3], values[:, 3:]
    _check_map(position_m, path)
    refuse_lines(np.abs(angles_rad).max(axis=1) > MOST_ANGLE_RAD, lines, path, "no angles in radians")
    refuse_lines(np.diff(time_us) <= 0, lines[1:], path, "not later than the line before")
    step_m = np.linalg.norm(np.diff(position_m, axis=0), axis=1)
    is_jump = step_m > MOST_STEP_M * np.maximum(np.diff(time_us) / 1e6, 1)
    refuse_lines(is_jump, lines[1:], path, f"more than {MOST_STEP_M:.0f} m a second from the line before")
    world_from_sensor = np.tile(np.eye(4), (len(time_us), 1, 1))
    world_from_sensor[:, :3, :3], world_from_sensor[:, :3, 3] = rotation(angles_rad), position_m
    return Poses(time_us=time_us, world_from_sensor=world_from_sensor)


def _times(cells: list[str], path: Path) -> Int[ndarray, " n"]:
    lines = np.arange(len(cells)) + 2
    is_time = np.array([cell.isascii() and cell.isdecimal() and len(cell) == 16 for cell in cells], dtype=bool)
    first = abs(numbers(cells[:1], TIME, path)[0])
    unit = next((unit for size, unit in OTHER_UNITS.items() if size <= first < 100 * size), None)
    if unit and not is_time[0]:
        raise CrossplaceError(
            f"{path}: times are {unit} since 1970, as in gps_post_process.csv; expected whole microseconds, which are "
            f"the names of the sensor's files: take {' and '.join(POSES.values())} of the store"
        )
    refuse_lines(~is_time, lines, path, f"{TIME} is no time in microseconds since 1970")
    return np.array([int(cell) for cell in cells], dtype=np.int64)


def _check_map(position_m: Float[ndarray, "n 3"], path: Path) -> None:
    east, north, _ = np.median(position_m, axis=0)
    if max(abs(east), abs(north)) > MOST_FROM_ORIGIN_M:
        raise CrossplaceError(
            f"{path}: positions are about {east:,.0f} m east and {north:,.0f} m north, which is UTM as in the devkit's "
            "demo; expected metres east, north and up of the first pose of the data set: fetch the table from the store"
        )
