"""A cost session: every method in its presets, in turn, so that heat and load meet all of them alike."""

import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

import benchmark
from benchmark import machine
from benchmark.console import track
from benchmark.cost import nvml
from benchmark.cost.conditions import conditions
from benchmark.cost.inputs import Inputs
from benchmark.cost.parts import Specimen, new_specimen
from benchmark.cost.presets import PresetChoice, untrained, without_weights
from benchmark.cost.probes import PROBES, Probe
from benchmark.cost.readings import Reading, hole, measures_of
from benchmark.device import rounds_to_tf32
from benchmark.keys import code_of, key_of, plain
from benchmark.process import in_words
from benchmark.records.cost import COST, USUAL_PRECISION, CostSheet, InputsRecord, Measure, agreement
from benchmark.records.environment import environment, harness
from benchmark.registry import METHODS
from benchmark.training.configuring import without_path
from datasets.files import writing
from datasets.prepared import PreparedDataset
from methods.layers.sparse import backend as sparse_backend

log = logging.getLogger(__name__)
ROUNDS = 6
"""How often everything that varies is read: A, B, A, B and so on."""
AT_ONCE = 2
"""How many processes read at once what does not depend on time. Each holds a network and torch, up to some GiB."""


@dataclass(frozen=True, kw_only=True)
class Subjects:
    """What a session measures, on which machine."""

    dataset: PreparedDataset
    device: torch.device
    backend: sparse_backend.Choice = "auto"
    folder: Path
    """The folder of results; sheets lie below its folder ``cost``."""

    def inputs(self) -> Inputs:
        """The frames, from all of the dataset."""
        return Inputs.of(self.dataset, np.arange(len(self.dataset.frames)), self.device)

    def surroundings(self) -> dict[str, Any]:
        """The machine and its settings."""
        device, backend = self.device, sparse_backend.resolve(self.backend, self.device)
        usual = sparse_backend.resolve("auto", device)
        found = conditions(device)
        return environment(
            str(device),
            threads=torch.get_num_threads(),
            tf32=rounds_to_tf32(device),
            sparse_backend=backend,
            chosen_backend="" if backend == usual else f"sparse convolutions by {backend}",
            clock_mhz=found.clock_mhz,
            driver=nvml.driver_version() if device.type == "cuda" else None,
            power_limit_w=nvml.power_limit_w(device),
        )


@dataclass(kw_only=True)
class _Work:
    """One row of a session while it is measured."""

    sheet: CostSheet
    specimen: Specimen
    readings: dict[str, list[Reading]] = field(default_factory=lambda: {name: [] for name in PROBES})
    """By probe, in the order of the rounds."""

    def read(self, name: str, probe: Probe, seconds: float) -> None:
        """Let a probe read; a fault of the method is a hole."""
        try:
            self.readings[name] += probe.read(self.specimen, seconds)
        except Exception as error:  # a method's own fault must not take the others with it
            self.readings[name].append(hole("method", name, "", in_words(error)))


def run_session(
    subjects: Subjects, choices: Sequence[PresetChoice], minutes: float, *, again: bool = False
) -> list[CostSheet]:
    """The sheet of each choice: found, or measured in about so many minutes all together, and written.

    With ``again`` everything is measured anew, and the session before stands beside it.
    """
    with writing(subjects.folder / COST):  # what cannot be written is said before anything is measured
        (subjects.folder / COST).mkdir(parents=True, exist_ok=True)
    ends_s = time.monotonic() + 60 * minutes
    inputs, surroundings = subjects.inputs(), subjects.surroundings()
    sheets, works = [], []
    for choice in choices:
        sheet = _planned(subjects, inputs.record(), surroundings, choice)
        stored = CostSheet.found(sheet.path_in(subjects.folder), sheet.key)
        if stored and not stored.hole and not again:
            log.info("nothing to measure: %s", sheet.path_in(subjects.folder))
            sheets.append(stored)
            continue
        sheet.before = _series(stored.measures) if stored else []
        work = None if sheet.hole else _started(sheet, inputs, surroundings["sparse_backend"])
        works += [work] if work else []
        sheets += [] if work else [sheet]
    _measure(works, ends_s)
    sheets += [_finished(work) for work in works]
    for sheet in sheets:
        sheet.write(sheet.path_in(subjects.folder))
    return sheets


def _planned(
    subjects: Subjects, frames: InputsRecord, surroundings: Mapping[str, Any], choice: PresetChoice
) -> CostSheet:
    """A sheet without measures, whose key says what its measures depend on."""
    config = None if choice.hole else without_weights(choice.name, choice.preset)
    described = plain(without_path(config), with_defaults=False) if config else {}
    measured_on = (machine.identity(str(subjects.device)), surroundings["threads"], surroundings["tf32"])
    made_by = (USUAL_PRECISION, surroundings["sparse_backend"], frames.fingerprint, benchmark.__version__)
    return CostSheet(
        key=key_of(choice.name, described, code_of(METHODS.entries[choice.name]), *measured_on, *made_by),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        harness=harness(),
        environment=dict(surroundings),
        method=choice.name,
        preset=choice.preset,
        config=described,
        inputs=frames,
        hole=choice.hole,
    )


def _started(sheet: CostSheet, inputs: Inputs, backend: sparse_backend.Backend) -> _Work | None:
    """A row with its network; none if it cannot be built, for a reason that the sheet then holds."""
    try:
        method = untrained(sheet.method, sheet.preset)
        return _Work(sheet=sheet, specimen=new_specimen(sheet.method, sheet.preset, method, inputs, backend))
    except Exception as error:  # a row without numbers, and no reason to stop
        sheet.hole = in_words(error)
        return None


def _measure(works: Sequence[_Work], ends_s: float) -> None:
    """Every probe on every row: once those that are exact, then in rounds those that vary, which share the time."""
    rows = [(work, name, probe) for work in works for name, probe in PROBES.items()]
    _read_apart([row for row in rows if row[2].is_apart])
    here = [row for row in rows if not row[2].is_apart]
    readings = [*(row for row in here if not row[2].weight), *[row for row in here if row[2].weight] * ROUNDS]
    left = sum(probe.weight for _, _, probe in readings)
    for work, name, probe in track(readings, "measure", len(readings)):
        seconds = max(ends_s - time.monotonic(), 0.0) * probe.weight / left if probe.weight else 0.0
        work.read(name, probe, seconds)
        left -= probe.weight


def _read_apart(rows: Sequence[tuple[_Work, str, Probe]]) -> None:
    """Some rows at once, each in a process that a thread waits for."""
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        started = [pool.submit(work.read, name, probe, 0.0) for work, name, probe in rows]
        for reading in track(as_completed(started), "measure apart", len(started)):
            reading.result()
    finally:  # whoever interrupts waits for the processes that run, not for those to come
        pool.shutdown(cancel_futures=True)


def _finished(work: _Work) -> CostSheet:
    """The sheet with its measures; what the session before contradicts is marked."""
    measures = measures_of(reading for readings in work.readings.values() for reading in readings)
    agrees = agreement(work.sheet.before, measures)
    earlier = {m.name: m.value for m in work.sheet.before}
    for measure in measures:
        if not measure.unstable and not agrees.get(measure.name, True):
            measure.unstable = f"the session before measured {earlier[measure.name]:.4g} {measure.unit}"
    return work.sheet.model_copy(update={"measures": measures})


def _series(measures: Sequence[Measure]) -> list[Measure]:
    return [measure for measure in measures if "p50" in measure.values]
