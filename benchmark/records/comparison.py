"""Is one result better than another? Answered from their stored ranks, on the queries that they share."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from benchmark.evaluation.intervals import Interval, difference_interval, headline_weights, map_blocks
from benchmark.evaluation.metrics import is_counted, is_hit
from benchmark.records.schema import RANKS, Result
from datasets.errors import CrossplaceError

COLUMNS = (
    *("directions", "query_direction", "query_pair", "query_frame", "query_first_positive_rank"),
    *("frame_world", "frame_east_m", "frame_north_m"),
)
"""What a comparison needs of ``ranks.npz``."""


def recall_difference(
    runs: Sequence[Path], others: Sequence[Path], direction: str, depth: int = 1
) -> tuple[float, Interval]:
    """Recall@``depth`` of the results in ``runs`` minus that in ``others`` (seeds: their means), with a 95 % interval.

    All must be of the same dataset and protocol, so that they asked the same queries. Weighted like the headline
    number, over the queries that it counts. The interval is paired: the same map blocks are drawn for all.

    Raises:
        CrossplaceError: results that cannot be compared, or without ``ranks.npz`` (published results of real data).
    """
    reference = Result.read(others[0])
    _, ranks = _hits(others[0], reference, direction, depth)
    hits, other_hits = (_mean_hits(folders, reference, others[0], direction, depth) for folders in (runs, others))
    frame, pair = ranks["query_frame"], ranks["query_pair"]
    position = np.stack([ranks["frame_east_m"][frame], ranks["frame_north_m"][frame]], axis=1)
    block = map_blocks(ranks["frame_world"][frame], position)
    weights = headline_weights(pair, reference.protocol["averaging"])
    difference = float(np.average(hits - other_hits, weights=weights))
    return difference, difference_interval(hits, other_hits, block, weights)


def _mean_hits(
    folders: Sequence[Path], reference: Result, named: Path, direction: str, depth: int
) -> Float[ndarray, " n"]:
    """Hits of each counted query as a mean over ``folders``, which must be comparable with ``reference``."""
    hits, results = [], [Result.read(folder) for folder in folders]
    if len({(r.perturbation.name, r.perturbation.severity) if r.perturbation else None for r in results}) > 1:
        raise CrossplaceError(f"{folders[0]} and the runs beside it are perturbed differently; only seeds go together")
    for folder, result in zip(folders, results, strict=True):
        if result.dataset.fingerprint != reference.dataset.fingerprint or result.protocol != reference.protocol:
            raise CrossplaceError(f"{folder} and {named} differ in dataset or protocol; compare like with like")
        hits.append(_hits(folder, result, direction, depth)[0])
    return np.mean(hits, axis=0)


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
