"""Edges of the map on edges of the image: which points are edges, and a turn that is taken back."""

import math

import numpy as np
import pytest
import torch
from batches import bare_frame

from datasets.errors import CrossplaceError
from methods.edge_pnp import EdgePnp, EdgePnpConfig, edge_points
from methods.layers.poses import applied, between, inverse, rigid, rotation_of_vector
from methods.registration import RegistrationBatch

K = torch.tensor([0.8, 1.0, 0.5, 0.5])
HEIGHT, WIDTH = 240, 320


def naive_edges(depth_m: np.ndarray, jump: float) -> set[tuple[int, int]]:
    found = set()
    for row in range(3, len(depth_m) - 3):
        for column in range(3, depth_m.shape[1] - 3):
            own = depth_m[row, column]
            if own == 0:
                continue
            for down, right in ((1, 0), (-1, 0), (0, 1), (0, -1)):
                beside = [depth_m[row + down * step, column + right * step] for step in (1, 2, 3)]
                if beside[0] > own * (1 + jump) or not any(beside):
                    found.add((row, column))
    return found


def test_edges_of_the_map_are_those_of_a_naive_loop() -> None:
    random = np.random.default_rng(0)
    depth_m = random.choice([0.0, 5.0, 5.5, 20.0], size=(24, 30), p=[0.5, 0.2, 0.2, 0.1])
    k = np.array([25.0, 24.0, 15.0, 12.0])
    points = edge_points(depth_m, k, 0.15, 10_000)
    column, row = points[:, 0] / points[:, 2] * k[0] + k[2] - 0.5, points[:, 1] / points[:, 2] * k[1] + k[3] - 0.5
    expected = naive_edges(depth_m, 0.15)
    assert len(expected) > 20
    assert {(round(r), round(c)) for r, c in zip(row, column, strict=True)} == expected
    assert np.allclose(points[:, 2], [depth_m[round(r), round(c)] for r, c in zip(row, column, strict=True)])


def test_of_many_edges_some_are_taken_evenly() -> None:
    depth_m = np.zeros((40, 40))
    depth_m[10:30, 10:30] = 8.0
    k = np.array([40.0, 40.0, 20.0, 20.0])
    assert len(edge_points(depth_m, k, 0.15, 10_000)) == 4 * 19, "the border of a square"
    assert len(edge_points(depth_m, k, 0.15, 12)) == 12
    assert len(edge_points(np.zeros((40, 40)), k, 0.15, 12)) == 0


def test_a_turn_is_taken_back() -> None:
    """Three bright walls at 8 to 14 m before a dark sky, seen from a pose that is turned by five degrees."""
    walls = [(-4.0, -2.5, 8.0), (-0.5, 1.0, 11.0), (3.0, 5.0, 14.0)]
    points, image = [], torch.zeros(3, HEIGHT, WIDTH, dtype=torch.uint8)
    for left, right, depth in walls:
        x, y = torch.meshgrid(torch.arange(left, right, 0.03), torch.arange(-2.0, 1.5, 0.03), indexing="ij")
        points.append(torch.stack([x.flatten(), y.flatten(), torch.full((x.numel(),), depth)], dim=1))
        columns = ((torch.tensor([left, right]) / depth * K[0] + K[2]) * WIDTH).round().int().clamp(0, WIDTH)
        rows = ((torch.tensor([-2.0, 1.5]) / depth * K[1] + K[3]) * HEIGHT).round().int()
        image[:, rows[0] : rows[1], columns[0] : columns[1]] = 220
    rough = rigid(rotation_of_vector(torch.tensor([[0.0, math.radians(5), 0.0]])), torch.zeros(1, 3))
    batch = RegistrationBatch(
        frames=(bare_frame("drive/0", 0.0),),
        images=[image],
        intrinsics=K[None],
        points=[torch.cat(points)],
        rough_map_from_camera=rough,
    )
    found = EdgePnp().register(batch)
    _, off_rad = between(found.map_from_camera, torch.eye(4)[None])
    assert math.degrees(off_rad) < 1.5
    seen = applied(inverse(found.map_from_camera)[0], batch.points[0])
    assert (seen[:, 2] > 5).all()


def test_a_blank_image_moves_nothing() -> None:
    batch = RegistrationBatch(
        frames=(bare_frame("drive/0", 0.0),),
        images=[torch.zeros(3, HEIGHT, WIDTH, dtype=torch.uint8)],
        intrinsics=K[None],
        points=[torch.rand(2000, 3) * 4 + torch.tensor([-2.0, -2.0, 6.0])],
        rough_map_from_camera=torch.eye(4)[None],
    )
    found = EdgePnp().register(batch)
    off_m, off_rad = between(found.map_from_camera, batch.rough_map_from_camera)
    assert off_m < 0.05
    assert off_rad < 0.02


def test_settings_that_leave_nothing_to_do_are_refused() -> None:
    with pytest.raises(CrossplaceError, match="expected 1 or more"):
        EdgePnpConfig(iterations=0)
