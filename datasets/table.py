"""``frames.csv``: the columns of the prepared form, read strictly, cell by cell where something is wrong.

Whoever writes the table with a spreadsheet meets decimal commas, rounded times and empty rows. Each fault is named with
its line, its column, what was found and what was expected.
"""

import csv
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from datasets.base import Frames
from datasets.errors import CrossplaceError
from datasets.files import LONGEST_WHOLE_BYTES, name_fault, read_text

POSITION = ["east_m", "north_m", "up_m"]
ROTATION = ["qw", "qx", "qy", "qz"]
COLUMNS = ["frame_id", "traversal", "world", "timestamp_ns", *POSITION, *ROTATION, "yaw_rad", "image", "cloud"]
MERCATOR_COLUMNS = ["mercator_east_m", "mercator_north_m"]
"""Optional columns. If the position of a frame on the Mercator map is not known, both are empty in its line."""
NAMES = ["frame_id", "traversal", "world"]
"""Columns of text in which no cell is empty."""
OTHER_SEPARATORS = {";": "';'", "\t": "a tab", "|": "'|'"}
A_NUMBER = "a finite number with a decimal point and without thousands separators, such as 620084.402"
A_TIME = (
    "whole nanoseconds, such as 1403772868000000000: a spreadsheet rounds them, so take the column from the original "
    "and keep it as text"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The cells of a table as text without blanks around them."""

    path: Path
    columns: dict[str, list[str]]
    lines: Int[ndarray, " n"]
    """The line of the file that each row ends on; empty lines are no rows."""

    def fault(self, row: int, what: str) -> CrossplaceError:
        """The sentence for something that is wrong in a row."""
        return CrossplaceError(f"{self.path}: line {self.lines[row]}: {what}")

    def texts(self, name: str) -> ndarray:
        """A column as text."""
        return np.array(self.columns[name], dtype=object)

    def numbers(self, name: str, *, or_empty: bool = False) -> Float[ndarray, " n"]:
        """A column as finite numbers; with ``or_empty``, an empty cell is nan."""
        texts = self.texts(name)
        is_empty = texts == "" if or_empty else np.zeros(len(texts), dtype=bool)
        values = self._converted(name, np.where(is_empty, "0", texts), float, np.float64, A_NUMBER)
        values[is_empty] = np.nan
        return values

    def times_ns(self, name: str) -> Int[ndarray, " n"]:
        """A column as nanoseconds."""
        return self._converted(name, self.texts(name), int, np.int64, A_TIME)

    def _converted(self, name: str, texts: ndarray, one: Callable[[str], Any], dtype: type, expected: str) -> ndarray:
        """All cells of a column as numbers; the first cell that is none is named."""
        try:
            if "_" in "".join(texts):
                raise ValueError  # Python takes 1_000 for a thousand
            values: ndarray = texts.astype(dtype)
            if np.isfinite(values).all():
                return values
        except (ValueError, OverflowError):
            pass
        row = next(row for row, text in enumerate(texts) if not _is_number(text, one, dtype))
        found = f"found {self.columns[name][row]!r}" if self.columns[name][row] else "found an empty cell"
        raise self.fault(row, f"column {name}: {found}, expected {expected}")


def _is_number(text: str, one: Callable[[str], Any], dtype: type) -> bool:
    try:
        return "_" not in text and bool(np.isfinite(np.array(one(text)).astype(dtype, casting="same_kind")))
    except (ValueError, OverflowError, TypeError):
        return False


def read_frames(path: Path) -> tuple[Frames, Int[ndarray, " n"]]:
    """The frames in ``path``, and the line of each; raises :class:`CrossplaceError` naming line and column."""
    table = _read_table(path)
    has_mercator = bool(set(MERCATOR_COLUMNS) & set(table.columns))
    needed = COLUMNS + (MERCATOR_COLUMNS if has_mercator else [])
    missing = [c for c in needed if c not in table.columns]
    if missing:
        raise CrossplaceError(f"{path}: line 1: column {missing[0]!r} is missing; expected {', '.join(needed)}")
    _check_names(table)
    frames = Frames(
        **{name: table.texts(name) for name in (*NAMES, "image", "cloud")},
        timestamp_ns=table.times_ns("timestamp_ns"),
        position_m=np.stack([table.numbers(name) for name in POSITION], axis=1),
        quaternion_wxyz=np.stack([table.numbers(name) for name in ROTATION], axis=1),
        yaw_rad=table.numbers("yaw_rad"),
        mercator_m=_mercator_m(table) if has_mercator else None,
    )
    return frames, table.lines


def _mercator_m(table: Table) -> Float[ndarray, "n 2"]:
    values = np.stack([table.numbers(name, or_empty=True) for name in MERCATOR_COLUMNS], axis=1)
    is_half: Bool[ndarray, " n"] = np.isnan(values).sum(axis=1) == 1
    if is_half.any():
        both = " and ".join(MERCATOR_COLUMNS)
        raise table.fault(int(np.argmax(is_half)), f"one of {both} is empty; expected numbers, or both cells empty")
    return values


def _check_names(table: Table) -> None:
    """Refuse empty names, frame ids that occur twice, and those that cannot be the name of a file."""
    for name in NAMES:
        if "" in table.columns[name]:
            row = table.columns[name].index("")
            raise table.fault(row, f"column {name}: found an empty cell, expected a name")
    rows: dict[str, int] = {}
    for row, frame_id in enumerate(table.columns["frame_id"]):
        if frame_id in rows:
            first = table.lines[rows[frame_id]]
            raise table.fault(row, f"frame_id {frame_id!r} appears twice, first in line {first}; rename or remove one")
        rows[frame_id] = row
        faults = (name_fault(part, LONGEST_WHOLE_BYTES) for part in frame_id.split("/"))  # files of depth are named so
        if fault := next(filter(None, faults), ""):
            raise table.fault(row, f"frame_id {frame_id!r}: {fault}; rename the frame")


def _read_table(path: Path) -> Table:
    """The cells of a table; every line must have as many fields as the first."""
    content = read_text(path)
    reader = csv.reader(io.StringIO(content, newline=""), strict=True, skipinitialspace=True)
    try:
        rows = [(reader.line_num, cells) for row in reader if any(cells := [cell.strip() for cell in row])]
    except csv.Error as error:
        raise CrossplaceError(
            f"{path}: line {reader.line_num}: not a readable table, because quotation marks do not pair or a field "
            "never ends; expected one line a frame with fields parted by ','"
        ) from error
    (_, names), *rows = rows or [(1, [""])]
    _check_header(path, names)
    for line, cells in rows:
        if len(cells) != len(names):
            raise CrossplaceError(
                f"{path}: not a readable table (line {line} has {len(cells)} fields, the first line {len(names)}); "
                "expected one line a frame, with a field a column and numbers with a decimal point"
            )
    return Table(
        path=path,
        columns={name: [cells[place] for _, cells in rows] for place, name in enumerate(names)},
        lines=np.array([line for line, _ in rows], dtype=np.int64),
    )


def _check_header(path: Path, names: Iterable[str]) -> None:
    header = ",".join(names)
    for separator, words in OTHER_SEPARATORS.items():
        if len(set(COLUMNS) & {word.strip() for word in header.split(separator)}) > 1:
            raise CrossplaceError(
                f"{path}: line 1: fields are parted by {words}, expected ','; save the table as CSV with commas "
                "between fields and points in numbers"
            )
    named = [name for name in names if name]
    twice = [name for place, name in enumerate(named) if name in named[:place]]
    if names and not set(COLUMNS) & set(names):
        raise CrossplaceError(f"{path}: line 1: no name of a column; expected {', '.join(COLUMNS)}: write them first")
    if twice:
        raise CrossplaceError(f"{path}: line 1: column {twice[0]!r} appears twice; remove or rename one")
