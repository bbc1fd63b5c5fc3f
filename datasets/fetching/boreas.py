"""Boreas in its authors' store: every image and every sweep is a file of its own, named by its time.

The tables of poses hold the times of all files, so nothing needs to be listed. A sweep is paired with the image nearest
in time; sweeps without one are left out before frames are spaced.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from datasets.boreas.layout import (
    CALIBRATION,
    CAMERA,
    CITATION,
    CONDITIONS,
    LICENCE,
    LIDAR,
    POSES,
    POSITION,
    SOURCE,
    TIME,
    WITHOUT_POSES,
    file_of,
    folder_of,
)
from datasets.errors import CrossplaceError
from datasets.fetching.store import Item, Part, Store, Wish, thinned
from datasets.files import read_text
from datasets.interpolation import nearest_in

LENGTH_M = 7940.0
"""Path length of a run; six of them have 7.93 to 7.95 km."""
FRAMES = 10_400
"""Sweeps of a usual run."""
APART_US = 50_000
"""An image further away in time than this belongs to no sweep."""
NO_POSES = "its poses are kept back for the data set's own benchmark of odometry"
OF_5M = (
    "2020-12-01-13-26", "2020-12-18-13-44", "2021-03-30-14-23", "2021-04-29-15-55",
    "2021-06-17-17-52", "2021-07-20-17-33", "2021-09-02-11-42", "2021-09-14-20-00",
)  # fmt: skip
"""The eight runs of the protocol boreas-5m."""


class BoreasStore(Store):
    """The bucket ``boreas``."""

    dataset = "boreas"
    address = SOURCE
    licence = LICENCE
    citation = CITATION
    terms = "https://www.boreas.utias.utoronto.ca"
    parts = {
        folder_of(run): Part(condition=CONDITIONS[run], length_m=LENGTH_M, frames=FRAMES)
        if run in CONDITIONS
        else Part(condition="unstated", length_m=LENGTH_M, frames=FRAMES, refusal=NO_POSES)
        for run in sorted({*CONDITIONS, *WITHOUT_POSES})
    }
    frame_bytes = 10_500_000
    usual_frame_bytes = 8_660_000
    table_bytes = 12_000_000
    file_bytes = 16_000_000
    presets = {
        "mini": Wish(runs=("2021-06-17-17-52", "2021-09-14-20-00"), spacing_m=10.0, limit_m=1000.0),
        "standard": Wish(runs=OF_5M, spacing_m=10.0),
    }

    def tables(self, run: str) -> Sequence[Item]:
        """Poses of both sensors, and calibration."""
        return [self._item(run, path, is_table=True) for path in (*POSES.values(), *CALIBRATION)]

    def frames(self, run: str, wish: Wish, folder: Path) -> Sequence[Item]:
        """Sweeps and the images nearest to them in time."""
        image_us, _ = _track(folder / run / POSES[CAMERA])
        sweep_us, plane_m = _track(folder / run / POSES[LIDAR])
        nearest, apart_us = nearest_in(image_us, sweep_us)
        paired = np.flatnonzero(apart_us <= APART_US)
        if not len(paired):
            raise CrossplaceError(f"{folder / run}: no image within {APART_US / 1000:g} ms of a sweep; see --mirror")
        rows = paired[thinned(plane_m[paired], wish)]
        images = {file_of(CAMERA, int(time)): None for time in image_us[nearest[rows]]}  # two sweeps may share one
        sweeps = [file_of(LIDAR, int(time)) for time in sweep_us[rows]]
        return [self._item(run, path) for path in (*images, *sweeps)]

    def _item(self, run: str, path: str, *, is_table: bool = False) -> Item:
        return Item(path=f"{run}/{path}", url=f"{self.at}/{run}/{path}", is_table=is_table)


def _track(path: Path) -> tuple[Int[ndarray, " n"], Float[ndarray, "n 2"]]:
    """Times in microseconds, ascending, and positions in the plane."""
    header, *lines = read_text(path).splitlines() or [""]
    try:
        columns = [header.split(",").index(name) for name in (TIME, *POSITION[:2])]
        cells = [[line.split(",")[column] for column in columns] for line in lines]
        times = np.array([int(row[0]) for row in cells], dtype=np.int64)
        plane_m = np.array([row[1:] for row in cells], dtype=np.float64).reshape(-1, 2)
    except (ValueError, IndexError, OverflowError) as error:
        raise CrossplaceError(
            f"{path}: no table of poses with the columns {TIME}, {', '.join(POSITION[:2])}; look at the store "
            "(--mirror), then give the same command again"
        ) from error
    if not np.isfinite(plane_m).all() or (times < 0).any():
        raise CrossplaceError(f"{path}: times and positions must be finite numbers; look at the store (--mirror)")
    order = np.argsort(times, kind="stable")
    return times[order], plane_m[order]
