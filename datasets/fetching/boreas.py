"""Boreas in its authors' store: every image and every sweep is a file of its own, named by its time.

The tables of poses hold the times of all files, so nothing needs to be listed. Frames are chosen by the rule of the
preparer, which therefore keeps them.
"""

from collections.abc import Sequence
from pathlib import Path

from datasets.boreas.choosing import Recording, Rules, choose, spaced
from datasets.boreas.layout import (
    CALIBRATION,
    CAMERA,
    CITATION,
    CONDITIONS,
    LICENCE,
    LIDAR,
    POSES,
    SOURCE,
    WITHOUT_POSES,
    file_of,
    folder_of,
)
from datasets.boreas.protocols import DXPR_RUNS
from datasets.errors import CrossplaceError
from datasets.fetching.store import Item, Part, Store, Wish, within

LENGTH_M = 7940.0
"""Path length of a run; six of them have 7.93 to 7.95 km."""
FRAMES = 10_400
"""Sweeps of a usual run."""
NO_POSES = "its authors keep its poses back for their own benchmark; docs/boreas.md has the runs with poses"


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
    # A kilometre of each run: half of it tests by the protocol boreas-5m, the other half trains.
    presets = {
        "mini": Wish(
            runs=("2021-06-17-17-52", "2021-09-14-20-00"),
            spacing_m=10.0,
            stretches_m=((600.0, 1100.0), (2000.0, 2500.0)),
        ),
        "standard": Wish(runs=DXPR_RUNS, spacing_m=10.0),
    }

    def tables(self, run: str) -> Sequence[Item]:
        """Poses of both sensors, and calibration."""
        return [self._item(run, path, is_table=True) for path in (*POSES.values(), *CALIBRATION)]

    def frames(self, run: str, wish: Wish, folder: Path) -> Sequence[Item]:
        """Sweeps and the images nearest to them in time."""
        every = choose(Recording(folder / run), Rules(spacing_m=0.0), listed=True)
        if not len(every.lidar_us):
            raise CrossplaceError(f"{folder / run}: the tables name no image near a sweep in time; see --mirror")
        plane_m = every.world_from_body[:, :2, 3]
        rows = spaced(plane_m, wish.spacing_m)
        rows = rows[within(plane_m, wish)[rows]]
        images = [file_of(CAMERA, time) for time in every.camera_us[rows].tolist()]
        sweeps = [file_of(LIDAR, time) for time in every.lidar_us[rows].tolist()]
        return [self._item(run, path) for path in dict.fromkeys((*images, *sweeps))]  # two sweeps may share an image

    def _item(self, run: str, path: str, *, is_table: bool = False) -> Item:
        return Item(path=f"{run}/{path}", url=f"{self.at}/{run}/{path}", is_table=is_table)
