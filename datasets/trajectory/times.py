"""Times as people write them: in seconds, milliseconds, microseconds or nanoseconds."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from datasets.errors import CrossplaceError
from datasets.files import read_text

Unit = Literal["s", "ms", "us", "ns"]
NS_IN: dict[Unit, int] = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
YEARS_S = (946_684_800, 4_102_444_800)
"""The years 2000 to 2100 in seconds since 1970: in each unit, a magnitude of its own."""
LARGEST_NS = 2**63 - 1
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,2})?", re.ASCII)


def number(text: str) -> Decimal | None:
    """The finite number that ``text`` is, exactly; None if it is none."""
    return Decimal(text) if NUMBER.fullmatch(text) else None


def unit_of(written: Sequence[Decimal]) -> Unit | None:
    """The unit in which the times lie within the years 2000 to 2100 (their median does); None if there is none."""
    if not written:
        return None
    middle = sorted(written)[len(written) // 2]
    return next((unit for unit, ns in NS_IN.items() if YEARS_S[0] <= middle * ns / 10**9 < YEARS_S[1]), None)


@dataclass(frozen=True, kw_only=True)
class Times:
    """Times of one source, in the order of the source."""

    written: tuple[Decimal, ...]
    unit: Unit
    because: str
    """Why the unit is believed: given, recognised by magnitude, or usual for such files."""
    where: str
    """The file or folder that they come from."""

    @cached_property
    def time_ns(self) -> Int[ndarray, " n"]:
        """The times in nanoseconds."""
        exact = [int((value * NS_IN[self.unit]).to_integral_value()) for value in self.written]
        if any(abs(value) > LARGEST_NS for value in exact):
            raise CrossplaceError(
                f"{self.where}: {max(self.written, key=abs)} {self.unit} ({self.because}) is beyond all times; state "
                "another unit or correct it"
            )
        return np.array(exact, dtype=np.int64)

    def interval(self, unit: Unit | None = None) -> tuple[Decimal, Decimal]:
        """The first and the last moment in seconds, if the times are written in ``unit`` (default: their own)."""
        factor = Decimal(NS_IN[unit or self.unit]) / 10**9
        return min(self.written) * factor, max(self.written) * factor

    def span(self) -> str:
        """The interval in words."""
        first, last = self.interval()
        return f"{first:.3f} s to {last:.3f} s"

    def told(self) -> str:
        """How many times there are, in which unit, and why."""
        return f"{len(self.written):,} times in {self.unit} ({self.because})"


def timed(written: Sequence[Decimal], where: str, *, given: Unit | None, usual: Unit | None, option: str) -> Times:
    """Times with their unit: the ``given`` one, else that of their magnitude, else the ``usual`` one.

    Raises:
        CrossplaceError: nothing tells the unit; the sentence names the ``option`` that states it.
    """
    unit, because = given, f"as {option} says"
    if unit is None:
        unit, because = unit_of(written), "recognised by magnitude"
    if unit is None:
        unit, because = usual, "usual for such files"
    if unit is None:
        raise CrossplaceError(
            f"{where}: {min(written)} to {max(written)} are no times since 1970 in any unit; state their unit with "
            f"{option} s, ms, us or ns, or, if they are numbers of frames, write times.txt there with one time a line"
        )
    return Times(written=tuple(written), unit=unit, because=because, where=where)


def read_times(path: Path, *, given: Unit | None, option: str) -> Times:
    """The times in ``path``, one a line, which rise strictly; by default in seconds.

    Raises:
        CrossplaceError: a line that is no later time; the sentence names file and line.
    """
    written = []
    for line, text in enumerate(read_text(path).rstrip().splitlines(), start=1):
        value = number(text.strip())
        if value is None:
            raise CrossplaceError(f"{path}: line {line}: expected one time, found {text.strip()[:60]!r}; correct it")
        written.append(value)
    if not written:
        raise CrossplaceError(f"{path}: no times; expected one time a line: write it again")
    times = timed(written, str(path), given=given, usual="s", option=option)
    check_rising(times, list(range(1, len(written) + 1)), path)
    return times


def check_rising(times: Times, lines: Sequence[int], path: Path) -> None:
    """Refuse times that do not rise from line to line of ``path``."""
    steps = np.diff(times.time_ns)
    if (steps <= 0).any():
        at = int(np.argmax(steps <= 0))
        fault = "earlier than the line before; sort the lines by time"
        if steps[at] == 0:
            fault = "the same time as the line before; remove one of the two"
        raise CrossplaceError(f"{path}: line {lines[at + 1]}: {fault}")
