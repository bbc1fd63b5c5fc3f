"""What is taken from a source, what ``crossplace data check`` says of it, and the options on the command line."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pyproj")

from PIL import Image

from benchmark.frames.preparing import make_dataset
from datasets.errors import CrossplaceError
from datasets.kitti import Kitti
from datasets.kitti.layout import DRIVES, N_FRAMES
from datasets.prepared import PreparedDataset
from datasets.samples.kitti import RawKitti

TOWN = RawKitti(n_frames=3, lidar_points=200)
GEOREFERENCED = {"poses": "oxts"}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sequences 03 (whose drive is nowhere offered), 04 with its drive, and 11 with SemanticKITTI's poses."""
    source = tmp_path_factory.mktemp("written")
    for name in ("03", "04", "11"):
        TOWN.write_odometry(source, name)
    (source / "poses" / "11.txt").rename(source / "sequences" / "11" / "poses.txt")
    TOWN.write_raw(source)
    return source


@pytest.fixture
def raw(written: Path, tmp_path: Path) -> Path:
    """A copy that may be changed."""
    return Path(shutil.copytree(written, tmp_path / "raw"))


def prepare(source: Path, folder: Path, **options: Any) -> PreparedDataset:
    list(Kitti(**options).prepare(source, folder, workers=1))
    return PreparedDataset.read(folder)


def said(source: Path | None, **options: Any) -> list[tuple[bool, str]]:
    return [(finding.ok, finding.what) for finding in Kitti(**options).check(source)]


def test_the_published_numbers_add_up() -> None:
    """SemanticKITTI: 23,201 scans to train on, 20,351 to test on; and every sequence with poses has its drive."""
    with_poses = [n for name, n in N_FRAMES.items() if name in DRIVES]
    assert (len(with_poses), sum(with_poses)) == (11, 23_201)
    assert sum(N_FRAMES.values()) - sum(with_poses) == 20_351


def test_a_sequence_without_drive_stays_a_world_of_its_own(raw: Path, tmp_path: Path) -> None:
    prepared = prepare(raw, tmp_path / "out", poses="oxts")
    worlds = dict(zip(prepared.frames.traversal, prepared.frames.world, strict=True))
    assert worlds == {"03": "kitti-03", "04": "karlsruhe", "11": "kitti-11"}
    assert {name: t.georeferenced for name, t in prepared.traversals.items()} == {"03": False, "04": True, "11": False}
    assert prepared.counts["sequences_without_oxts"] == 2
    assert prepared.frames.mercator_m is not None
    known = np.isfinite(prepared.frames.mercator_m).all(axis=1)
    assert set(prepared.frames.traversal[known]) == {"04"}
    assert [t.mercator_scale is None for t in prepared.traversals.values()] == [True, False, True]


def test_check_says_everything_that_is_there_and_what_is_not(raw: Path) -> None:
    lines = said(raw, **GEOREFERENCED)
    assert all(ok for ok, _ in lines)
    assert [what for _, what in lines] == [
        "sequence 03: 3 of 801 images, 3 of 801 clouds, 3 frames with both, poses",
        "sequence 04: 3 of 271 images, 3 of 271 clouds, 3 frames with both, poses, "
        "3 OXTS packets of 2011_09_30_drive_0016_sync",
        "sequence 11: 3 of 921 images, 3 of 921 clouds, 3 frames with both, poses",
        "drive 2011_09_30_drive_0016: 3 images, 3 clouds, 3 frames with both (all), 3 OXTS packets; left out",
        "not here or without poses: 00 01 02 05 06 07 08 09 10 12 13 14 15 16 17 18 19 20 21 "
        "(protocols that use them will be partial)",
        "no OXTS for 03 11: each stays a world of its own (looked for 2011_09_26_drive_0067; from "
        "https://www.cvlibs.net/datasets/kitti/raw_data.php)",
    ]


def test_every_fault_is_a_line_and_prepare_works_exactly_if_there_is_none(raw: Path, tmp_path: Path) -> None:
    drive, sequence = raw / "2011_09_30", raw / "sequences" / "04"
    (drive / "calib_imu_to_velo.txt").unlink()
    (drive / "2011_09_30_drive_0016_sync" / "oxts" / "data" / "0000000000.txt").unlink()
    (sequence / "calib.txt").unlink()
    (sequence / "image_2" / "000001.png").write_bytes((sequence / "image_2" / "000001.png").read_bytes()[:-20])
    (sequence / "velodyne" / "000002.bin").write_bytes(b"123")
    faults = [what for ok, what in said(raw, **GEOREFERENCED) if not ok]
    assert faults[0].startswith("sequence 04:")
    sentences = ("calib.txt: no such file", "000001.png: not a readable image (cut off", "000002.bin: 3 bytes are no")
    for sentence in (*sentences, "no packet 0000000000.txt, which gives the map its scale"):
        assert sum(sentence in fault for fault in faults) == 1, sentence
    with pytest.raises(CrossplaceError, match=r"more: see `crossplace data check kitti`"):
        prepare(raw, tmp_path / "out", **GEOREFERENCED)


def test_a_complete_sequence_is_called_so(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(N_FRAMES, "04", 3)
    assert said(raw, sequences=("04",))[0][1].startswith("sequence 04: 3 images, 3 clouds, 3 frames with both (all)")


def test_a_drive_is_taken_if_named_or_if_no_sequence_was_cut_from_it(raw: Path, tmp_path: Path) -> None:
    drive = "2011_09_30_drive_0016"
    assert prepare(raw, tmp_path / "a").frames.traversal_names() == ["03", "04", "11"]
    assert prepare(raw, tmp_path / "b", sequences=("03", drive)).frames.traversal_names() == ["03", drive]
    (raw / "sequences" / "04").rename(tmp_path / "04")
    assert prepare(raw, tmp_path / "c").frames.traversal_names() == ["03", "11", drive]


def test_oxts_elsewhere_and_nowhere(raw: Path, tmp_path: Path) -> None:
    (raw / "2011_09_30").rename(tmp_path / "2011_09_30")
    assert prepare(raw, tmp_path / "a").frames.mercator_m is None
    assert prepare(raw, tmp_path / "b", oxts=tmp_path).frames.mercator_m is not None
    (fault,) = said(raw, oxts=tmp_path / "nowhere")
    assert not fault[0]
    assert "no such folder; expected DATE/calib_" in fault[1]


def test_frames_without_packet_have_no_mercator_and_are_dropped_where_the_pose_needs_it(
    raw: Path, tmp_path: Path
) -> None:
    (raw / "2011_09_30" / "2011_09_30_drive_0016_sync" / "oxts" / "data" / "0000000001.txt").unlink()
    kept = prepare(raw, tmp_path / "a", sequences=("04",))
    assert kept.frames.mercator_m is not None
    assert np.isfinite(kept.frames.mercator_m[:, 0]).tolist() == [True, False, True]
    dropped = prepare(raw, tmp_path / "b", sequences=("04",), poses="oxts")
    assert dropped.frames.frame_id.tolist() == ["04/000000", "04/000002"]
    assert (kept.counts["dropped_no_oxts"], dropped.counts["dropped_no_oxts"]) == (0, 1)


def test_an_image_that_the_days_calibration_is_not_for_is_a_fault(raw: Path, tmp_path: Path) -> None:
    for path in (raw / "2011_09_30" / "2011_09_30_drive_0016_sync" / "image_02" / "data").iterdir():
        Image.new("RGB", (50, 20)).save(path)
    with pytest.raises(CrossplaceError, match=r"50×20 pixels, but the calibration in .* is for 160×120"):
        prepare(raw, tmp_path / "out", sequences=("2011_09_30_drive_0016",))


@pytest.mark.parametrize(
    ("file", "old", "new", "sentence"),
    [
        ("oxts/data/0000000001.txt", " 4 7 4 4 0", "", "expected 30 finite number"),
        ("oxts/data/0000000001.txt", "49.0", "4.90", "latitude 4.90"),
        ("oxts/data/0000000001.txt", "8.4", "84", "is not in or around Karlsruhe"),
        ("oxts/timestamps.txt", "2011-09-30 12:34:56", "", "line 1: expected a time such as"),
        ("oxts/timestamps.txt", "2011-09-30 12:34:56.789012345", "", "no time on line 1, where the sequence begins"),
        ("../calib_imu_to_velo.txt", "R:", "Q:", "R is missing"),
        ("../calib_imu_to_velo.txt", "T: -", "T: nan ", "T: expected 3 finite"),
    ],
)
def test_a_fault_in_a_drive_is_named(raw: Path, tmp_path: Path, file: str, old: str, new: str, sentence: str) -> None:
    path = (raw / "2011_09_30" / "2011_09_30_drive_0016_sync" / file).resolve()
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(CrossplaceError) as raised:
        prepare(raw, tmp_path / "out", sequences=("04",), poses="oxts")
    assert sentence in str(raised.value)
    assert path.name in str(raised.value)


def test_options_are_given_as_text(raw: Path, tmp_path: Path) -> None:
    given = make_dataset(
        "kitti", ["poses=oxts", f"oxts={tmp_path}", "camera=3", "remove_ground=true", 'sequences=["04"]']
    )
    assert given == Kitti(poses="oxts", oxts=tmp_path, camera=3, remove_ground=True, sequences=("04",))
    assert given.options()["oxts"] is True, "folders of this machine stay out of results"
    for wrong in ("poses=gps", "camera=4", "seed=-1"):
        with pytest.raises(CrossplaceError, match="kitti"):
            make_dataset("kitti", [wrong])


def test_the_fingerprint_follows_packets_and_calibration(raw: Path) -> None:
    before = Kitti(poses="oxts").fingerprint(raw)
    assert Kitti(poses="oxts").fingerprint(raw) == before
    packet = raw / "2011_09_30" / "2011_09_30_drive_0016_sync" / "oxts" / "data" / "0000000002.txt"
    packet.write_text(packet.read_text().replace("8.4", "8.5", 1))
    moved = Kitti(poses="oxts").fingerprint(raw)
    mount = raw / "2011_09_30" / "calib_imu_to_velo.txt"
    mount.write_text(mount.read_text().replace("T: -8", "T: -7"))
    assert len({before, moved, Kitti(poses="oxts").fingerprint(raw)}) == 3
