"""Is one result better than another? Answered from their stored ranks, on the queries that they share."""

from pathlib import Path

import numpy as np
from numpy import ndarray

from benchmark.intervals import Interval, difference_interval, equal_pair_weights, map_blocks
from benchmark.metrics import is_hit
from benchmark.result import RANKS, Result
from datasets.errors import CrossplaceError


def recall_difference(one: Path, other: Path, direction: str, depth: int = 1) -> tuple[float, Interval]:
    """Recall@``depth`` of the result in ``one`` minus that in ``other``, with a paired 95 % interval.

    Both must be of the same dataset and protocol, so that they asked the same queries. Weighted like the headline
    number, over the queries that it counts. The same map blocks are drawn for both.

    Raises:
        CrossplaceError: results that cannot be compared, or without ``ranks.npz`` (published results of real data).
    """
    first, second = Result.read(one), Result.read(other)
    if first.dataset.fingerprint != second.dataset.fingerprint or first.protocol != second.protocol:
        raise CrossplaceError(f"{one} and {other} differ in dataset or protocol; only like can be compared with like")
    hits, ranks = _hits(one, first, direction, depth)
    other_hits, _ = _hits(other, second, direction, depth)
    frame, pair = ranks["query_frame"], ranks["query_pair"]
    position = np.stack([ranks["frame_east_m"][frame], ranks["frame_north_m"][frame]], axis=1)
    block = map_blocks(ranks["frame_world"][frame], position)
    weights = equal_pair_weights(pair) if first.protocol["averaging"] == "pairs" else np.ones(len(hits))
    difference = float(np.average(hits.astype(float) - other_hits, weights=weights))
    return difference, difference_interval(hits, other_hits, block, weights)


def _hits(folder: Path, result: Result, direction: str, depth: int) -> tuple[ndarray, dict[str, ndarray]]:
    """Hits of the counted queries of one direction, and their columns beside all frame columns."""
    if not (folder / RANKS).is_file():
        raise CrossplaceError(f"{folder}: no {RANKS}; a comparison needs the ranks of every query")
    with np.load(folder / RANKS, allow_pickle=False) as stored:
        ranks = dict(stored)
    if direction not in ranks["directions"]:
        raise CrossplaceError(f"{folder}: no direction {direction!r}; found {', '.join(ranks['directions'])}")
    is_direction = ranks["query_direction"] == ranks["directions"].tolist().index(direction)
    answerable = ranks["query_first_positive_rank"] >= 1
    chosen = is_direction & (answerable | (result.protocol["no_positive"] == "miss"))
    columns = {name: column[chosen] if name.startswith("query_") else column for name, column in ranks.items()}
    return is_hit(columns["query_first_positive_rank"], depth), columns
