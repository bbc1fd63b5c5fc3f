"""Is one result better than another? Answered from their stored ranks, on the queries that they share."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy import ndarray

from benchmark.intervals import Interval, difference_interval, headline_weights, map_blocks
from benchmark.metrics import is_counted, is_hit
from benchmark.result import RANKS, Result
from datasets.errors import CrossplaceError

COLUMNS = (
    *("directions", "query_direction", "query_pair", "query_frame", "query_first_positive_rank"),
    *("frame_world", "frame_east_m", "frame_north_m"),
)
"""What a comparison needs of ``ranks.npz``."""


def recall_difference(runs: Sequence[Path], other: Path, direction: str, depth: int = 1) -> tuple[float, Interval]:
    """Recall@``depth`` of the results in ``runs`` (seeds: their mean) minus that in ``other``, with a 95 % interval.

    All must be of the same dataset and protocol, so that they asked the same queries. Weighted like the headline
    number, over the queries that it counts. The interval is paired: the same map blocks are drawn for all.

    Raises:
        CrossplaceError: results that cannot be compared, or without ``ranks.npz`` (published results of real data).
    """
    reference = Result.read(other)
    other_hits, ranks = _hits(other, reference, direction, depth)
    hits = np.zeros(len(other_hits))
    for run in runs:
        result = Result.read(run)
        if result.dataset.fingerprint != reference.dataset.fingerprint or result.protocol != reference.protocol:
            raise CrossplaceError(f"{run} and {other} differ in dataset or protocol; compare like with like")
        hits += _hits(run, result, direction, depth)[0] / len(runs)
    frame, pair = ranks["query_frame"], ranks["query_pair"]
    position = np.stack([ranks["frame_east_m"][frame], ranks["frame_north_m"][frame]], axis=1)
    block = map_blocks(ranks["frame_world"][frame], position)
    weights = headline_weights(pair, reference.protocol["averaging"])
    difference = float(np.average(hits - other_hits, weights=weights))
    return difference, difference_interval(hits, other_hits, block, weights)


def _hits(folder: Path, result: Result, direction: str, depth: int) -> tuple[ndarray, dict[str, ndarray]]:
    """Hits of the counted queries of one direction, and their columns beside all frame columns."""
    if not (folder / RANKS).is_file():
        raise CrossplaceError(f"{folder}: no {RANKS}; a comparison needs the ranks of every query")
    try:
        with (folder / RANKS).open("rb") as file, np.load(file, allow_pickle=False) as stored:
            ranks = {name: stored[name] for name in COLUMNS}
    except Exception as error:  # many kinds: a zip of arrays, each with a header in Python
        raise CrossplaceError(
            f"{folder / RANKS}: not readable ranks ({error}); delete {folder} and run bench again"
        ) from error
    if direction not in ranks["directions"]:
        raise CrossplaceError(f"{folder}: no direction {direction!r}; found {', '.join(ranks['directions'])}")
    is_direction = ranks["query_direction"] == ranks["directions"].tolist().index(direction)
    chosen = is_direction & is_counted(ranks["query_first_positive_rank"], result.protocol["no_positive"])
    columns = {name: column[chosen] if name.startswith("query_") else column for name, column in ranks.items()}
    return is_hit(columns["query_first_positive_rank"], depth), columns
