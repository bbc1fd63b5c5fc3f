"""What a store offers, what a person wishes of it, and the files that this makes."""

import importlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from datasets.errors import CrossplaceError, unknown
from datasets.fetching import FETCHERS

MB = 1e6
WAVER = 1.2
"""A drive can be longer than its run usually is by this factor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Which part of a dataset is wanted."""

    runs: tuple[str, ...]
    """Names of runs or sequences, or shell patterns of them."""
    spacing_m: float
    """Length of path between frames; 0 takes every frame."""
    stretches_m: tuple[tuple[float, float], ...] = ()
    """Where frames are taken, as lengths of path since the start of a run; without any, everywhere."""

    def __post_init__(self) -> None:
        """Refuse lengths that no frame can be taken by."""
        if not 0 <= self.spacing_m < float("inf"):
            raise CrossplaceError(f"--spacing must be 0 (every frame) or more metres, found {self.spacing_m:g}")
        if not all(0 <= begin < end < float("inf") for begin, end in self.stretches_m):
            raise CrossplaceError("--limit-m must be more than 0 metres")
        if not self.runs:
            raise CrossplaceError("--runs names nothing; give names or patterns such as '2021-*'")

    def in_words(self) -> str:
        """Which frames of a run are taken."""
        every = f"a frame every {self.spacing_m:g} m" if self.spacing_m else "every frame"
        return every + (f" of {_stretches(self.stretches_m)}" if self.stretches_m else "")

    def taken_m(self, length_m: float) -> float:
        """Length of path on which frames are taken of a run of this length."""
        if not self.stretches_m:
            return length_m
        return sum(max(0.0, min(end, length_m) - begin) for begin, end in self.stretches_m)


def _stretches(stretches_m: Sequence[tuple[float, float]]) -> str:
    words = [f"{begin:,g} to {end:,g} m" if begin else f"the first {end:,g} m" for begin, end in stretches_m]
    return " and ".join(words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One run or sequence of a store."""

    condition: str
    length_m: float
    frames: int
    """Frames of the whole run, about."""
    refusal: str = ""
    """Why it cannot be fetched; empty if it can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One file to fetch."""

    path: str
    """Where it goes, relative to the folder of the raw download."""
    url: str
    member: str = ""
    """Name within the archive at ``url``; empty for a file of its own."""
    is_table: bool = False
    """Whether the list of all other files depends on it, so that it is compared with the store's whenever asked for."""


class Store:
    """One public store of one dataset; a subclass says how its files are named."""

    dataset: ClassVar[str]
    address: ClassVar[str]
    licence: ClassVar[str]
    citation: ClassVar[str]
    terms: ClassVar[str]
    """Address of the page with the terms of use."""
    parts: ClassVar[Mapping[str, Part]]
    frame_bytes: ClassVar[int]
    """Most bytes of image and cloud of one frame."""
    usual_frame_bytes: ClassVar[int]
    """Bytes of image and cloud of a usual frame."""
    table_bytes: ClassVar[int]
    """Most bytes of the tables of one run."""
    file_bytes: ClassVar[int]
    """Most bytes of any single file."""
    overhead_bytes: ClassVar[int] = 0
    """Bytes that are read once and not kept, such as the tables of contents of archives."""
    presets: ClassVar[Mapping[str, Wish]]
    """Parts that have a name, the smallest first."""

    def __init__(self, address: str = "") -> None:
        self.at = (address or self.address).rstrip("/")
        """The address that files are fetched from."""

    def tables(self, run: str) -> Sequence[Item]:
        """The files that say which frames a run has, and its calibration."""
        raise NotImplementedError

    def frames(self, run: str, wish: Wish, folder: Path) -> Sequence[Item]:
        """Images and clouds of the wanted frames of a run, whose tables are in ``folder``."""
        raise NotImplementedError

    @property
    def smallest(self) -> Wish:
        """The first preset, which is the smallest."""
        return next(iter(self.presets.values()))

    # --- the same for all stores -------------------------------------------------------------------

    def chosen(self, patterns: Sequence[str]) -> list[str]:
        """The runs that the patterns name, in the store's order; a short name does without that of the dataset.

        Raises:
            CrossplaceError: a pattern fits no run, or names one that cannot be fetched.
        """
        wanted = set()
        for pattern in patterns:
            found = [run for run in self.parts if fnmatchcase(run, pattern) or fnmatchcase(self._short(run), pattern)]
            if not found:
                raise CrossplaceError(unknown(f"run of {self.dataset}", pattern, [*self.parts]))
            able = [run for run in found if not self.parts[run].refusal]
            if not able:
                raise CrossplaceError(f"{found[0]} cannot be fetched: {self.parts[found[0]].refusal}")
            wanted |= {*able}
        return [run for run in self.parts if run in wanted]

    def _short(self, run: str) -> str:
        return run.removeprefix(f"{self.dataset}-")

    def most_frames(self, wish: Wish) -> int:
        """A number of frames that ``wish`` does not exceed."""
        return sum(_frames(self.parts[run], wish, WAVER) for run in self.chosen(wish.runs))

    def most_bytes(self, wish: Wish) -> int:
        """A number of bytes that ``wish`` does not exceed."""
        tables = len(self.chosen(wish.runs)) * self.table_bytes
        return self.most_frames(wish) * self.frame_bytes + tables + self.overhead_bytes

    def usual_bytes(self, wish: Wish) -> int:
        """About how many bytes ``wish`` comes to."""
        runs = self.chosen(wish.runs)
        frames = sum(_frames(self.parts[run], wish, 1.0) for run in runs)
        return frames * self.usual_frame_bytes + len(runs) * self.table_bytes + self.overhead_bytes


def _frames(part: Part, wish: Wish, waver: float) -> int:
    """The number of frames that are taken of a run that is longer than it usually is, by the factor ``waver``."""
    length_m = part.length_m * waver
    taken_m = wish.taken_m(length_m)
    if wish.spacing_m:
        return min(int(part.frames * waver), int(taken_m / wish.spacing_m) + max(1, len(wish.stretches_m)))
    return math.ceil(part.frames * waver * taken_m / length_m)


def size(n_bytes: int) -> str:
    """A number of bytes as people say it."""
    return f"{n_bytes / 1e9:,.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / MB:,.0f} MB"


def store_named(name: str, address: str = "") -> Store:
    """The store of dataset ``name``, at its own address or at that of a mirror."""
    if name not in FETCHERS:
        raise CrossplaceError(
            f"{unknown('dataset that can be fetched', name, [*FETCHERS])}; crossplace data list says how others are had"
        )
    module, _, attribute = FETCHERS[name].partition(":")
    kind: type[Store] = getattr(importlib.import_module(module), attribute)
    return kind(address)


def within(plane_m: Float[ndarray, "n 2"], wish: Wish) -> Bool[ndarray, " n"]:
    """Which frames of a drive lie on the wished stretches of its path, given their positions in order of time."""
    if not wish.stretches_m:
        return np.ones(len(plane_m), dtype=bool)
    driven_m = np.append(0.0, np.cumsum(np.hypot(*np.diff(plane_m, axis=0).T)))[: len(plane_m)]
    return np.any([(begin <= driven_m) & (driven_m <= end) for begin, end in wish.stretches_m], axis=0)
