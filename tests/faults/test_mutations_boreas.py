"""Two hundred seeded mutations of each kind of raw file of Boreas: one clear sentence, or the right result.

Neither tables nor sweeps carry a checksum, so nothing can tell a changed digit of a pose, a changed coordinate or time
of a point. What can be told is structure, unit, order, and what no LiDAR or vehicle does.
"""

import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mutations import BINARY, TEXT, Mutation, everything_in, mutate_and_judge
from small_boreas import RUN, START_US, write_run

from datasets.boreas.boreas import Boreas
from datasets.boreas.layout import POSES, file_of, folder_of
from datasets.prepared import PreparedDataset

log = logging.getLogger(__name__)

pytestmark = pytest.mark.slow
N_MUTATIONS = 200
FOURTH = START_US + 300_000
OF_FOURTH = (f"{RUN}/{FOURTH}",)


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sync", lambda: None)


def read(folder: Path) -> Any:
    """What is prepared from the run in ``folder``."""
    out = folder / "out"
    out.mkdir()
    list(Boreas(spacing_m=0.0).prepare(folder / "raw", out, workers=1))
    # The fingerprint tells changes of texts and of names: such data gets another folder.
    return everything_in(replace(PreparedDataset.read(out), fingerprint=""))


@pytest.mark.parametrize(
    ("name", "mutations", "undetectable", "may_drop"),
    [
        # A pose or a time that is a little off moves frames, their clouds and, where times move, their images.
        (POSES["lidar"], TEXT, {"number", "rows", "keys", "pixels"}, ()),
        (POSES["camera"], TEXT, {"number", "rows", "keys", "pixels", "text"}, ()),
        ("calib/P_camera.txt", TEXT, {"number"}, ()),
        ("calib/T_camera_lidar.txt", TEXT, {"number"}, ()),
        ("calib/T_applanix_lidar.txt", TEXT, {"number"}, ()),
        (file_of("lidar", FOURTH), BINARY, {"number", "rows"}, OF_FOURTH),
        (file_of("camera", FOURTH + 20_000), BINARY, set(), ()),
    ],
    ids=["lidar-poses", "camera-poses", "projection", "camera-lidar", "applanix-lidar", "sweep", "image"],
)
def test_of_a_raw_file(
    name: str, mutations: tuple[Mutation, ...], undetectable: set[str], may_drop: tuple[str, ...], tmp_path: Path
) -> None:
    whole = tmp_path / "whole"
    write_run(whole / "raw", n=6, n_points=8)
    file = whole / "raw" / folder_of(RUN) / name
    counts = mutate_and_judge(whole, file, read, mutations, frozenset(undetectable), N_MUTATIONS, tmp_path, may_drop)
    log.info("Boreas %s: %s", name, dict(counts))
    assert counts["error"] >= N_MUTATIONS / 4
