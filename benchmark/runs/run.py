"""The steps of one run: prepare, train or load, encode, measure, evaluate, write."""

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import torch
from jaxtyping import Int
from numpy import ndarray

from benchmark.cost.measure import measure
from benchmark.descriptors.encoding import encode
from benchmark.descriptors.files import Descriptors
from benchmark.descriptors.parts import all_encoded
from benchmark.descriptors.returned import check_method
from benchmark.device import rounds_to_tf32, torch_device
from benchmark.evaluation.evaluate import Scorer, check_answerable, from_descriptors
from benchmark.frames.depth import check_depth
from benchmark.frames.examining import check_files
from benchmark.frames.perturbations import Perturber
from benchmark.frames.sight import blind_to
from benchmark.keys import key_of, plain
from benchmark.protocol.directions import Direction
from benchmark.records.environment import environment, harness
from benchmark.records.recording import dataset_record
from benchmark.records.schema import MethodRecord, PerturbationRecord, Result
from benchmark.registry import METHODS
from benchmark.runs.plan import Encoding, Plan
from benchmark.runs.rows import Arena, Row
from benchmark.training.checkpoint import load_weights
from benchmark.training.configuring import configure, without_path
from benchmark.training.loop import TrainingOptions
from benchmark.training.loop import train as train_stages
from benchmark.training.report import TrainingReport
from datasets.files import locked
from datasets.prepared import PreparedDataset
from methods.base import FROM_SCRATCH, Method
from methods.layers.sparse import backend as sparse_backend

log = logging.getLogger(__name__)


def run(plan: Plan) -> list[Result]:
    """Do what is missing; returns the method's result and those of the rankers that bound the table."""
    device = torch_device(plan.device)
    backend = sparse_backend_of(plan, device)  # what cannot be had is refused before any data is prepared
    for warning in plan.warnings:
        log.warning(warning)
    arena = Arena(dataset=plan.dataset, protocol=plan.protocol, warnings=plan.warnings, runs=plan.runs)
    bounds = arena.bounds(plan.options.seed)
    if (result := plan.found()) is not None:
        log.info("nothing to do: %s is up to date", plan.result_folder)
        return [result, *arena.results(bounds)]
    log.debug("%d frames ask or are searched", len(plan.rows))  # nothing at all is refused before training
    check_answerable(plan.selected)
    plan.check_data()
    with sparse_backend.using(backend):
        return arena.results([_row(plan, device), *bounds])


def say_blind(plan: Plan) -> list[str]:
    """Warn of frames of the test that the method cannot see, asked of a network as initialised; returns the words.

    Raises:
        CrossplaceError: what the method returns is not what it declares.
    """
    kind = METHODS.get(plan.options.name)
    config = replace(configure(kind, plan.options), weights=FROM_SCRATCH, weights_sha256="")
    method = kind(config)
    check_method(method, plan.dataset, plan.rows)
    sentences = blind_to(method, plan.dataset, plan.rows)
    for sentence in sentences:
        log.warning(sentence)
    return sentences


def train(plan: Plan) -> Method:
    """The method with its weights: trained (now or before), shipped, or as initialised."""
    torch.manual_seed(plan.options.seed)
    plan.weights.check()
    device, kind = torch_device(plan.device), METHODS.get(plan.options.name)
    config = configure(kind, plan.options)
    if plan.declared.reads_depth_files:
        check_depth(plan.dataset, config, plan.rows)
    if plan.weights_file and (plan.weights.file or plan.is_trained):
        # All weights are in the file: the pretrained backbone they began with is not needed any more.
        method = kind(replace(config, weights=FROM_SCRATCH, weights_sha256=""))
        load_weights(method, plan.weights_file, plan.weights.remedy)
        return method.to(device)
    method = kind(config)
    if plan.weights.is_to_train:
        plan.check_data()
        options = TrainingOptions(
            accelerator=device.type,
            devices=1 if device.index is None else [device.index],
            precision=plan.request.machine.precision,
            workers=plan.request.machine.workers,
        )
        folders = plan.stage_folders(method.stages(plan.protocol.split))
        if not plan.is_trained and (others := plan.other_trainings()):
            log.info("training is needed: the weights in %s are of other code, settings or data", others[-1])
        with sparse_backend.using(sparse_backend_of(plan, device)):
            seed, folder = plan.options.seed, plan.training_folder
            train_stages(method, plan.dataset, plan.protocol, folder, seed, options, folders)
    return method.to(device)


@dataclass(frozen=True, kw_only=True)
class FramesToEncode:
    """Some frames and where their descriptors go."""

    encoding: Encoding
    dataset: PreparedDataset
    rows: Int[ndarray, " n"]


def encoded(plan: Plan, parts: Sequence[FramesToEncode]) -> list[Descriptors]:
    """The descriptors of each part by the weights of ``plan``; a network is made only where some are missing."""
    method = train(plan) if plan.weights.is_to_train and not plan.is_trained else None
    found = []
    with sparse_backend.using(sparse_backend_of(plan, torch_device(plan.device))):
        for part in parts:
            folder, manifest = part.encoding.folder, plan.manifest(part.encoding, part.dataset)
            with locked(folder):
                if not all_encoded(part.dataset, part.rows, folder, manifest):
                    check_depth(part.dataset, configure(METHODS.get(plan.options.name), plan.options), part.rows)
                    check_files(part.dataset, part.rows)
                    method = method or train(plan)
                    _encode(plan, method, part)
                found.append(Descriptors.read(folder))
    return found


def _encode(plan: Plan, method: Method, part: FramesToEncode) -> None:
    """Encode what is missing; the folder must be locked."""
    encoding, dataset = part.encoding, part.dataset
    manifest = plan.manifest(encoding, dataset)
    n_new = encode(method, dataset, part.rows, encoding.folder, manifest, perturber=encoding.perturber)
    log.info("encoded %d parts anew, %s", n_new, encoding.folder)


def encode_step(plan: Plan, name: str) -> None:
    """Leave the descriptors of the encoding called ``name``."""
    (encoding,) = [encoding for encoding in plan.encodings if encoding.name == name]
    plan.check_data()
    method = train(plan)
    with sparse_backend.using(sparse_backend_of(plan, torch_device(plan.device))), locked(encoding.folder):
        _encode(plan, method, FramesToEncode(encoding=encoding, dataset=plan.dataset, rows=plan.rows))


STEPS: dict[str, Callable[[Plan], object]] = {
    "prepare": lambda plan: plan.dataset,
    "train": train,
    "encode": partial(encode_step, name="encode"),
    "encode perturbed": partial(encode_step, name="encode perturbed"),
    "evaluate": run,
    "evaluate and measure": run,
}
"""What leaves the outcome of a step, by the step's name; every step before it must have its own."""


def sparse_backend_of(plan: Plan, device: torch.device) -> sparse_backend.Backend:
    """What computes sparse convolutions; refused where the choice of the plan cannot be had."""
    return sparse_backend.resolve(plan.request.machine.sparse_backend, device)


def _row(plan: Plan, device: torch.device) -> Row:
    """Everything but the evaluation: weights, descriptors and cost of the method."""
    blind = say_blind(plan)
    method = train(plan)
    log.info("weights: %s", plan.weights.words)
    with ExitStack() as until_read:  # another protocol needs other frames
        for encoding in plan.encodings:
            until_read.enter_context(locked(encoding.folder))
            _encode(plan, method, FramesToEncode(encoding=encoding, dataset=plan.dataset, rows=plan.rows))
        scorer = _scorer(plan)
    traversals = plan.dataset.frames.take(plan.rows).traversal_names()
    return Row(
        folder=plan.result_folder,
        key=plan.result_key,
        method=method_record(plan),
        scorer=scorer,
        seed=plan.options.seed,
        environment=environment_of(plan),
        cost=measure(method, plan.dataset, plan.rows, sparse_backend_of(plan, device)) if plan.measured else None,
        perturbation=perturbation_record(plan.perturber, traversals) if plan.perturber else None,
        warnings=blind,
        is_new=True,
    )


def _scorer(plan: Plan) -> Scorer:
    """How far frames are apart, in the directions that a perturbation changes, or in all."""
    frames, clean = plan.dataset.frames, Descriptors.read(plan.encodings[0].folder)
    if plan.perturber is None:
        return from_descriptors(clean, frames)
    modality = plan.perturber.kind.modality
    directions = [d for d in Direction if d.perturbed_side(modality)]
    perturbed = Descriptors.read(plan.encodings[1].folder)
    return from_descriptors(clean, frames, perturbed, modality, directions=directions)


def perturbation_record(perturber: Perturber, traversals: Sequence[str]) -> PerturbationRecord:
    """What a result says about the perturbation of its frames, which are of these traversals."""
    kind = perturber.kind
    return PerturbationRecord(
        name=perturber.name,
        version=kind.version,
        severity=perturber.severity,
        value=perturber.value,
        unit=kind.unit,
        modality=kind.modality,
        sides={d.label: side for d in Direction if (side := d.perturbed_side(kind.modality))},
        drawn=perturber.drawn(traversals),
    )


def environment_of(plan: Plan) -> dict[str, Any]:
    """The machine and its settings, as far as numbers of this plan depend on them."""
    device = torch_device(plan.device)
    return environment(
        plan.device,
        threads=torch.get_num_threads(),
        tf32=rounds_to_tf32(device),
        sparse_backend=sparse_backend_of(plan, device),
    )


def method_record(plan: Plan) -> MethodRecord:
    """What a result says about its method, whose weights must be there."""
    report = TrainingReport.read(plan.training_folder) if plan.weights.is_to_train else None
    share = report.share_of_schedule * plan.declared.planned_share if report else plan.weights.share_of_schedule
    config = without_path(configure(METHODS.get(plan.options.name), plan.options))
    return MethodRecord(
        name=plan.options.name,
        preset=plan.options.preset,
        variant=plan.options.variant,
        config=plain(config),
        config_key=key_of(config),
        origin=plan.weights.origin,
        weights=plan.weights.words,
        weights_sha256=plan.weights_sha256,
        backbone_weights=config.weights,
        share_of_schedule=share,
        training=plain(asdict(report)) | _asked_of_training(plan) if report else {},
    )


def _asked_of_training(plan: Plan) -> dict[str, Any]:
    """What the options of a row ask of its training, beside what the configuration says."""
    return {"precision": plan.request.machine.precision, "share": plan.options.share}


def origin_of(plan: Plan, key: str, warnings: Sequence[str]) -> dict[str, Any]:
    """What every record of curves begins with: when, where and of what it was made. Weights must be there."""
    dataset = plan.dataset
    return {
        "key": key,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "harness": harness(),
        "environment": environment_of(plan),
        "method": method_record(plan),
        "dataset": dataset_record(dataset, dataset.frames.take(plan.rows).traversal_names()),
        "protocol": plain(plan.protocol),
        "seed": plan.options.seed,
        "warnings": [*warnings],
    }
