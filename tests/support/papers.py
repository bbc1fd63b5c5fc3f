"""Results as if methods had been run on recorded data, made by hand: no such data travels with the suite."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmark.evaluation.metrics import Recall, mean_over_pairs, pooled
from benchmark.keys import plain
from benchmark.records.published import PUBLISHED
from benchmark.records.schema import (
    RANKS,
    SCHEMA,
    CostRecord,
    DatasetRecord,
    DirectionRecord,
    MethodRecord,
    PairRecall,
    Result,
    TimingRecord,
)
from datasets.protocols import PROTOCOLS

REPOSITORY = Path(__file__).parents[2]
Pairs = Mapping[tuple[str, str], float]
"""Recall@1 as a fraction by query and database traversal; recall@5 and recall@1% are 0.01 and 0.02 more."""


def results_folder(folder: Path) -> Path:
    """A folder of results that holds the committed published files and nothing else."""
    shutil.copytree(REPOSITORY / "results" / PUBLISHED, folder / PUBLISHED)
    return folder


def recorded(
    folder: Path,
    method: str,
    protocol: str,
    recall: Mapping[str, Pairs],
    *,
    change: Callable[[dict[str, Any]], dict[str, Any]] = lambda protocol: protocol,
    interval: tuple[float, float] | None = None,
    is_real: bool = True,
    seed: int = 0,
    **of_method: Any,
) -> Result:
    """Write a result with this recall (by direction and pair) into a new folder below ``folder``.

    ``change`` alters the protocol, ``interval`` is that of every metric, ``of_method`` are fields of its method.
    """
    rules = change(plain(PROTOCOLS[protocol]))
    made = MethodRecord.unregistered(method, "trained").model_copy(
        update={"preset": "paper", "config_key": "1", "backbone_weights": "timm", "share_of_schedule": 1.0} | of_method
    )
    name = f"{method}-{made.preset}-{protocol}-s{seed}-{len(list(folder.iterdir())) if folder.is_dir() else 0}"
    data = PROTOCOLS[protocol].dataset
    result = Result(
        schema_version=SCHEMA,
        run_id=name,
        key=name,
        created="",
        harness={},
        environment={"device": "Test CPU", "threads": 2},
        method=made.model_copy(update={"weights_sha256": name}),
        dataset=DatasetRecord(name=data, version=1, options={}, fingerprint="1", counts={}, is_real=is_real),
        protocol=rules,
        seed=seed,
        directions={direction: _direction(pairs, interval) for direction, pairs in recall.items()},
        cost=_cost(),
        warnings=[],
    )
    result.write(folder / name, {})
    (folder / name / RANKS).unlink()  # as published results of recorded data
    return Result.read(folder / name)


def _direction(recall: Pairs, interval: tuple[float, float] | None) -> DirectionRecord:
    pairs = [_pair(query, database, value) for (query, database), value in recall.items()]
    intervals = dict.fromkeys(("R@1", "R@5", "R@1%"), interval)
    return DirectionRecord(mean=mean_over_pairs(pairs), pooled=pooled(pairs), pairs=pairs, intervals=intervals)


def _pair(query: str, database: str, value: float) -> PairRecall:
    values = {"R@1": value, "R@5": value + 0.01, "R@1%": value + 0.02}
    recall = Recall(
        n_queries=100,
        n_counted=100,
        n_without_positives=0,
        n_pairs=1,
        recall_at=(value, *[value + 0.01] * 24),
        recall_at_one_percent=value + 0.02,
        one_percent_depth=1,
        values=values,
    )
    return PairRecall(**vars_of(recall), query=query, database=database, n_database=100)


def vars_of(recall: Recall) -> dict[str, Any]:
    """The fields of a recall."""
    return {name: getattr(recall, name) for name in recall.__slots__}


def _cost() -> CostRecord:
    timing = TimingRecord(
        preprocess_ms=1.0, encode_ms=19.0, total_ms=20.0, total_p95_ms=21.0, event_total_ms=None, n_samples=30
    )
    return CostRecord(
        image=timing, cloud=timing, parameters=27_659_522, peak_mib=1.0, peak_of="a test", descriptor_bytes=1024
    )


def within(*sequences: str, recall: float = 0.9) -> dict[tuple[str, str], float]:
    """The same recall of several sequences, each searched in itself."""
    return {(name, name): recall for name in sequences}
