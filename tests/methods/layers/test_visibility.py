"""Drawing of points and the visibility filter, against loops that follow their descriptions word for word."""

import math

import pytest
import torch
from torch import Tensor

from methods.layers.visibility import back_projected, drawn_depth, visible

PINHOLE = torch.tensor([20.0, 18.0, 8.3, 5.9])
"""In pixels, for images of 12 × 16."""
HEIGHT, WIDTH = 12, 16


def points_of(seed: int, n: int) -> Tensor:
    drawn = torch.rand(n, 3, generator=torch.Generator().manual_seed(seed))
    return (drawn - torch.tensor([0.5, 0.5, 0.1])) * torch.tensor([20.0, 12.0, 30.0])


def drawn_by_loops(points: Tensor, k: Tensor, most_m: float) -> Tensor:
    image = torch.zeros(HEIGHT, WIDTH)
    for right, down, forward in points.tolist():
        if not 0.1 < forward <= most_m:
            continue
        column = math.floor(float(k[0]) * right / forward + float(k[2]))
        row = math.floor(float(k[1]) * down / forward + float(k[3]))
        if 0 <= column < WIDTH and 0 <= row < HEIGHT and (image[row, column] == 0 or image[row, column] > forward):
            image[row, column] = forward
    return image


def filtered_by_loops(depth_m: Tensor, k: Tensor, radius: int, threshold: float) -> Tensor:
    def point(row: int, column: int) -> Tensor:
        z = depth_m[row, column]
        return torch.stack([(column + 0.5 - k[2]) / k[0] * z, (row + 0.5 - k[3]) / k[1] * z, z])

    kept = depth_m.clone()
    for row in range(HEIGHT):
        for column in range(WIDTH):
            if depth_m[row, column] == 0:
                continue
            here = point(row, column)
            to_camera = -here / here.norm()
            largest = []
            for rows in (range(-radius, 1), range(radius + 1)):
                for columns in (range(-radius, 1), range(radius + 1)):
                    best = -1.0
                    for dy in rows:
                        for dx in columns:
                            y, x = row + dy, column + dx
                            if (dy or dx) and 0 <= y < HEIGHT and 0 <= x < WIDTH and depth_m[y, x] > 0:
                                way = point(y, x) - here
                                best = max(best, float(way @ to_camera / way.norm()))
                    largest.append(best)
            if sum(largest) >= threshold:
                kept[row, column] = 0.0
    return kept


@pytest.mark.parametrize("seed", range(3))
def test_points_are_drawn_as_loops_draw_them(seed: int) -> None:
    points = points_of(seed, 400)
    found = drawn_depth(points, PINHOLE, HEIGHT, WIDTH, 20.0)
    assert (found > 0).sum() > 30
    assert torch.allclose(found, drawn_by_loops(points, PINHOLE, 20.0))


def test_no_point_gives_an_empty_image() -> None:
    assert not drawn_depth(torch.zeros(0, 3), PINHOLE, HEIGHT, WIDTH, 20.0).any()


def test_a_pixel_is_drawn_where_its_own_point_was() -> None:
    depth_m = drawn_depth(points_of(5, 200), PINHOLE, HEIGHT, WIDTH, 40.0)
    points = back_projected(depth_m[None, None], PINHOLE[None])[0].flatten(1).T
    again = drawn_depth(points[points[:, 2] > 0], PINHOLE, HEIGHT, WIDTH, 40.0)
    assert torch.allclose(again, depth_m)


@pytest.mark.parametrize("radius", [1, 2, 5])
def test_the_filter_drops_what_loops_drop(radius: int) -> None:
    depth_m = torch.stack([drawn_depth(points_of(seed, 300), PINHOLE, HEIGHT, WIDTH, 40.0) for seed in (1, 2)])
    found = visible(depth_m[:, None], PINHOLE.repeat(2, 1), radius, threshold=2.9)
    for number in range(2):
        expected = filtered_by_loops(depth_m[number], PINHOLE, radius, 2.9)
        assert torch.allclose(found[number, 0], expected)
    assert 0 < (found > 0).sum() < (depth_m > 0).sum()


def test_a_far_point_between_near_ones_is_hidden_and_a_flat_wall_is_not() -> None:
    wall = torch.full((1, 1, HEIGHT, WIDTH), 10.0)
    assert torch.equal(visible(wall, PINHOLE[None], 2), wall)
    with_hole = wall.clone()
    with_hole[0, 0, 6, 8] = 30.0
    found = visible(with_hole, PINHOLE[None], 2)
    assert found[0, 0, 6, 8] == 0
    assert ((found == 0).sum()) == 1
