"""Raw recordings that are whole and mean something else: a sentence, the same results, or nothing can tell.

Every change is tried on good data of the town, in the layout of KITTI's odometry, of KITTI's raw drives, of RobotCar
and of ViViD++. docs/faults.md holds the counts.
"""

import logging
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyproj")
pytest.importorskip("rosbags")

from meanings import Random
from raw_kitti_meanings import ODOMETRY, RAW, write_two_laps
from raw_meanings import Change, Layout, layout
from raw_oxford_meanings import HEIGHT, OXFORD, WIDTH
from raw_vivid import SMALL, SmallVivid
from raw_vivid_meanings import VIVID

from datasets.kitti import Kitti
from datasets.oxford import Oxford
from datasets.samples.kitti import RawKitti
from datasets.samples.oxford import RawRun, write_official
from datasets.samples.vivid import Car, write_bag
from datasets.town import Town

log = logging.getLogger(__name__)
MOST_UNSEEN = {"KITTI odometry": 0.1, "KITTI raw drives": 0.1, "RobotCar": 0.3, "ViViD++": 0.12}
"""The largest share of changes that nothing may tell. RobotCar's clouds are made of its poses, and fit them always."""

FEWER = "a sensor with fewer returns, or with more noise, is a sensor too"
NEAR = "a mount some decimetres or degrees elsewhere is that of another car"
PICTURE = "pictures are compared with each other alone, and all were changed alike"
TIMED = "what one sensor saw moves along the drive, and no header or file says by which clock it was timed"
MADE = "clouds are made of sweeps and poses, and lie upon each other whatever both say"

UNSEEN: dict[str, dict[str, str]] = {
    "KITTI odometry": {
        **dict.fromkeys(("images upside down", "images flipped", "images row by row from the other side"), PICTURE),
        **dict.fromkeys(("Tr without translation", "Tr with its translation negated", "Tr turned a little"), NEAR),
    },
    "KITTI raw drives": {"packets late by many frames": TIMED},
    "RobotCar": {
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
    },
    "ViViD++": {
        **dict.fromkeys(("images three seconds early", "clouds three seconds early"), TIMED),
        "images in reversed order": PICTURE,
        "fixes in reversed order": "the drive is then one in the other direction, whose clouds overlap by chance",
        **dict.fromkeys(("clouds thinned", "clouds noisy", "clouds with points that are no numbers"), FEWER),
        **dict.fromkeys(("images upside down", "images negative", "images shifted", "images of another lens"), PICTURE),
        "images of a Bayer pattern": "the colours are right, and as sharp as such a camera has them",
    },
}
"""Changes that nothing can tell, by data, and why."""

CHANGES: dict[str, dict[str, Change]] = {
    "KITTI odometry": ODOMETRY,
    "KITTI raw drives": RAW,
    "RobotCar": OXFORD,
    "ViViD++": VIVID,
}

# --- good data -------------------------------------------------------------------------------------


def copying(original: Path) -> Callable[[Path, Change | None, Random], None]:
    """The writer of a folder that is a copy of ``original`` with a change."""

    def write(folder: Path, change: Change | None, random: Random) -> None:
        shutil.copytree(original, folder)
        if change is not None:
            change(folder, random)

    return write


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


def robotcar(folder: Path) -> Layout:
    """Two runs along the same streets, a day apart."""
    run = RawRun(size=(WIDTH, HEIGHT), images_per_s=1.25, step_deg=5.0, sweeps_per_s=5.0, end_s=34.0)
    write_official(folder / "original", run)
    next_day = replace(run, name="2014-06-27-09-31-18", clock_us=86_400_000_000, begin_s=8.3)
    write_official(folder / "original", next_day)
    dataset = Oxford(image_size=(WIDTH, HEIGHT), spacing_m=5.0, ahead_s=8.0)
    return layout(folder, dataset, copying(folder / "original"))


def vivid(folder: Path) -> Layout:
    """Two bags of one way."""
    (drive,) = (drive for drive in Town(preset="tiny").drives() if drive.name == "test-day")
    times_s = np.arange(16) * 1.0 + 3
    messages = {
        "campus_day1": Car(drive=drive, calibration=SMALL).messages(times_s),
        "campus_day2": Car(drive=drive, calibration=SMALL).messages(times_s + 0.5),
    }

    def write(raw: Path, change: Change | None, random: Random) -> None:
        for run, sent in messages.items():
            changed = list(sent)
            if change is not None:
                change(changed, random)
            write_bag(raw / f"{run}.bag", changed)

    return layout(folder, SmallVivid(), write)


LAYOUTS = {"KITTI odometry": odometry, "KITTI raw drives": raw_drives, "RobotCar": robotcar, "ViViD++": vivid}

# --- the promise -----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("data", LAYOUTS)
def test_data_that_means_something_else_is_found_or_gives_the_same_results(data: str, tmp_path: Path) -> None:
    good, outcomes = LAYOUTS[data](tmp_path), {}
    for name, change in CHANGES[data].items():
        outcomes[name] = good.outcome(name, change, 0, tmp_path / f"changed-{len(outcomes)}")
        log.info("%s: %s: %s", data, name, outcomes[name])
    counts = Counter(outcome.partition(":")[0] for outcome in outcomes.values())
    log.info("%s: %s", data, dict(counts))
    unseen = {name for name, outcome in outcomes.items() if outcome == "unseen"}
    assert unseen == set(UNSEEN[data])
    assert counts["unseen"] <= MOST_UNSEEN[data] * len(outcomes)
    assert len(outcomes) >= 40
