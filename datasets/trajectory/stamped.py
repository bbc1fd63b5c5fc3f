"""Folders of images or clouds whose files have times: in their names, or in a ``times.txt`` beside them."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np

from datasets.errors import CrossplaceError
from datasets.trajectory.times import Times, Unit, number, read_times, timed

TIMES = "times.txt"
OPTION = "--time-unit"


@dataclass(frozen=True, kw_only=True)
class StampedFiles:
    """The files of a folder in the order of their times."""

    paths: list[Path]
    times: Times
    n_others: int
    """How many files of the folder have another suffix, and are left alone."""


def find_files(folder: Path, suffixes: Collection[str], unit: Unit | None) -> StampedFiles:
    """The files in ``folder`` with one of ``suffixes`` and their times, which are of ``unit`` if it is given.

    With a ``times.txt``, its lines belong to the files in the order of their names (numbers by value). Otherwise the
    name of each file, without its suffix, is its time.

    Raises:
        CrossplaceError: no such folder or files, names that are no times, two files of one time.
    """
    if not folder.is_dir():
        raise CrossplaceError(f"{folder}: no such folder; expected {', '.join(suffixes)} files with times as names")
    present = [p for p in sorted(folder.iterdir()) if p.is_file() and p.name != TIMES and not p.name.startswith(".")]
    paths = [path for path in present if path.suffix.lower() in suffixes]
    if not paths:
        found = ", ".join(
            f"{n} {suffix or 'without suffix'}" for suffix, n in Counter(p.suffix for p in present).items()
        )
        raise CrossplaceError(
            f"{folder}: no {', '.join(suffixes)} files (found: {found or 'no files'}); name the folder that holds "
            "them, or convert them"
        )
    if (folder / TIMES).is_file():
        paths, times = _listed(folder, paths, unit)
    else:
        times = timed([_time_in_name(p) for p in paths], str(folder), given=unit, usual=None, option=OPTION)
    order = np.argsort(times.time_ns, kind="stable")
    repeated = np.flatnonzero(np.diff(times.time_ns[order]) == 0)
    if len(repeated):
        one, other = (paths[row] for row in order[repeated[0] : repeated[0] + 2])
        raise CrossplaceError(f"{folder}: {one.name} and {other.name} have the same time; remove one of the two")
    in_order = Times(
        written=tuple(times.written[row] for row in order), unit=times.unit, because=times.because, where=times.where
    )
    return StampedFiles(paths=[paths[row] for row in order], times=in_order, n_others=len(present) - len(paths))


def _listed(folder: Path, paths: list[Path], unit: Unit | None) -> tuple[list[Path], Times]:
    times = read_times(folder / TIMES, given=unit, option=OPTION)
    if len(times.written) != len(paths):
        raise CrossplaceError(
            f"{folder / TIMES}: {len(times.written)} times for {len(paths)} files; expected as many: write the time of "
            "each file on a line, in the order of their names"
        )
    if all(path.stem.isdecimal() for path in paths):
        paths = sorted(paths, key=lambda path: int(path.stem))
    return paths, times


def _time_in_name(path: Path) -> Decimal:
    value = number(path.stem)
    if value is None:
        raise CrossplaceError(
            f"{path}: the name is no time; expected a number such as 1403636579763555584{path.suffix}: rename the "
            f"files, or write {TIMES} there with one time a line"
        )
    return value
