"""Rows of a table: who is ranked under one protocol, evaluated together and written as results."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import benchmark
from benchmark.descriptors.files import Descriptors
from benchmark.evaluation.evaluate import PairEvaluation, Scorer, evaluate, from_descriptors, from_ranker
from benchmark.evaluation.rankers import RANKERS
from benchmark.frames.examining import check_accepted
from benchmark.frames.preparing import check_protocol_name, doubts_about, find_protocol, locate, prepare
from benchmark.keys import key_of, plain
from benchmark.protocol.directions import Direction
from benchmark.protocol.leaks import leak_warnings
from benchmark.records.confidence import confidence_records
from benchmark.records.environment import environment, harness
from benchmark.records.recording import dataset_record, direction_records, rank_arrays, traversals_in
from benchmark.records.schema import (
    SCHEMA,
    CostRecord,
    DirectionRecord,
    MethodRecord,
    PerturbationRecord,
    Result,
)
from benchmark.request import DataOptions
from datasets.base import Protocol
from datasets.files import folder_name, sha256_of
from datasets.prepared import PreparedDataset

RECORDERS = 2
"""Rows that are recorded at once."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """Who is ranked, and where the result goes."""

    folder: Path
    key: str
    method: MethodRecord
    scorer: Scorer
    seed: int = 0
    environment: dict[str, Any] = field(default_factory=lambda: environment("cpu"))
    cost: CostRecord | None = None
    perturbation: PerturbationRecord | None = None
    warnings: Sequence[str] = ()
    """What a reader must be told of this row alone."""
    is_new: bool = False
    """Whether to evaluate although a result with this key may lie there, which other weights have made."""


@dataclass(frozen=True, kw_only=True)
class Arena:
    """What all rows of one table share."""

    dataset: PreparedDataset
    protocol: Protocol
    warnings: Sequence[str]
    runs: Path

    def results(self, rows: Sequence[Row]) -> list[Result]:
        """The result of every row: found, or evaluated together with all others that are missing, and written."""
        kept = [row for row in rows if not row.is_new]
        found = {row.key: result for row in kept if (result := Result.found(row.folder, row.key))}
        missing = {row.key: row for row in rows if row.key not in found}
        if missing:
            scorers = {key: row.scorer for key, row in missing.items()}
            evaluated = evaluate(self.dataset.frames, self.protocol, scorers)
            with ThreadPoolExecutor(RECORDERS) as pool:  # packing and most of the arithmetic wait for no lock
                made = pool.map(lambda key: self._recorded(missing[key], evaluated[key]), evaluated)
                found |= dict(zip(evaluated, made, strict=True))
        return [found[row.key] for row in rows]

    def _recorded(self, row: Row, evaluations: list[PairEvaluation]) -> Result:
        """The result of a row that was evaluated, written."""
        ranks = rank_arrays(evaluations, self.dataset)
        result = self._result(row, direction_records(evaluations, ranks, self.protocol))
        result = confidence_records(result, ranks)
        result.write(row.folder, ranks)
        return result

    def bounds(self, seed: int) -> list[Row]:
        """The rankers that bound every table from below and above."""
        rows = []
        for name in RANKERS:
            key = key_of(name, seed, self.dataset.fingerprint, self.protocol, benchmark.__version__)
            folder = self.runs / "results" / f"{name}-{self.protocol.name}-s{seed}-{key}"
            method, scorer = MethodRecord.unregistered(name, "ranker"), from_ranker(name, seed)
            rows.append(Row(folder=folder, key=key, method=method, scorer=scorer, seed=seed))
        return rows

    def _result(self, row: Row, directions: dict[str, DirectionRecord]) -> Result:
        dataset = self.dataset
        return Result(
            schema_version=SCHEMA,
            run_id=row.folder.name,
            key=row.key,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            harness=harness(),
            environment=row.environment,
            method=row.method,
            dataset=dataset_record(dataset, traversals_in(directions)),
            protocol=plain(self.protocol),
            seed=row.seed,
            directions=directions,
            cost=row.cost,
            warnings=[*self.warnings, *row.warnings],
            perturbation=row.perturbation,
        )


def score(folder: Path, data: DataOptions, runs: Path) -> list[Result]:
    """Score the descriptors in ``folder``, with the bounds beside them; results go where all others do.

    The files are read before any data is prepared, so that a wrong folder is said at once.
    """
    check_protocol_name(data.protocol)
    check_accepted(data.accept)
    Descriptors.read(folder)
    dataset = prepare(locate(data.dataset, data.source, data.dataset_options))
    return score_on(folder, dataset, data.protocol, runs, data.accept)


def score_on(
    folder: Path, dataset: PreparedDataset, protocol_name: str | None, runs: Path, accept: Sequence[str] = ()
) -> list[Result]:
    """The result of the descriptors in ``folder`` on a dataset, then those of the bounds."""
    descriptors = Descriptors.read(folder)
    contents = {str(path.relative_to(folder)): sha256_of(path) for path in folder.rglob("*") if path.is_file()}
    protocol, warnings = find_protocol(protocol_name, dataset)
    warnings = [*warnings, *leak_warnings(dataset.frames, protocol), *doubts_about(dataset, accept)]
    key = key_of(contents, dataset.fingerprint, protocol, *sorted(set(accept)), benchmark.__version__)
    name = folder_name(descriptors.method)
    arena = Arena(dataset=dataset, protocol=protocol, warnings=warnings, runs=runs)
    row = Row(
        folder=runs / "results" / f"{name}-{protocol.name}-{key}",
        key=key,
        method=MethodRecord.unregistered(descriptors.method, "foreign"),
        scorer=from_descriptors(descriptors, dataset.frames, directions=Direction.among(descriptors.arrays)),
    )
    return arena.results([row, *arena.bounds(seed=0)])
