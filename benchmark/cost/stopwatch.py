"""One stopwatch: warm-up until times are stable, then laps over different inputs, with the device synchronised."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import torch

from benchmark.cost.parts import Specimen, parts_of, starts
from methods.layers.sparse import backend as sparse_backend

WINDOW, SETTLED = 5, 0.05
"""The warm-up ends when the medians of two windows of laps, one after the other, differ by at most this share."""
WARM_UP_S = 1.0
"""Longest warm-up of a span. One lap is always done."""


@dataclass(frozen=True, kw_only=True)
class Lap:
    """One pass through the parts of a span."""

    number: int
    """The number of the input."""
    parts_ms: dict[str, float]
    events_ms: float | None = None
    """The whole pass by events of the device; none on a CPU."""

    @property
    def total_ms(self) -> float:
        """The whole pass by the clock."""
        return sum(self.parts_ms.values())


@dataclass(kw_only=True)
class Laps:
    """A span of a specimen under the stopwatch; laps are counted, so that inputs come in turn."""

    specimen: Specimen
    span: str
    size: int = 1
    """Frames of a batch."""
    start: Callable[[int, int], Any] = field(init=False)

    def __post_init__(self) -> None:
        self.start = starts(self.specimen, self.span)

    def lap(self, number: int) -> Lap:
        """Time the parts of one pass over the input with this number."""
        specimen, device = self.specimen, self.specimen.device
        value, parts_ms = self.start(number, self.size), {}
        marks = [torch.cuda.Event(enable_timing=True) for _ in range(2)] if device.type == "cuda" else []
        before = now(device)
        for mark in marks[:1]:
            mark.record()
        for name, part in parts_of(self.span).items():
            value = part.run(specimen, value)
            after = now(device)
            parts_ms[name] = (after - before) * 1e3
            before = after
        for mark in marks[1:]:
            mark.record()
            mark.synchronize()
        return Lap(number=number, parts_ms=parts_ms, events_ms=marks[0].elapsed_time(marks[1]) if marks else None)

    def warm_up(self, limit_s: float = WARM_UP_S) -> int:
        """Lap until times are stable or the limit is reached; returns the number of laps."""
        ends = now(self.specimen.device) + limit_s
        times: list[float] = []
        while True:
            times.append(self.lap(len(times)).total_ms)
            if is_settled(times) or now(self.specimen.device) >= ends:
                return len(times)

    def run(self, seconds: float, least: int, most: int) -> list[Lap]:
        """Laps for so many seconds, but at least and at most so many."""
        ends = now(self.specimen.device) + seconds
        laps: list[Lap] = []
        while len(laps) < least or (len(laps) < most and now(self.specimen.device) < ends):
            laps.append(self.lap(len(laps)))
        return laps


def is_settled(times_ms: list[float]) -> bool:
    """Whether the medians of the last two windows differ by little."""
    if len(times_ms) < 2 * WINDOW:
        return False
    last, before = median(times_ms[-WINDOW:]), median(times_ms[-2 * WINDOW : -WINDOW])
    return abs(last - before) <= SETTLED * before


def now(device: torch.device) -> float:
    """Seconds by the clock, once the device has done all its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


@contextmanager
def ready(specimen: Specimen) -> Iterator[None]:
    """What holds while anything of a specimen runs: no gradients, evaluation mode, and its sparse backend."""
    specimen.method.eval()
    with torch.inference_mode(), sparse_backend.using(specimen.backend):
        yield
