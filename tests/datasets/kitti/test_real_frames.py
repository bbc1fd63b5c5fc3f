"""The KITTI preparer on real frames of two drives, each with its own calibration."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_gradient_magnitude
from scipy.spatial.transform import Rotation

from datasets.kitti import Kitti
from datasets.prepared import PreparedDataset
from datasets.projection import project

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def prepared(kitti_mini: Path, tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    folder = tmp_path_factory.mktemp("kitti-mini")
    list(Kitti().prepare(kitti_mini, folder, workers=1))
    return PreparedDataset.read(folder)


def rows_of(dataset: PreparedDataset, traversal: str) -> list[int]:
    return [int(row) for row in np.flatnonzero(dataset.frames.traversal == traversal)]


def test_real_frames_are_all_there(prepared: PreparedDataset) -> None:
    assert (prepared.counts["kept"], prepared.counts["frame_number_gaps"]) == (22, 20)
    numbers = [int(frame_id.split("/")[1]) for frame_id in prepared.frames.frame_id]
    assert numbers == [*range(0, 51, 5)] * 2


def test_real_car_drives_forward_at_a_plausible_pace(prepared: PreparedDataset) -> None:
    """About 1.3 m a frame (0.1 s) on the road of sequence 04, in the direction the LiDAR looks; every fifth is here."""
    rows = rows_of(prepared, "04")
    step = np.diff(prepared.frames.position_m[rows], axis=0)
    per_frame_m = np.linalg.norm(step, axis=1) / 5
    assert ((per_frame_m > 1.2) & (per_frame_m < 1.5)).all()
    driven_rad = np.arctan2(step[:, 1], step[:, 0])
    np.testing.assert_allclose(driven_rad, prepared.frames.yaw_rad[rows[:-1]], atol=0.02)


@pytest.mark.parametrize("traversal", ["04", "raw0009"])
def test_real_projection_equals_the_published_matrices(
    prepared: PreparedDataset, kitti_mini: Path, traversal: str
) -> None:
    frame = prepared.frame(rows_of(prepared, traversal)[3])
    assert frame.intrinsics is not None
    assert frame.camera_from_lidar is not None
    calibration = {
        line.split(":")[0]: np.array(line.split(":")[1].split(), dtype=float).reshape(3, 4)
        for line in (kitti_mini / "sequences" / traversal / "calib.txt").read_text().splitlines()
    }
    points = prepared.load_cloud(frame).astype(np.float64)
    lidar = np.c_[points, np.ones(len(points))].T
    homogeneous = calibration["P2"] @ np.vstack([calibration["Tr"], [0, 0, 0, 1]]) @ lidar
    published = (homogeneous[:2] / homogeneous[2]).T + 0.5
    k = frame.intrinsics
    seen = (homogeneous[2] > 1e-3) & ((published >= 0) & (published < (k.width, k.height))).all(axis=1)
    pixels, depth_m = project(points, k, frame.camera_from_lidar)
    assert 10_000 < len(pixels) < len(points) / 4
    np.testing.assert_allclose(pixels, published[seen], atol=1e-6)
    np.testing.assert_allclose(depth_m, homogeneous[2][seen], atol=1e-9)


def test_real_road_lies_in_the_lower_half_of_the_image(prepared: PreparedDataset) -> None:
    for row in range(len(prepared.frames)):
        frame = prepared.frame(row)
        assert frame.intrinsics is not None
        assert frame.camera_from_lidar is not None
        points = prepared.load_cloud(frame)
        x, y, z = points.T
        ahead = (x > 6) & (x < 20) & (np.abs(y) < 2) & (np.abs(z + 1.7) < 0.3)
        pixels, _ = project(points[ahead], frame.intrinsics, frame.camera_from_lidar)
        assert len(pixels) > 200, frame.frame_id
        assert (pixels[:, 1] > frame.intrinsics.height / 2).all(), frame.frame_id


def depth_edges(points: np.ndarray) -> np.ndarray:
    """Points above the road where one surface ends before another, by 1 m at least, within 30 m."""
    range_m = np.hypot(points[:, 0], points[:, 1])
    before_a_gap = np.diff(range_m, append=0) > 1  # neighbours in the file are neighbours on a beam's circle
    after_a_gap = -np.diff(range_m, prepend=0) > 1
    return points[(before_a_gap | after_a_gap) & (range_m < 30) & (points[:, 2] > -1.2)]


@pytest.fixture(scope="module")
def contrast(prepared: PreparedDataset) -> Callable[..., float]:
    """How much the images of a drive change, on average, where depth edges are projected with a calibration."""
    found: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {"04": [], "raw0009": []}
    for traversal, frames in found.items():
        for row in rows_of(prepared, traversal):
            frame = prepared.frame(row)
            change = gaussian_gradient_magnitude(prepared.load_image(frame).mean(axis=2), 1.0)
            frames.append((depth_edges(prepared.load_cloud(frame)), np.minimum(change, 30)))

    def contrast(traversal: str, calibrated_as: str | None = None, shift_px: tuple[int, int] = (0, 0)) -> float:
        calibration, size = prepared.traversals[calibrated_as or traversal], prepared.traversals[traversal]
        assert calibration.intrinsics is not None
        assert calibration.camera_from_lidar is not None
        assert size.intrinsics is not None
        k = replace(calibration.intrinsics, width=size.intrinsics.width, height=size.intrinsics.height)
        means = []
        for points, change in found[traversal]:
            pixels, _ = project(points, k, calibration.camera_from_lidar)
            column, line = np.floor(pixels + shift_px).astype(int).T
            inside = (column >= 0) & (column < k.width) & (line >= 0) & (line < k.height)
            means.append(change[line[inside], column[inside]].mean())
        return float(np.mean(means))

    return contrast


@pytest.mark.parametrize("traversal", ["04", "raw0009"])
def test_real_depth_edges_meet_image_edges(contrast: Callable[..., float], traversal: str) -> None:
    """No shift of 12 pixels (1°) does better, and the best by steps of 4 is none or one: the scan takes a while."""
    shifts = list(product(range(-12, 13, 4), repeat=2))
    best = max(shifts, key=lambda shift: contrast(traversal, shift_px=shift))
    assert np.abs(best).max() <= 4, best
    far = [contrast(traversal, shift_px=shift) for shift in shifts if np.abs(shift).max() == 12]
    assert contrast(traversal) > max(far)


@pytest.mark.parametrize(("traversal", "other"), [("04", "raw0009"), ("raw0009", "04")])
def test_real_frames_fit_their_own_drives_calibration_best(
    contrast: Callable[..., float], traversal: str, other: str
) -> None:
    """VXP takes the calibration of drive 0009's day for all sequences."""
    assert contrast(traversal) > 1.1 * contrast(traversal, calibrated_as=other)


def test_real_quaternions_hold_the_published_rotations(prepared: PreparedDataset, kitti_mini: Path) -> None:
    """Undoing the axes and the extrinsics by hand gives back the pose line."""
    row = rows_of(prepared, "raw0009")[10]
    frames = prepared.frames
    world_from_lidar = Rotation.from_quat(frames.quaternion_wxyz[row][[1, 2, 3, 0]]).as_matrix()
    pose = np.loadtxt(kitti_mini / "poses" / "raw0009.txt")[50].reshape(3, 4)
    calib = (kitti_mini / "sequences" / "raw0009" / "calib.txt").read_text().splitlines()
    tr = np.array(next(line for line in calib if line.startswith("Tr")).split()[1:], dtype=float).reshape(3, 4)
    expected = pose[:, :3] @ tr[:, :3]
    np.testing.assert_allclose(world_from_lidar, [expected[2], -expected[0], -expected[1]], atol=1e-5)
    origin = pose @ [*tr[:, 3], 1]
    np.testing.assert_allclose(frames.position_m[row], [origin[2], -origin[0], -origin[1]], atol=1e-9)
