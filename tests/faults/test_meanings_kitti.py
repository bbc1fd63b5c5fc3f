"""Raw recordings of KITTI that are whole and mean something else: a sentence, the same results, or nothing can tell.

Every change is tried on good data of the town, in the layout of the odometry and in that of raw drives. docs/faults.md
holds the counts.
"""

from pathlib import Path

import pytest

pytest.importorskip("pyproj")

from raw_kitti_meanings import ODOMETRY, RAW, write_two_laps
from raw_meanings import NEAR, PICTURE, TIMED, Layout, assert_found_or_same, copying, layout

from datasets.kitti import Kitti
from datasets.samples.kitti import RawKitti

MOST_UNSEEN = 0.1
"""The largest share of changes that nothing may tell."""
UNSEEN_ODOMETRY: dict[str, str] = {
    **dict.fromkeys(("images upside down", "images flipped", "images row by row from the other side"), PICTURE),
    **dict.fromkeys(("Tr without translation", "Tr with its translation negated", "Tr turned a little"), NEAR),
}
UNSEEN_RAW = {"packets late by many frames": TIMED}
"""Changes that nothing can tell, and why."""


def odometry(folder: Path) -> Layout:
    """Two laps along the streets of one district."""
    write_two_laps(folder / "original", RawKitti(n_frames=18, spacing_m=7.0, image_size=(80, 60)))
    return layout(folder, Kitti(sequences=("04",)), copying(folder / "original"))


def raw_drives(folder: Path) -> Layout:
    """Two drives along the same streets."""
    for number, late_s in (("0016", 0.0), ("0018", 0.6)):
        town = RawKitti(n_frames=18, spacing_m=7.0, image_size=(80, 60), late_s=late_s)
        town.write_raw(folder / "original", number=number)
    return layout(folder, Kitti(poses="oxts"), copying(folder / "original"))


@pytest.mark.slow
def test_odometry_that_means_something_else_is_found_or_gives_the_same_results(tmp_path: Path) -> None:
    assert_found_or_same(odometry(tmp_path), ODOMETRY, UNSEEN_ODOMETRY, MOST_UNSEEN, tmp_path)


@pytest.mark.slow
def test_raw_drives_that_mean_something_else_is_found_or_gives_the_same_results(tmp_path: Path) -> None:
    assert_found_or_same(raw_drives(tmp_path), RAW, UNSEEN_RAW, MOST_UNSEEN, tmp_path)
