import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from torch import Tensor

from datasets.prepared import PreparedDataset
from methods.batch import Sample, load_sample
from methods.layers.projection import Projection, network_from_lidar, project, transform_points
from methods.layers.voxels import VoxelGrid, voxelize
from methods.learning.augment import colour_jitter, mirror, random_affine, random_rigid

SEEDS = range(20)


def generator(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def picture(height: int = 24, width: int = 32) -> Tensor:
    return torch.randint(40, 200, (3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))


# --- images --------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [colour_jitter, random_affine])
def test_images_change_by_the_generator_alone(change) -> None:
    image = picture()
    assert torch.equal(change(image, generator(1)), change(image, generator(1)))
    assert not torch.equal(change(image, generator(1)), change(image, generator(2)))
    assert torch.equal(image, picture())


def test_jitter_stays_near_the_picture() -> None:
    # a grey picture has no hue or saturation to change; contrast keeps its mean
    grey = torch.full((3, 8, 8), 100, dtype=torch.uint8)
    levels = torch.stack([colour_jitter(grey, generator(seed)) for seed in SEEDS]).int()
    assert levels.min() >= 89
    assert levels.max() <= 111
    assert levels.unique().numel() > 5


def test_jitter_of_no_strength_changes_nothing() -> None:
    assert torch.equal(colour_jitter(picture(), generator(0), strength=0.0), picture())


def test_affine_of_no_strength_changes_nothing() -> None:
    assert torch.equal(random_affine(picture(), generator(0), degrees=0.0, shift=0.0), picture())


def test_affine_moves_a_spot_within_a_tenth_of_the_size_and_turns_it_by_five_degrees_at_most() -> None:
    height, width = 100, 200
    image = torch.zeros(3, height, width, dtype=torch.uint8)
    image[:, 45:55, 95:105] = 255
    centres = []
    for seed in SEEDS:
        rows, columns = random_affine(image, generator(seed))[0].nonzero().float().mean(0).tolist()
        centres.append((columns - 99.5, rows - 49.5))
    shifts = np.array(centres)
    assert (np.abs(shifts) <= [0.1 * width + 1, 0.1 * height + 1]).all()
    assert (np.abs(shifts).max(0) > [0.05 * width, 0.05 * height]).all()


def test_affine_leaves_black_outside_and_only_colours_of_the_picture() -> None:
    image = picture()
    moved = random_affine(image, generator(0), shift=0.3)
    assert {tuple(p) for p in moved.flatten(1).T.tolist()} - {tuple(p) for p in image.flatten(1).T.tolist()} == {
        (0, 0, 0)
    }


# --- mirror --------------------------------------------------------------------------------------


def seen(sample: Sample, points: Tensor) -> Projection:
    matrix = network_from_lidar(sample.camera_from_lidar[None])
    index = torch.zeros(len(points), dtype=torch.long)
    return project(transform_points(matrix, points, index), index, sample.intrinsics[None])


@pytest.fixture
def sample(small_world: PreparedDataset) -> Sample:
    """A frame whose camera sits to the side and is turned, and whose principal point is off the centre."""
    loaded = load_sample(small_world, small_world.frame(0), ("image", "cloud"))
    turn = torch.eye(4)
    turn[:3, :3] = torch.from_numpy(Rotation.from_euler("xyz", [0.05, -0.1, 0.03]).as_matrix())
    turn[:3, 3] = torch.tensor([0.3, -0.1, 0.2])
    return replace(
        loaded, intrinsics=torch.tensor([0.5, 0.7, 0.55, 0.48]), camera_from_lidar=turn @ loaded.camera_from_lidar
    )


def test_mirrored_points_land_on_the_mirrored_pixels(sample: Sample) -> None:
    mirrored = mirror(sample)
    before, after = seen(sample, sample.points), seen(mirrored, mirrored.points)
    assert before.in_view.sum() > 20
    torch.testing.assert_close(after.uv[:, 0], 1 - before.uv[:, 0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(after.uv[:, 1], before.uv[:, 1], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(after.depth_m, before.depth_m)
    assert torch.equal(mirrored.image, sample.image.flip(-1))


def test_mirrored_voxels_land_on_the_mirrored_pixels(sample: Sample) -> None:
    grid = VoxelGrid()

    def centres(s: Sample) -> Tensor:
        index = torch.zeros(len(s.points), dtype=torch.long)
        points = transform_points(network_from_lidar(s.camera_from_lidar[None]), s.points, index)
        voxels = voxelize(points, index, 1, grid)
        found = project(
            grid.centres_m(voxels.sites.indices[:, 1:].flip(1), like=points),
            voxels.sites.indices[:, 0],
            s.intrinsics[None],
        )
        rows = torch.column_stack([found.uv, found.depth_m])[found.in_view]
        return rows * torch.tensor([-1.0, 1.0, 1.0]) + torch.tensor([1.0, 0.0, 0.0]) if s is sample else rows

    def ordered(rows: Tensor) -> list[list[float]]:
        return sorted([round(value, 3) for value in row] for row in rows.tolist())

    before, after = ordered(centres(sample)), ordered(centres(mirror(sample)))
    assert len(before) > 20
    np.testing.assert_allclose(after, before, atol=2e-3)


def test_a_mirrored_calibration_is_rigid_and_keeps_its_handedness(sample: Sample) -> None:
    matrix = mirror(sample).camera_from_lidar
    torch.testing.assert_close(matrix[:3, :3] @ matrix[:3, :3].T, torch.eye(3), atol=1e-6, rtol=0)
    assert float(torch.linalg.det(matrix[:3, :3])) == pytest.approx(1)
    assert matrix[3].tolist() == [0, 0, 0, 1]


def test_a_mirror_image_of_the_mirror_image_is_the_frame_itself(sample: Sample) -> None:
    again = mirror(mirror(sample))
    assert torch.equal(again.image, sample.image)
    assert torch.equal(again.points, sample.points)
    torch.testing.assert_close(again.intrinsics, sample.intrinsics)
    torch.testing.assert_close(again.camera_from_lidar, sample.camera_from_lidar)


def test_a_frame_with_nothing_but_its_pose_mirrors(small_world: PreparedDataset) -> None:
    bare = Sample(frame=small_world.frame(0), image=None, points=None, intrinsics=None, camera_from_lidar=None)
    assert mirror(bare) == replace(bare, is_mirrored=True)
    assert mirror(mirror(bare)) == bare


# --- rigid motion --------------------------------------------------------------------------------


def motion(seed: int, **limits: float) -> tuple[np.ndarray, np.ndarray]:
    """Rotation matrix and shift of the motion drawn by a seed, read off four points."""
    points = torch.cat([torch.zeros(1, 3), torch.eye(3)]).double()
    moved = random_rigid(points, generator(seed), **limits).numpy()
    return (moved[1:] - moved[0]).T, moved[0]


@given(st.integers(0, 2**31))
@settings(max_examples=100, deadline=None)
def test_random_motion_is_rigid_and_within_its_limits(seed: int) -> None:
    rotation, shift_m = motion(seed)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(rotation) == pytest.approx(1)
    roll, pitch, yaw = Rotation.from_matrix(rotation).as_euler("XYZ", degrees=True)
    assert np.abs(shift_m).max() <= 1.5
    assert max(abs(roll), abs(pitch)) <= 2 + 1e-9
    assert abs(yaw) <= 10 + 1e-9


def test_random_motion_uses_the_whole_of_its_limits() -> None:
    motions = [motion(seed) for seed in range(200)]
    angles = np.array([Rotation.from_matrix(rotation).as_euler("XYZ", degrees=True) for rotation, _ in motions])
    shifts = np.array([shift for _, shift in motions])
    for values, limit in [*zip(angles.T, (2, 2, 10), strict=True), *((column, 1.5) for column in shifts.T)]:
        assert values.max() > 0.9 * limit
        assert values.min() < -0.9 * limit


def test_yaw_is_counter_clockwise_seen_from_above() -> None:
    # roll and pitch off: x turns towards y by the yaw that the generator draws third
    yaw = generator(5).uniform([0, 0, -math.pi / 2], [0, 0, math.pi / 2])[2]
    rotation, _ = motion(5, roll_pitch_deg=0.0, yaw_deg=90.0, shift_m=0.0)
    np.testing.assert_allclose(rotation[:, 0], [math.cos(yaw), math.sin(yaw), 0], atol=1e-12)


def test_random_motion_keeps_precision_order_and_number_of_points() -> None:
    points = torch.rand(7, 3) * 40
    moved = random_rigid(points, generator(0))
    assert moved.dtype == points.dtype
    torch.testing.assert_close(torch.cdist(moved, moved), torch.cdist(points, points), atol=1e-4, rtol=1e-4)
    assert random_rigid(points[:0], generator(0)).shape == (0, 3)
    assert torch.equal(random_rigid(points, generator(0)), moved)
