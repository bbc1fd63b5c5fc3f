"""One benchmark row from beginning to end: prepare, train or load, encode, evaluate, measure, write.

Each step has a key made of everything its outcome depends on and writes into a folder named by it, so that a second
run does only what is missing and a changed configuration never meets old files.
"""

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from numpy import ndarray

import benchmark
from benchmark.cost.measure import measure
from benchmark.descriptors.encoding import all_encoded, encode
from benchmark.descriptors.files import Descriptors
from benchmark.evaluation.evaluate import Distances, check_answerable, from_descriptors, needed_rows
from benchmark.frames.perturbations import Perturber
from benchmark.frames.preparing import Location, check_protocol_name, find_protocol, locate, prepare
from benchmark.keys import KEY_LENGTH, code_of, key_of, plain
from benchmark.protocol.directions import Direction
from benchmark.records.environment import environment, pick_device
from benchmark.records.schema import MethodRecord, PerturbationRecord, Result
from benchmark.registry import METHODS
from benchmark.request import Request
from benchmark.runs.scoring import has_result, rank_trivially, write_result
from benchmark.training.checkpoint import load_weights
from benchmark.training.configuring import configure, planned_share, without_path
from benchmark.training.loop import WEIGHTS, TrainingOptions, train
from benchmark.training.report import REPORT, TrainingReport
from benchmark.training.weights import WeightSource, check_request, find_weights
from datasets.base import Protocol
from datasets.errors import CrossplaceError
from datasets.files import locked
from datasets.prepared import PreparedDataset
from methods.base import FROM_SCRATCH, Method, Stage
from methods.layers.depth.sources import has_depth_files
from methods.layers.sparse import backend as sparse_backend

log = logging.getLogger(__name__)

UNKNOWN = Path("(known once the data is prepared)")


@dataclass(frozen=True, kw_only=True)
class Step:
    """One line of the plan."""

    name: str
    key: str
    folder: Path
    is_done: bool


class Bench:
    """A request with everything resolved that can be resolved before work starts."""

    def __init__(self, request: Request, *, measured: bool = True) -> None:
        check_protocol_name(request.protocol)
        check_request(request)
        self.request = request
        self.perturber = Perturber.of(request)
        self.measured = measured and self.perturber is None
        """Perturbed runs are not timed: the cost is that of the clean one."""
        self.method_class = METHODS.get(request.method)
        self.config = configure(self.method_class, request)
        if self.perturber and self.perturber.kind.modality == "image" and has_depth_files(self.config):
            raise CrossplaceError(
                f"--perturb {request.perturb}: depth from files is that of the images as recorded; give --depth "
                "network or a plug-in, which see what the camera sees"
            )
        self.identity = without_path(self.config)
        self.code = code_of(METHODS.entries[request.method])
        self.device = pick_device(request.device)
        self.sparse_backend = sparse_backend.resolve(request.sparse_backend, self.device)
        self.location: Location = locate(request.dataset, request.source, request.dataset_options)

    @cached_property
    def dataset(self) -> PreparedDataset:
        """The prepared dataset; prepared now if need be."""
        return prepare(self.location)

    @cached_property
    def _resolved(self) -> tuple[Protocol, list[str]]:
        return find_protocol(self.request.protocol, self.dataset)

    @property
    def protocol(self) -> Protocol:
        """The protocol as it applies to this data."""
        return self._resolved[0]

    @property
    def warnings(self) -> list[str]:
        """What a reader of the result must be told."""
        return self._resolved[1]

    @cached_property
    def rows(self) -> ndarray:
        """Frames that ask or are searched."""
        rows = needed_rows(self.dataset.frames, self.protocol)
        if not len(rows):
            raise CrossplaceError(f"{self.dataset.folder}: protocol {self.protocol.name} selects none of its frames")
        modality = self.perturber.kind.modality if self.perturber else None
        if modality and not (getattr(self.dataset.frames, modality)[rows] != "").any():
            raise CrossplaceError(
                f"{self.dataset.folder}: {self.request.perturb} changes {modality}s, but no frame that protocol "
                f"{self.protocol.name} selects has one; choose another (crossplace list perturbations)"
            )
        return rows

    @cached_property
    def weights(self) -> WeightSource:
        """Where the weights come from."""
        return find_weights(self.method_class, self.config, self.request, self.dataset.fingerprint)

    @cached_property
    def weights_key(self) -> str:
        """Identifies the weights before they exist."""
        base = ("method", self.request.method, self.identity, self.request.seed, self.code, benchmark.__version__)
        made_from = self._training_data if self.weights.is_to_train else filter(None, [self.weights.sha256])
        return key_of(self.weights.origin, *base, *made_from)

    @property
    def _training_data(self) -> tuple[Any, ...]:
        return self.dataset.fingerprint, self.protocol.split, self.request.precision

    def stage_folders(self, stages: Sequence[Stage]) -> dict[str, Path]:
        """Where each stage keeps its checkpoints: one folder for all configurations that teach it the same.

        Its key holds the method and its code (of a shared stage: its own code alone), the configuration without the
        fields that the stage ignores, and the key of the stage before.
        """
        folders, before = {}, ""
        for stage in stages:
            owner, code = self.request.method, self.code
            if stage.is_shared:
                owner, code = "shared", code_of(type(stage).__module__)
            read = {name: value for name, value in plain(self.identity).items() if name not in stage.ignores}
            base = (owner, self.request.seed, code, benchmark.__version__, before)
            before = key_of(*base, stage.name, read, *self._training_data)
            name = f"{owner}-{stage.name}-{self.dataset.name}-s{self.request.seed}-{before}"
            folders[stage.name] = self.request.runs / "stages" / name
        return folders

    @property
    def training_folder(self) -> Path:
        """Final weights."""
        return self.request.runs / "training" / self._name(self.dataset.name, self.weights_key)

    @property
    def descriptor_key(self) -> str:
        """Identifies the descriptors of this dataset's frames."""
        return key_of(self.weights_key, self.dataset.fingerprint)

    @property
    def descriptor_folder(self) -> Path:
        """Descriptors by traversal."""
        return self.request.runs / "descriptors" / self._name(self.dataset.name, self.descriptor_key)

    @property
    def perturbed_key(self) -> str:
        """Identifies the descriptors of the perturbed frames."""
        return key_of(self.descriptor_key, *self._perturbation)

    @property
    def perturbed_folder(self) -> Path:
        """Descriptors of the perturbed frames by traversal; those of clean frames stay where they are."""
        return self.request.runs / "descriptors" / self._name(self._perturbed(self.dataset.name), self.perturbed_key)

    @cached_property
    def result_key(self) -> str:
        """Identifies the result, costs on this machine included."""
        base = (self.descriptor_key, self.protocol, self.environment, self.measured)
        return key_of(*base, *self._perturbation)

    @property
    def environment(self) -> dict[str, Any]:
        """What the numbers are measured with."""
        return environment(self.device) | {"sparse_backend": self.sparse_backend}

    @property
    def result_folder(self) -> Path:
        """Result artifact."""
        return self.request.runs / "results" / self._name(self._perturbed(self.protocol.name), self.result_key)

    def steps(self) -> list[Step]:
        """What a run would do, in order, as far as it is known now."""
        folder, is_prepared = self.location.folder, self.location.is_prepared
        is_own = self.location.dataset is None
        key = self.dataset.fingerprint[:KEY_LENGTH] if is_own else folder.name.rpartition("-")[2]
        steps = [Step(name="prepare", key=key, folder=folder, is_done=is_prepared)]
        if not is_prepared:
            encodings = ["encode", "encode perturbed"] if self.perturber else ["encode"]
            later = ("train or load weights", *encodings, "evaluate and measure")
            return steps + [Step(name=name, key="–", folder=UNKNOWN, is_done=False) for name in later]
        finished = self._is_finished()
        trained = finished or self._is_trained()
        if self.weights.is_to_train:
            steps.append(Step(name="train", key=self.weights_key, folder=self.training_folder, is_done=trained))
        else:
            file = self.weights_file or Path("(as initialised)")
            steps.append(Step(name="load weights", key=self.weights_key, folder=file, is_done=True))
        for name, key, folder, perturber in self._encodings:
            encoded = finished or (
                (trained or not self.weights.is_to_train)
                and all_encoded(self.dataset, self.rows, folder, self._manifest(perturber), perturber)
            )
            steps.append(Step(name=name, key=key, folder=folder, is_done=encoded))
        last = Step(name="evaluate and measure", key=self.result_key, folder=self.result_folder, is_done=finished)
        return [*steps, last]

    def run(self) -> list[Result]:
        """Do what is missing; returns the method's result and those of the trivial rankers."""
        for warning in self.warnings:
            log.warning(warning)
        if self._is_finished():
            log.info("nothing to do: %s is up to date", self.result_folder)
            result = Result.read(self.result_folder)
        else:
            log.debug("%d frames ask or are searched", len(self.rows))  # nothing at all is refused before training
            check_answerable(self.dataset.frames, self.protocol)
            with sparse_backend.using(self.sparse_backend):
                result = self._run_method()
        return [result, *rank_trivially(self.dataset, self.protocol, self.request, self.warnings)]

    def train(self) -> Method:
        """The method with its weights: trained (now or before), shipped, or as initialised."""
        torch.manual_seed(self.request.seed)
        self.weights.check()
        if self.weights_file and (self.weights.file or self._is_trained()):
            # All weights are in the file: the pretrained backbone they began with is not needed any more.
            method = self.method_class(replace(self.config, weights=FROM_SCRATCH, weights_sha256=""))
            load_weights(method, self.weights_file, self.weights.remedy)
            return method.to(self.device)
        method = self.method_class(self.config)
        if self.weights.is_to_train:
            options = TrainingOptions(
                accelerator=self.device.type,
                devices=1 if self.device.index is None else [self.device.index],
                precision=self.request.precision,
                workers=self.request.workers,
            )
            folders = self.stage_folders(method.stages(self.protocol.split))
            with sparse_backend.using(self.sparse_backend):
                train(method, self.dataset, self.protocol, self.training_folder, self.request.seed, options, folders)
        return method.to(self.device)

    def _run_method(self) -> Result:
        method = self.train()
        log.info("weights: %s", self.weights.words)
        with ExitStack() as until_read:  # another protocol needs other frames
            for _, _, folder, perturber in self._encodings:
                until_read.enter_context(locked(folder))
                manifest = self._manifest(perturber)
                n_new = encode(method, self.dataset, self.rows, folder, manifest, perturber=perturber)
                log.info("encoded %d parts anew, %s", n_new, folder)
            distances, directions, perturbation = self._comparison()
        cost = measure(method, self.dataset, self.rows) if self.measured else None
        return write_result(
            self.result_folder,
            self.result_key,
            dataset=self.dataset,
            protocol=self.protocol,
            method=self._method_record(),
            distances=distances,
            cost=cost,
            seed=self.request.seed,
            environment=self.environment,
            warnings=self.warnings,
            directions=directions,
            perturbation=perturbation,
        )

    @property
    def _encodings(self) -> list[tuple[str, str, Path, Perturber | None]]:
        """Name, key, folder and perturbation of each set of descriptors that the result is made from."""
        clean = ("encode", self.descriptor_key, self.descriptor_folder, None)
        if self.perturber is None:
            return [clean]
        return [clean, ("encode perturbed", self.perturbed_key, self.perturbed_folder, self.perturber)]

    def _comparison(self) -> tuple[Distances, list[Direction], PerturbationRecord | None]:
        """How far frames are apart, in which directions (those that a perturbation changes), and its record."""
        clean = Descriptors.read(self.descriptor_folder)
        if self.perturber is None:
            return from_descriptors(clean), list(Direction), None
        modality = self.perturber.kind.modality
        distances = from_descriptors(clean, Descriptors.read(self.perturbed_folder), modality)
        record = self.perturber.record(self.dataset.frames.take(self.rows).traversal_names())
        return distances, [d for d in Direction if d.perturbed_side(modality)], record

    def _is_trained(self) -> bool:
        return (self.training_folder / REPORT).is_file()

    def _is_finished(self) -> bool:
        """Whether the result is there; where trained weights still are, it must be theirs."""
        if not has_result(self.result_folder, self.result_key):
            return False
        if not (self.weights.is_to_train and self._is_trained()):
            return True
        return Result.read(self.result_folder).method.weights_sha256 == self._weights_sha256()

    @property
    def weights_file(self) -> Path | None:
        """Where the weights are, or will be; none if the network is taken as initialised."""
        return self.training_folder / WEIGHTS if self.weights.is_to_train else self.weights.file

    @property
    def _perturbation(self) -> list[dict[str, Any]]:
        """What the keys of perturbed work hold beside those of clean work."""
        return [self.perturber.identity] if self.perturber else []

    def _manifest(self, perturber: Perturber | None) -> dict[str, Any]:
        """What descriptors depend on."""
        perturbation = {"perturbation": perturber.identity} if perturber else {}
        return {
            "method": self.request.method,
            "config": key_of(self.identity),
            "weights_key": self.weights_key,
            "weights_sha256": self._weights_sha256(),
            "dataset": self.dataset.fingerprint,
            **perturbation,
        }

    def _weights_sha256(self) -> str:
        is_trained = self.weights.is_to_train
        return TrainingReport.read(self.training_folder).weights_sha256 if is_trained else self.weights.sha256

    def _method_record(self) -> MethodRecord:
        report = TrainingReport.read(self.training_folder) if self.weights.is_to_train else None
        share = self.weights.share_of_schedule
        if report:
            share = report.share_of_schedule * planned_share(self.method_class, self.request)
        return MethodRecord(
            name=self.request.method,
            preset=self.request.preset,
            variant=self.request.variant,
            config=plain(self.identity),
            config_key=key_of(self.identity),
            origin=self.weights.origin,
            weights=self.weights.words,
            weights_sha256=self._weights_sha256(),
            backbone_weights=self.identity.weights,
            share_of_schedule=share,
            training=plain(asdict(report)) | {"precision": self.request.precision} if report else {},
        )

    def _perturbed(self, where: str) -> str:
        return f"{where}-{self.perturber.name}-{self.perturber.severity}" if self.perturber else where

    def _name(self, where: str, key: str) -> str:
        variant = f"+{self.request.variant}" if self.request.variant else ""
        return f"{self.request.method}-{self.request.preset}{variant}-{where}-s{self.request.seed}-{key}"
