"""Columns of a published CSV file: found by their names in line 1, with a sentence for the first line that is wrong."""

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from datasets.errors import CrossplaceError
from datasets.files import read_text


def read_columns(path: Path, needed: tuple[str, ...], optional: str = "") -> dict[str, list[str]]:
    """Cells of the named columns; every line must have as many cells as the first.

    Raises:
        CrossplaceError: a needed column is missing, or a line has another number of cells.
    """
    header, *lines = read_text(path).splitlines() or [""]
    names = [name.strip() for name in header.split(",")]
    missing = [name for name in needed if name not in names]
    if missing:
        raise CrossplaceError(f"{path}: column {missing[0]!r} is missing; expected {', '.join(needed)} in line 1")
    rows = [line.split(",") for line in lines]
    refuse_lines(
        np.array([len(row) != len(names) for row in rows], dtype=bool),
        np.arange(len(rows)) + 2,
        path,
        f"expected {len(names)} fields as in line 1",
    )
    return {name: [row[names.index(name)] for row in rows] for name in (*needed, optional) if name in names}


def numbers(cells: list[str], name: str, path: Path) -> Float[ndarray, " n"]:
    """The cells of column ``name`` as numbers, which need not be finite; raises :class:`CrossplaceError`."""
    try:
        return np.array(cells, dtype=object).astype(np.float64)
    except ValueError as error:
        line, cell = next((line, cell) for line, cell in enumerate(cells, start=2) if not _is_number(cell))
        raise CrossplaceError(
            f"{path}: line {line}: column {name}: found {cell!r}, expected a number; fetch the file again"
        ) from error


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def refuse_lines(is_wrong: Bool[ndarray, " n"], lines: Int[ndarray, " n"], path: Path, what: str) -> None:
    """Raise :class:`CrossplaceError` with the number of the first wrong line, if there is one."""
    if is_wrong.any():
        raise CrossplaceError(f"{path}: line {lines[int(np.argmax(is_wrong))]}: {what}; fetch the file again")
