from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.spatial.transform import Rotation

from benchmark.report.figures.contact_sheet import COLUMN_IN, DPI, draw, sheet
from datasets.base import Frames, Intrinsics, Lidar, Traversal
from datasets.prepared import PreparedDataset, write_prepared
from datasets.projection import project

K = Intrinsics(fx=50.0, fy=40.0, cx=20.0, cy=10.0, width=40, height=20)
CAMERA_FROM_LIDAR = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])


def test_points_are_projected_where_computed_by_hand() -> None:
    points_m = np.array(
        [
            [10.0, 1.0, -0.5],  # 1 m left, 0.5 m down at depth 10: 20 - 5, 10 + 2
            [-10.0, 1.0, -0.5],  # behind
            [10.0, 4.0, 0.0],  # exactly at the left edge: still inside
            [10.0, -4.0, 0.0],  # exactly at the right edge: outside
            [5.0, 0.0, 1.5],  # above the image
            [20.0, 0.0, 0.0],  # the principal point
        ]
    )
    pixels, depth_m = project(points_m, K, CAMERA_FROM_LIDAR)
    np.testing.assert_allclose(pixels, [[15, 12], [0, 10], [20, 10]], atol=1e-12)
    np.testing.assert_allclose(depth_m, [10, 10, 20], atol=1e-12)


def test_an_empty_cloud_projects_to_nothing() -> None:
    pixels, depth_m = project(np.empty((0, 3), dtype=np.float32), K, CAMERA_FROM_LIDAR)
    assert (pixels.shape, depth_m.shape) == ((0, 2), (0,))


@given(st.integers(0, 2**32 - 1))
def test_a_pixel_and_its_depth_lead_back_to_the_point(seed: int) -> None:
    random = np.random.default_rng(seed)
    camera_from_lidar = np.eye(4)
    camera_from_lidar[:3, :3] = Rotation.random(random_state=random).as_matrix()
    camera_from_lidar[:3, 3] = random.normal(size=3)
    pixels = random.uniform((0, 0), (K.width, K.height), size=(5, 2))
    depth_m = random.uniform(0.5, 80, size=5)
    in_camera = np.c_[(pixels - (K.cx, K.cy)) / (K.fx, K.fy) * depth_m[:, None], depth_m]
    points_m = (in_camera - camera_from_lidar[:3, 3]) @ camera_from_lidar[:3, :3]
    found, found_depth_m = project(points_m, K, camera_from_lidar)
    np.testing.assert_allclose(found, pixels, atol=1e-6)
    np.testing.assert_allclose(found_depth_m, depth_m, rtol=1e-9)


@pytest.fixture
def dataset(tmp_path: Path) -> PreparedDataset:
    """Ten frames by day with everything, two by night with an image only, two with a cloud only, one by snow with
    neither calibration nor intrinsics."""
    names = ["day"] * 10 + ["night"] * 4 + ["snow"]
    n = len(names)
    Image.new("RGB", (K.width, K.height), (255, 255, 255)).save(tmp_path / "image.png")
    np.save(tmp_path / "cloud.npy", np.array([[10.0, 1.0, -0.5], [10.0, -1.0, 0.5]], dtype=np.float32))
    image = ["image.png"] * 12 + [""] * 2 + ["image.png"]
    cloud = ["cloud.npy"] * 10 + [""] * 2 + ["cloud.npy"] * 3
    traversals = [
        Traversal(
            name=name,
            condition=name,
            georeferenced=False,
            intrinsics=None if name == "snow" else K,
            camera_from_lidar=None if name == "snow" else CAMERA_FROM_LIDAR,
            lidar=Lidar(beams=2, vertical_fov_deg=(-3.0, 3.0), max_range_m=20.0, form="scan"),
        )
        for name in ("day", "night", "snow")
    ]
    frames = Frames(
        frame_id=np.array([f"f{i}" for i in range(n)], dtype=object),
        traversal=np.array(names, dtype=object),
        world=np.array(["w"] * n, dtype=object),
        timestamp_ns=np.arange(n),
        position_m=np.zeros((n, 3)),
        quaternion_wxyz=np.tile([1.0, 0, 0, 0], (n, 1)),
        yaw_rad=np.zeros(n),
        image=np.array(image, dtype=object),
        cloud=np.array(cloud, dtype=object),
    )
    write_prepared(
        tmp_path,
        name="toy",
        version=1,
        options={},
        fingerprint="",
        traversals=traversals,
        frames=frames,
        counts={},
    )
    return PreparedDataset.read(tmp_path)


def test_a_block_a_condition_with_evenly_spread_frames(dataset: PreparedDataset) -> None:
    titles = [axes.get_title() for axes in sheet(dataset, frames_per_condition=2).axes if axes.get_title()]
    assert titles == ["f2", "f7", "f11", "f13", "f14"]


def test_points_are_drawn_on_the_image_and_from_above_where_computed(dataset: PreparedDataset) -> None:
    first, *_ = scatters = [axes for axes in sheet(dataset, 1).axes if axes.collections and not axes.get_ylabel()]
    np.testing.assert_allclose(np.asarray(first.collections[0].get_offsets()), [[15, 12], [25, 8]], atol=1e-5)
    assert (first.get_xlim(), first.get_ylim()) == ((0, K.width), (K.height, 0))
    # Forward is up, left is left; lower points are drawn first.
    np.testing.assert_allclose(np.asarray(scatters[1].collections[0].get_offsets()), [[-1, 10], [1, 10]], atol=1e-5)


def test_the_file_is_a_picture_of_the_right_size_with_something_on_it(dataset: PreparedDataset, tmp_path: Path) -> None:
    path = tmp_path / "sheets" / "toy.png"
    draw(dataset, path, frames_per_condition=3)
    with Image.open(path) as picture:
        (width, height), colours = picture.size, picture.getcolors(maxcolors=2**24)
    assert 3 * COLUMN_IN * DPI < width < 4 * COLUMN_IN * DPI
    assert height > 3 * COLUMN_IN * DPI  # three views from above, one a block
    assert colours is not None
    assert len(colours) > 50
