"""Which machine this is, found without importing torch: a plan names the device that a run will use."""

import ctypes
import os
import platform
import re
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from datasets.errors import CrossplaceError

LIBRARIES = ("torch", "torchvision", "timm", "numpy", "scipy", "spconv-cu126", "spconv-cu120")


def rank_and_size() -> tuple[int, int]:
    """Number of this process among those that ``torchrun`` started together, from 0; and how many these are."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    return (int(os.environ.get("RANK", "0")) if size > 1 else 0), size


@cache
def cuda_names() -> tuple[str, ...]:
    """Names of the CUDA devices that the driver shows to this process; empty if torch is built without CUDA."""
    if "+cpu" in (_version("torch") or ""):
        return ()
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return ()
    count = ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return ()
    return tuple(_cuda_name(driver, number) for number in range(count.value))


def _cuda_name(driver: ctypes.CDLL, number: int) -> str:
    device, name = ctypes.c_int(), ctypes.create_string_buffer(256)
    driver.cuDeviceGet(ctypes.byref(device), number)
    driver.cuDeviceGetName(name, len(name), device)
    return name.value.decode()


def pick_device(name: str, *, elsewhere: bool = False) -> str:
    """``cpu``, ``cuda`` or ``cuda:N``; ``auto`` is CUDA if there is one, else the CPU.

    ``elsewhere``: it is a device of other machines, which need not be here and cannot be looked for.

    Raises:
        CrossplaceError: a name that is no device, or a device that the machine lacks.
    """
    if elsewhere and name == "auto":
        raise CrossplaceError("--device auto: other machines cannot be looked at from here; give --device cpu or cuda")
    if name == "auto":
        return "cuda" if cuda_names() else "cpu"
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise CrossplaceError(f"unknown device {name!r}; choose auto, cpu, cuda or cuda:N")
    if not elsewhere and name != "cpu" and _number(name) >= len(cuda_names()):
        raise CrossplaceError(
            f"device {name!r} is not there: this machine shows {len(cuda_names())} CUDA devices; choose --device auto, "
            "which takes what there is"
        )
    return name


def describe(device: str) -> dict[str, Any]:
    """Hardware and libraries that a number measured on ``device`` depends on."""
    return {
        "device": _processor() if device == "cpu" else cuda_names()[_number(device)],
        "device_type": device.split(":")[0],
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        **{name: found for name in LIBRARIES if (found := _version(name))},
    }


def identity(device: str) -> dict[str, Any]:
    """What tells measurements of one machine and setting apart from those of another."""
    return describe(device) | {"omp_num_threads": os.environ.get("OMP_NUM_THREADS", "")}


def load() -> float | None:
    """Processes that want a core, for each core, as a mean over the last minute; none where the system does not say."""
    try:
        return os.getloadavg()[0] / (os.cpu_count() or 1)
    except (AttributeError, OSError):
        return None


def resident_peak_mib() -> float:
    """Most memory of the machine that this process has held, MiB."""
    import resource  # not on every platform

    status = Path("/proc/self/status")
    if status.is_file():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        return int(lines["VmHWM"].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _number(device: str) -> int:
    return int(device.partition(":")[2] or 0)


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
