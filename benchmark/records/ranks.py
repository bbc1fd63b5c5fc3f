"""The arrays of ``ranks.npz``, as every reader of stored ranks takes them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy import ndarray

from benchmark.records.queries import widened
from benchmark.records.schema import RANKS
from datasets.errors import CrossplaceError

COLUMNS = [
    "directions",
    "pairs",
    "query_direction",
    "query_pair",
    "query_frame",
    "query_first_positive_rank",
    "query_n_positives",
    "query_n_candidates",
    "frame_traversal",
    "frame_condition",
    "frame_world",
    "frame_east_m",
    "frame_north_m",
]
"""What every ``ranks.npz`` has; published ones lack some of the others."""


def read_ranks(folder: Path) -> dict[str, ndarray] | None:
    """The arrays of the result in ``folder``; none if there is no such file.

    Numbers have 64 bits and integers a sign, however narrow they were stored.

    Raises:
        CrossplaceError: a file that is damaged.
    """
    path = folder / RANKS
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            ranks = {name: widened(stored[name]) for name in stored.files}
        missing = [name for name in COLUMNS if name not in ranks]
        if missing:
            raise KeyError(f"no {missing[0]}")
    except Exception as error:  # many kinds: a zip of arrays, each with a header in Python
        raise CrossplaceError(f"{path}: not readable ranks ({error}); delete {folder} and run bench again") from error
    return ranks


def conditions_in(ranks: Mapping[str, ndarray]) -> dict[str, str]:
    """The condition of each traversal that takes part."""
    traversals, conditions = (ranks[name].astype(str).tolist() for name in ("frame_traversal", "frame_condition"))
    return dict(zip(traversals, conditions, strict=True))
