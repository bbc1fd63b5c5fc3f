"""Two hundred seeded mutations of the files of a RobotCar run: a sentence, the same data, counted drops, or a change
that nothing can tell (docs/faults.md lists those)."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from mutations import BINARY, TEXT, Mutation, everything_in, mutate_and_judge
from raw_oxford import STREET, write_street

from datasets.oxford import Oxford
from datasets.prepared import PreparedDataset
from datasets.samples.oxford import START_US

N_MUTATIONS = 40
log = logging.getLogger(__name__)


def read(folder: Path) -> Any:
    out = folder / "out"
    out.mkdir()
    list(Oxford(image_size=(8, 6), ahead_s=6.0).prepare(folder / "raw", out, workers=1))
    # The fingerprint tells every change of the texts, the tables and the names of the others.
    return everything_in(replace(PreparedDataset.read(out), fingerprint=""))


@dataclass(frozen=True, kw_only=True)
class Reader:
    """A file of a run, and which differences nothing can tell."""

    path: str
    mutations: tuple[Mutation, ...]
    undetectable: frozenset[str] = frozenset()


IMAGE, SWEEP = f"{START_US + 2 * 10**6}", f"{START_US + 12 * 10**6 // 6}"
PLACES = frozenset({"number", "keys", "rows", "pixels"})
"""Another plausible pose: other places, of which other points are seen."""
POINTS = frozenset({"number", "rows"})
READERS = {
    "ins.csv": Reader(path=f"{STREET}/gps/ins.csv", mutations=TEXT, undetectable=PLACES),
    "stereo.timestamps": Reader(path=f"{STREET}/stereo.timestamps", mutations=TEXT),
    "raw .png": Reader(path=f"{STREET}/stereo/centre/{IMAGE}.png", mutations=BINARY),
    "lms_front .bin": Reader(path=f"{STREET}/lms_front/{SWEEP}.bin", mutations=BINARY, undetectable=POINTS),
    "distortion table": Reader(
        path="models/stereo_narrow_left_distortion_lut.bin", mutations=BINARY, undetectable=frozenset({"pixels"})
    ),
    "camera model": Reader(
        path="models/stereo_narrow_left.txt", mutations=TEXT, undetectable=frozenset({"number", "rows"})
    ),
}


@pytest.mark.parametrize("name", READERS)
def test_forty_mutations_are_a_sentence_or_change_nothing_that_could_be_told(name: str, tmp_path: Path) -> None:
    reader, whole = READERS[name], tmp_path / "whole"
    write_street(whole / "raw", n_images=5)
    counts = mutate_and_judge(
        whole,
        whole / "raw" / reader.path,
        read,
        reader.mutations,
        reader.undetectable,
        N_MUTATIONS,
        tmp_path,
        may_drop=(f"{STREET}/{IMAGE}",),
    )
    log.info("%s: %s", name, dict(counts))
    assert counts["error"] >= N_MUTATIONS / 8, "else the mutations never reach the reader"


def test_the_unbroken_run_has_frames(tmp_path: Path) -> None:
    write_street(tmp_path / "raw", n_images=5)
    found = read(tmp_path)
    assert len(found["frames"]) >= 3
    assert f"{STREET}/{IMAGE}" in found["frames"]
    assert all(len(frame["points"]) > 100 for frame in found["frames"].values())
