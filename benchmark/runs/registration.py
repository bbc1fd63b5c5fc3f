"""One registration of a protocol's queries: registrar, starts, local maps, record."""

import io
import logging
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from numpy import ndarray

import benchmark
from benchmark import machine
from benchmark.frames import local_maps
from benchmark.frames.examining import check_accepted
from benchmark.frames.local_maps import LocalMaps, MapSettings
from benchmark.frames.preparing import check_protocol_name, data_folder, doubts_about, find_protocol, locate, prepare
from benchmark.frames.starts import RETRIEVED, STARTS, check_start
from benchmark.keys import code_of, key_of, plain
from benchmark.protocol.leaks import leak_warnings
from benchmark.protocol.map_sweeps import MapSweeps
from benchmark.protocol.selection import Selected
from benchmark.records.environment import environment, harness
from benchmark.records.recording import dataset_record
from benchmark.records.registration import POSES, REGISTRATION, RegistrationRecord, StartRecord
from benchmark.records.schema import MethodRecord, Result
from benchmark.registry import REGISTRARS
from benchmark.request import DataOptions, MachineOptions, MethodOptions, RegistrationOptions
from benchmark.runs.registered import summary
from benchmark.runs.rough_poses import RoughPoses, drawn_poses, retrieved_poses
from benchmark.training.declared import Declared
from benchmark.training.weights import WeightSource, check_options, find_weights
from datasets.base import Protocol
from datasets.errors import CrossplaceError
from datasets.files import locked, write_atomically
from datasets.prepared import PreparedDataset

if TYPE_CHECKING:
    import torch

    from methods.base import MethodConfig
    from methods.registration import Registrar

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Registration:
    """What a person asks for, with everything that follows from it before work starts."""

    data: DataOptions
    method: MethodOptions
    """The registrar and how it is configured."""
    device: MachineOptions
    how: RegistrationOptions
    start: str
    result: Path | None = None
    """Folder of the result whose retrieved frames are the starts."""

    def __post_init__(self) -> None:
        """Refuse what can be refused before any data is prepared."""
        REGISTRARS.check(self.method.name)
        check_start(self.start)
        check_options(self.method)
        check_protocol_name(self.data.protocol)
        check_accepted(self.data.accept)
        if (self.start == RETRIEVED) != (self.result is not None):
            raise CrossplaceError(
                f"--start {RETRIEVED} and --result FOLDER go together: the folder holds the result of crossplace bench "
                "whose frames are the starts"
            )
        if self.how.queries < 0 or self.how.agreement < 1:
            raise CrossplaceError(
                f"--queries must be 0 or more and --agreement 1 or more, found {self.how.queries} and "
                f"{self.how.agreement}"
            )

    @cached_property
    def dataset(self) -> PreparedDataset:
        """The prepared dataset; prepared now if need be."""
        return prepare(locate(self.data.dataset, self.data.source, self.data.dataset_options))

    @cached_property
    def _found(self) -> tuple[Protocol, list[str]]:
        return find_protocol(self.data.protocol, self.dataset)

    @property
    def protocol(self) -> Protocol:
        """The protocol as it applies to this data."""
        return self._found[0]

    @cached_property
    def warnings(self) -> list[str]:
        """What a reader must be told; raises :class:`CrossplaceError` if the data has a fault."""
        leaks = leak_warnings(self.dataset.frames, self.protocol)
        return [*self._found[1], *leaks, *doubts_about(self.dataset, self.data.accept)]

    @cached_property
    def sweeps(self) -> MapSweeps:
        """Which sweeps maps are made of."""
        return MapSweeps.among(Selected(frames=self.dataset.frames, protocol=self.protocol))

    @property
    def settings(self) -> MapSettings:
        """How local maps are made."""
        return MapSettings(agreement=self.how.agreement)

    @cached_property
    def maps(self) -> LocalMaps:
        """The local maps of the dataset."""
        return LocalMaps(self.dataset, data_folder() / "local-maps", self.settings)

    def starts(self) -> RoughPoses:
        """The queries and their rough poses."""
        if self.result is None:
            return drawn_poses(self.dataset, self.sweeps, self.start, self.method.seed, self.how.queries)
        return retrieved_poses(self.dataset, self.protocol, self.sweeps, self.result, self.how.queries)

    @cached_property
    def start_record(self) -> StartRecord:
        """Where registration starts, as it is recorded."""
        if self.result is None:
            kind = STARTS[self.start]
            return StartRecord(name=self.start, title=kind.title, version=kind.version)
        result = Result.read(self.result)
        named = " ".join(filter(None, [result.method.name, result.method.preset, result.method.variant]))
        title = f"the frame that {named} retrieved first"
        return StartRecord(name=self.start, title=title, version=1, result=result.run_id, method=named)

    @cached_property
    def source(self) -> tuple["type[Registrar]", "MethodConfig", WeightSource]:
        """The registrar's class, its configuration, and where its weights come from."""
        from benchmark.training.configuring import configure, without_path

        kind = REGISTRARS.get(self.method.name)
        config = configure(kind, self.method)
        declared = Declared(
            identity=plain(without_path(config), with_defaults=False),
            is_trainable=kind.is_trainable,
            reads_depth_files=False,
            planned_share=1.0,
            shipped=tuple(weights for weights in kind.shipped if kind.presets[weights.preset] == config),
        )
        return kind, config, find_weights(declared, self.method, lambda: self.dataset.fingerprint)

    def registrar(self) -> "Registrar":
        """The registrar with its weights, in evaluation mode; trained now if it has none yet."""
        from benchmark.device import torch_device
        from benchmark.training.checkpoint import load_weights

        kind, config, weights = self.source
        weights.check()
        import torch

        device, file = torch_device(machine.pick_device(self.device.device)), weights.file
        if weights.is_to_train:
            file = self._trained(config, device)
        torch.manual_seed(self.method.seed)
        made = kind(config)
        if file:
            load_weights(made, file, weights.remedy)
        return made.to(device).eval()

    def _trained(self, config: "MethodConfig", device: "torch.device") -> Path:
        """The weights that training makes, or has made."""
        from benchmark.training.loop import TrainingOptions
        from benchmark.training.registrars import trained_registrar

        options = TrainingOptions(
            accelerator=device.type,
            devices=1 if device.index is None else [device.index],
            precision=self.device.precision,
            workers=self.device.workers,
        )
        return trained_registrar(
            self.method.name, config, self.dataset, self.protocol, self.device.runs, self.method.seed, options
        )

    @cached_property
    def key(self) -> str:
        """Identifies the record."""
        _, config, weights = self.source
        from benchmark.training.configuring import without_path

        code = code_of(REGISTRARS.entries[self.method.name])
        start = key_of(
            self.start_record.model_dump(), STARTS.get(self.start), self.result and Result.read(self.result).key
        )
        made = (self.method.name, without_path(config), weights.origin, weights.sha256, self.method.seed, code)
        trained = (self.device.precision,) if weights.is_to_train else ()
        maps = (local_maps.VERSION, local_maps.CHUNK, self.settings)
        data = (self.dataset.fingerprint, self.protocol, sorted(set(self.data.accept)))
        return key_of(
            *made,
            *trained,
            *maps,
            *data,
            start,
            self.how.queries,
            machine.identity(self._device),
            benchmark.__version__,
        )

    @property
    def _device(self) -> str:
        return machine.pick_device(self.device.device)

    @property
    def run_id(self) -> str:
        """Name of the record's folder."""
        m, start = self.method, self.start
        start += f"-{self.start_record.method.split(' ')[0]}" if self.result else ""
        return f"{m.label}-{self.protocol.name}-{start}-s{m.seed}-{self.key}"

    @property
    def folder(self) -> Path:
        """Where the record is, or will be."""
        return self.device.runs / "registration" / self.run_id

    def method_record(self) -> MethodRecord:
        """What the record says about the registrar."""
        from benchmark.training.configuring import without_path

        _, config, weights = self.source
        return MethodRecord(
            name=self.method.name,
            preset=self.method.preset,
            variant=self.method.variant,
            config=plain(without_path(config)),
            config_key=key_of(without_path(config)),
            origin=weights.origin,
            weights=weights.words,
            weights_sha256=weights.sha256,
            backbone_weights=config.weights,
            share_of_schedule=weights.share_of_schedule,
            training={},
        )


def run_registration(asked: Registration) -> tuple[RegistrationRecord, Path]:
    """Register the queries; returns the stored record and its file. A second call finds the record."""
    for warning in asked.warnings:
        log.warning(warning)
    path = asked.folder / REGISTRATION
    if (record := RegistrationRecord.found(asked.folder, asked.key)) is not None:
        log.info("nothing to do: %s is up to date", asked.folder)
        return record, path
    with locked(asked.folder):
        record = RegistrationRecord.found(asked.folder, asked.key)  # whoever had the lock before may have made it
        if record is None:
            record = _computed(asked)
            record.write(path)
    return record, path


def _computed(asked: Registration) -> RegistrationRecord:
    import torch

    from benchmark.cost.registering import registration_sheet
    from benchmark.runs.registering import STORED_PARTS, register_all

    registrar, dataset, starts = asked.registrar(), asked.dataset, asked.starts()
    found = register_all(registrar, dataset, starts, asked.maps, asked.sweeps, asked.folder)
    arrays = {"query_row": starts.query_row, "truth": starts.truth, "rough": starts.rough, "is_right": starts.is_right}
    arrays |= {"pose": found.pose, "covariance": found.covariance, "belief": found.belief}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_atomically(asked.folder / POSES, buffer.getvalue())
    for part in asked.folder.glob(STORED_PARTS):
        part.unlink()
    traversals = dataset.frames.take(np.union1d(starts.query_row, asked.sweeps.database_rows)).traversal_names()
    surroundings = environment(machine.pick_device(asked.device.device), threads=torch.get_num_threads())
    sheet = registration_sheet(
        registrar,
        asked.method_record(),
        dataset,
        surroundings,
        {"registration": _known(found.register_s), "local map": _known(found.map_s)},
        float(np.nanmedian(found.n_points)),
    )
    sheet.write(sheet.path_in(asked.device.runs))
    return RegistrationRecord(
        run_id=asked.run_id,
        key=asked.key,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        harness=harness(),
        environment=surroundings,
        method=asked.method_record(),
        dataset=dataset_record(dataset, traversals),
        protocol=plain(asked.protocol),
        start=asked.start_record,
        seed=asked.method.seed,
        n_available=starts.n_available,
        warnings=asked.warnings,
        **summary(starts, found, dataset.frames, asdict(asked.settings)),
    )


def _known(seconds: Float[ndarray, " n"]) -> list[float]:
    found: list[float] = seconds[np.isfinite(seconds)].tolist()
    return found
