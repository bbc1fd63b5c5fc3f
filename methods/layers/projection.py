"""Frames and the pinhole: from LiDAR points to places in the image.

The network frame has its origin at the camera's centre and the axes x forward, y left, z up. Image positions are
fractions of width and height, 0 at the left (upper) edge and 1 at the right (lower) edge. So they hold for any resize.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from methods.layers.voxels import VoxelGrid

MIN_DEPTH_M = 1e-6
"""Smallest depth in view, metres. Points that are nearer, or behind the camera, are out of view."""


class Projection(NamedTuple):
    """Where points fall into the image of their sample."""

    uv: Float[Tensor, "n 2"]
    """Image position, right and down, as fractions of width and height. Where depth is too small, it is finite but
    meaningless."""
    depth_m: Float[Tensor, " n"]
    in_view: Bool[Tensor, " n"]


def network_from_lidar(camera_from_lidar: Float[Tensor, "b 4 4"]) -> Float[Tensor, "b 4 4"]:
    """Transform from the LiDAR: the camera's axes (right, down, forward) are renamed to forward, left, up.

    Deviation: published VXP reverses the coordinate order around this step on KITTI and ViViD++. This swaps the
    forward and up translations. Here the step is the plain rigid transform.
    """
    right, down, forward, last = camera_from_lidar.unbind(1)
    return torch.stack([forward, -right, -down, last], dim=1)


def transform_points(
    matrix: Float[Tensor, "b 4 4"], points: Float[Tensor, "n 3"], batch_index: Int[Tensor, " n"]
) -> Float[Tensor, "n 3"]:
    """Transform each point by the rigid transform of its sample."""
    rotation, translation = matrix[:, :3, :3], matrix[:, :3, 3]
    # Not a matrix product: TF32 or autocast would round coordinates to centimetres.
    return (rotation[batch_index] * points[:, None, :]).sum(-1) + translation[batch_index]


def project(
    points: Float[Tensor, "n 3"],
    batch_index: Int[Tensor, " n"],
    intrinsics: Float[Tensor, "b 4"],
    *,
    either_side: bool = False,
) -> Projection:
    """Project points of the network frame through the pinhole of their sample.

    ``intrinsics`` are (fx, fy, cx, cy) as image fractions. A point in view is in front of the camera and strictly
    inside the image. With ``either_side`` it may also be behind the camera, with negative depth.

    Deviation: published VXP does not test the sign of depth. Its ranges start at the camera, ours need not.
    """
    forward, left, up = points.unbind(1)
    fx, fy, cx, cy = intrinsics[batch_index].unbind(1)
    is_deep = (forward.abs() if either_side else forward) > MIN_DEPTH_M
    depth_m = torch.where(is_deep, forward, MIN_DEPTH_M)
    uv = torch.stack([cx - fx * left / depth_m, cy - fy * up / depth_m], dim=1)
    return Projection(uv, forward, is_deep & ((uv > 0) & (uv < 1)).all(1))


def image_cells(uv: Float[Tensor, "n 2"], height: int, width: int) -> Int[Tensor, "n 2"]:
    """Column and row of the feature map's cell that holds each image position, without interpolation."""
    return (uv * uv.new_tensor([width, height])).long()


def nearest_in_cell(
    uv: Float[Tensor, "n 2"], depth_m: Float[Tensor, " n"], batch_index: Int[Tensor, " n"], height: int, width: int
) -> Int[Tensor, " m"]:
    """Rows, ascending, of the nearest point in each cell of each sample's feature map.

    Where several points are equally near, the first row counts.
    """
    column, row = image_cells(uv, height, width).unbind(1)
    cell = (batch_index * height + row) * width + column
    by_depth = depth_m.argsort(stable=True)
    by_cell = by_depth[cell[by_depth].argsort(stable=True)]
    is_first = cell[by_cell].diff(prepend=cell.new_tensor([-1])) != 0
    return by_cell[is_first].sort().values


def voxel_centres(
    indices: Int[Tensor, "n 4"], grid: VoxelGrid, stride: int = 4, *, is_mean: bool = False
) -> Float[Tensor, "n 3"]:
    """Centres, in the network frame, of the sites (batch, z, y, x) of an encoder's output grid.

    Two convolutions of kernel 3, stride 2, padding 1 centre output ``i`` on input voxel ``4 i``. With ``is_mean`` the
    centre is the mean of the voxels ``4 i`` to ``4 i + 3``, which the cell holds if only occupied cells are kept.

    Deviation: published VXP stretches the 28 output cells over the range of 110 voxels
    (:func:`stretched_voxel_centres`). Its centres are off by up to 0.59 m in x and y.
    """
    cells = stride * indices[:, 1:].flip(1)
    if is_mean:
        cells = cells + (stride - 1) / 2
    return grid.centres_m(cells, like=torch.empty(0, device=indices.device))


def stretched_voxel_centres(
    indices: Int[Tensor, "n 4"], grid: VoxelGrid, shape: tuple[int, int, int]
) -> Float[Tensor, "n 3"]:
    """Centres of sites (batch, z, y, x) as published: ``shape`` (z, y, x) cells spread evenly over the grid's range.

    As published: cells of 110/28 voxels each. Here the factor follows from the real numbers of cells.
    """
    size_m = [size * n / cells for size, n, cells in zip(grid.size_m, grid.shape, shape[::-1], strict=True)]
    cells = indices[:, 1:].flip(1) + 0.5
    return cells.new_tensor(grid.lower_m) + cells * cells.new_tensor(size_m)
