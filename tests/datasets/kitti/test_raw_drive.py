"""Drive 0009 of 2011_09_26 from its raw layout: original calibration, packets and stamps with the real frames."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from datasets.errors import CrossplaceError
from datasets.kitti import Kitti
from datasets.prepared import PreparedDataset
from datasets.projection import project

DAY, DRIVE = "2011_09_26", "2011_09_26_drive_0009"
NEVER_SCANNED = range(177, 181)
pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def raw(kitti_mini: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The raw download of the drive, as far as it is here: 11 frames, and images without scan at 177 to 180."""
    source, original = tmp_path_factory.mktemp("raw"), kitti_mini / "raw_meta" / DAY
    (folder := source / DAY / f"{DRIVE}_sync").mkdir(parents=True)
    for path in original.glob("calib_*.txt"):
        (source / DAY / path.name).symlink_to(path)
    (folder / "oxts").symlink_to(original / f"{DRIVE}_sync" / "oxts")
    for sensor, kind in (("image_02", "image_2"), ("velodyne_points", "velodyne")):
        (folder / sensor / "data").mkdir(parents=True)
        (folder / sensor / "timestamps.txt").symlink_to(original / f"{DRIVE}_sync" / sensor / "timestamps.txt")
        for path in (kitti_mini / "sequences" / "raw0009" / kind).iterdir():
            (folder / sensor / "data" / f"{int(path.stem):010d}{path.suffix}").symlink_to(path)
    image = next((folder / "image_02" / "data").iterdir()).resolve()
    for number in NEVER_SCANNED:
        (folder / "image_02" / "data" / f"{number:010d}.png").symlink_to(image)
    return source


def prepare(source: Path, folder: Path, **options: Any) -> PreparedDataset:
    list(Kitti(**options).prepare(source, folder, workers=1))
    return PreparedDataset.read(folder)


@pytest.fixture(scope="module")
def from_raw(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    return prepare(raw, tmp_path_factory.mktemp("from-raw"))


@pytest.fixture(scope="module")
def from_odometry(kitti_mini: Path, tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    """The same frames in the odometry layout: calibration, times and poses derived from the raw ones by other code."""
    return prepare(kitti_mini, tmp_path_factory.mktemp("from-odometry"), sequences=("raw0009",))


def test_frames_that_were_never_scanned_are_dropped_and_counted(from_raw: PreparedDataset, raw: Path) -> None:
    numbers = [int(frame_id.split("/")[1]) for frame_id in from_raw.frames.frame_id]
    assert numbers == [*range(0, 51, 5)]
    counts = {reason: n for reason, n in from_raw.counts.items() if n}
    assert counts == {"kept": 11, "dropped_no_cloud": 4, "scans_never_taken": 4, "frame_number_gaps": 10}
    (line,) = Kitti().check(raw)
    assert line.ok
    assert line.what == (
        f"drive {DRIVE}: 15 of 447 images, 11 of 447 clouds, 11 frames with both, 447 OXTS packets, "
        "4 scans never taken (blank time stamps)"
    )


def test_times_are_the_images_to_the_nanosecond(from_raw: PreparedDataset) -> None:
    first = np.datetime64("2011-09-26T13:08:24.967930880", "ns").astype(np.int64)
    assert from_raw.frames.timestamp_ns[0] == first
    seconds = (from_raw.frames.timestamp_ns - first) / 1e9
    assert np.abs(np.diff(seconds) - 0.517).max() < 0.001


def test_poses_and_times_are_those_of_the_odometry_layout(
    from_raw: PreparedDataset, from_odometry: PreparedDataset
) -> None:
    raw, odometry = from_raw.frames, from_odometry.frames
    np.testing.assert_allclose(raw.position_m, odometry.position_m, atol=1e-4)
    np.testing.assert_allclose(raw.quaternion_wxyz, odometry.quaternion_wxyz, atol=1e-6)
    np.testing.assert_allclose(raw.timestamp_ns - raw.timestamp_ns[0], odometry.timestamp_ns, atol=6000)


def test_projection_is_that_of_the_odometry_layout(from_raw: PreparedDataset, from_odometry: PreparedDataset) -> None:
    for row in range(11):
        pixels = []
        for dataset in (from_raw, from_odometry):
            frame = dataset.frame(row)
            assert frame.intrinsics is not None
            assert frame.camera_from_lidar is not None
            points = dataset.load_cloud(frame).astype(np.float64)
            pixels.append(project(points, frame.intrinsics, frame.camera_from_lidar)[0])
        np.testing.assert_allclose(*pixels, atol=1e-3)


def test_utm_differs_from_the_odometry_poses_by_one_rigid_motion(
    raw: Path, from_odometry: PreparedDataset, tmp_path: Path
) -> None:
    """Over these 55 m within 0.2 m: the odometry poses are on the scaled Mercator map, which is 0.2 % off."""
    pytest.importorskip("pyproj")
    frames = prepare(raw, tmp_path, poses="oxts").frames
    assert set(frames.world) == {"karlsruhe"}
    in_utm, local = (f.position_m - f.position_m.mean(0) for f in (frames, from_odometry.frames))
    motion, _ = Rotation.align_vectors(in_utm, local)
    np.testing.assert_allclose(motion.apply(local), in_utm, atol=0.2)
    driven = np.diff(frames.position_m[:, :2], axis=0)
    moving = np.linalg.norm(driven, axis=1) > 1
    heading = np.arctan2(*driven[:, ::-1].T)
    turn = (heading - frames.yaw_rad[:-1] + np.pi) % (2 * np.pi) - np.pi
    assert np.abs(turn[moving]).max() < 0.15, "it drives where it looks, on the grid"


def test_a_scan_where_none_was_taken_is_a_fault(raw: Path, tmp_path: Path) -> None:
    link_all(raw, tmp_path)
    clouds = tmp_path / DAY / f"{DRIVE}_sync" / "velodyne_points" / "data"
    (clouds / "0000000178.bin").symlink_to(clouds / "0000000005.bin")
    with pytest.raises(CrossplaceError, match=r"timestamps\.txt: no time on line 179, but there is a scan 0000000178"):
        prepare(tmp_path, tmp_path / "out")


@pytest.mark.parametrize("poses", ["odometry", "oxts"])
def test_a_frame_without_packet_is_dropped_and_counted(raw: Path, tmp_path: Path, poses: Any) -> None:
    pytest.importorskip("pyproj")
    link_all(raw, tmp_path)
    (tmp_path / DAY / f"{DRIVE}_sync" / "oxts" / "data" / "0000000050.txt").unlink()
    prepared = prepare(tmp_path, tmp_path / "out", poses=poses)
    assert (len(prepared.frames), prepared.counts["dropped_no_oxts"]) == (10, 1)


def link_all(source: Path, folder: Path) -> None:
    """A copy of the raw layout that may be changed."""
    for path in source.rglob("*"):
        if path.is_dir() and path.name == "oxts":
            for packet in path.rglob("*.txt"):
                copy = folder / path.relative_to(source) / packet.relative_to(path)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.symlink_to(packet.resolve())
        elif path.is_file():
            (folder / path.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
            (folder / path.relative_to(source)).symlink_to(path.resolve())
