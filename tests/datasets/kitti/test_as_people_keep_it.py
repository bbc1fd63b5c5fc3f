"""Downloads as people keep them: JPEG images, other digits, the calibration of another archive, moved folders."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyproj")

from PIL import Image
from small_kitti import STEMS, TR, faults_of, prepare, write_drive

from datasets.errors import CrossplaceError
from datasets.kitti import Kitti
from datasets.prepared import PreparedDataset
from datasets.samples.kitti import RawKitti


def renamed(folder: Path, change: Callable[[Path], str]) -> None:
    for path in sorted(folder.iterdir()):
        path.rename(path.with_name(change(path)))


def as_jpeg(path: Path, suffix: str) -> None:
    with Image.open(path) as image:
        image.convert("RGB").save(path.with_suffix(".kept"), "jpeg")
    path.unlink()
    path.with_suffix(".kept").rename(path.with_suffix(suffix))


# --- moved folders -------------------------------------------------------------------------------


def same_data(found: PreparedDataset, expected: list[np.ndarray]) -> None:
    for row, points in enumerate(expected):
        np.testing.assert_array_equal(found.load_cloud(found.frame(row)), points)
        assert found.load_image(found.frame(row)).size


@pytest.mark.parametrize("source", ["odometry", "raw"])
def test_a_prepared_folder_can_be_moved(source: str, tmp_path: Path) -> None:
    raw, drive = tmp_path / "raw", RawKitti(n_frames=3, lidar_points=400)
    folder = drive.write_odometry(raw) / "velodyne" if source == "odometry" else drive.write_raw(raw)
    for path in (folder if source == "odometry" else folder / "velodyne_points" / "data").iterdir():
        points = np.fromfile(path, dtype="<f4").reshape(-1, 4)
        if int(path.stem) != 1:  # one cloud stays where it is, the others get a clean copy
            points[5, 1] = np.nan
        points.tofile(path)
    prepared = prepare(raw, tmp_path / "here" / "prepared")
    assert len(list((prepared.folder / "clouds").rglob("*.npy"))) == 2
    expected = [prepared.load_cloud(prepared.frame(row)) for row in range(3)]
    there = tmp_path / "elsewhere" / "moved"
    there.parent.mkdir()
    shutil.move(prepared.folder, there)
    same_data(PreparedDataset.read(there), expected)


def test_a_source_named_relatively_is_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_drive(tmp_path / "raw")
    monkeypatch.chdir(tmp_path)
    prepared = prepare(Path("raw"), Path("out"))
    expected = [prepared.load_cloud(prepared.frame(row)) for row in range(3)]
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    same_data(PreparedDataset.read(tmp_path / "out"), expected)


# --- calibration ---------------------------------------------------------------------------------


def test_the_calibration_of_the_image_archives_is_told_from_that_of_calib_zip(tmp_path: Path) -> None:
    calib = write_drive(tmp_path / "raw") / "calib.txt"
    whole = calib.read_text()
    calib.write_text(re.sub(r"Tr: .*\n", "", whole))
    *_, fault = faults_of(tmp_path / "raw")
    for part in (f"{calib}: Tr is missing", "take calib.txt of data_odometry_calib.zip", "unpack it last", "cvlibs"):
        assert part in fault
    assert "fetch the file again" not in fault
    calib.write_text(whole)
    assert faults_of(tmp_path / "raw") == []


def test_another_key_of_the_calibration_is_in_the_same_archive(tmp_path: Path) -> None:
    calib = write_drive(tmp_path / "raw") / "calib.txt"
    calib.write_text(f"Tr: {TR}\n")
    *_, fault = faults_of(tmp_path / "raw")
    assert "P2 is missing" in fault
    assert "data_odometry_calib.zip" in fault


# --- images and clouds ---------------------------------------------------------------------------


def frames_of(prepared: PreparedDataset) -> list[object]:
    return [prepared.frames.frame_id.tolist(), prepared.frames.timestamp_ns.tolist()]


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".png"])
def test_jpeg_images_are_read_whatever_they_are_called(suffix: str, tmp_path: Path) -> None:
    folder = write_drive(tmp_path / "raw", size=(48, 24))
    before = prepare(tmp_path / "raw", tmp_path / "before")
    for path in sorted((folder / "image_2").iterdir()):
        as_jpeg(path, suffix)
    assert faults_of(tmp_path / "raw") == []
    found = prepare(tmp_path / "raw", tmp_path / "out")
    assert frames_of(found) == frames_of(before)
    assert found.load_image(found.frame(1)).shape == (24, 48, 3)


def test_a_jpeg_that_is_cut_off_is_named(tmp_path: Path) -> None:
    folder = write_drive(tmp_path / "raw", size=(48, 24))
    for path in sorted((folder / "image_2").iterdir()):
        as_jpeg(path, ".jpg")
    cut = folder / "image_2" / "000001.jpg"
    whole = cut.read_bytes()
    cut.write_bytes(whole[:-200])
    *_, fault = faults_of(tmp_path / "raw")
    assert fault.startswith(f"{cut}: not a readable image (cut off")
    cut.write_bytes(whole)
    prepare(tmp_path / "raw", tmp_path / "out")


@pytest.mark.parametrize("part", ["image_2", "velodyne"])
@pytest.mark.parametrize("digits", [10, 3])
def test_files_are_matched_by_number(part: str, digits: int, tmp_path: Path) -> None:
    folder = write_drive(tmp_path / "raw")
    before = prepare(tmp_path / "raw", tmp_path / "before")
    points = before.load_cloud(before.frame(2))
    renamed(folder / part, lambda path: f"{int(path.stem):0{digits}d}{path.suffix}")
    found = prepare(tmp_path / "raw", tmp_path / "out")
    assert frames_of(found) == frames_of(before)
    np.testing.assert_array_equal(found.load_cloud(found.frame(2)), points)


def test_a_raw_drive_with_other_digits_and_jpeg_images_is_the_same_drive(tmp_path: Path) -> None:
    folder = RawKitti(n_frames=3, lidar_points=400).write_raw(tmp_path / "raw")
    before = prepare(tmp_path / "raw", tmp_path / "before")
    renamed(folder / "velodyne_points" / "data", lambda path: f"{int(path.stem):06d}.bin")
    for path in sorted((folder / "image_02" / "data").iterdir()):
        as_jpeg(path, ".jpg")
    assert frames_of(prepare(tmp_path / "raw", tmp_path / "out")) == frames_of(before)


def test_two_files_of_one_number_are_named(tmp_path: Path) -> None:
    folder = write_drive(tmp_path / "raw")
    double = folder / "image_2" / "0000000001.png"
    shutil.copy(folder / "image_2" / "000001.png", double)
    *_, fault = faults_of(tmp_path / "raw")
    assert "0000000001.png and 000001.png have one frame number; take one of them away" in fault
    double.unlink()
    assert faults_of(tmp_path / "raw") == []


LACKS: dict[str, tuple[Callable[[Path], object], str]] = {
    "images of another format": (
        lambda folder: renamed(folder / "image_2", lambda path: f"{path.stem}.webp"),
        r"no numbered files in .*image_2, such as 000000 with \.png or \.jpg: found 3 others such as 000000\.webp",
    ),
    "images with words": (
        lambda folder: renamed(folder / "image_2", lambda path: f"frame_{path.name}"),
        r"found 3 others such as frame_000000\.png",
    ),
    "clouds as arrays": (
        lambda folder: renamed(folder / "velodyne", lambda path: f"{path.stem}.npy"),
        r"no numbered files in .*velodyne, such as .* with \.bin: found 3 others such as 000000\.npy",
    ),
    "no images": (lambda folder: shutil.rmtree(folder / "image_2"), "there is no such folder"),
    "grey images alone": (
        lambda folder: (folder / "image_2").rename(folder / "image_0"),
        "there is no such folder; images of other cameras are there: camera=0",
    ),
    "frames of two sequences": (
        lambda folder: renamed(folder / "velodyne", lambda path: f"{int(path.stem) + 100:06d}.bin"),
        "images are numbered 000000 to 000003, clouds 000100 to 000103; fetch both of one sequence",
    ),
}


@pytest.mark.parametrize("name", LACKS)
def test_what_is_there_instead_is_named(name: str, tmp_path: Path) -> None:
    change, words = LACKS[name]
    change(write_drive(tmp_path / "raw"))
    assert re.search(words, "; ".join(faults_of(tmp_path / "raw")))


def test_the_camera_that_is_named_can_be_taken(tmp_path: Path) -> None:
    folder = write_drive(tmp_path / "raw")
    (folder / "image_2").rename(folder / "image_0")
    assert any("camera=0" in fault for fault in faults_of(tmp_path / "raw"))
    list(Kitti(camera=0).prepare(tmp_path / "raw", tmp_path))
    assert len(PreparedDataset.read(tmp_path).frames) == len(STEMS)


def test_a_file_of_a_prepared_folder_that_was_damaged_is_made_anew_as_said(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    first = write_drive(raw) / "velodyne" / "000000.bin"
    points = np.fromfile(first, dtype="<f4").reshape(-1, 4)
    points[2, 0] = np.nan
    points.tofile(first)
    prepared = prepare(raw, out)
    expected = prepared.load_cloud(prepared.frame(0))
    np.save(out / prepared.frames.cloud[0], np.full((4, 3), np.nan, dtype=np.float32))
    with pytest.raises(CrossplaceError, match=f"if the suite did, delete {out} and"):
        prepared.load_cloud(prepared.frame(0))
    shutil.rmtree(out)
    again = prepare(raw, out)
    np.testing.assert_array_equal(again.load_cloud(again.frame(0)), expected)


def test_a_file_of_a_folder_of_ones_own_is_written_again_as_said(small_world: PreparedDataset, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(small_world.folder, tmp_path / "own"))
    own = PreparedDataset.read(folder)
    right = own.load_image(own.frame(0))
    Image.new("RGB", (8, 8)).save(folder / own.frames.image[0])
    with pytest.raises(CrossplaceError, match=r"expected 32×24 pixels .*; if the file is wrong, correct it if"):
        own.load_image(own.frame(0))
    Image.fromarray(right).save(folder / own.frames.image[0])
    np.testing.assert_array_equal(own.load_image(own.frame(0)), right)
