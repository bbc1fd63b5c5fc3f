"""Work for a fresh process whose need of memory is known; it must be importable there."""

import os

import numpy as np

from benchmark.machine import resident_peak_mib
from datasets.errors import CrossplaceError

kept = []


def hold(mib: int) -> float:
    """Touch and keep so many MiB; returns the peak."""
    kept.append(np.ones(mib * 2**20, dtype=np.uint8))
    return resident_peak_mib()


def hold_for_a_moment(mib: int) -> float:
    """Touch so many MiB and give them back; returns the peak."""
    np.ones(mib * 2**20, dtype=np.uint8)
    return resident_peak_mib()


def refuse(sentence: str) -> None:
    """Fail as a user's mistake does."""
    raise CrossplaceError(sentence)


def divide(number: int) -> None:
    """Fail as a fault of a method does."""
    kept.append(number // 0)


def die(code: int) -> None:
    """End the process at once, as the system does when it lacks memory."""
    os._exit(code)
