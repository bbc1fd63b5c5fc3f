"""Is one result better than another? Answered from their stored ranks, on the queries that they share."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from benchmark.evaluation.intervals import (
    Interval,
    chance_recall,
    difference_interval,
    headline_weights,
    map_blocks,
)
from benchmark.evaluation.metrics import is_counted, is_hit
from benchmark.evaluation.rankers import CHANCE
from benchmark.records.schema import RANKS, Result
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
    "frame_world",
    "frame_east_m",
    "frame_north_m",
]
"""What a comparison needs of ``ranks.npz``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Recall of some runs minus that of others, a fraction, with its paired 95 % interval."""

    value: float
    interval: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRun:
    """A result and the stored ranks of its queries."""

    folder: Path
    result: Result
    ranks: dict[str, ndarray]

    @classmethod
    def read(cls, folder: Path) -> "StoredRun":
        """Read both files of a result."""
        result = Result.read(folder)
        if not (folder / RANKS).is_file():
            raise CrossplaceError(f"{folder}: no {RANKS}; a comparison needs the ranks of every query")
        try:
            with (folder / RANKS).open("rb") as file, np.load(file, allow_pickle=False) as stored:
                ranks = {name: _widened(stored[name]) for name in COLUMNS}
        except Exception as error:  # many kinds: a zip of arrays, each with a header in Python
            raise CrossplaceError(
                f"{folder / RANKS}: not readable ranks ({error}); delete {folder} and run bench again"
            ) from error
        return cls(folder=folder, result=result, ranks=ranks)

    def counted(self, direction: str) -> ndarray:
        """Which rows of the query columns are counted queries of ``direction``."""
        names = self.ranks["directions"].tolist()
        if direction not in names:
            raise CrossplaceError(f"{self.folder}: no direction {direction!r}; found {', '.join(names)}")
        ranks = self.ranks["query_first_positive_rank"]
        is_direction = self.ranks["query_direction"] == names.index(direction)
        return is_direction & is_counted(ranks, self.result.protocol["no_positive"])

    def hits(self, direction: str, depth: int) -> Float[ndarray, " n"]:
        """Success of each counted query at ``depth``; of the ranker that draws, the expected success."""
        chosen, method = self.counted(direction), self.result.method
        is_expected = method.origin == "ranker" and method.name == CHANCE
        names = ("query_first_positive_rank", "query_n_positives", "query_n_candidates", "query_pair")
        rank, n_positives, n_candidates, pair = (self.ranks[name][chosen] for name in names)
        sizes = {(p.query, p.database): p.n_database for p in self.result.directions[direction].pairs}
        hits = np.zeros(len(pair))
        for number in np.unique(pair):
            of_pair, (query, database) = pair == number, self.ranks["pairs"][number].tolist()
            size = sizes[query, database]
            hits[of_pair] = (
                chance_recall(
                    n_positives[of_pair],
                    n_candidates[of_pair],
                    depth,
                    database_size=size,
                    search_depth=self.result.protocol["search_depth"],
                )
                if is_expected
                else is_hit(rank[of_pair], min(depth, size))
            )
        return hits


def _widened(column: ndarray) -> ndarray:
    """Integers as signed 64 bits, however narrow they were stored."""
    return column.astype(np.int64) if column.dtype.kind in "iu" else column


def differences(runs: Sequence[Path], others: Sequence[Path], depth: int = 1) -> dict[str, Difference]:
    """Recall@``depth`` of the results in ``runs`` minus that in ``others`` (seeds: their means), by direction.

    All must be of the same dataset and protocol, so that they asked the same queries. Weighted like the headline
    number, over the queries that it counts. The interval is paired: the same map blocks are drawn for all.

    Raises:
        CrossplaceError: results that cannot be compared, or without ``ranks.npz`` (published results of real data).
    """
    stored, reference = [StoredRun.read(run) for run in runs], [StoredRun.read(run) for run in others]
    for group in (reference, stored):
        _check_seeds(group)
    for run in (*reference[1:], *stored):
        _check_comparable(run, reference[0])
    everything = [run.result for run in (*reference, *stored)]
    shared = [d for d in everything[0].directions if all(d in result.directions for result in everything)]
    if not shared:
        raise CrossplaceError(f"{others[0]} and the runs to compare with it have no direction in common")
    return {direction: _difference(stored, reference, direction, depth) for direction in shared}


def _difference(stored: Sequence[StoredRun], reference: Sequence[StoredRun], direction: str, depth: int) -> Difference:
    first = reference[0]
    chosen, ranks = first.counted(direction), first.ranks
    frame, pair = ranks["query_frame"][chosen], ranks["query_pair"][chosen]
    hits, other_hits = (np.mean([run.hits(direction, depth) for run in group], axis=0) for group in (stored, reference))
    position = np.stack([ranks["frame_east_m"][frame], ranks["frame_north_m"][frame]], axis=1)
    block = map_blocks(ranks["frame_world"][frame], position)
    weights = headline_weights(pair, first.result.protocol["averaging"])
    value = float(np.average(hits - other_hits, weights=weights))
    return Difference(value=value, interval=difference_interval(hits, other_hits, block, weights))


def _check_seeds(group: Sequence[StoredRun]) -> None:
    """Refuse runs that are averaged though they were perturbed differently."""
    perturbed = {(p.name, p.severity) if (p := run.result.perturbation) else None for run in group}
    if len(perturbed) > 1:
        raise CrossplaceError(
            f"{group[0].folder} and the runs beside it are perturbed differently; only seeds go together"
        )


def _check_comparable(run: StoredRun, reference: StoredRun) -> None:
    a, b = run.result, reference.result
    if a.dataset.fingerprint != b.dataset.fingerprint or a.protocol != b.protocol:
        raise CrossplaceError(
            f"{run.folder} and {reference.folder} differ in dataset or protocol; compare like with like"
        )
