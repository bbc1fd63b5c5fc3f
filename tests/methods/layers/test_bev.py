import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from datasets.errors import CrossplaceError
from methods.layers.bev import BevGrid, bev_image, pseudo_points, thinned

GRID = BevGrid(rows=4, columns=3, forward_m=(0.0, 8.0), left_m=(-3.0, 3.0), height_m=(-1.0, 3.0))


def one_cloud(points: list[list[float]], saturation: float = 10.0) -> Tensor:
    return bev_image(torch.tensor(points), torch.zeros(len(points), dtype=torch.long), 1, GRID, saturation)[0]


def naive(points: np.ndarray, grid: BevGrid, saturation: float) -> np.ndarray:
    """Cell after cell, with what lies within its edges."""
    image = np.zeros((2, grid.rows, grid.columns))
    (near, far), (right, left), (low, high) = grid.forward_m, grid.left_m, grid.height_m
    deep, wide = (far - near) / grid.rows, (left - right) / grid.columns
    for row in range(grid.rows):
        for column in range(grid.columns):
            inside = [
                (z - low) / (high - low)
                for x, y, z in points.tolist()
                if far - (row + 1) * deep <= x < far - row * deep
                and left - (column + 1) * wide <= y < left - column * wide
                and low <= z < high
            ]
            image[0, row, column] = min(math.log(1 + len(inside)) / math.log(1 + saturation), 1)
            image[1, row, column] = max(inside, default=0)
    return image


def test_cells_worked_out_by_hand() -> None:
    image = one_cloud(
        [
            [7.9, 2.9, 0.0],  # far left
            [7.0, 1.5, 1.0],  # the same cell, higher
            [0.0, -3.0, 2.9],  # the near right corner belongs to the grid
            [8.0, 0.0, 0.0],  # the far edge does not
            [4.0, 3.0, 0.0],  # nor does the left one
            [4.0, 0.0, 3.0],  # nor the upper limit of heights
            [4.0, 0.0, -1.1],
        ],
        saturation=2.0,
    )
    expected = torch.zeros(2, 4, 3)
    expected[0, 0, 0], expected[1, 0, 0] = 1, 0.5
    expected[0, 3, 2], expected[1, 3, 2] = math.log(2) / math.log(3), 0.975
    torch.testing.assert_close(image, expected)


def test_images_are_those_of_a_loop_over_cells() -> None:
    random = np.random.default_rng(0)
    grid = BevGrid(rows=7, columns=5, forward_m=(-4.0, 30.0), left_m=(-9.0, 12.0))
    clouds = [random.normal(scale=(15, 8, 3), size=(400, 3)) for _ in range(3)]
    index = torch.arange(3).repeat_interleave(400)
    found = bev_image(torch.from_numpy(np.concatenate(clouds)), index, 3, grid, 20.0)
    for cloud, image in zip(clouds, found, strict=True):
        expected = naive(cloud, grid, 20.0)
        assert (expected > 0).mean() > 0.5
        np.testing.assert_allclose(image.numpy(), expected, atol=1e-12)


@given(st.integers(0, 2**32 - 1), st.permutations(range(30)))
@settings(max_examples=20, deadline=None)
def test_neither_order_nor_the_rest_of_the_batch_matter(seed: int, order: list[int]) -> None:
    cloud = torch.from_numpy(np.random.default_rng(seed).uniform((0, -3, -1), (8, 3, 3), (30, 3))).float()
    alone = bev_image(cloud, torch.zeros(30, dtype=torch.long), 1, GRID)[0]
    together = bev_image(torch.cat([-cloud, cloud[order]]), torch.tensor([0] * 30 + [2] * 30), 4, GRID)
    assert together[2].equal(alone)
    assert not together[[1, 3]].any()


def test_a_grid_without_ground_is_an_error() -> None:
    with pytest.raises(CrossplaceError, match="empty"):
        BevGrid(forward_m=(5.0, 5.0))


# --- points --------------------------------------------------------------------------------------


def test_pixels_of_known_depth_become_points_that_project_onto_them() -> None:
    depth_m = torch.tensor([[[[4.0, 0.0, 2.0], [6.0, 8.0, 0.0]]], [[[0.0, 0.0, 5.0], [0.0, 0.0, 0.0]]]])
    fx, fy, cx, cy = 0.8, 1.1, 0.45, 0.55
    points, index = pseudo_points(depth_m, torch.tensor([[fx, fy, cx, cy], [1.0, 1.0, 0.5, 0.5]]))
    assert index.tolist() == [0, 0, 0, 0, 1]
    expected = [
        [depth, (cx - (column + 0.5) / 3) / fx * depth, (cy - (row + 0.5) / 2) / fy * depth]
        for row, column, depth in [(0, 0, 4.0), (0, 2, 2.0), (1, 0, 6.0), (1, 1, 8.0)]
    ]
    torch.testing.assert_close(points[:4], torch.tensor(expected))
    torch.testing.assert_close(points[4], torch.tensor([5.0, (0.5 - 2.5 / 3) * 5, (0.5 - 0.25) * 5]))


def test_of_many_points_in_a_slice_of_a_cell_its_middle_remains() -> None:
    points = torch.tensor([[1.0, 0.5, 0.1], [1.5, 0.2, 0.9], [1.0, 0.5, 1.1], [7.0, -2.5, 0.0], [9.0, 0.0, 0.0]])
    found, index = thinned(points, torch.tensor([0, 0, 0, 1, 1]), 2, GRID, slice_m=1.0)
    assert sorted(zip(index.tolist(), found.tolist(), strict=True)) == [
        (0, [1.0, 0.0, 0.5]),  # cells are 2 m square
        (0, [1.0, 0.0, 1.5]),
        (1, [7.0, -2.0, 0.5]),
    ]
