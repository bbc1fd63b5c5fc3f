"""Bird's-eye views: the points above each square of the ground."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from datasets.errors import CrossplaceError
from methods.layers.voxels import VoxelGrid, voxelize


@dataclass(frozen=True, slots=True, kw_only=True)
class BevGrid:
    """A rectangle of the ground plane (x forward, y left; metres) and the heights above it that count.

    Rows run from the far edge to the near edge and columns from left to right, as on a map with ahead up.
    """

    rows: int = 128
    columns: int = 128
    forward_m: tuple[float, float] = (0.0, 50.0)
    """Near and far edge of the rectangle, metres."""
    left_m: tuple[float, float] = (-25.0, 25.0)
    """Right and left edge of the rectangle, metres."""
    height_m: tuple[float, float] = (-2.0, 6.0)
    """Height of the lowest and the highest point that counts, metres."""

    def __post_init__(self) -> None:
        if any(low >= high for low, high in (self.forward_m, self.left_m, self.height_m)):
            raise CrossplaceError(f"bird's-eye view: {self} is empty; expected each lower limit below the upper one")


def bev_image(
    points: Float[Tensor, "n 3"],
    batch_index: Int[Tensor, " n"],
    batch_size: int,
    grid: BevGrid,
    saturation: float = 10.0,
) -> Float[Tensor, "b 2 rows columns"]:
    """Density and greatest height of the points of each sample on every cell of ``grid``, both in [0, 1].

    Density is ``log(1 + count) / log(1 + saturation)``, at most 1. Height is that of the highest point as a share of
    the grid's range. Both are 0 in cells without points. Upper limits do not belong to the grid. The image repeats bit
    for bit on any device: counts are whole numbers and a maximum does not depend on order.
    """
    x, y, z = points.unbind(1)
    (near, far), (right, left), (low, high) = grid.forward_m, grid.left_m, grid.height_m
    row = ((far - x) / (far - near) * grid.rows).ceil().long() - 1
    column = ((left - y) / (left - right) * grid.columns).ceil().long() - 1
    height = (z - low) / (high - low)
    inside = (row >= 0) & (row < grid.rows) & (column >= 0) & (column < grid.columns) & (height >= 0) & (height < 1)
    cell = ((batch_index * grid.rows + row) * grid.columns + column)[inside]
    height = height[inside]
    empty = points.new_zeros(batch_size * grid.rows * grid.columns)
    count = empty.index_add(0, cell, torch.ones_like(height))
    density = (count.log1p() / math.log1p(saturation)).clamp(max=1)
    highest = empty.scatter_reduce(0, cell, height, "amax")
    return torch.stack([density, highest]).view(2, batch_size, grid.rows, grid.columns).transpose(0, 1)


def pseudo_points(
    depth_m: Float[Tensor, "b 1 h w"], intrinsics: Float[Tensor, "b 4"]
) -> tuple[Float[Tensor, "n 3"], Int[Tensor, " n"]]:
    """One point for each pixel of known depth, at the camera (x forward, y left, z up; metres), and its sample."""
    batch_size, _, height, width = depth_m.shape
    down, right = ((torch.arange(n, device=depth_m.device) + 0.5) / n for n in (height, width))
    fx, fy, cx, cy = intrinsics[:, :, None, None].unbind(1)
    forward = depth_m[:, 0]
    points = torch.stack([forward, (cx - right) / fx * forward, (cy - down[:, None]) / fy * forward], dim=-1)
    index = torch.arange(batch_size, device=depth_m.device)[:, None, None].expand(-1, height, width)
    known = forward > 0
    return points[known], index[known]


def thinned(
    points: Float[Tensor, "n 3"], batch_index: Int[Tensor, " n"], batch_size: int, grid: BevGrid, slice_m: float
) -> tuple[Float[Tensor, "v 3"], Int[Tensor, " v"]]:
    """The middle of every slice of a cell that holds points, and its sample."""
    (near, far), (right, left), (low, high) = grid.forward_m, grid.left_m, grid.height_m
    size_m = ((far - near) / grid.rows, (left - right) / grid.columns, slice_m)
    slices = VoxelGrid(lower_m=(near, right, low), upper_m=(far, left, high), size_m=size_m)
    sites = voxelize(points, batch_index, batch_size, slices, max_voxels=len(points)).sites
    return slices.centres_m(sites.indices[:, 1:].flip(1), like=points), sites.indices[:, 0]
