"""From descriptors or distances to the written result, whoever made them."""

import re
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import benchmark
from benchmark.descriptors.files import Descriptors
from benchmark.evaluation.evaluate import Distances, evaluate, from_descriptors, from_ranker
from benchmark.evaluation.rankers import RANKERS
from benchmark.frames.preparing import check_protocol_name, find_protocol, locate, prepare
from benchmark.keys import key_of, plain
from benchmark.protocol.directions import Direction
from benchmark.records.environment import environment as describe_environment
from benchmark.records.environment import harness, pick_device
from benchmark.records.recording import direction_records, rank_arrays
from benchmark.records.schema import (
    RESULT,
    SCHEMA,
    CostRecord,
    DatasetRecord,
    MethodRecord,
    Origin,
    PerturbationRecord,
    Result,
)
from benchmark.registry import DATASETS
from benchmark.request import Request
from datasets.base import Protocol
from datasets.errors import CrossplaceError
from datasets.files import sha256_of
from datasets.prepared import PreparedDataset


def evaluate_files(request: Request, folder: Path) -> list[Result]:
    """Score the descriptors in ``folder``, with the trivial rankers beside them; results go where all others do."""
    if request.perturb is not None:
        raise CrossplaceError(
            "--perturb changes frames before they are encoded, so it cannot go with --descriptors; encode perturbed "
            "frames yourself, or name a registered method"
        )
    check_protocol_name(request.protocol)
    dataset = prepare(locate(request.dataset, request.source, request.dataset_options))
    protocol, warnings = find_protocol(request.protocol, dataset)
    descriptors = Descriptors.read(folder)
    contents = {str(path.relative_to(folder)): sha256_of(path) for path in folder.rglob("*") if path.is_file()}
    key = key_of(contents, dataset.fingerprint, protocol)
    name = re.sub(r"[^\w.+-]+", "_", descriptors.method)
    result = write_result(
        request.runs / "results" / f"{name}-{protocol.name}-{key}",
        key,
        dataset=dataset,
        protocol=protocol,
        method=unregistered(descriptors.method, "foreign"),
        distances=from_descriptors(descriptors),
        directions=Direction.among(descriptors.arrays),
        cost=None,
        seed=0,
        environment=describe_environment(pick_device("cpu")),
        warnings=warnings,
    )
    return [result, *rank_trivially(dataset, protocol, request, warnings)]


def rank_trivially(
    dataset: PreparedDataset, protocol: Protocol, request: Request, warnings: Sequence[str]
) -> list[Result]:
    """The results of the rankers that bound every table, written unless they are there."""
    results = []
    for name in RANKERS:
        key = key_of(name, request.seed, dataset.fingerprint, protocol, benchmark.__version__)
        folder = request.runs / "results" / f"{name}-{protocol.name}-s{request.seed}-{key}"
        results.append(
            Result.read(folder)
            if has_result(folder, key)
            else write_result(
                folder,
                key,
                dataset=dataset,
                protocol=protocol,
                method=unregistered(name, "ranker"),
                distances=from_ranker(name, request.seed),
                cost=None,
                seed=request.seed,
                environment=describe_environment(pick_device("cpu")),
                warnings=warnings,
            )
        )
    return results


def has_result(folder: Path, key: str) -> bool:
    """Whether the result with this key lies complete in ``folder``."""
    return (folder / RESULT).is_file() and Result.read(folder).key == key


def write_result(
    folder: Path,
    key: str,
    *,
    dataset: PreparedDataset,
    protocol: Protocol,
    method: MethodRecord,
    distances: Distances,
    cost: CostRecord | None,
    seed: int,
    environment: dict[str, Any],
    warnings: Sequence[str],
    directions: Collection[Direction] = tuple(Direction),
    perturbation: PerturbationRecord | None = None,
) -> Result:
    """Evaluate and write the result artifact into ``folder``."""
    evaluations = evaluate(dataset.frames, protocol, distances, directions)
    # Data that someone brought counts as real: nobody knows its licence, so that its positions are not published.
    is_real = dataset.name not in DATASETS.names() or DATASETS.get(dataset.name).card.is_real
    result = Result(
        schema_version=SCHEMA,
        run_id=folder.name,
        key=key,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        harness=harness(),
        environment=environment,
        method=method,
        dataset=DatasetRecord(
            name=dataset.name,
            version=dataset.version,
            options=dataset.options,
            fingerprint=dataset.fingerprint,
            counts=dataset.counts,
            is_real=is_real,
        ),
        protocol=plain(protocol),
        seed=seed,
        directions=direction_records(evaluations, dataset, protocol),
        cost=cost,
        warnings=list(warnings),
        perturbation=perturbation,
    )
    result.write(folder, rank_arrays(evaluations, dataset))
    return result


def unregistered(name: str, origin: Origin) -> MethodRecord:
    """The method part of a result that no registered method made."""
    return MethodRecord(
        name=name,
        preset="",
        config={},
        config_key="",
        origin=origin,
        weights="",
        weights_sha256="",
        backbone_weights="",
        share_of_schedule=None,
        training={},
    )
