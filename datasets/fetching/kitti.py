"""KITTI odometry in its authors' store: four archives of 150 GB, of which single frames are read.

The official page asks for a name and an e-mail address before it gives out these addresses; its terms hold anyway.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from datasets.fetching.store import Item, Part, Store, Wish, within
from datasets.kitti.calibration import FROM
from datasets.kitti.layout import N_FRAMES, SOURCE
from datasets.kitti.texts import read_table
from datasets.places import milestones

LENGTH_M = (3722.0, 2452.0, 5061.0, 559.0, 394.0, 2205.0, 1233.0, 694.0, 3214.0, 1703.0, 918.0)
"""Path length in the plane of the sequences 00 to 10, by their ground truth."""
NO_POSES = "the archive of poses has none for 11 to 21; docs/kitti.md says where others publish some"
RIGHT, FORWARD = 3, 11
"""Columns of a pose's twelve numbers with the place of the first camera's x and z."""


class KittiStore(Store):
    """The bucket ``avg-kitti``; sequences are called runs here."""

    dataset = "kitti"
    address = "https://s3.eu-central-1.amazonaws.com/avg-kitti"
    licence = "CC BY-NC-SA 3.0 (no commercial use)"
    citation = "Geiger, Lenz, Urtasun: Are we ready for Autonomous Driving? The KITTI Vision Benchmark Suite, CVPR 2012"
    terms = SOURCE
    parts = {
        name: Part(
            condition="day",
            length_m=LENGTH_M[int(name)] if int(name) < len(LENGTH_M) else float("nan"),
            frames=frames,
            refusal="" if int(name) < len(LENGTH_M) else NO_POSES,
        )
        for name, frames in N_FRAMES.items()
    }
    frame_bytes = 3_200_000
    usual_frame_bytes = 2_800_000
    table_bytes = 1_200_000
    file_bytes = 8_000_000
    overhead_bytes = 20_000_000
    presets = {
        "mini": Wish(runs=("04", "07"), spacing_m=2.0),
        "standard": Wish(runs=("0?", "10"), spacing_m=0.0),
    }

    def tables(self, run: str) -> Sequence[Item]:
        """Calibration, times and poses."""
        folder = f"sequences/{run}"
        return [
            self._item("calib", f"{folder}/calib.txt", is_table=True),
            self._item("calib", f"{folder}/times.txt", is_table=True),
            self._item("poses", f"poses/{run}.txt", is_table=True),
        ]

    def frames(self, run: str, wish: Wish, folder: Path) -> Sequence[Item]:
        """Images of the left colour camera, and clouds."""
        plane_m = read_table(folder / "poses" / f"{run}.txt", 12, FROM)[:, [RIGHT, FORWARD]]
        rows = np.arange(len(plane_m))
        if wish.spacing_m:
            rows = np.append(rows[:1], milestones(np.hypot(*np.diff(plane_m, axis=0).T), wish.spacing_m))
        rows = rows[within(plane_m, wish)[rows]]
        return [
            self._item(archive, f"sequences/{run}/{sensor}/{row:06d}{suffix}")
            for row in rows.tolist()
            for archive, sensor, suffix in (("color", "image_2", ".png"), ("velodyne", "velodyne", ".bin"))
        ]

    def _item(self, archive: str, path: str, *, is_table: bool = False) -> Item:
        url = f"{self.at}/data_odometry_{archive}.zip"
        return Item(path=path, url=url, member=f"dataset/{path}", is_table=is_table)
