"""What NVIDIA's management library says of a GPU: its clock, its driver, its limit, and the energy that it has used.

The library comes with the driver and is called by ctypes. Whatever it cannot tell is None.
"""

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

import torch

CLOCK_OF_MULTIPROCESSORS = 1
TEXT_BYTES = 96


@cache
def _library() -> Any:
    """The library, ready to be asked; None where there is none."""
    try:
        library = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return None
    return None if library.nvmlInit_v2() else library


def _handle(library: Any, device: torch.device) -> ctypes.c_void_p | None:
    """The GPU that torch calls ``device``: both know it by its UUID, while their numbers may differ."""
    uuid = str(torch.cuda.get_device_properties(device).uuid).removeprefix("GPU-")
    handle = ctypes.c_void_p()
    found = library.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}".encode(), ctypes.byref(handle))
    return handle if found == 0 else None


def _asked(device: torch.device, kind: Callable[[], Any], ask: Callable[[Any, Any, Any], int]) -> float | None:
    library = _library() if device.type == "cuda" else None
    handle = _handle(library, device) if library is not None else None
    if handle is None:
        return None
    answer = kind()
    return float(answer.value) if ask(library, handle, ctypes.byref(answer)) == 0 else None


def clock_mhz(device: torch.device) -> float | None:
    """The clock of the multiprocessors now, MHz."""
    return _asked(
        device, ctypes.c_uint, lambda lib, gpu, to: lib.nvmlDeviceGetClockInfo(gpu, CLOCK_OF_MULTIPROCESSORS, to)
    )


def energy_j(device: torch.device) -> float | None:
    """Joules that the GPU has used since its driver was loaded."""
    found = _asked(device, ctypes.c_ulonglong, lambda lib, gpu, to: lib.nvmlDeviceGetTotalEnergyConsumption(gpu, to))
    return None if found is None else found / 1e3


def power_limit_w(device: torch.device) -> float | None:
    """The limit of the power that the GPU draws, watts."""
    found = _asked(device, ctypes.c_uint, lambda lib, gpu, to: lib.nvmlDeviceGetEnforcedPowerLimit(gpu, to))
    return None if found is None else found / 1e3


def driver_version() -> str | None:
    """The version of the driver."""
    library, text = _library(), ctypes.create_string_buffer(TEXT_BYTES)
    if library is None or library.nvmlSystemGetDriverVersion(text, TEXT_BYTES):
        return None
    return text.value.decode()
