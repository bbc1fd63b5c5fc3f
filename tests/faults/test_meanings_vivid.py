"""Raw recordings of ViViD++ that are whole and mean something else: a sentence, the same results, or nothing can tell.

Every change is tried on good data of the town. docs/faults.md holds the counts.
"""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyproj")
pytest.importorskip("rosbags")

from meanings import Random
from raw_meanings import FEWER, PICTURE, TIMED, Change, Layout, assert_found_or_same, layout
from raw_vivid import SMALL, SmallVivid
from raw_vivid_meanings import VIVID

from datasets.samples.vivid import Car, write_bag
from datasets.town import Town

MOST_UNSEEN = 0.12
"""The largest share of changes that nothing may tell."""
UNSEEN: dict[str, str] = {
    **dict.fromkeys(("images three seconds early", "clouds three seconds early"), TIMED),
    "images in reversed order": PICTURE,
    "fixes in reversed order": "the drive is then one in the other direction, whose clouds overlap by chance",
    **dict.fromkeys(("clouds thinned", "clouds noisy", "clouds with points that are no numbers"), FEWER),
    **dict.fromkeys(("images upside down", "images negative", "images shifted", "images of another lens"), PICTURE),
    "images of a Bayer pattern": "the colours are right, and as sharp as such a camera has them",
}
"""Changes that nothing can tell, and why."""


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


@pytest.mark.slow
def test_vivid_that_means_something_else_is_found_or_gives_the_same_results(tmp_path: Path) -> None:
    assert_found_or_same(vivid(tmp_path), VIVID, UNSEEN, MOST_UNSEEN, tmp_path)
