import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmark.cost import conditions as module
from benchmark.cost import nvml
from benchmark.cost.conditions import Conditions, conditions, doubt

CPU = torch.device("cpu")


def at(s: float, *, clock: float | None = 2000.0, busy: float | None = 0.0, own: float = 0.0) -> Conditions:
    numbers = (None if value is None else float(value) for value in (clock, busy))
    return Conditions(at_s=float(s), own_s=float(own), **dict(zip(("clock_mhz", "busy_s"), numbers, strict=True)))


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (at(10, busy=10, own=10), ""),
        (at(10, busy=12.9, own=10), ""),
        (at(10, busy=18, own=10), "other processes kept 0.8 cores busy meanwhile"),
        (at(10, clock=2090), ""),
        (at(10, clock=1500), "the clock changed from 2,000 to 1,500 MHz meanwhile"),
        (at(10, clock=None, busy=None), ""),
        (at(0, busy=10), "other processes kept"),
    ],
)
def test_a_changed_clock_and_the_work_of_others_are_doubts(after: Conditions, expected: str) -> None:
    found = doubt(at(0.0), after)
    assert found == expected if after.at_s else found == "", "no time has passed"


def test_ticks_of_the_systems_count_are_no_work_of_others() -> None:
    assert doubt(at(0), at(0.01, busy=0.03)) == ""


def test_the_system_is_read_as_it_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """User, nice, system, interrupts and stolen time are busy; idle and waiting for a disk are not."""
    (tmp_path / "stat").write_text("cpu  100 20 30 9999 888 4 5 6 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\n")
    (tmp_path / "cpuinfo").write_text("processor : 0\ncpu MHz\t\t: 1800.5\n\nprocessor : 1\ncpu MHz\t\t: 2600.0\n")
    monkeypatch.setattr(module, "STAT", tmp_path / "stat")
    monkeypatch.setattr(module, "CPUINFO", tmp_path / "cpuinfo")
    found = conditions(CPU)
    assert found.busy_s == (100 + 20 + 30 + 4 + 5 + 6) / os.sysconf("SC_CLK_TCK")
    assert found.clock_mhz == 2600.0


def test_what_the_system_does_not_tell_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STAT", tmp_path / "absent")
    monkeypatch.setattr(module, "CPUINFO", tmp_path / "absent")
    found = conditions(CPU)
    assert (found.busy_s, found.clock_mhz) == (None, None)
    assert found.own_s > 0


class Library:
    """NVIDIA's library as far as it is asked, for one GPU."""

    def __init__(self, error: int = 0) -> None:
        self.error, self.asked = error, b""

    def _give(self, to: Any, value: int) -> int:
        to._obj.value = value
        return self.error

    def nvmlDeviceGetHandleByUUID(self, uuid: bytes, to: Any) -> int:  # as the library calls it
        self.asked = uuid
        return self._give(to, 7)

    def nvmlDeviceGetClockInfo(self, gpu: Any, which: int, to: Any) -> int:
        assert (gpu.value, which) == (7, 1)
        return self._give(to, 1980)

    def nvmlDeviceGetTotalEnergyConsumption(self, gpu: Any, to: Any) -> int:
        return self._give(to, 12_345_000)

    def nvmlDeviceGetEnforcedPowerLimit(self, gpu: Any, to: Any) -> int:
        return self._give(to, 700_000)

    def nvmlSystemGetDriverVersion(self, text: Any, size: int) -> int:
        text.value = b"570.1"
        return self.error


def test_a_gpu_is_known_by_its_uuid(monkeypatch: pytest.MonkeyPatch) -> None:
    library, gpu = Library(), torch.device("cuda:1")
    monkeypatch.setattr(nvml, "_library", lambda: library)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="12-34"))
    assert (nvml.clock_mhz(gpu), nvml.energy_j(gpu), nvml.power_limit_w(gpu)) == (1980, 12_345.0, 700.0)
    assert (library.asked, nvml.driver_version()) == (b"GPU-12-34", "570.1")


@pytest.mark.parametrize("library", [None, Library(error=3)], ids=["absent", "refuses"])
def test_what_the_library_does_not_tell_is_none(library: Library | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvml, "_library", lambda: library)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="12-34"))
    gpu = torch.device("cuda")
    assert (nvml.clock_mhz(gpu), nvml.energy_j(gpu), nvml.power_limit_w(gpu), nvml.driver_version()) == (None,) * 4


def test_the_processor_is_not_asked_of_nvidia(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvml, "_library", Library)
    assert nvml.energy_j(CPU) is None
