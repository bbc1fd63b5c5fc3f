"""The camera: its files, undistortion against a loop over pixels, and the pinhole of the stored image."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.errors import CrossplaceError
from datasets.oxford.camera import MODEL, TABLE, read_camera
from datasets.pixels import demosaic
from datasets.samples.oxford import DistortedCamera, RawRun, mosaiced, write_models

W, H = 32, 24


@pytest.fixture
def models(tmp_path: Path) -> Path:
    write_models(tmp_path / "models", RawRun(size=(W, H)).camera)
    return tmp_path / "models"


@pytest.fixture
def colours() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (H, W, 3), dtype=np.uint8)


def save(image: np.ndarray, folder: Path) -> Path:
    path = folder / "1403772868000000.png"
    Image.fromarray(image).save(path)
    return path


def naive(image: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Undistorted pixel by pixel; table rows are all columns, then all rows, of the distorted image."""
    x, y = table
    result = np.zeros((H * W, 3))
    for i in range(H * W):
        if 0 <= x[i] <= W - 1 and 0 <= y[i] <= H - 1:
            c, r = min(int(x[i]), W - 2), min(int(y[i]), H - 2)
            a, b = x[i] - c, y[i] - r
            corner = image[r : r + 2, c : c + 2].astype(float)
            result[i] = (1 - b) * ((1 - a) * corner[0, 0] + a * corner[0, 1])
            result[i] += b * ((1 - a) * corner[1, 0] + a * corner[1, 1])
    return result.reshape(H, W, 3)


def test_a_colour_image_is_undistorted_by_the_table(models: Path, colours: np.ndarray) -> None:
    found = read_camera(models).undistorted(save(colours, models))
    table = np.fromfile(models / TABLE).reshape(2, -1)
    np.testing.assert_allclose(found, naive(colours, table), atol=0.51)


def test_an_image_without_colour_is_what_the_sensor_measured(models: Path, colours: np.ndarray) -> None:
    raw = mosaiced(colours)
    assert raw[0, :2].tolist() == [colours[0, 0, 1], colours[0, 1, 2]]  # green, blue
    assert raw[1, :2].tolist() == [colours[1, 0, 0], colours[1, 1, 1]]  # red, green
    found = read_camera(models).undistorted(save(raw, models))
    table = np.fromfile(models / TABLE).reshape(2, -1)
    np.testing.assert_allclose(found, naive(demosaic(raw, "gbrg"), table), atol=0.51)


def test_intrinsics_follow_the_corners_of_a_resized_image(models: Path) -> None:
    camera = read_camera(models)
    k = camera.intrinsics((W, H), (8, 6))
    (fx, fy), (cx, cy) = camera.focal_px, camera.centre_px
    assert (k.width, k.height) == (8, 6)
    assert (k.fx, k.fy) == pytest.approx((fx / 4, fy / 4))
    # The ray through the left upper corner of the raw image (half a pixel before its first centre) still does.
    assert -k.cx / k.fx == pytest.approx((-0.5 - cx) / fx)
    assert (k.height - k.cy) / k.fy == pytest.approx((H - 0.5 - cy) / fy)


def test_the_published_camera_at_320_by_240(tmp_path: Path) -> None:
    write_models(tmp_path, RawRun(size=(W, H)).camera)
    axes = "0 0 1 0\n1 0 0 0\n0 1 0 0\n0 0 0 1"
    (tmp_path / MODEL).write_text(f"964.828979 964.828979 643.788025 484.407990\n{axes}\n")
    k = read_camera(tmp_path).intrinsics((1280, 960), (320, 240))
    expected = (0.75377264, 1.00503019, 0.50295939 + 0.5 / 1280, 0.50459166 + 0.5 / 960)  # VXP, and half a pixel
    assert k.fractions() == pytest.approx(expected, abs=1e-7)


def test_the_cloud_frame_is_the_camera_turned(models: Path) -> None:
    ahead, left, up = read_camera(models).camera_from_cloud[:3, :3].T
    assert (ahead.tolist(), left.tolist(), up.tolist()) == ([0, 0, 1], [-1, 0, 0], [0, -1, 0])
    assert read_camera(models).camera_from_cloud[:3, 3].tolist() == [0, 0, 0]


def test_missing_files_are_all_named_with_where_they_are(tmp_path: Path) -> None:
    with pytest.raises(CrossplaceError, match=f"no {MODEL} and no {TABLE}; copy them from https://.*models=DIR"):
        read_camera(tmp_path)


def test_an_image_of_another_size_is_refused(models: Path) -> None:
    path = save(np.zeros((H, W - 1, 3), dtype=np.uint8), models)
    with pytest.raises(CrossplaceError, match=f"31×24 pixels, but .*{TABLE} is for 768"):
        read_camera(models).undistorted(path)


@pytest.mark.parametrize("content", [b"", bytes(24), b"version https://git-lfs.github.com/spec/v1", b"\xff" * 16])
def test_a_broken_table_is_a_sentence(models: Path, content: bytes) -> None:
    (models / TABLE).write_bytes(content)
    with pytest.raises(CrossplaceError, match=TABLE):
        read_camera(models)


@pytest.mark.parametrize(
    ("name", "change"),
    {
        "columns and rows exchanged": lambda table: table[::-1],
        "in pairs": lambda table: table.T,
        "column by column": lambda table: table.reshape(2, H, W).swapaxes(1, 2),
        "of double the size": lambda table: table * 2,
        "all zero": lambda table: table * 0,
    }.items(),
)
def test_a_table_that_does_not_lead_from_pixel_to_pixel_is_refused(
    models: Path, colours: np.ndarray, name: str, change: Callable[[np.ndarray], np.ndarray]
) -> None:
    good, path = (models / TABLE).read_bytes(), save(colours, models)
    np.ascontiguousarray(change(np.frombuffer(good).reshape(2, -1))).tofile(models / TABLE)
    with pytest.raises(CrossplaceError, match=f"{TABLE}: from a pixel to the one .* copy it from https://"):
        read_camera(models).undistorted(path)
    (models / TABLE).write_bytes(good)
    read_camera.cache_clear()
    read_camera(models).undistorted(path)


@pytest.mark.parametrize(
    "text", ["", "900 900 640", "900 900 640 480\n1 0 0 0\n", "900 900 far 480", "-9 9 6 4" + "\n1 0 0 0" * 4]
)
def test_a_broken_model_is_a_sentence(models: Path, text: str) -> None:
    (models / MODEL).write_text(text)
    with pytest.raises(CrossplaceError, match=MODEL):
        read_camera(models)


def test_the_camera_of_the_tests_distorts_by_its_table() -> None:
    """Rays of the distorted image, projected ideally and looked up in the table, come back to their pixels."""
    camera: DistortedCamera = RawRun(size=(W, H)).camera
    k = camera.intrinsics
    rays = camera._rays((0.5, 0.5)).reshape(H, W, 3).astype(float)
    x, y = k.fx * rays[..., 0] / rays[..., 2] + k.cx - 0.5, k.fy * rays[..., 1] / rays[..., 2] + k.cy - 0.5
    inner = (slice(4, -4), slice(4, -4))
    from scipy.ndimage import map_coordinates

    for lookup, expected in zip(camera.table(), np.meshgrid(np.arange(W), np.arange(H)), strict=True):
        found = map_coordinates(lookup, [y[inner], x[inner]], order=3)
        np.testing.assert_allclose(found, expected[inner], atol=0.01)
