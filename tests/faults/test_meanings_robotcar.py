"""Raw recordings of RobotCar that are whole and mean something else: a sentence, the same results, or nothing can tell.

Every change is tried on good data of the town. docs/faults.md holds the counts.
"""

from dataclasses import replace
from pathlib import Path

import pytest
from raw_meanings import MADE, NEAR, PICTURE, TIMED, Layout, assert_found_or_same, copying, layout
from raw_oxford_meanings import HEIGHT, OXFORD, WIDTH

from datasets.oxford import Oxford
from datasets.samples.oxford import RawRun, write_official

MOST_UNSEEN = 0.3
"""The largest share of changes that nothing may tell: clouds are made of poses, and fit them always."""
UNSEEN: dict[str, str] = {
    "positions south": "streets that cross at right angles are the same in a mirror, and headings fit half of them",
    "yaw turned": "the reader takes 45° for a car that slides or a receiver that drifts",
    "pitch negated": MADE,
    "roll upside down": MADE,
    "yaw of half a second before": TIMED,
    "poses of five seconds before": TIMED,
    "times of poses five seconds late": TIMED,
    **dict.fromkeys(("sweeps too large", "sweeps too small", "sweeps with y negated", "sweeps noisy"), MADE),
    **dict.fromkeys(("sweeps of other frames", "sweeps in reversed order"), MADE),
    **dict.fromkeys(("sweeps late by a frame", "sweeps late by many frames", "sweeps a second late"), TIMED),
    **dict.fromkeys(("images upside down", "images shifted"), PICTURE),
    **dict.fromkeys(("images late by a frame", "images five seconds early"), TIMED),
    "lens of the wide camera": "a wide lens is a lens too",
    **dict.fromkeys(("axes of the camera turned a little", "axes of the right camera"), NEAR),
    "table of the rectified image": "a lens that bends nothing is a lens too",
}
"""Changes that nothing can tell, and why."""


def robotcar(folder: Path) -> Layout:
    """Two runs along the same streets, a day apart."""
    run = RawRun(size=(WIDTH, HEIGHT), images_per_s=1.25, step_deg=5.0, sweeps_per_s=5.0, end_s=34.0)
    write_official(folder / "original", run)
    next_day = replace(run, name="2014-06-27-09-31-18", clock_us=86_400_000_000, begin_s=8.3)
    write_official(folder / "original", next_day)
    dataset = Oxford(image_size=(WIDTH, HEIGHT), spacing_m=5.0, ahead_s=8.0)
    return layout(folder, dataset, copying(folder / "original"))


@pytest.mark.slow
def test_robotcar_that_means_something_else_is_found_or_gives_the_same_results(tmp_path: Path) -> None:
    assert_found_or_same(robotcar(tmp_path), OXFORD, UNSEEN, MOST_UNSEEN, tmp_path)
