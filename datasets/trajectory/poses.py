"""Trajectories as SLAM programs write them: TUM (time x y z qx qy qz qw) and KITTI (twelve numbers a line)."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.spatial.transform import Rotation

from datasets.errors import CrossplaceError
from datasets.files import read_text
from datasets.trajectory.times import Times, Unit, check_rising, number, read_times, timed

TUM, KITTI = 8, 12
"""Numbers a line, by which the two forms are told apart."""
FORMS = "8 numbers (TUM: time x y z qx qy qz qw) or 12 (KITTI: a 3×4 matrix by rows)"
OPTION = "--trajectory-unit"
MOST_DEVIATION = 0.01
"""Largest deviation of a quaternion's length from 1, or of a matrix from a rotation, that rounding explains."""


@dataclass(frozen=True, kw_only=True)
class Poses:
    """The poses of one sensor at times that rise strictly."""

    form: str
    times: Times
    world_from_sensor: Float[ndarray, "n 4 4"]


def read_poses(path: Path, times_path: Path | None, unit: Unit | None) -> Poses:
    """The trajectory in ``path``; that of KITTI has its times in ``times_path``. ``unit`` is that of the times.

    Blank lines, and lines that begin with #, are skipped.

    Raises:
        CrossplaceError: the sentence names the file, the line, what was expected, and what to do.
    """
    lines = [
        (line, text.split())
        for line, text in enumerate(read_text(path).splitlines(), start=1)
        if text.strip() and not text.lstrip().startswith("#")
    ]
    if not lines:
        raise CrossplaceError(f"{path}: no poses; expected lines of {FORMS}: write it again")
    rows = _numbers(lines, path)
    numbers_of_lines = [line for line, _ in lines]
    values = np.array(rows, dtype=np.float64)
    if values.shape[1] == KITTI:
        times = _times_of_kitti(path, times_path, len(rows), unit)
        return Poses(form="KITTI", times=times, world_from_sensor=_from_matrices(values, numbers_of_lines, path))
    if times_path is not None:
        raise CrossplaceError(f"{path}: 8 numbers a line are TUM poses, which have their own times; leave out --times")
    times = timed([row[0] for row in rows], str(path), given=unit, usual="s", option=OPTION)
    check_rising(times, numbers_of_lines, path)
    return Poses(form="TUM", times=times, world_from_sensor=_from_quaternions(values, numbers_of_lines, path))


def _numbers(lines: Sequence[tuple[int, list[str]]], path: Path) -> list[list[Decimal]]:
    """The numbers of all lines, as many in each; the first line that is otherwise is refused."""
    rows: list[list[Decimal]] = []
    for line, words in lines:
        where, text = f"{path}: line {line}", " ".join(words)
        if "," in text:
            raise CrossplaceError(f"{where}: numbers are separated by commas; expected spaces: replace the commas")
        found = [number(word) for word in words]
        row = [value for value in found if value is not None]
        if not row and not rows:
            raise CrossplaceError(f"{where}: {text[:60]!r} is a header; begin it with #, or remove the line")
        if len(row) < len(found):
            bad = next(word for word, value in zip(words, found, strict=True) if value is None)
            raise CrossplaceError(f"{where}: {bad[:60]!r} is no finite number; correct it or remove the line")
        if len(row) not in (TUM, KITTI):
            raise CrossplaceError(f"{where}: {len(row)} number(s); expected {FORMS}: write it so")
        if rows and len(row) != len(rows[0]):
            raise CrossplaceError(f"{where}: {len(row)} numbers, but {len(rows[0])} in the first line; remove the line")
        rows.append(row)
    return rows


def _times_of_kitti(path: Path, times_path: Path | None, n_poses: int, unit: Unit | None) -> Times:
    if times_path is None:
        raise CrossplaceError(
            f"{path}: 12 numbers a line are KITTI poses, without times; state a file with one time a line: --times FILE"
        )
    times = read_times(times_path, given=unit, option=OPTION)
    if len(times.written) != n_poses:
        raise CrossplaceError(
            f"{times_path}: {len(times.written)} times for the {n_poses} poses in {path}; expected as many: write the "
            "time of each pose on a line"
        )
    return times


def _from_quaternions(values: Float[ndarray, "n 8"], lines: list[int], path: Path) -> Float[ndarray, "n 4 4"]:
    lengths = np.linalg.norm(values[:, 4:], axis=1)
    wrong = np.abs(lengths - 1) > MOST_DEVIATION
    if wrong.any():
        at = int(np.argmax(wrong))
        raise CrossplaceError(
            f"{path}: line {lines[at]}: qx qy qz qw have length {lengths[at]:.3g}; expected a unit quaternion as the "
            "last four numbers of a line: correct them or remove the line"
        )
    poses = np.tile(np.eye(4), (len(values), 1, 1))
    poses[:, :3, :3] = Rotation.from_quat(values[:, 4:]).as_matrix()
    poses[:, :3, 3] = values[:, 1:4]
    return poses


def _from_matrices(values: Float[ndarray, "n 12"], lines: list[int], path: Path) -> Float[ndarray, "n 4 4"]:
    poses = np.tile(np.eye(4), (len(values), 1, 1))
    poses[:, :3] = values.reshape(-1, 3, 4)
    rotations = poses[:, :3, :3]
    deviation = np.abs(rotations @ rotations.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2))
    wrong = (deviation > MOST_DEVIATION) | (np.linalg.det(rotations) < 0)
    if wrong.any():
        raise CrossplaceError(
            f"{path}: line {lines[int(np.argmax(wrong))]}: the left 3×3 part is no rotation; expected the first three "
            "rows of a rigid transform, row by row: correct it or remove the line"
        )
    return poses
