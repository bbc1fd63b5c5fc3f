"""Results as runs write them, of rankers and of given scorers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark.evaluation.evaluate import Scorer, from_ranker
from benchmark.records.schema import CostRecord, MethodRecord, PerturbationRecord, Result
from benchmark.runs.rows import Arena, Row
from datasets.base import Protocol
from datasets.prepared import PreparedDataset

ENVIRONMENT = {"device": "Test CPU", "threads": 2}


def stored_result(
    folder: Path,
    dataset: PreparedDataset,
    protocol: Protocol,
    *,
    ranker: str = "oracle",
    method: MethodRecord | None = None,
    cost: CostRecord | None = None,
    seed: int = 0,
    environment: Mapping[str, Any] | None = None,
    warnings: Sequence[str] = (),
    perturbation: PerturbationRecord | None = None,
    scorer: Scorer | None = None,
) -> Result:
    """Write the result of a ranker (or of ``scorer``) into ``folder``; ``method`` is who it passes for."""
    row = Row(
        folder=folder,
        key="key",
        method=method or MethodRecord.unregistered(ranker, "ranker"),
        scorer=scorer or from_ranker(ranker, seed),
        seed=seed,
        environment=dict(ENVIRONMENT if environment is None else environment),
        cost=cost,
        perturbation=perturbation,
        is_new=True,
    )
    (result,) = Arena(dataset=dataset, protocol=protocol, warnings=warnings, runs=folder.parent).results([row])
    return result
