"""The town written as KITTI and prepared again: the same places, poses and projections in every pose mode."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pyproj")

from pyproj import Proj
from scipy.spatial.transform import Rotation

from datasets.errors import CrossplaceError
from datasets.kitti import Kitti
from datasets.kitti.layout import DRIVES
from datasets.prepared import PreparedDataset
from datasets.projection import project
from datasets.samples.kitti import LIDAR_FROM_IMU, START, RawKitti

TOWN = RawKitti()
START_NS = int(START.astype(np.int64))


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sequences 04 and 08, the drive of 04 (complete, with sensors) and that of 08 (packets only)."""
    source = tmp_path_factory.mktemp("raw")
    TOWN.write_odometry(source, "04")
    for part in ("sequences/08", "poses/08.txt"):
        (source / part).symlink_to(source / part.replace("08", "04"))
    TOWN.write_raw(source / "drives")
    TOWN.write_oxts(source / "drives", number="0028", first=1100)
    return source


def prepare(source: Path, folder: Path, **options: Any) -> PreparedDataset:
    folder.mkdir(exist_ok=True)
    list(Kitti(**options).prepare(source, folder, workers=1))
    return PreparedDataset.read(folder)


def rotations(dataset: PreparedDataset) -> np.ndarray:
    return Rotation.from_quat(dataset.frames.quaternion_wxyz[:, [1, 2, 3, 0]]).as_matrix()


def test_odometry_poses_are_the_towns_in_the_first_camera(raw: Path, tmp_path: Path) -> None:
    frames = (prepared := prepare(raw, tmp_path, sequences=("04",))).frames
    expected = TOWN.world_from_lidar
    assert len(frames) == len(expected)
    assert set(frames.world) == {"kitti-04"}
    between = np.linalg.norm(expected[:, None, :3, 3] - expected[None, :, :3, 3], axis=2)
    found = np.linalg.norm(frames.position_m[:, None] - frames.position_m[None], axis=2)
    np.testing.assert_allclose(found, between, atol=1e-6)
    turned = expected[0, :3, :3].T @ expected[:, :3, :3]
    np.testing.assert_allclose(rotations(prepared)[0].T @ rotations(prepared), turned, atol=1e-9)
    np.testing.assert_allclose(frames.timestamp_ns, np.round(TOWN.times_s * 1e9), atol=10)
    assert frames.mercator_m is None


@pytest.mark.parametrize("sequence", ["04", "08", "2011_09_30_drive_0016"])
def test_oxts_poses_are_the_towns_in_utm(raw: Path, tmp_path: Path, sequence: str) -> None:
    """Headings are checked by the town, whose north is grid north; OXTS says them from true north, 0.4° aside."""
    is_raw = sequence.startswith("2011")
    source, oxts = (raw / "drives", None) if is_raw else (raw, raw / "drives")
    prepared = prepare(source, tmp_path, sequences=(sequence,), poses="oxts", oxts=oxts)
    frames = prepared.frames
    np.testing.assert_allclose(frames.position_m, TOWN.world_from_lidar[:, :3, 3], atol=1e-3)
    np.testing.assert_allclose(rotations(prepared), TOWN.world_from_lidar[:, :3, :3], atol=1e-6)
    np.testing.assert_allclose(frames.timestamp_ns, START_NS + np.round(TOWN.times_s * 1e9), atol=10)
    assert set(frames.world) == {"karlsruhe"}
    assert prepared.traversals[sequence].georeferenced


def test_sequences_and_their_drives_share_one_world(raw: Path, tmp_path: Path) -> None:
    frames = prepare(raw, tmp_path, sequences=("04", "08"), poses="oxts", oxts=raw / "drives").frames
    np.testing.assert_allclose(*(frames.position_m[frames.traversal == name] for name in ("04", "08")), atol=1e-6)


def test_check_wonders_at_packets_of_another_stretch(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kitti = Kitti(sequences=("04", "08"), oxts=raw / "drives")
    assert not any("differ by" in finding.what for finding in kitti.check(raw))
    monkeypatch.setitem(DRIVES, "08", (DRIVES["08"][0], 3))
    (wonder,) = (finding for finding in kitti.check(raw) if "differ by" in finding.what)
    assert wonder.what.startswith(
        "sequence 08: distances by its poses and by the OXTS packets of 2011_09_30_drive_0028"
    )


@pytest.mark.parametrize("poses", ["odometry", "oxts", "oxts-mercator"])
@pytest.mark.parametrize("sequence", ["04", "08"])
def test_mercator_is_the_imus_on_the_map_of_the_drives_first_packet(
    raw: Path, tmp_path: Path, poses: Any, sequence: str
) -> None:
    """That packet is a kilometre further north for 08, whose frame 0 is packet 1100."""
    prepared = prepare(raw, tmp_path, sequences=(sequence,), poses=poses, oxts=raw / "drives")
    latitude, longitude = TOWN.latitude_longitude.T
    first = latitude[0] + (np.rad2deg(1000 / 6_371_849) if sequence == "08" else 0)
    scale = prepared.traversals[sequence].mercator_scale
    assert scale == pytest.approx(np.cos(np.deg2rad(first)), abs=2e-6 if sequence == "08" else 1e-12)
    expected = np.stack(Proj(f"+proj=merc +R=6378137 +k={scale:.17g}")(longitude, latitude), axis=1)
    assert prepared.frames.mercator_m is not None
    np.testing.assert_allclose(prepared.frames.mercator_m, expected, atol=1e-5)


def test_published_poses_are_mercator_and_the_heading_from_true_east(raw: Path, tmp_path: Path) -> None:
    prepared = prepare(raw, tmp_path, sequences=("04",), poses="oxts-mercator", oxts=raw / "drives")
    frames = prepared.frames
    assert frames.mercator_m is not None
    np.testing.assert_array_equal(frames.position_m[:, :2], frames.mercator_m)
    packets = sorted((raw / "drives/2011_09_30/2011_09_30_drive_0016_sync/oxts/data").iterdir())
    np.testing.assert_allclose(frames.yaw_rad, [float(path.read_text().split()[5]) for path in packets], atol=1e-12)
    assert set(frames.world) == {"kitti-04"}
    assert prepared.traversals["04"].georeferenced, "its axes are east and north, not those of the first camera"
    imu = (TOWN.world_from_lidar @ LIDAR_FROM_IMU)[:, :3, 3]
    np.testing.assert_allclose(frames.position_m[:, 2], imu[:, 2], atol=1e-6)
    # A Mercator metre is another than a UTM metre, by less than 0.3 %.
    length = np.linalg.norm(np.diff(imu[:, :2], axis=0), axis=1)
    assert np.abs(np.linalg.norm(np.diff(frames.mercator_m, axis=0), axis=1) / length - 1).max() < 3e-3


@pytest.mark.parametrize("sequence", ["04", "2011_09_30_drive_0016"])
def test_points_land_on_the_surfaces_that_the_camera_sees(raw: Path, tmp_path: Path, sequence: str) -> None:
    """Depth of each projected point against the town's own depth image; shifted by 3 pixels it fits far less."""
    source = raw / "drives" if sequence.startswith("2011") else raw
    prepared, town = prepare(source, tmp_path, sequences=(sequence,)), TOWN.drive

    def share_that_fits(shift_px: int) -> float:
        fits = []
        for row, time in enumerate(town.frame_times_s()[: TOWN.n_frames].tolist()):
            frame = prepared.frame(row)
            assert frame.intrinsics is not None
            assert frame.camera_from_lidar is not None
            (pose,) = town.pose_at(np.array([time]))
            depth = town.camera.depth(town.scene_at(time), pose)
            pixels, depth_m = project(prepared.load_cloud(frame), frame.intrinsics, frame.camera_from_lidar)
            column, line = np.floor(pixels + np.array([shift_px, 0])).astype(int).T
            inside = (column >= 0) & (column < depth.shape[1])
            seen = depth[line[inside], column[inside]]
            fits.append(np.abs(seen / depth_m[inside] - 1) < 0.03)
        return float(np.concatenate(fits).mean())

    assert share_that_fits(0) > 0.85
    assert share_that_fits(0) > max(share_that_fits(-3), share_that_fits(3)) + 0.1


def test_a_raw_drive_is_what_the_odometry_sequence_cut_from_it_is(raw: Path, tmp_path: Path) -> None:
    odometry = prepare(raw, tmp_path / "odometry", sequences=("04",))
    drive = prepare(raw / "drives", tmp_path / "raw")
    assert drive.frames.traversal_names() == ["2011_09_30_drive_0016"], "packets alone are no sequence"
    assert drive.frames.frame_id[3] == "2011_09_30_drive_0016/0000000003"
    length_m = np.linalg.norm(np.ptp(odometry.frames.position_m, axis=0))
    np.testing.assert_allclose(drive.frames.position_m, odometry.frames.position_m, atol=3e-3 * length_m)
    np.testing.assert_allclose(rotations(drive), rotations(odometry), atol=1e-4)
    (of_odometry,), (of_drive,) = odometry.traversals.values(), drive.traversals.values()
    assert of_drive.intrinsics == of_odometry.intrinsics
    np.testing.assert_allclose(of_drive.camera_from_lidar, of_odometry.camera_from_lidar, atol=1e-9)
    assert of_drive.mercator_scale is not None


@pytest.mark.parametrize("camera", [0, 1, 3])
def test_other_cameras_are_shifted_along_the_baseline(raw: Path, tmp_path: Path, camera: Any) -> None:
    sequence = raw / "sequences" / "04"
    (tmp_path / "sequences" / "04").mkdir(parents=True)
    for name in ("calib.txt", "times.txt", "velodyne"):
        (tmp_path / "sequences" / "04" / name).symlink_to(sequence / name)
    (tmp_path / "sequences" / "04" / f"image_{camera}").symlink_to(sequence / "image_2")
    (tmp_path / "poses").symlink_to(raw / "poses")
    (traversal,) = prepare(tmp_path, tmp_path / "out", camera=camera).traversals.values()
    shift = traversal.camera_from_lidar @ np.linalg.inv(TOWN.camera0_from_lidar)
    right_m = {0: 0.0, 1: 0.54, 3: 0.48}[camera]
    np.testing.assert_allclose(shift[:3], np.c_[np.eye(3), [-right_m, 0, 0]], atol=1e-9)
    with pytest.raises(CrossplaceError, match="no frame with image and cloud"):
        prepare(tmp_path, tmp_path / "out2", camera=2)


def test_without_ground_only_what_stands_is_left(raw: Path, tmp_path: Path) -> None:
    whole = prepare(raw, tmp_path / "whole", sequences=("04",))
    cleared = prepare(raw, tmp_path / "cleared", sequences=("04",), remove_ground=True)
    assert cleared.counts["points_on_ground"] > 0
    before = [whole.load_cloud(whole.frame(row)) for row in range(TOWN.n_frames)]
    after = [cleared.load_cloud(cleared.frame(row)) for row in range(TOWN.n_frames)]
    assert sum(map(len, before)) - sum(map(len, after)) == cleared.counts["points_on_ground"]
    for cloud, rest in zip(before, after, strict=True):
        near = np.hypot(*rest[:, :2].T) < 10
        assert (rest[near, 2] > -1.9 + 0.1).all(), "the road lies 1.9 m below the LiDAR"
        tall = cloud[:, 2] > 0
        assert tall.sum() == (rest[:, 2] > 0).sum(), "nothing that stands is taken"
    again = prepare(raw, tmp_path / "again", sequences=("04",), remove_ground=True)
    for row in range(TOWN.n_frames):
        np.testing.assert_array_equal(again.load_cloud(again.frame(row)), after[row])
    other = prepare(raw, tmp_path / "other", sequences=("04",), remove_ground=True, seed=1)
    assert any(len(other.load_cloud(other.frame(row))) != len(after[row]) for row in range(TOWN.n_frames))


def test_the_town_lies_in_karlsruhe() -> None:
    latitude, longitude = TOWN.latitude_longitude.T
    assert ((latitude > 48.9) & (latitude < 49.1) & (longitude > 8.2) & (longitude < 8.6)).all()
