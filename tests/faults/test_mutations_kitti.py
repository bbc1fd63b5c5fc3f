"""Seeded mutations of every file that the KITTI preparer reads, in the odometry layout with OXTS and in the raw one.

As in test_mutations.py: a sentence, the same data, a counted drop, or a change that nothing can tell.
"""

import logging
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from mutations import BINARY, TEXT, Mutation, everything_in, mutate_and_judge

pytest.importorskip("pyproj")

from datasets.kitti import Kitti
from datasets.prepared import PreparedDataset
from datasets.samples.kitti import RawKitti

log = logging.getLogger(__name__)
NUMBERS = frozenset({"number"})
"""A number, or a time, that became another plausible one."""
POINTS = frozenset({"number", "rows"})
DRIVE = "2011_09_30_drive_0016"
OXTS = f"2011_09_30/{DRIVE}_sync/oxts"


@dataclass(frozen=True, kw_only=True)
class File:
    """One kind of file, how often it is damaged, and what the damage may do unseen."""

    path: str
    n_mutations: int
    mutations: tuple[Mutation, ...] = TEXT
    undetectable: frozenset[str] = NUMBERS
    may_drop: tuple[str, ...] = ()


ODOMETRY = {
    "calib.txt": File(path="sequences/04/calib.txt", n_mutations=25),
    "times.txt": File(path="sequences/04/times.txt", n_mutations=25),
    "poses": File(path="poses/04.txt", n_mutations=25),
    ".png": File(path="sequences/04/image_2/000002.png", n_mutations=25, mutations=BINARY, undetectable=frozenset()),
    ".bin": File(
        path="sequences/04/velodyne/000002.bin",
        n_mutations=25,
        mutations=BINARY,
        undetectable=POINTS,
        may_drop=("04/000002",),
    ),
    "first OXTS packet": File(path=f"{OXTS}/data/0000000000.txt", n_mutations=40),
    "OXTS packet": File(path=f"{OXTS}/data/0000000002.txt", n_mutations=40),
    "OXTS time stamps": File(path=f"{OXTS}/timestamps.txt", n_mutations=30),
    "calib_imu_to_velo.txt": File(path="2011_09_30/calib_imu_to_velo.txt", n_mutations=30),
}
RAW = {
    "calib_cam_to_cam.txt": File(path="2011_09_30/calib_cam_to_cam.txt", n_mutations=40),
    "calib_velo_to_cam.txt": File(path="2011_09_30/calib_velo_to_cam.txt", n_mutations=40),
    "calib_imu_to_velo.txt": File(path="2011_09_30/calib_imu_to_velo.txt", n_mutations=40),
    "OXTS packet": File(path=f"{OXTS}/data/0000000001.txt", n_mutations=40),
    "image time stamps": File(path=f"2011_09_30/{DRIVE}_sync/image_02/timestamps.txt", n_mutations=40),
    "scan time stamps": File(path=f"2011_09_30/{DRIVE}_sync/velodyne_points/timestamps.txt", n_mutations=40),
}


@pytest.fixture(scope="module")
def layouts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Five frames in each layout; of the raw drive, frame 3 was never scanned."""
    town, folders = RawKitti(n_frames=5, lidar_points=20), {}
    for name in ("odometry", "raw"):
        folders[name] = tmp_path_factory.mktemp(name)
        town.write_raw(folders[name] / "raw")
    town.write_odometry(folders["odometry"] / "raw")
    scans = folders["raw"] / "raw" / "2011_09_30" / f"{DRIVE}_sync" / "velodyne_points"
    (scans / "data" / "0000000003.bin").unlink()
    lines = (scans / "timestamps.txt").read_text().splitlines()
    (scans / "timestamps.txt").write_text("\n".join([*lines[:3], "", *lines[4:], ""]))
    # What the other layout needs is not read.
    shutil.rmtree(folders["odometry"] / "raw" / "2011_09_30" / f"{DRIVE}_sync" / "image_02")
    return folders


def reading(sequence: str) -> Callable[[Path], Any]:
    def read(folder: Path) -> Any:
        (out := folder / "out").mkdir()
        list(Kitti(poses="oxts", sequences=(sequence,)).prepare(folder / "raw", out, workers=1))
        return everything_in(replace(PreparedDataset.read(out), fingerprint=""))

    return read


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layout", "name"), [*(("odometry", name) for name in ODOMETRY), *(("raw", name) for name in RAW)]
)
def test_mutations_are_a_sentence_or_change_nothing_that_could_be_told(
    layouts: dict[str, Path], layout: str, name: str, tmp_path: Path
) -> None:
    file = {"odometry": ODOMETRY, "raw": RAW}[layout][name]
    counts: Counter[str] = mutate_and_judge(
        layouts[layout],
        layouts[layout] / "raw" / file.path,
        reading("04" if layout == "odometry" else DRIVE),
        file.mutations,
        file.undetectable,
        file.n_mutations,
        tmp_path,
        may_drop=file.may_drop,
    )
    log.info("%s %s: %s", layout, name, dict(counts))
    assert counts["error"] >= file.n_mutations / 4, "else the mutations never reach the reader"


def test_there_are_two_hundred_mutations_a_layout() -> None:
    assert all(sum(file.n_mutations for file in files.values()) >= 200 for files in (ODOMETRY, RAW))
