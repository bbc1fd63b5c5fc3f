"""The cost that a result holds: time per image and per cloud at batch 1, parameters, memory, by the same stopwatch."""

import statistics
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int
from numpy import ndarray

from benchmark.cost.inputs import Inputs
from benchmark.cost.parts import Specimen, new_specimen
from benchmark.cost.probes.memory import PeakMemory
from benchmark.cost.stopwatch import Lap, Laps, ready
from benchmark.records.schema import CostRecord, TimingRecord
from datasets.base import MODALITIES, Modality
from datasets.prepared import PreparedDataset
from methods.base import Method
from methods.layers.sparse.backend import Backend

N_SAMPLES = 30


def measure(
    method: Method, dataset: PreparedDataset, rows: Int[ndarray, " n"], backend: Backend = "torch"
) -> CostRecord:
    """Time ``method`` on its device over different frames, evenly spread over ``rows``; loading is not counted.

    The parts are those of a cost session, and so are the warm-up and the clock. A session measures longer and more.
    """
    device = next((p.device for p in method.parameters()), torch.device("cpu"))
    inputs = Inputs.of(dataset, rows, device, n_frames=N_SAMPLES)
    specimen, peak = new_specimen("", "", method, inputs, backend), PeakMemory(device)
    timings = {modality: _timing(specimen, modality) for modality in MODALITIES}
    return CostRecord(
        image=timings["image"],
        cloud=timings["cloud"],
        parameters=sum(p.numel() for p in method.parameters()),
        peak_mib=peak.mib(),
        peak_of=peak.what,
        descriptor_bytes=max(method.bytes_per_place(modality) for modality in MODALITIES),
    )


def _timing(specimen: Specimen, modality: Modality) -> TimingRecord | None:
    """Time of one modality; none where no frame has it."""
    if not specimen.inputs.samples[modality]:
        return None
    with ready(specimen):
        laps = Laps(specimen=specimen, span=modality)
        laps.warm_up()
        return summary(laps.run(0.0, N_SAMPLES, N_SAMPLES))


def summary(laps: Sequence[Lap]) -> TimingRecord:
    """Medians of the laps over an image or a cloud, whose parts are its input and its encoding."""
    prepare, encode = (statistics.median(times) for times in zip(*(lap.parts_ms.values() for lap in laps), strict=True))
    totals = [lap.total_ms for lap in laps]
    events = [lap.events_ms for lap in laps if lap.events_ms is not None]
    return TimingRecord(
        preprocess_ms=prepare,
        encode_ms=encode,
        total_ms=statistics.median(totals),
        total_p95_ms=float(np.quantile(totals, 0.95)),
        event_total_ms=statistics.median(events) if events else None,
        n_samples=len(laps),
    )
