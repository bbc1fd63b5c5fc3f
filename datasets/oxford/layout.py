"""Which files a run consists of, in the two layouts in which people keep the data set."""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from datasets.errors import CrossplaceError
from datasets.files import read_text

OFFICIAL = (
    "RUN/stereo/centre/*.png, RUN/lms_front/*.bin, RUN/gps/ins.csv (or rtk.csv), RUN/stereo.timestamps, "
    "RUN/lms_front.timestamps"
)
REARRANGED = "image/RUN/*.png, lms_front/RUN/*.bin, gps/RUN/ins.csv"
NS_PER_US = 1000


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run below a download, of which files may be missing. Files are named by their time in microseconds."""

    name: str
    images: Path
    sweeps: Path
    gps: Path
    tags: Path
    image_list: Path | None = None
    """The file ``stereo.timestamps``, with the times of all images, whether or not they were downloaded."""
    sweep_list: Path | None = None

    @cached_property
    def image_stamps(self) -> Int[ndarray, " n"]:
        """Times of the images that are there, in nanoseconds, ascending."""
        return _stamps(self.images, ".png")

    @cached_property
    def sweep_stamps(self) -> Int[ndarray, " n"]:
        """Times of the sweeps that are there, in nanoseconds, ascending."""
        return _stamps(self.sweeps, ".bin")

    @cached_property
    def missing_images(self) -> Int[ndarray, " n"]:
        """Times of images that were taken and are not there."""
        return np.setdiff1d(_listed(self.image_list), self.image_stamps)

    @cached_property
    def missing_sweeps(self) -> Int[ndarray, " n"]:
        """Times of sweeps that were taken and are not there."""
        return np.setdiff1d(_listed(self.sweep_list), self.sweep_stamps)

    def image(self, stamp_ns: int) -> Path:
        """The file of the image taken at ``stamp_ns``."""
        return self.images / f"{stamp_ns // NS_PER_US}.png"

    def sweep(self, stamp_ns: int) -> Path:
        """The file of the sweep taken at ``stamp_ns``."""
        return self.sweeps / f"{stamp_ns // NS_PER_US}.bin"

    def texts(self) -> list[Path]:
        """All small files with information about the run."""
        named = [self.gps / "ins.csv", self.gps / "rtk.csv", self.tags, self.image_list, self.sweep_list]
        return [path for path in named if path is not None and path.is_file()]


def find_runs(source: Path) -> dict[str, Run]:
    """All runs of which at least a part is below ``source``, by name, in either layout."""
    if _folders(source / "gps"):
        names = {name for part in ("gps", "lms_front") for name in _folders(source / part)}
        return {name: _rearranged(source, name) for name in sorted(names)}
    runs = {name: _official(source, name) for name in _folders(source)}
    return {name: run for name, run in runs.items() if run.images.is_dir() or run.sweeps.is_dir() or run.gps.is_dir()}


def _official(source: Path, name: str) -> Run:
    folder = source / name
    return Run(
        name=name,
        images=folder / "stereo" / "centre",
        sweeps=folder / "lms_front",
        gps=folder / "gps",
        tags=folder / "tags.csv",
        image_list=folder / "stereo.timestamps",
        sweep_list=folder / "lms_front.timestamps",
    )


def _rearranged(source: Path, name: str) -> Run:
    gps = source / "gps" / name
    return Run(
        name=name, images=source / "image" / name, sweeps=source / "lms_front" / name, gps=gps, tags=gps / "tags.csv"
    )


def _folders(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _stamps(folder: Path, suffix: str) -> Int[ndarray, " n"]:
    """Times of the files below ``folder``; files whose names are no numbers are no sensor data."""
    if not folder.is_dir():
        return np.empty(0, dtype=np.int64)
    with os.scandir(folder) as entries:  # a folder can hold a hundred thousand files
        stems = [entry.name.removesuffix(suffix) for entry in entries if entry.name.endswith(suffix)]
    return np.sort(np.array([int(stem) * NS_PER_US for stem in stems if _is_stamp(stem)], dtype=np.int64))


def _listed(path: Path | None) -> Int[ndarray, " n"]:
    """Times in a ``.timestamps`` file: each line has microseconds and the number of a chunk of the download."""
    if path is None or not path.is_file():
        return np.empty(0, dtype=np.int64)
    fields = [line.split() for line in read_text(path).splitlines()]
    wrong = next((i for i, words in enumerate(fields) if not (words and _is_stamp(words[0]))), None)
    if wrong is not None:
        raise CrossplaceError(
            f"{path}: line {wrong + 1}: expected microseconds since 1970 and a chunk's number: fetch the file again"
        )
    return np.array([int(words[0]) * NS_PER_US for words in fields], dtype=np.int64)


def _is_stamp(text: str) -> bool:
    """Whether ``text`` can be microseconds since 1970, before about the year 2200."""
    return text.isascii() and text.isdecimal() and len(text) == 16
