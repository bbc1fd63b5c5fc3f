import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from methods.layers.projection import (
    image_cells,
    nearest_in_cell,
    network_from_lidar,
    project,
    stretched_voxel_centres,
    transform_points,
    voxel_centres,
)
from methods.layers.voxels import VoxelGrid

# KITTI, drive of 2011-09-26: rigid transform and pinhole in pixels of a 1241 × 376 image, as numbers.
ROTATION = [
    [0.000234773604, -0.999944129, -0.0105634776],
    [0.0104494081, 0.0105653538, -0.999889606],
    [0.999945368, 0.000124365346, 0.0104513032],
]
TRANSLATION_M = [0.0570524492, -0.0754667181, -0.269386924]
FX, FY, CX, CY, WIDTH, HEIGHT = 721.5377, 721.5377, 609.5593, 172.854, 1241, 376


def kitti_camera_from_lidar() -> Tensor:
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:3, :3] = torch.tensor(ROTATION, dtype=torch.float64)
    matrix[:3, 3] = torch.tensor(TRANSLATION_M, dtype=torch.float64)
    return matrix[None]


def sample_zero(points: Tensor) -> Tensor:
    return torch.zeros(len(points), dtype=torch.long)


def test_network_axes_are_forward_left_up_out_of_right_down_forward() -> None:
    camera_from_lidar = torch.eye(4)[None]
    camera_from_lidar[0, :3, 3] = torch.tensor([1.0, 2.0, 3.0])
    points = torch.tensor([[0.0, 0.0, 0.0], [10.0, 20.0, 30.0]])
    moved = transform_points(network_from_lidar(camera_from_lidar), points, sample_zero(points))
    assert moved.tolist() == [[3.0, -1.0, -2.0], [33.0, -11.0, -22.0]]


def test_network_transform_is_rigid_and_keeps_handedness() -> None:
    matrix = network_from_lidar(kitti_camera_from_lidar())[0]
    torch.testing.assert_close(matrix[:3, :3] @ matrix[:3, :3].T, torch.eye(3, dtype=torch.float64), atol=1e-6, rtol=0)
    assert torch.linalg.det(matrix[:3, :3]) == pytest.approx(1)
    assert matrix[3].tolist() == [0, 0, 0, 1]


def test_each_point_moves_with_its_own_sample() -> None:
    quarter_turn = torch.tensor([[0.0, -1, 0, 5], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    points = torch.tensor([[1.0, 0, 0], [1.0, 0, 0], [0, 1.0, 2.0]])
    moved = transform_points(torch.stack([torch.eye(4), quarter_turn]), points, torch.tensor([0, 1, 1]))
    assert moved.tolist() == [[1, 0, 0], [5, 1, 0], [4, 0, 2]]


def test_projection_by_hand() -> None:
    points = torch.tensor([[2.0, 0.0, 0.0], [2.0, 0.5, -1.0], [4.0, -1.0, 1.0]])
    projection = project(points, sample_zero(points), torch.tensor([[0.5, 0.8, 0.5, 0.25]]))
    # u = 0.5 (-Y/X) + 0.5, v = 0.8 (-Z/X) + 0.25.
    torch.testing.assert_close(projection.uv, torch.tensor([[0.5, 0.25], [0.375, 0.65], [0.625, 0.05]]))
    assert projection.depth_m.tolist() == [2, 2, 4]
    assert projection.in_view.tolist() == [True, True, True]


@pytest.mark.parametrize(
    ("point", "in_view"),
    [
        ((1.0, 0.5, 0.0), False),
        ((1.0, 0.4999, 0.0), True),
        ((1.0, -0.5, 0.0), False),
        ((1.0, 0.0, 0.5), False),
        ((1.0, 0.0, -0.5), False),
        ((1.0, 0.0, -0.4999), True),
        ((0.0, 0.0, 0.0), False),
        ((-1.0, 0.0, 0.0), False),
        ((-1.0, 0.1, 0.1), False),
    ],
    ids=["left edge", "in", "right edge", "top edge", "bottom edge", "in", "camera centre", "behind", "behind, aside"],
)
def test_only_points_strictly_inside_the_image_and_before_the_camera_are_in_view(
    point: tuple[float, float, float], in_view: bool
) -> None:
    projection = project(torch.tensor([point]), torch.tensor([0]), torch.tensor([[1.0, 1.0, 0.5, 0.5]]))
    assert projection.in_view.tolist() == [in_view]
    assert projection.uv.isfinite().all()
    assert projection.depth_m.tolist() == [point[0]]


def test_each_point_uses_the_camera_of_its_sample() -> None:
    points = torch.tensor([[1.0, 0.1, 0.0], [1.0, 0.1, 0.0]])
    intrinsics = torch.tensor([[1.0, 1.0, 0.5, 0.5], [2.0, 1.0, 0.5, 0.4]])
    uv = project(points, torch.tensor([1, 0]), intrinsics).uv
    torch.testing.assert_close(uv, torch.tensor([[0.3, 0.4], [0.4, 0.5]]))


def test_agrees_with_the_projection_matrix_of_a_real_calibration() -> None:
    generator = torch.Generator().manual_seed(0)
    spread, shift = torch.tensor([80.0, 60.0, 20.0]), torch.tensor([-20.0, -30.0, -5.0])
    lidar_points = (torch.rand(500, 3, generator=generator) * spread + shift).double()
    camera_from_lidar = kitti_camera_from_lidar()
    points = transform_points(network_from_lidar(camera_from_lidar), lidar_points, sample_zero(lidar_points))
    fractions = torch.tensor([[FX / WIDTH, FY / HEIGHT, CX / WIDTH, CY / HEIGHT]], dtype=torch.float64)
    projection = project(points, sample_zero(points), fractions)

    pinhole = torch.tensor([[FX, 0, CX], [0, FY, CY], [0, 0, 1]], dtype=torch.float64)
    homogeneous = torch.cat([lidar_points, torch.ones(500, 1, dtype=torch.float64)], dim=1)
    right, down, depth = (pinhole @ camera_from_lidar[0, :3] @ homogeneous.T).unbind(0)
    u, v = right / depth, down / depth
    expected = (depth > 0) & (u > 0) & (u < WIDTH) & (v > 0) & (v < HEIGHT)
    assert torch.equal(projection.in_view, expected)
    assert 0 < expected.sum() < 500
    torch.testing.assert_close(projection.depth_m, depth)
    pixels = projection.uv[expected] * torch.tensor([WIDTH, HEIGHT])
    torch.testing.assert_close(pixels, torch.stack([u, v], dim=1)[expected])


def test_no_points_project_to_nothing() -> None:
    points = transform_points(torch.eye(4)[None], torch.zeros(0, 3), torch.zeros(0, dtype=torch.long))
    projection = project(points, torch.zeros(0, dtype=torch.long), torch.ones(1, 4))
    assert [len(column) for column in projection] == [0, 0, 0]


def test_centre_of_output_voxel_i_is_that_of_input_voxel_4i() -> None:
    centres = voxel_centres(torch.tensor([[0, 0, 0, 0], [1, 27, 2, 10]]), VoxelGrid())
    # x from the last column: 0 + 40.5 · 0.4; y: -22 + 8.5 · 0.4; z: -4 + 108.5 · 0.2.
    torch.testing.assert_close(centres, torch.tensor([[0.2, -21.8, -3.9], [16.2, -18.6, 17.7]]))


def test_centre_of_an_occupied_cell_is_the_mean_of_the_voxels_that_it_holds() -> None:
    indices, grid = torch.tensor([[0, 0, 0, 0], [1, 27, 2, 10]]), VoxelGrid()
    held = [voxel_centres(torch.cat([indices[:, :1], 4 * indices[:, 1:] + k], 1), grid, stride=1) for k in range(4)]
    torch.testing.assert_close(voxel_centres(indices, grid, is_mean=True), torch.stack(held).mean(0))


def test_stride_one_gives_the_centres_of_the_voxels_themselves() -> None:
    centre = voxel_centres(torch.tensor([[0, 3, 2, 1]]), VoxelGrid(size_m=(1.0, 2.0, 2.0)), stride=1)
    assert centre.tolist() == [[1.5, -17.0, 3.0]]


def test_stretched_centres_are_off_by_0586_m_at_the_first_cell_and_by_0186_m_at_the_last() -> None:
    ends = torch.tensor([[0, 0, 0, 0], [0, 27, 27, 27]])
    error = stretched_voxel_centres(ends, VoxelGrid(), (28, 28, 28)) - voxel_centres(ends, VoxelGrid())
    expected = torch.tensor([[0.586, 0.586, 0.293], [-0.186, -0.186, -0.093]])
    torch.testing.assert_close(error, expected, atol=6e-4, rtol=0)


def test_stretched_cells_fill_the_range_of_each_axis() -> None:
    grid = VoxelGrid(lower_m=(0.0, -2.0, -1.0), upper_m=(8.0, 2.0, 1.0), size_m=(1.0, 0.5, 0.5))
    centres = stretched_voxel_centres(torch.tensor([[0, 0, 0, 0], [3, 0, 1, 3]]), grid, (1, 2, 4))
    # cells of 8/4, 4/2 and 2/1 m
    assert centres.tolist() == [[1.0, -1.0, 0.0], [7.0, 1.0, 0.0]]


@pytest.mark.parametrize(
    ("point", "either_side"),
    [((-1.0, 0.1, 0.1), True), ((1.0, 0.1, 0.1), True), ((0.0, 0.0, 0.0), False), ((-1.0, 0.6, 0.0), False)],
    ids=["behind", "before", "camera centre", "behind, outside"],
)
def test_on_request_points_behind_the_camera_stay_with_negative_depth(
    point: tuple[float, float, float], either_side: bool
) -> None:
    intrinsics = torch.tensor([[1.0, 1.0, 0.5, 0.5]])
    projection = project(torch.tensor([point]), torch.tensor([0]), intrinsics, either_side=True)
    assert projection.in_view.tolist() == [either_side]
    assert projection.depth_m.tolist() == [point[0]]
    assert projection.uv.isfinite().all()


def test_image_cells_are_column_and_row() -> None:
    uv = torch.tensor([[0.01, 0.99], [0.5, 0.49], [0.26, 0.1]])
    assert image_cells(uv, height=2, width=4).tolist() == [[0, 1], [2, 0], [1, 0]]


@given(st.integers(0, 40), st.integers(1, 3), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_nearest_in_cell_agrees_with_a_loop(n: int, batch_size: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    uv = torch.rand(n, 2, generator=generator) * 0.98 + 0.01
    depth_m = torch.randint(1, 4, (n,), generator=generator) / 2  # many equal depths
    batch_index = torch.randint(batch_size, (n,), generator=generator)
    nearest: dict[tuple[int, int, int], int] = {}
    for row in range(n):
        cell = (int(batch_index[row]), int(uv[row, 1] * 3), int(uv[row, 0] * 2))
        if cell not in nearest or depth_m[row] < depth_m[nearest[cell]]:
            nearest[cell] = row
    assert nearest_in_cell(uv, depth_m, batch_index, height=3, width=2).tolist() == sorted(nearest.values())
