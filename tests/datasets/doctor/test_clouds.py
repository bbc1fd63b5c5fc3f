"""Facts of clouds, cameras and of the motion between clouds, against values computed by hand."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy import ndarray
from scipy.spatial.transform import Rotation

from datasets.base import Intrinsics, Lidar
from datasets.doctor.cameras import of_calibration, of_image, of_view, shares_less_alike, thumbnail
from datasets.doctor.clouds import cells_of, ground_m, of_cloud, of_sensor
from datasets.doctor.motion import AS_GIVEN, READINGS, overlap

LIDAR = Lidar(beams=16, vertical_fov_deg=(-15.0, 15.0), max_range_m=50.0, form="scan")
CAMERA_FROM_LIDAR = np.array([[0, -1.0, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
PINHOLE = Intrinsics(fx=50.0, fy=50.0, cx=50.0, cy=40.0, width=100, height=80)


def scene(seed: int = 0) -> ndarray:
    """A floor 1.8 m below, and thin poles of 4 m everywhere, in metres; no symmetry."""
    random = np.random.default_rng(seed)
    floor = np.column_stack([random.uniform(-40, 40, (4000, 2)), np.full(4000, -1.8)])
    feet = random.uniform(-40, 40, (60, 2))
    poles = np.concatenate([np.column_stack([np.tile(foot, (40, 1)), np.linspace(-1.8, 2.2, 40)]) for foot in feet])
    return np.concatenate([floor, poles]).astype(np.float32)


def test_points_beyond_the_range_and_outside_the_view() -> None:
    points = np.array([[10, 0, 0], [0, 30, 0], [60, 0, 0], [10, 0, 10], [0, 10, -10]], dtype=np.float32)
    facts = of_cloud(points, LIDAR)
    assert facts["beyond-range"] == pytest.approx(1 / 5)
    assert facts["outside-view"] == pytest.approx(2 / 5)
    assert facts["points"] == 5
    assert facts["high"] == 0
    submap = Lidar(beams=1, vertical_fov_deg=(-90.0, 90.0), max_range_m=50.0, form="submap")
    assert "outside-view" not in of_cloud(points, submap)
    assert "ground" not in of_cloud(points, submap)
    assert "beyond-range" not in of_cloud(points, None)


def test_a_cloud_without_points_and_points_as_large_as_numbers_get() -> None:
    assert of_cloud(np.empty((0, 3), dtype=np.float32), LIDAR) == {"empty-clouds": 1.0}
    huge = np.full((50, 3), np.finfo(np.float32).max, dtype=np.float32)
    facts = of_cloud(huge, LIDAR)
    assert all(value is None or np.isfinite(value) for value in facts.values())
    assert facts["high"] == facts["beyond-range"] == 1


def test_points_far_below() -> None:
    points = np.column_stack([np.full((4, 2), 5.0), [-1.7, 8.0, 7.0, 9.0]])
    assert of_cloud(points, None)["below"] == 0
    assert of_cloud(points * [1, -1, -1], None)["below"] == 0.75, "upside down"


def test_a_mark_of_missing_returns_is_the_most_frequent_point() -> None:
    points = scene()
    assert of_cloud(points, LIDAR)["repeated-points"] < 0.01
    points[::3] = -1
    assert of_cloud(points, LIDAR)["repeated-points"] == pytest.approx(1 / 3, abs=0.05)


def test_height_of_the_ground() -> None:
    assert ground_m(scene()) == pytest.approx(-1.8, abs=0.05)
    assert ground_m(scene() * np.float32([1, 1, -1])) > 0
    assert ground_m(scene()[:5]) is None


def test_description_of_a_sensor() -> None:
    assert of_sensor(LIDAR) == {"field-of-view": 30.0, "max-range": 50.0}


def test_calibration_of_an_upright_camera_that_looks_ahead() -> None:
    facts = of_calibration(PINHOLE, CAMERA_FROM_LIDAR)
    assert facts == {
        "principal-point": 0.0,
        "principal-height": 0.0,
        "focal-length": 0.5,
        "pixel-aspect": 1.0,
        "camera-upright": 0.0,
        "camera-axes": None,
        "camera-ahead": 0.0,
        "camera-away": 0.0,
    }
    assert of_calibration(None, None) == {}


@given(st.floats(-80, 80), st.floats(-60, 60), st.floats(0.1, 4))
def test_a_mount_turned_by_known_angles(yaw_deg: float, roll_deg: float, away_m: float) -> None:
    turned = np.eye(4)
    turned[:3, :3] = (
        Rotation.from_euler("yz", [yaw_deg, roll_deg], degrees=True).as_matrix() @ CAMERA_FROM_LIDAR[:3, :3]
    )
    turned[:3, 3] = -turned[:3, :3] @ [away_m, 0, 0]
    facts = of_calibration(None, turned)
    up = turned[:3, :3] @ [0, 0, 1]
    assert facts["camera-upright"] == pytest.approx(np.degrees(np.arccos(np.clip(-up[1], -1, 1))), abs=1e-4)
    assert facts["camera-away"] == pytest.approx(away_m)


def test_an_inverted_mount_lies_on_its_side() -> None:
    assert of_calibration(None, np.linalg.inv(CAMERA_FROM_LIDAR))["camera-axes"] == pytest.approx(90)
    assert of_calibration(None, np.eye(4))["camera-axes"] == pytest.approx(90)


def test_points_in_view() -> None:
    # With 50 pixels of focal length, half the width is seen at 45° and half the height at 38.7°.
    points = np.array([[10, 0, 0], [10, 9.9, 0], [10, 10.1, 0], [10, 0, 7.9], [10, 0, 8.1], [-10, 0, 0]])
    facts = of_view(points.astype(np.float32), PINHOLE, CAMERA_FROM_LIDAR)
    assert facts["in-view"] == pytest.approx(3 / 6)
    assert facts["view-covered"] == pytest.approx(2 / 16)
    assert of_view(points[:0], PINHOLE, CAMERA_FROM_LIDAR) == {}


def test_pictures_with_and_without_anything_on_them() -> None:
    assert of_image(np.full((8, 8, 3), 7, dtype=np.uint8)) == {"blank-images": 1.0, "brightness": 7.0}
    half = np.zeros((8, 8, 3), dtype=np.uint8)
    half[:4] = 200
    assert of_image(half) == {"blank-images": 0.0, "brightness": 100.0}


@pytest.mark.parametrize("size", [(3, 5), (24, 32), (97, 131), (240, 320)])
def test_a_thumbnail_holds_block_means_without_level_and_contrast(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)
    small = thumbnail(pixels)
    assert small.shape == (min(size[0], 24) * min(size[1], 32),)
    assert small.mean() == pytest.approx(0, abs=1e-6)
    assert small.std() == pytest.approx(1, abs=1e-6)
    assert np.allclose(thumbnail((pixels // 2).astype(np.uint8)), small, atol=0.1)


def test_images_in_order_resemble_the_next_one_more_than_far_ones() -> None:
    random = np.random.default_rng(0)
    pictures = list(random.normal(size=(10, 50)))
    nexts = [picture + random.normal(scale=0.1, size=50) for picture in pictures]
    position_m = np.column_stack([np.arange(10) * 100.0, np.zeros((10, 2))])
    assert shares_less_alike(pictures, nexts, position_m) == [1.0] * 10
    mixed = shares_less_alike(pictures, nexts[5:] + nexts[:5], position_m)
    assert 0.1 < float(np.mean(mixed)) < 0.7
    assert shares_less_alike(pictures, nexts, position_m * 0) == [], "nothing is far"


def moved(points: ndarray, a_from_b: ndarray) -> ndarray:
    """``points`` of ``a`` as ``b`` sees them."""
    b_from_a = np.linalg.inv(a_from_b)
    return points @ b_from_a[:3, :3].T + b_from_a[:3, 3]


def motion(x_m: float = 6.0, yaw_deg: float = 20.0) -> ndarray:
    a_from_b = np.eye(4)
    a_from_b[:3, :3] = Rotation.from_euler("z", yaw_deg, degrees=True).as_matrix()
    a_from_b[0, 3] = x_m
    return a_from_b


def test_clouds_that_move_as_their_poses_do() -> None:
    found = overlap(scene(), moved(scene(), motion()), motion())
    assert found is not None
    assert found[AS_GIVEN] > 0.8
    assert max(value for name, value in found.items() if name != AS_GIVEN) < 0.5
    assert overlap(scene()[:20], scene()[:20], motion()) is None, "too few points"
    flat = scene() * np.float32([1, 1, 0])
    assert overlap(flat, flat, motion()) is None, "nothing stands"


@pytest.mark.parametrize("name", [name for name in READINGS if name != AS_GIVEN])
def test_clouds_read_in_another_way_are_found_by_that_way(name: str) -> None:
    inverse = np.linalg.inv(np.array(READINGS[name], dtype=np.float64))
    a, b = scene() @ inverse.T, moved(scene(), motion()) @ inverse.T
    found = overlap(a, b, motion())
    assert found is not None
    assert found[name] == pytest.approx(max(found.values()), abs=0.02)
    assert found[name] > found[AS_GIVEN] + 0.12


def test_readings_are_rotations_reflections_and_sizes() -> None:
    for rows in READINGS.values():
        matrix = np.array(rows, dtype=np.float64)
        size = abs(np.linalg.det(matrix)) ** (1 / 3)
        assert np.allclose(matrix @ matrix.T, size**2 * np.eye(3))


def test_the_names_of_readings_are_not_shared() -> None:
    seen: list[Sequence[Sequence[float]]] = list(READINGS.values())
    assert all(a != b for i, a in enumerate(seen) for b in seen[:i])


@given(places=arrays(np.float64, st.tuples(st.integers(0, 40), st.just(2)), elements=st.floats(-60, 60)))
def test_cells_are_numbered_as_by_sorting_their_corners(places: np.ndarray) -> None:
    found = cells_of(places, 1.5)
    if len(places) == 0:
        assert len(found) == 0
        return
    corners = np.floor(places / 1.5).astype(np.int64)
    assert found.tolist() == np.unique(corners, axis=0, return_inverse=True)[1].reshape(-1).tolist()
