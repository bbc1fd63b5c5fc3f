"""Results that pass for those of methods, with names that a page must not obey, for tests of the report."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from benchmark.records.schema import RANKS, RESULT, CostRecord, MethodRecord, Result, TimingRecord
from datasets.base import Protocol
from datasets.prepared import PreparedDataset
from results import stored_result

HOSTILE = [
    "<script>boom()</script>",
    "</script><script>boom()</script>",
    '" onmouseover="boom()" x="',
    "<img src=x onerror=boom()>",
    "${boom()} {{ boom() }} $&",
    "\u202eright to left\u0007",
    "long" * 100,
]
"""Names that would call ``boom`` if a page obeyed them, or push everything aside."""


def timing(total_ms: float) -> TimingRecord:
    return TimingRecord(
        preprocess_ms=1.0, encode_ms=2.0, total_ms=total_ms, total_p95_ms=9.0, event_total_ms=None, n_samples=30
    )


def cost(total_ms: float) -> CostRecord:
    return CostRecord(
        image=timing(total_ms), cloud=timing(7.5), parameters=7, peak_mib=345.6, peak_of="a test", descriptor_bytes=16
    )


def method(name: str, **changes: Any) -> MethodRecord:
    """A trained method with one stage."""
    stages = {"only": {"epochs_done": 3, "epochs_planned": 3, "best_epoch": 2, "seconds": 12.0}}
    given = {
        "preset": "quick",
        "config": {"size": 4, "grid": {"lower_m": [0.0, -1.0]}, "weights_sha256": ""},
        "config_key": f"key-of-{name}"[:20],
        "backbone_weights": "none",
        "weights": "trained",
        "weights_sha256": "ab" * 32,
        "share_of_schedule": 1.0,
        "training": {"stages": stages},
    }
    return MethodRecord.unregistered(name, "trained").model_copy(update=given | changes)


def write_results(folder: Path, dataset: PreparedDataset, protocol: Protocol, *names: str, seeds: int = 2) -> None:
    """Results of methods with these names, each with several seeds, and the bounds beside them."""
    for number, name in enumerate(names):
        for seed in range(seeds):
            stored_result(
                folder / f"run-{number}-s{seed}",
                dataset,
                protocol,
                ranker="oracle" if number == 0 else "random",
                method=method(name),
                cost=cost(10.0 - number),
                seed=seed,
            )
    for ranker in ("constant", "random", "oracle"):
        stored_result(folder / ranker, dataset, protocol, ranker=ranker)


def change(folder: Path, **changes: Any) -> Result:
    """Change fields of a stored result."""
    result = Result.read(folder).model_copy(update=changes)
    (folder / RESULT).write_text(result.model_dump_json())
    return result


def change_ranks(folder: Path, **columns: ndarray | None) -> Mapping[str, ndarray]:
    """Change columns of stored ranks, or take them away; returns those that are left."""
    with np.load(folder / RANKS) as stored:
        found = {name: stored[name] for name in stored.files} | columns
    left = {name: column for name, column in found.items() if column is not None}
    np.savez_compressed(folder / RANKS, **left)
    return left


def write_hostile_results(folder: Path, dataset: PreparedDataset, protocol: Protocol) -> None:
    """Results in which every name that comes from elsewhere is one of ``HOSTILE``."""
    write_results(folder, dataset, protocol, *HOSTILE, seeds=1)
    for number, path in enumerate(sorted(folder.glob("run-*"))):
        result = Result.read(path)
        changed = result.method.model_copy(update={"config": dict(zip(HOSTILE, HOSTILE, strict=True))})
        data = result.dataset.model_copy(update={"name": HOSTILE[3]})
        change(path, method=changed, dataset=data, warnings=HOSTILE, environment={"device": HOSTILE[number]})
    for ranker in ("constant", "random", "oracle"):
        change(folder / ranker, dataset=data)
    for path in folder.iterdir():
        with np.load(path / RANKS) as stored:
            columns = {name: stored[name] for name in ("frame_id", "frame_traversal", "frame_condition", "pairs")}
        renamed = {
            name: np.array([HOSTILE[i % len(HOSTILE)] + str(i) for i in range(len(c))]) for name, c in columns.items()
        }
        names = dict(zip(np.unique(columns["pairs"]).tolist(), HOSTILE, strict=False))
        renamed["pairs"] = np.vectorize(names.get, otypes=[str])(columns["pairs"])
        renamed["frame_traversal"] = np.vectorize(names.get, otypes=[str])(columns["frame_traversal"])
        renamed["frame_condition"] = renamed["frame_traversal"]
        change_ranks(path, **renamed)
