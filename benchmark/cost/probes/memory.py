"""Most memory held while a method encodes one frame after another, in a process of its own."""

import logging
import traceback
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from benchmark.cost.inputs import MODALITIES, Inputs
from benchmark.cost.parts import Specimen, new_specimen, starts, whole
from benchmark.cost.readings import Reading, exact, hole
from benchmark.cost.stopwatch import ready
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset
from methods.base import Method

log = logging.getLogger(__name__)
MIB = 2**20
N_PASSES = 4
"""Frames of each modality that are encoded."""
QUANTITIES = {"resident": "resident memory", "allocated": "allocated memory", "reserved": "reserved memory"}
"""What is read → quantity. The process keeps all of the first, and torch's allocator on a GPU the others."""
NO_GPU = "torch counts the memory that it allocates on a GPU only; give --device cuda"
NO_PEAK = "this system does not tell the most memory that a process has held"


class PeakMemory:
    """Largest memory held since construction."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            self.what = "allocated on the GPU"
        else:
            self.what = "resident in the process" if reset_resident_peak() else "resident since the process started"

    def mib(self) -> float:
        """MiB at most: allocated on a GPU, resident in the process on a CPU."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / MIB
        return resident_peak_mib() or 0.0


def resident_peak_mib() -> float | None:
    """Most memory of the machine that this process has held."""
    import resource  # not on every platform

    status = Path("/proc/self/status")
    if status.is_file():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        return int(lines["VmHWM"].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def reset_resident_peak() -> bool:
    """Linux: start the kernel's high-water mark of resident memory anew; whether that worked."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def read(specimen: Specimen, _seconds: float) -> list[Reading]:
    """Memory of a process that imports the suite, builds the method and encodes frames, and does nothing else."""
    inputs = specimen.inputs
    arguments = (type(specimen.method), specimen.method.config, inputs.dataset.folder, inputs.rows, inputs.device)
    found = in_fresh_process(_encode, *arguments, specimen.backend)
    if isinstance(found, str):
        return [hole("method", quantity, "MiB", found) for quantity in QUANTITIES.values()]
    return [
        exact("method", quantity, "MiB", value) if (value := found.get(name)) is not None
        else hole("method", quantity, "MiB", NO_PEAK if name == "resident" else NO_GPU)
        for name, quantity in QUANTITIES.items()
    ]  # fmt: skip


def _encode(kind: type[Method], config: Any, folder: Path, rows: Any, device: torch.device, backend: Any) -> None:
    inputs = Inputs.of(PreparedDataset.read(folder), rows, device, n_frames=N_PASSES)
    specimen = new_specimen("", "", kind(config), inputs, backend)
    with ready(specimen):
        for modality in MODALITIES:
            try:
                start = starts(specimen, modality)
            except CrossplaceError:  # the frames lack the modality
                continue
            for number in range(N_PASSES):
                whole(specimen, modality, start(number, 1))


def in_fresh_process(run: Callable[..., None], *arguments: Any) -> dict[str, float | None] | str:
    """Peaks of memory in MiB of a process that does nothing but ``run``, or why there are none."""
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_peaks, args=(run, arguments, sender))
    process.start()
    sender.close()
    try:
        found: dict[str, float | None] | str = receiver.recv()
    except EOFError:
        process.join()
        return f"its process ended with exit code {process.exitcode} (-9 is most often lack of memory)"
    finally:
        receiver.close()
    process.join()
    return found


def _peaks(run: Callable[..., None], arguments: tuple[Any, ...], sender: Connection) -> None:
    try:
        run(*arguments)
    except CrossplaceError as error:
        sender.send(str(error))
    except Exception as error:  # a method's own fault is a hole, and no reason to stop
        log.warning(traceback.format_exc())
        sender.send(f"{type(error).__name__}: {' '.join(str(error).split())}")
    else:
        peaks = {"resident": resident_peak_mib()}
        if torch.cuda.is_initialized():
            gpus = range(torch.cuda.device_count())
            peaks["allocated"] = max(map(torch.cuda.max_memory_allocated, gpus)) / MIB
            peaks["reserved"] = max(map(torch.cuda.max_memory_reserved, gpus)) / MIB
        sender.send(peaks)
