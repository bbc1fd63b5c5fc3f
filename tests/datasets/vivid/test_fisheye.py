"""The Kannala-Brandt model against OpenCV and against its formula."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.vivid.fisheye import LIDAR_FROM_OS1, Calibration, _source_pixels, undistorted

cv2 = pytest.importorskip("cv2", reason="OpenCV is the oracle of undistortion")
PUBLISHED = Calibration()
K = np.array([[702.6030497884977, 0, 644.9296487349911], [0, 703.4541726858521, 526.4572414665469], [0, 0, 1]])
D = np.array([0.5424763304847061, -1.7515099175022195, 6.050489512760127, -5.786170959900578])


def opencv_maps(scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    k = K.copy()
    k[:2, :2] *= scale
    k[:2, 2] = (K[:2, 2] + 0.5) * scale - 0.5
    size = (round(1280 * scale), round(1024 * scale))
    found: tuple[np.ndarray, np.ndarray] = cv2.fisheye.initUndistortRectifyMap(k, D, np.eye(3), k, size, cv2.CV_32FC1)
    return found


@pytest.mark.parametrize("width", [1280, 640])
def test_source_pixels_are_opencvs_up_to_where_the_model_folds(width: int) -> None:
    column, row = _source_pixels(PUBLISHED, width)
    x, y = opencv_maps(width / 1280)
    is_seen = column > -1000
    assert 0.95 < is_seen.mean() < 1, "the corners are beyond the model"
    np.testing.assert_allclose(column[is_seen], x[is_seen], atol=2e-3)
    np.testing.assert_allclose(row[is_seen], y[is_seen], atol=2e-3)


def test_the_published_model_folds_before_the_corners_of_the_published_image() -> None:
    widest = PUBLISHED.widest_rad
    assert widest == pytest.approx(0.832, abs=2e-3)
    angles = np.linspace(0, widest, 1000)
    assert (np.diff(PUBLISHED.bent(angles)) > 0).all()
    at_the_fold, beyond = PUBLISHED.bent(np.array([widest, widest + 0.01]))
    assert beyond < at_the_fold
    corner = np.hypot((0 - 645.4) / 702.6, (0 - 527.0) / 703.5)
    assert np.arctan(corner) > widest


def test_without_folds_the_model_reaches_to_the_side() -> None:
    assert Calibration(distortion=(0.0, 0.0, 0.0, 0.0)).widest_rad == pytest.approx(np.pi / 2)


@given(st.floats(0, 0.83), st.floats(0, 2 * np.pi))
def test_a_point_of_the_scene_is_seen_where_opencv_projects_it(theta: float, around: float) -> None:
    point = np.array([[[np.sin(theta) * np.cos(around), np.sin(theta) * np.sin(around), np.cos(theta)]]])
    pixel, _ = cv2.fisheye.projectPoints(point, np.zeros(3), np.zeros(3), K, D)
    (distance,) = PUBLISHED.bent(np.array([theta]))
    k = PUBLISHED.raw
    x, y = k.fx * distance * np.cos(around) + k.cx - 0.5, k.fy * distance * np.sin(around) + k.cy - 0.5
    np.testing.assert_allclose(pixel.ravel(), [x, y], atol=1e-6)


def test_images_are_opencvs() -> None:
    random = np.random.default_rng(0)
    smooth = cv2.GaussianBlur(random.integers(0, 256, (1024, 1280, 3), dtype=np.uint8), (0, 0), 9)
    raw = np.clip((smooth.astype(float) - 127) * 12 + 127, 0, 255).astype(np.uint8)
    x, y = opencv_maps()
    expected = cv2.remap(raw, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT).astype(int)
    found = undistorted(raw, PUBLISHED, 1280)
    column, _ = _source_pixels(PUBLISHED, 1280)
    inside = (x > 1) & (y > 1) & (x < 1278) & (y < 1022) & (column > -1000)
    assert inside.mean() > 0.9
    assert np.abs(found.astype(int) - expected)[inside].max() <= 4, "OpenCV interpolates in steps of 1/32"
    assert not found[column < -1000].any()
    half = undistorted(raw, PUBLISHED, 640).astype(float)
    averaged = found.reshape(512, 2, 640, 2, 3).mean((1, 3))
    inner = inside.reshape(512, 2, 640, 2).all((1, 3))
    assert np.abs(half - averaged)[inner].mean() < 2


def test_the_camera_of_smaller_images_is_the_same_in_fractions_of_the_image() -> None:
    np.testing.assert_allclose(PUBLISHED.at_width(320).fractions(), PUBLISHED.raw.fractions())
    odd = PUBLISHED.at_width(333)
    assert (odd.width, odd.height) == (333, 266)
    np.testing.assert_allclose(odd.fractions(), PUBLISHED.raw.fractions())


def test_the_camera_looks_ahead_of_the_stored_clouds() -> None:
    camera_from_lidar = PUBLISHED.camera_from_lidar
    forward, left, up = camera_from_lidar[:3, :3].T
    assert forward[2] > 0.999, "forward is the camera's z"
    assert left[0] < -0.999, "left is its -x"
    assert up[1] < -0.999, "up is its -y"
    np.testing.assert_allclose(camera_from_lidar[:3, :3] @ camera_from_lidar[:3, :3].T, np.eye(3), atol=1e-6)
    # vxp.md 1.3: intended translation in (forward, left, up) of the camera frame.
    x, y, z = camera_from_lidar[:3, 3]
    np.testing.assert_allclose([z, -x, -y], [-0.0387, 0.3835, 0.3866], atol=1e-4)
    assert np.linalg.det(LIDAR_FROM_OS1) == 1
