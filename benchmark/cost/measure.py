"""What a method costs: time per image and per cloud at batch 1, parameters, memory."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from numpy import ndarray

from benchmark.console import track
from benchmark.frames.loading import batch_loader
from benchmark.records.schema import CostNumber, CostRecord, TimingRecord
from datasets.base import Modality
from datasets.prepared import PreparedDataset
from methods.base import Method
from methods.batch import Batch

N_SAMPLES, N_WARM_UP = 30, 5
MIB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What was measured of a method, from which the numbers of its cost follow."""

    method: Method
    timings: dict[Modality, TimingRecord | None]
    peak_mib: float

    def total_ms(self, modality: Modality) -> float | None:
        """Median time of one image or cloud, preprocessing and network; none where none was timed."""
        timing = self.timings[modality]
        return timing.total_ms if timing else None

    @property
    def bytes_per_place(self) -> int:
        """What a map keeps of one place, of the modality that has more."""
        return max(self.method.bytes_per_place(modality) for modality in self.timings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """One number of the cost."""

    unit: str
    value: Callable[[Measured], float | None]
    """The number, or none where it cannot be had."""


COSTS: dict[str, Cost] = {
    "image": Cost(unit="ms", value=lambda m: m.total_ms("image")),
    "cloud": Cost(unit="ms", value=lambda m: m.total_ms("cloud")),
    "peak": Cost(unit="MiB", value=lambda m: m.peak_mib),
    "place": Cost(unit="KiB", value=lambda m: m.bytes_per_place / 1024),
}
"""What is recorded of a method's cost and shown in the cost table, by name: a new number is a new line."""


def measure(method: Method, dataset: PreparedDataset, rows: Int[ndarray, " n"]) -> CostRecord:
    """Time ``method`` on its device over different frames, evenly spread over ``rows``; loading is not counted.

    Preprocessing and encoding are timed apart, with the device synchronised around each; on CUDA also by events.
    """
    device = next((p.device for p in method.parameters()), torch.device("cpu"))
    steps: dict[Modality, tuple[Callable[[Batch], Any], Callable[[Any], Any]]] = {
        "image": (method.image_inputs, method.encode_images),
        "cloud": (method.cloud_inputs, method.encode_clouds),
    }
    paths = {"image": dataset.frames.image[rows], "cloud": dataset.frames.cloud[rows]}
    method.eval()
    peak = _PeakMemory(device)
    timings: dict[Modality, TimingRecord | None] = {}
    with torch.inference_mode():
        for modality, (prepare, encode) in steps.items():
            batches = [[int(row)] for row in _spread(rows[paths[modality] != ""])]
            loader = batch_loader(dataset, batches, (modality,))
            samples = [
                _time_once(prepare, encode, batch.to(device), device)
                for batch in track(loader, f"time {modality}s", len(batches))
            ][N_WARM_UP:]
            timings[modality] = _summary(samples) if samples else None
    measured = Measured(method=method, timings=timings, peak_mib=peak.mib())
    values = {name: (cost.value(measured), cost.unit) for name, cost in COSTS.items()}
    return CostRecord(
        image=timings["image"],
        cloud=timings["cloud"],
        parameters=sum(p.numel() for p in method.parameters()),
        peak_mib=measured.peak_mib,
        peak_of=peak.what,
        descriptor_bytes=measured.bytes_per_place,
        numbers={n: CostNumber(value=value, unit=unit) for n, (value, unit) in values.items() if value is not None},
    )


def _spread(rows: Int[ndarray, " n"]) -> Int[ndarray, " k"]:
    """``N_WARM_UP + N_SAMPLES`` rows, evenly spaced; repeated if there are fewer, empty if ``rows`` is empty."""
    return rows[np.linspace(0, len(rows) - 1, N_WARM_UP + N_SAMPLES).astype(int)] if len(rows) else rows


def _time_once(
    prepare: Callable[[Batch], Any], encode: Callable[[Any], Any], batch: Batch, device: torch.device
) -> tuple[float, float, float | None]:
    """Milliseconds of preprocessing and encoding by the clock, and of both by device events."""
    on_gpu = device.type == "cuda"
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(2)] if on_gpu else []

    def now() -> float:
        if on_gpu:
            torch.cuda.synchronize(device)
        return time.perf_counter()

    started = now()
    if marks:
        marks[0].record()
    inputs = prepare(batch)
    prepared = now()
    encode(inputs)
    if marks:
        marks[1].record()
    done = now()
    events_ms = marks[0].elapsed_time(marks[1]) if on_gpu else None
    return (prepared - started) * 1e3, (done - prepared) * 1e3, events_ms


def _summary(samples: list[tuple[float, float, float | None]]) -> TimingRecord:
    totals = [prepare + encode for prepare, encode, _ in samples]
    events = [e for _, _, e in samples if e is not None]
    return TimingRecord(
        preprocess_ms=statistics.median(s[0] for s in samples),
        encode_ms=statistics.median(s[1] for s in samples),
        total_ms=statistics.median(totals),
        total_p95_ms=float(np.quantile(totals, 0.95)),
        event_total_ms=statistics.median(events) if events else None,
        n_samples=len(samples),
    )


class _PeakMemory:
    """Largest memory held since construction."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            self.what = "allocated on the GPU"
        else:
            self.what = "resident in the process" if _reset_resident_peak() else "resident since the process started"

    def mib(self) -> float:
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / MIB
        import resource  # not on every platform

        status = Path("/proc/self/status")
        if status.is_file():
            lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
            return int(lines["VmHWM"].split()[0]) / 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _reset_resident_peak() -> bool:
    """Linux: start the kernel's high-water mark of resident memory anew; whether that worked."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True
