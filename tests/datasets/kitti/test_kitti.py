"""The KITTI preparer, on drives small enough to work out by hand."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_kitti import START, TEN_METRES_ON, TURNED_LEFT, faults_of, prepare, write_drive

from datasets.errors import CrossplaceError
from datasets.kitti import Kitti


@pytest.mark.parametrize("poses_beside", [False, True], ids=["odometry poses", "SemanticKITTI poses"])
def test_poses_are_those_of_the_lidar_in_the_turned_first_camera(tmp_path: Path, poses_beside: bool) -> None:
    write_drive(tmp_path / "raw", poses_beside=poses_beside)
    frames = prepare(tmp_path / "raw", tmp_path / "out").frames
    # East of the first camera by its offset; after the left turn the offset points south.
    np.testing.assert_allclose(frames.position_m, [[-0.27, 0, 0.08], [9.73, 0, 0.08], [10, -0.27, 0.08]], atol=1e-12)
    np.testing.assert_allclose(frames.yaw_rad, [0, 0, np.pi / 2], atol=1e-12)
    half = np.sqrt(0.5)
    np.testing.assert_allclose(frames.quaternion_wxyz, [[1, 0, 0, 0], [1, 0, 0, 0], [half, 0, 0, half]], atol=1e-12)


def test_frames_are_known_by_their_stem(tmp_path: Path) -> None:
    write_drive(tmp_path / "raw")
    prepared = prepare(tmp_path / "raw", tmp_path / "out")
    frames = prepared.frames
    assert frames.frame_id.tolist() == ["00/000000", "00/000001", "00/000003"]
    assert frames.timestamp_ns.tolist() == [0, 100_000_000, 300_000_000]
    assert set(frames.world) == {"kitti-00"}
    assert set(frames.traversal) == {"00"}
    assert prepared.counts == {
        "kept": 3,
        "dropped_no_image": 0,
        "dropped_no_cloud": 0,
        "dropped_no_oxts": 0,
        "frame_number_gaps": 1,
        "dropped_no_points": 0,
        "dropped_no_ground": 0,
        "points_not_finite": 0,
        "points_on_ground": 0,
    }


def test_originals_are_referenced_and_read_back(tmp_path: Path) -> None:
    folder = write_drive(tmp_path / "raw")
    prepared = prepare(tmp_path / "raw", tmp_path / "out")
    frame = prepared.frame(2)
    assert frame.cloud == str(tmp_path / "raw" / "sequences/00/velodyne/000003.bin")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["dataset.json", "frames.csv"]
    raw = np.fromfile(folder / "velodyne" / "000003.bin", dtype=np.float32).reshape(-1, 4)
    np.testing.assert_array_equal(prepared.load_cloud(frame), raw[:, :3])
    assert prepared.load_image(frame).shape == (5, 12, 3)


def test_camera_two_is_shifted_and_pixels_count_from_the_edge(tmp_path: Path) -> None:
    write_drive(tmp_path / "raw")
    frame = prepare(tmp_path / "raw", tmp_path / "out").frame(0)
    assert frame.intrinsics is not None
    assert frame.camera_from_lidar is not None
    # A point 10.27 m ahead, 1 m to the left and 0.08 m up is at (-1, -0.16, 10) in camera 0 and 70 / 700 m further
    # right in camera 2: KITTI's pixel is 600 - 0.9 · 70 = 537 and 180 - 0.16 · 70 = 168.8.
    at = frame.camera_from_lidar @ [10.27, 1, 0.08, 1]
    np.testing.assert_allclose(at, [-0.9, -0.16, 10, 1], atol=1e-12)
    k = frame.intrinsics
    pixel = (k.fx * at[0] / at[2] + k.cx, k.fy * at[1] / at[2] + k.cy)
    np.testing.assert_allclose(pixel, (537.5, 169.3), atol=1e-9)


def test_sequences_may_differ_in_image_size_and_are_worlds_of_their_own(tmp_path: Path) -> None:
    write_drive(tmp_path, "00", size=(12, 5))
    write_drive(tmp_path, "raw0009", size=(14, 6))
    prepared = prepare(tmp_path, tmp_path / "out")
    sizes = {name: (t.intrinsics.width, t.intrinsics.height) for name, t in prepared.traversals.items() if t.intrinsics}
    assert sizes == {"00": (12, 5), "raw0009": (14, 6)}
    assert dict.fromkeys(prepared.frames.world.tolist()) == {"kitti-00": None, "kitti-raw0009": None}
    assert prepare(tmp_path, tmp_path / "one", "raw0009").frames.traversal_names() == ["raw0009"]


def test_progress_counts_every_frame(tmp_path: Path) -> None:
    write_drive(tmp_path / "raw")
    (tmp_path / "out").mkdir()
    assert list(Kitti().prepare(tmp_path / "raw", tmp_path / "out")) == [(3, 3)]


def test_incomplete_and_empty_frames_are_dropped_and_counted(tmp_path: Path) -> None:
    folder = write_drive(tmp_path / "raw", stems=("000000", "000001", "000002", "000003"))
    (folder / "image_2" / "000000.png").unlink()
    (folder / "velodyne" / "000001.bin").unlink()
    (folder / "velodyne" / "000002.bin").write_bytes(b"")
    (folder / "image_2" / "._000003.png").write_bytes(b"litter of another system")
    (folder / "image_2" / "000000.png").symlink_to(tmp_path / "nowhere.png")
    prepared = prepare(tmp_path / "raw", tmp_path / "out")
    assert prepared.frames.frame_id.tolist() == ["00/000003"]
    dropped = {reason: n for reason, n in prepared.counts.items() if n}
    assert dropped == {"kept": 1, "dropped_no_image": 1, "dropped_no_cloud": 1, "dropped_no_points": 1}


def test_non_finite_points_are_dropped_counted_and_never_reach_a_method(tmp_path: Path) -> None:
    folder = write_drive(tmp_path / "raw")
    points = np.arange(12, dtype=np.float32).reshape(3, 4)
    points[1, 2] = np.nan
    points[2, 3] = np.inf  # intensity, which nobody reads
    points.tofile(folder / "velodyne" / "000001.bin")
    np.full((2, 4), np.inf, dtype=np.float32).tofile(folder / "velodyne" / "000003.bin")
    prepared = prepare(tmp_path / "raw", tmp_path / "out")
    assert prepared.frames.frame_id.tolist() == ["00/000000", "00/000001"]
    np.testing.assert_array_equal(prepared.load_cloud(prepared.frame(1)), points[[0, 2], :3])
    assert prepared.counts["points_not_finite"] == 3
    assert prepared.counts["dropped_no_points"] == 1


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("file", "old", "new", "sentence"),
    [
        ("sequences/00/calib.txt", "Tr:", "T:", "Tr is missing"),
        ("sequences/00/calib.txt", "P2:", "P3:", "P2 is missing"),
        ("sequences/00/calib.txt", "-0.27", "", "Tr: expected 12 finite number"),
        ("sequences/00/calib.txt", "Tr: 0 -1", "Tr: 0 -2", "Tr: the left 3×3 part of the transform is no rotation"),
        ("sequences/00/calib.txt", "P2: 700 0", "P2: 700 3", "P2 is no projection of a rectified camera"),
        ("sequences/00/times.txt", "1.000000e-01", "nan", "line 2: expected 1 finite number"),
        ("sequences/00/times.txt", "1.000000e-01", "", "line 2: expected 1 finite number"),
        ("sequences/00/times.txt", "1.000000e-01", "9", "line 3: time runs backwards"),
        ("sequences/00/times.txt", "3.000000e-01\n", "", "4 poses for the 3 times"),
        ("poses/00.txt", TEN_METRES_ON, TEN_METRES_ON.replace("10", "inf"), "line 2: expected 12 finite"),
        ("poses/00.txt", TURNED_LEFT, TURNED_LEFT.replace("0 1 0 0", "0 -1 0 0"), "line 4: the left 3×3 part"),
        ("poses/00.txt", TURNED_LEFT, "ten metres on, then left", "line 4: expected 12 finite"),
    ],
)
def test_a_fault_in_a_text_file_is_named(tmp_path: Path, file: str, old: str, new: str, sentence: str) -> None:
    write_drive(tmp_path)
    replace(tmp_path / file, old, new)
    with pytest.raises(CrossplaceError) as raised:
        prepare(tmp_path, tmp_path / "out")
    assert sentence in str(raised.value)
    assert Path(file).name in str(raised.value)
    assert faults_of(tmp_path)[1:] == [str(raised.value)]  # after the line that counts the files


def test_a_blank_line_in_the_poses_would_shift_frames_and_is_a_fault(tmp_path: Path) -> None:
    write_drive(tmp_path, poses=(START, "", TEN_METRES_ON, TURNED_LEFT))
    assert faults_of(tmp_path)[1].startswith(f"{tmp_path / 'poses' / '00.txt'}: line 2: expected 12 finite")


def test_a_frame_beyond_the_poses_is_a_fault(tmp_path: Path) -> None:
    write_drive(tmp_path, stems=("000000", "000004"))
    with pytest.raises(CrossplaceError, match="4 lines, but there is a frame 000004"):
        prepare(tmp_path, tmp_path / "out")


def test_an_image_of_another_size_is_a_fault(tmp_path: Path) -> None:
    folder = write_drive(tmp_path)
    Image.new("RGB", (12, 6)).save(folder / "image_2" / "000003.png")
    with pytest.raises(CrossplaceError, match=r"000003\.png: 12×6 pixels, but 000000\.png has 12×5"):
        prepare(tmp_path, tmp_path / "out")


def test_a_file_that_is_no_image_is_a_fault(tmp_path: Path) -> None:
    folder = write_drive(tmp_path)
    (folder / "image_2" / "000001.png").write_bytes(b"<html>403</html>")
    with pytest.raises(CrossplaceError, match=r"000001\.png: not a readable image"):
        prepare(tmp_path, tmp_path / "out")


def test_a_cloud_that_is_cut_off_is_a_fault(tmp_path: Path) -> None:
    folder = write_drive(tmp_path)
    (folder / "velodyne" / "000001.bin").write_bytes(b"x" * 17)
    with pytest.raises(CrossplaceError, match=r"000001\.bin: 17 bytes .* 1 of 3 clouds"):
        prepare(tmp_path, tmp_path / "out")


def test_check_lists_everything_at_once_and_prepare_names_the_first(tmp_path: Path) -> None:
    folder = write_drive(tmp_path, "00")
    write_drive(tmp_path, "05")
    (folder / "calib.txt").unlink()
    (folder / "times.txt").unlink()
    for path in (folder / "velodyne").iterdir():
        path.unlink()
    findings = Kitti().check(tmp_path)
    assert [finding.ok for finding in findings] == [False, False, False, False, True, False, True]
    assert findings[0].what == "sequence 00: 3 of 4541 images, 0 of 4541 clouds, 0 frames with both, poses"
    assert ["calib.txt" in findings[1].what, "times.txt" in findings[2].what] == [True, True]
    assert "no frame with image and cloud" in findings[3].what
    assert findings[4].what == "sequence 05: 3 of 2761 images, 3 of 2761 clouds, 3 frames with both, poses"
    assert findings[5].what.endswith("leave 00 out: --dataset-options 'sequences=[\"05\"]'")
    assert findings[6].what.startswith("not here or without poses: 01 02 03 04 06")
    with pytest.raises(CrossplaceError, match=r"calib\.txt: no such file; .* \(2 more"):
        prepare(tmp_path, tmp_path / "out")
    assert len(prepare(tmp_path, tmp_path / "rest", "05").frames) == 3


def test_sequences_without_poses_are_left_out_unless_asked_for(tmp_path: Path) -> None:
    write_drive(tmp_path, "00")
    write_drive(tmp_path, "11", poses_beside=True)
    (tmp_path / "sequences" / "11" / "poses.txt").unlink()
    assert faults_of(tmp_path) == []
    assert Kitti().check(tmp_path)[1].what.endswith("no poses; left out")
    assert prepare(tmp_path, tmp_path / "out").frames.traversal_names() == ["00"]
    assert len(faults_of(tmp_path, "00", "11")) == 3, "the line of the sequence, its fault, and how to do without"
    assert "poses.txt: no such file" in faults_of(tmp_path, "11")[1]


def test_a_sequence_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    write_drive(tmp_path, "00")
    assert (
        faults_of(tmp_path, "07")[0] == "sequence 07: 0 of 1101 images, 0 of 1101 clouds, 0 frames with both, no poses"
    )


def test_without_source_or_sequences_the_layout_is_explained(tmp_path: Path) -> None:
    (needed,) = faults_of(None)
    assert "--source is needed" in needed
    (empty,) = faults_of(tmp_path)
    assert "sequences/SS/{calib.txt" in empty
    assert "cvlibs.net" in empty
    with pytest.raises(CrossplaceError, match="--source is needed"):
        next(Kitti().prepare(None, tmp_path))
    (tmp_path / "sequences" / "11").mkdir(parents=True)
    (poseless,) = faults_of(tmp_path)
    assert "none of 11 has poses" in poseless


def test_the_fingerprint_follows_content_options_and_nothing_else(tmp_path: Path) -> None:
    folder = write_drive(tmp_path / "a", "00")
    write_drive(tmp_path / "b", "00")
    original = Kitti().fingerprint(tmp_path / "a")
    assert Kitti().fingerprint(tmp_path / "b") == original
    assert Kitti(sequences=("00",)).fingerprint(tmp_path / "a") != original
    replace(folder / "calib.txt", "180", "181")
    recalibrated = Kitti().fingerprint(tmp_path / "a")
    assert recalibrated != original
    (folder / "velodyne" / "000001.bin").unlink()
    assert Kitti().fingerprint(tmp_path / "a") != recalibrated
