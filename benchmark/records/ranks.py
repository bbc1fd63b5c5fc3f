"""Reading ``ranks.npz``, which holds what became of every query (docs/results.md)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy import ndarray

from benchmark.records.schema import RANKS
from datasets.errors import CrossplaceError


def read_ranks(folder: Path, columns: Sequence[str]) -> dict[str, ndarray] | None:
    """The named columns of ``folder/ranks.npz``, without those that it lacks; none if there is no such file.

    Integers are signed and have 64 bits, however narrow they were stored.

    Raises:
        CrossplaceError: a file that is damaged.
    """
    path = folder / RANKS
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return {name: _widened(stored[name]) for name in columns if name in stored.files}
    except Exception as error:  # many kinds: a zip of arrays, each with a header in Python
        raise CrossplaceError(f"{path}: not readable ranks ({error}); delete {folder} and run bench again") from error


def _widened(column: ndarray) -> ndarray:
    return column.astype(np.int64) if column.dtype.kind in "iu" else column
