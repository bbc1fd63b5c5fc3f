"""The text files of KITTI: tables, calibrations and time stamps, read strictly."""

import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, Num
from numpy import ndarray

from datasets.errors import CrossplaceError
from datasets.files import read_text

STAMP = re.compile(r"2011-\d\d-\d\d \d\d:\d\d:\d\d\.\d{1,9}")
BLANK_NS = -1


def text_of(path: Path, expected: str) -> str:
    """The text in ``path``; if there is no such file, the error says what was ``expected``."""
    if not path.is_file():
        raise CrossplaceError(f"{path}: no such file; expected {expected}")
    return read_text(path)


def numbers(text: str, count: int, where: str) -> Float[ndarray, " count"]:
    """Exactly ``count`` finite numbers from ``text``, separated by white space."""
    try:
        values = [float(word) for word in text.split()]
    except ValueError:
        values = []
    if len(values) != count or not all(map(math.isfinite, values)):
        raise CrossplaceError(f"{where}: expected {count} finite number(s), found {text.strip()[:60]!r}")
    return np.array(values)


def read_table(path: Path, columns: int, expected: str) -> Float[ndarray, "n columns"]:
    """The numbers in ``path``, a row per line. A blank line before the last is a fault: it would shift later frames."""
    lines = text_of(path, expected).rstrip().splitlines()
    rows = [numbers(line, columns, f"{path}: line {number}") for number, line in enumerate(lines, start=1)]
    return np.array(rows).reshape(-1, columns)


def read_entries(
    path: Path, counts: dict[str, int], expected: str, remedy: str = "fetch the file again"
) -> dict[str, Float[ndarray, " _"]]:
    """The numbers in the lines ``key: numbers``; ``counts`` has the keys and how many numbers each must have.

    ``remedy`` says where to get a file that has all the keys.
    """
    entries = dict(line.split(":", 1) for line in text_of(path, expected).splitlines() if ":" in line)
    missing = [key for key in counts if key not in entries]
    if missing:
        raise CrossplaceError(f"{path}: {missing[0]} is missing; expected {', '.join(counts)}: {remedy}")
    return {key: numbers(entries[key], count, f"{path}: {key}") for key, count in counts.items()}


def read_stamps(path: Path, expected: str) -> Int[ndarray, " n"]:
    """The local time on each line in nanoseconds since 1970; a blank line is ``BLANK_NS``. Rows are frame numbers."""
    stamps = np.full(len(lines := text_of(path, expected).splitlines()), BLANK_NS, dtype=np.int64)
    for row, line in enumerate(lines):
        if not line.strip():
            continue
        try:
            if not STAMP.fullmatch(line.strip()):
                raise ValueError
            stamps[row] = np.datetime64(line.strip().replace(" ", "T"), "ns").astype(np.int64)
        except ValueError:
            raise CrossplaceError(
                f"{path}: line {row + 1}: expected a time such as 2011-09-26 13:08:24.967930880 or a blank line, found "
                f"{line[:60]!r}; fetch the file again"
            ) from None
    check_rising(stamps, np.flatnonzero(stamps != BLANK_NS), path)
    return stamps


def check_rising(times: Num[ndarray, " n"], rows: Int[ndarray, " m"], path: Path) -> None:
    """Refuse times that do not rise from row to row of ``rows``, which are lines of ``path``."""
    steps = np.diff(times[rows])
    if (steps <= 0).any():
        at = int(np.argmax(steps <= 0))
        fault = "the same time as the line before" if steps[at] == 0 else "time runs backwards"
        raise CrossplaceError(
            f"{path}: line {rows[at + 1] + 1}: {fault}; expected one later time a line: fetch the file again"
        )


def transforms(rows: Float[ndarray, "n 12"], where: Callable[[int], str]) -> Float[ndarray, "n 4 4"]:
    """4×4 matrices of rigid transforms that are rows of twelve numbers: 3×4, row by row."""
    matrices = np.tile(np.eye(4), (len(rows), 1, 1))
    matrices[:, :3] = rows.reshape(-1, 3, 4)
    rotations = matrices[:, :3, :3]
    deviation = np.abs(rotations @ rotations.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2), initial=0.0)
    wrong = (deviation > 1e-3) | (np.linalg.det(rotations) < 0)
    if wrong.any():
        raise CrossplaceError(
            f"{where(int(np.argmax(wrong)))}: the left 3×3 part of the transform is no rotation; fetch the file again"
        )
    return matrices


def numbered(folder: Path, *suffixes: str) -> dict[int, Path]:
    """Files by frame number, ordered, whatever number of digits their names have.

    Files with other names, and links to nothing, are left out.

    Raises:
        CrossplaceError: two files have one number.
    """
    found: dict[int, Path] = {}
    for path in sorted(folder.glob("*")):
        if path.suffix.lower() in suffixes and path.stem.isdecimal() and path.is_file():
            number = int(path.stem)
            if number in found:
                raise CrossplaceError(
                    f"{folder}: {found[number].name} and {path.name} have one frame number; take one of them away"
                )
            found[number] = path
    return dict(sorted(found.items()))


def whats_in(folder: Path) -> str:
    """The content of ``folder`` in words, for a sentence about files that are not there."""
    if not folder.is_dir():
        return "there is no such folder"
    names = sorted(path.name for path in folder.iterdir())
    return f"found {len(names)} others such as {names[0]}" if names else "the folder is empty"
