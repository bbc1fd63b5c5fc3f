"""Under which conditions something is measured: the clock of the processor, and what else the machine does."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmark.cost import nvml

CLOCK_CHANGE = 0.05
"""A clock that changes by a larger share makes a number unstable."""
OTHERS_CORES = 0.3
"""Cores that other processes may keep busy while something is measured."""
COARSE_S = 0.04
"""By how much the system's count of busy time may be off: it counts ticks of 10 ms on each core."""
STAT, CPUINFO = Path("/proc/stat"), Path("/proc/cpuinfo")
BUSY = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
"""Columns of ``/proc/stat``; all but ``idle`` and ``iowait`` are time that a core was not free."""


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """The machine at one moment; what the system does not tell is None."""

    at_s: float
    clock_mhz: float | None
    """The highest clock of a core, or that of the GPU."""
    busy_s: float | None
    """Seconds of all cores together that were not free since the machine started."""
    own_s: float
    """Seconds of a core that this process has used."""


def conditions(device: torch.device) -> Conditions:
    """The machine now."""
    own = os.times()
    clock = nvml.clock_mhz(device) if device.type == "cuda" else _clock_mhz()
    return Conditions(at_s=time.monotonic(), clock_mhz=clock, busy_s=_busy_s(), own_s=own.user + own.system)


def doubt(before: Conditions, after: Conditions) -> str:
    """Why a number that was measured between two moments is not to be believed; empty if nothing speaks against it."""
    if before.clock_mhz and after.clock_mhz:
        change = after.clock_mhz / before.clock_mhz - 1
        if abs(change) > CLOCK_CHANGE:
            return f"the clock changed from {before.clock_mhz:,.0f} to {after.clock_mhz:,.0f} MHz meanwhile"
    duration_s = after.at_s - before.at_s
    if before.busy_s is not None and after.busy_s is not None and duration_s > 0:
        others_s = after.busy_s - before.busy_s - (after.own_s - before.own_s)
        if others_s > OTHERS_CORES * duration_s + COARSE_S:
            return f"other processes kept {others_s / duration_s:.1f} cores busy meanwhile"
    return ""


def _clock_mhz() -> float | None:
    lines = CPUINFO.read_text().splitlines() if CPUINFO.is_file() else []
    clocks = [float(line.partition(":")[2]) for line in lines if line.startswith("cpu MHz")]
    return max(clocks, default=None)


def _busy_s() -> float | None:
    if not STAT.is_file():
        return None
    ticks = dict(zip(BUSY, map(int, STAT.read_text().splitlines()[0].split()[1:]), strict=False))
    return sum(n for name, n in ticks.items() if name not in ("idle", "iowait")) / os.sysconf("SC_CLK_TCK")
