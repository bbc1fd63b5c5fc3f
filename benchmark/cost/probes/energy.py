"""Energy of one frame at batch 1, by the counters of the GPU (NVML) or of the processor (RAPL).

A counter counts the whole device, whatever runs on it. What it counts while idle is in the number too.
"""

from collections.abc import Callable
from pathlib import Path

import torch

from benchmark.cost import nvml
from benchmark.cost.conditions import conditions, doubt
from benchmark.cost.parts import Specimen
from benchmark.cost.readings import Reading, hole
from benchmark.cost.stopwatch import Laps, now, ready
from datasets.base import MODALITIES, Modality
from datasets.errors import CrossplaceError

POWERCAP = Path("/sys/class/powercap")
LEAST_S = 0.5
"""Shortest time over which energy is counted: a GPU renews its counter ten times a second."""
QUANTITY, UNIT = "energy", "J"
Counter = Callable[[], float]
"""Joules since some moment."""


def read(specimen: Specimen, seconds: float) -> list[Reading]:
    """Joules of an image and of a cloud, or the reason why they cannot be had."""
    counter = counter_of(specimen.device)
    if isinstance(counter, str):
        return [hole(modality, QUANTITY, UNIT, counter) for modality in MODALITIES]
    with ready(specimen):
        return [_modality(specimen, modality, counter, seconds / len(MODALITIES)) for modality in MODALITIES]


def _modality(specimen: Specimen, modality: Modality, counter: Counter, seconds: float) -> Reading:
    try:
        laps = Laps(specimen=specimen, span=modality)
    except CrossplaceError as error:
        return hole(modality, QUANTITY, UNIT, str(error))
    laps.lap(0)
    before, started_j, started_s = conditions(specimen.device), counter(), now(specimen.device)
    n_laps = len(laps.run(max(seconds, LEAST_S), 1, 10**9))
    used_j, took_s = counter() - started_j, now(specimen.device) - started_s
    return Reading(
        part=modality,
        quantity=QUANTITY,
        unit=UNIT,
        samples=[used_j / n_laps],
        values={"watts": used_j / took_s},
        doubt=doubt(before, conditions(specimen.device)),
    )


def counter_of(device: torch.device) -> Counter | str:
    """The counter of a device's energy, or why there is none."""
    if device.type == "cuda":
        if nvml.energy_j(device) is None:
            return "NVML tells no energy of this GPU; GPUs from Volta on count it"
        return lambda: nvml.energy_j(device) or 0.0
    packages = sorted(POWERCAP.glob("intel-rapl:[0-9]*/energy_uj"))
    packages = [file for file in packages if file.parent.name.count(":") == 1]
    if not packages:
        return f"no counter of energy: {POWERCAP} has no package of RAPL, as in most virtual machines"
    try:
        return Rapl(packages)
    except OSError as error:
        return f"{packages[0]}: not readable ({error.strerror}); allow it (sudo chmod a+r) and measure again"


class Rapl:
    """The counters of all processor packages together, which begin anew at their greatest value."""

    def __init__(self, files: list[Path]) -> None:
        self.last_uj = {file: int(file.read_text()) for file in files}
        self.limit_uj = {file: int(file.with_name("max_energy_range_uj").read_text()) for file in files}
        self.sum_uj = 0

    def __call__(self) -> float:
        """Joules since construction."""
        for file, last in self.last_uj.items():
            found = int(file.read_text())
            self.sum_uj += found - last if found >= last else found + self.limit_uj[file] - last
            self.last_uj[file] = found
        return self.sum_uj / 1e6
