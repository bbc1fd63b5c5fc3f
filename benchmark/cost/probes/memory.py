"""Most memory held while a method encodes one frame after another, in a process of its own."""

from pathlib import Path
from typing import Any

import torch

from benchmark.cost.inputs import Inputs
from benchmark.cost.parts import Specimen, new_specimen, starts, whole
from benchmark.cost.readings import Reading, exact, hole
from benchmark.cost.stopwatch import ready
from benchmark.machine import resident_peak_mib
from benchmark.process import in_its_own_process
from datasets.prepared import PreparedDataset
from methods.base import Method, MethodConfig
from methods.layers.sparse.backend import Backend

MIB = 2**20
N_FRAMES = 4
"""Frames of each modality that are encoded."""
QUANTITIES = {"resident": "resident memory", "allocated": "allocated memory", "reserved": "reserved memory"}
"""What is read → quantity. The process keeps all of the first, and torch's allocator on a GPU the others."""
NO_GPU = "torch counts the memory that it allocates on a GPU only; give --device cuda"


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
        return resident_peak_mib()


def reset_resident_peak() -> bool:
    """Linux: start the kernel's high-water mark of resident memory anew; whether that worked."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def read(specimen: Specimen, _seconds: float) -> list[Reading]:
    """Memory of a process that imports the suite, builds the method and encodes frames, and does nothing else."""
    inputs, method = specimen.inputs, specimen.method
    place = (inputs.dataset.folder, inputs.rows, inputs.device, specimen.backend)
    found = in_its_own_process(_encode, type(method), method.config, *place)
    return [_reading(name, quantity, found) for name, quantity in QUANTITIES.items()]


def _reading(name: str, quantity: str, found: dict[str, float] | str) -> Reading:
    if isinstance(found, str):
        return hole("method", quantity, "MiB", found)
    if name not in found:
        return hole("method", quantity, "MiB", NO_GPU)
    return exact("method", quantity, "MiB", found[name])


def _encode(
    kind: type[Method], config: MethodConfig, folder: Path, rows: Any, device: torch.device, backend: Backend
) -> dict[str, float]:
    """Encode some frames of each modality; returns the peaks of this process."""
    inputs = Inputs.of(PreparedDataset.read(folder), rows, device, n_frames=N_FRAMES)
    specimen = new_specimen("", "", kind(config), inputs, backend)
    with ready(specimen):
        for modality, samples in inputs.samples.items():
            for number in range(len(samples)):
                whole(specimen, modality, starts(specimen, modality)(number, 1))
    peaks = {"resident": resident_peak_mib()}
    if device.type == "cuda":
        peaks["allocated"] = torch.cuda.max_memory_allocated(device) / MIB
        peaks["reserved"] = torch.cuda.max_memory_reserved(device) / MIB
    return peaks
