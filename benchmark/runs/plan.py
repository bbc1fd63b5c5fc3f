"""What a run consists of: each step with its key, its folder, and whether its outcome is there. Needs no torch.

Each step has a key made of everything that its outcome depends on and writes into a folder named by the key. So a
second run does only what is missing, and a changed configuration never meets old files.
"""

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import ndarray

import benchmark
from benchmark import machine
from benchmark.descriptors.parts import all_encoded
from benchmark.frames.examining import check_accepted, check_files
from benchmark.frames.perturbations import Perturber
from benchmark.frames.preparing import Location, check_protocol_name, doubts_about, find_protocol, locate, prepare
from benchmark.keys import KEY_LENGTH, code_of, key_of
from benchmark.protocol.leaks import leak_warnings
from benchmark.protocol.selection import Selected, select
from benchmark.records.schema import Result
from benchmark.registry import METHODS
from benchmark.request import Request
from benchmark.training.declared import declare
from benchmark.training.report import REPORT, WEIGHTS, TrainingReport
from benchmark.training.weights import WeightSource, check_options, find_weights
from datasets.base import Protocol
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset

if TYPE_CHECKING:
    from methods.base import Stage

UNKNOWN = Path("(known once the data is prepared)")


@dataclass(frozen=True, kw_only=True)
class Step:
    """One line of the plan."""

    name: str
    key: str
    folder: Path
    is_done: bool


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """One set of descriptors that a result is made from."""

    name: str
    key: str
    folder: Path
    perturber: Perturber | None


class Plan:
    """A request with everything resolved that can be resolved before work starts."""

    def __init__(
        self, request: Request, *, measured: bool = True, elsewhere: bool = False, beside: "Plan | None" = None
    ) -> None:
        """``elsewhere``: the device is one of other machines. ``beside``: a plan on the same data, read only once."""
        check_protocol_name(request.data.protocol)
        check_accepted(request.data.accept)
        check_options(request.method)
        self.request, self.options, self.runs = request, request.method, request.machine.runs
        self.perturber = Perturber.of(request.perturbation, request.method.seed)
        self.measured = measured and self.perturber is None
        """Whether cost is measured; the cost of perturbed frames is that of the clean ones."""
        self.declared = declare(request.method, self.runs)
        if self.perturber and self.perturber.kind.modality == "image" and self.declared.reads_depth_files:
            raise CrossplaceError(
                f"--perturb {self.perturber.name}: depth from files is that of the images as recorded; give --depth "
                "network or a plug-in, which see what the camera sees"
            )
        self.code = code_of(METHODS.entries[request.method.name])
        self.device = machine.pick_device(request.machine.device, elsewhere=elsewhere)
        data = request.data
        assert beside is None or beside.request.data == data
        self._beside = beside
        self.location: Location = beside.location if beside else locate(data.dataset, data.source, data.dataset_options)

    # --- data ------------------------------------------------------------------------------------

    @cached_property
    def dataset(self) -> PreparedDataset:
        """The prepared dataset; prepared now if need be."""
        return self._beside.dataset if self._beside else prepare(self.location)

    @cached_property
    def _resolved(self) -> tuple[Protocol, list[str]]:
        return self._beside._resolved if self._beside else find_protocol(self.request.data.protocol, self.dataset)

    @property
    def protocol(self) -> Protocol:
        """The protocol as it applies to this data."""
        return self._resolved[0]

    @cached_property
    def warnings(self) -> list[str]:
        """What a reader of the result must be told; raises :class:`CrossplaceError` if the data has a fault."""
        if self._beside:
            return self._beside.warnings
        doubts = doubts_about(self.dataset, self.request.data.accept)
        return [*self._resolved[1], *leak_warnings(self.dataset.frames, self.protocol), *doubts]

    @cached_property
    def selected(self) -> Selected:
        """The frames that take part."""
        return self._beside.selected if self._beside else Selected(frames=self.dataset.frames, protocol=self.protocol)

    @cached_property
    def rows(self) -> ndarray:
        """Frames that ask or are searched."""
        rows = self.selected.needed
        if len(rows) and not any((self.dataset.frames.paths(m)[rows] != "").any() for m in ("image", "cloud")):
            raise CrossplaceError(
                f"{self.dataset.folder}: no frame that protocol {self.protocol.name} selects has an image or a cloud; "
                "fill the columns image and cloud of frames.csv"
            )
        if not len(rows):
            raise CrossplaceError(f"{self.dataset.folder}: protocol {self.protocol.name} selects none of its frames")
        modality = self.perturber.kind.modality if self.perturber else None
        if modality and not (self.dataset.frames.paths(modality)[rows] != "").any():
            raise CrossplaceError(
                f"{self.dataset.folder}: {self.request.perturbation.perturb} changes {modality}s, but no frame that "
                f"protocol {self.protocol.name} selects has one; choose another (crossplace list perturbations)"
            )
        return rows

    def check_data(self) -> None:
        """Raise :class:`CrossplaceError` if the data has a fault, or lacks a file that a missing step will read."""
        _ = self.warnings  # raised here, if the data has a fault
        missing = {step.name for step in self.steps() if not step.is_done}
        split, frames = self.protocol.split, self.dataset.frames
        parts = [select(frames, part) for part in (split.train, split.validation) if "train" in missing]
        parts += [self.rows] if any(name.startswith("encode") for name in missing) else []
        if parts:
            check_files(self.dataset, np.concatenate(parts))

    # --- keys and folders ------------------------------------------------------------------------

    @cached_property
    def weights(self) -> WeightSource:
        """Where the weights come from."""
        return find_weights(self.declared, self.options, lambda: self.dataset.fingerprint)

    @cached_property
    def weights_key(self) -> str:
        """Identifies the weights before they exist."""
        base = ("method", self.options.name, self.declared.identity, self.options.seed, self.code)
        made_from = self._training_data if self.weights.is_to_train else filter(None, [self.weights.sha256])
        return key_of(self.weights.origin, *base, benchmark.__version__, *made_from)

    @property
    def _training_data(self) -> tuple[Any, ...]:
        return self.dataset.fingerprint, self.protocol.split, self.request.machine.precision

    def stage_folders(self, stages: "Sequence[Stage]") -> dict[str, Path]:
        """Where each stage keeps its checkpoints: one folder for all configurations that teach it the same.

        The key of a stage holds the method and its code (for a shared stage: the stage's own code alone), the
        configuration without the fields that the stage ignores, and the key of the stage before.
        """
        folders, before = {}, ""
        for stage in stages:
            owner, code = self.options.name, self.code
            if stage.is_shared:
                owner, code = "shared", code_of(type(stage).__module__)
            read = {name: value for name, value in self.declared.identity.items() if name not in stage.ignores}
            base = (owner, self.options.seed, code, benchmark.__version__, before)
            before = key_of(*base, stage.name, read, *self._training_data)
            name = f"{owner}-{stage.name}-{self.dataset.name}-s{self.options.seed}-{before}"
            folders[stage.name] = self.runs / "stages" / name
        return folders

    @property
    def training_folder(self) -> Path:
        """Final weights."""
        return self.runs / "training" / self._name(self.dataset.name, self.weights_key)

    @property
    def weights_file(self) -> Path | None:
        """Where the weights are, or will be; none if the network is taken as initialised."""
        return self.training_folder / WEIGHTS if self.weights.is_to_train else self.weights.file

    @property
    def weights_sha256(self) -> str:
        """Hash of the weights, which must be there."""
        is_trained = self.weights.is_to_train
        return TrainingReport.read(self.training_folder).weights_sha256 if is_trained else self.weights.sha256

    @cached_property
    def encodings(self) -> list[Encoding]:
        """The descriptors that the result is made from: those of the frames as recorded, and of perturbed frames."""
        key = key_of(self.weights_key, self.dataset.fingerprint)
        clean = Encoding(name="encode", key=key, folder=self._descriptors(self.dataset.name, key), perturber=None)
        if self.perturber is None:
            return [clean]
        key = key_of(key, self.perturber.identity)
        folder = self._descriptors(self._perturbed(self.dataset.name), key)
        return [clean, Encoding(name="encode perturbed", key=key, folder=folder, perturber=self.perturber)]

    def beside(self, dataset: PreparedDataset, frame_ids: Sequence[str]) -> Encoding:
        """Descriptors by the same weights of frames that take no part in the test, of this dataset or of another."""
        key = key_of(self.weights_key, dataset.fingerprint, *frame_ids)
        folder = self._descriptors(f"{dataset.name}-distractors", key)
        return Encoding(name="encode distractors", key=key, folder=folder, perturber=None)

    def _descriptors(self, where: str, key: str) -> Path:
        return self.runs / "descriptors" / self._name(where, key)

    def manifest(self, encoding: Encoding, dataset: PreparedDataset | None = None) -> dict[str, Any]:
        """What the descriptors of an encoding depend on; the frames are those of the plan's dataset or of another."""
        perturbation = {"perturbation": encoding.perturber.identity} if encoding.perturber else {}
        return {
            "method": self.options.name,
            "config": key_of(self.declared.identity),
            "weights_key": self.weights_key,
            "weights_sha256": self.weights_sha256,
            "dataset": (dataset or self.dataset).fingerprint,
            **perturbation,
        }

    @cached_property
    def result_key(self) -> str:
        """Identifies the result; the machine counts only if costs are taken on it."""
        where = [machine.identity(self.device)] if self.measured else []
        measured_on = (*where, self._sparse_backend, self.measured)
        perturbation = [self.perturber.identity] if self.perturber else []
        accepted = sorted(set(self.request.data.accept))
        return key_of(self.encodings[0].key, self.protocol, *measured_on, *perturbation, *accepted)

    @property
    def _sparse_backend(self) -> str:
        """What computes sparse convolutions, as far as it is known without torch; a run records what it took."""
        choice = self.request.machine.sparse_backend
        return ("spconv" if self.device.startswith("cuda") else "torch") if choice == "auto" else choice

    @property
    def result_folder(self) -> Path:
        """Where the result is, or will be."""
        return self.runs / "results" / self._name(self._perturbed(self.protocol.name), self.result_key)

    def sensitivity_folder(self, key: str) -> Path:
        """Where curves of recall with this key are, or will be."""
        return self.runs / "sensitivity" / self._name(self.protocol.name, key)

    def scale_folder(self, key: str) -> Path:
        """Where recall against the size of the map with this key is, or will be."""
        return self.runs / "scale" / self._name(self.protocol.name, key)

    def map_folder(self, key: str) -> Path:
        """Where a large map of descriptors with this key lies while it is searched."""
        return self.runs / "maps" / self._name(self.protocol.name, key)

    def _perturbed(self, where: str) -> str:
        return f"{where}-{self.perturber.name}-{self.perturber.severity}" if self.perturber else where

    def _name(self, where: str, key: str) -> str:
        return f"{self.options.label}-{where}-s{self.options.seed}-{key}"

    # --- what is there ---------------------------------------------------------------------------

    @property
    def is_trained(self) -> bool:
        """Whether the training that this run needs was finished."""
        return (self.training_folder / REPORT).is_file()

    def other_trainings(self) -> list[Path]:
        """Finished trainings of this method, preset, data and seed under another key, the latest last."""
        name = glob.escape(self._name(self.dataset.name, ""))
        found = self.training_folder.parent.glob(f"{name}*/{REPORT}")
        return sorted((path.parent for path in found), key=lambda path: (path / REPORT).stat().st_mtime)

    def found(self) -> Result | None:
        """The result if it is there; where trained weights still are, it must be theirs."""
        result = Result.found(self.result_folder, self.result_key)
        return result if result and self.is_of(result.method.weights_sha256) else None

    def is_of(self, weights_sha256: str) -> bool:
        """Whether a record may be of this plan's weights: where trained weights still are, it must be."""
        return not (self.weights.is_to_train and self.is_trained) or weights_sha256 == self.weights_sha256

    def steps(self) -> list[Step]:
        """What a run would do, in order, as far as it is known now."""
        folder, is_prepared = self.location.folder, self.location.is_prepared
        is_own = self.location.dataset is None
        key = self.dataset.fingerprint[:KEY_LENGTH] if is_own else folder.name.rpartition("-")[2]
        steps = [Step(name="prepare", key=key, folder=folder, is_done=is_prepared)]
        if not is_prepared:
            encodings = ["encode", "encode perturbed"] if self.perturber else ["encode"]
            later = ("train or load weights", *encodings, self._last)
            return steps + [Step(name=name, key="–", folder=UNKNOWN, is_done=False) for name in later]
        finished = self.found() is not None
        trained = finished or not self.weights.is_to_train or self.is_trained
        name = "train" if self.weights.is_to_train else "load weights"
        file = self.training_folder if self.weights.is_to_train else self.weights_file or Path("(as initialised)")
        steps.append(Step(name=name, key=self.weights_key, folder=file, is_done=trained))
        for encoding in self.encodings:
            is_done = finished or (trained and self._is_encoded(encoding))
            steps.append(Step(name=encoding.name, key=encoding.key, folder=encoding.folder, is_done=is_done))
        last = Step(name=self._last, key=self.result_key, folder=self.result_folder, is_done=finished)
        return [*steps, last]

    @property
    def _last(self) -> str:
        return "evaluate and measure" if self.measured else "evaluate"

    def _is_encoded(self, encoding: Encoding) -> bool:
        only = encoding.perturber.kind.modality if encoding.perturber else None
        return all_encoded(self.dataset, self.rows, encoding.folder, self.manifest(encoding), only)
