"""Frames and the pinhole: from LiDAR points to places in the image.

The network frame is the camera's centre with axes x forward, y left, z up. Image positions are fractions of width
and height, 0 at the left (upper) edge and 1 at the right (lower) one, so that they hold for any resize.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from methods.layers.voxels import VoxelGrid

MIN_DEPTH_M = 1e-6
"""Nearer points, and all behind the camera, are out of view."""


class Projection(NamedTuple):
    """Where points fall into the image of their sample."""

    uv: Float[Tensor, "n 2"]
    """Right and down, as fractions of width and height; finite but meaningless where depth is too small."""
    depth_m: Float[Tensor, " n"]
    in_view: Bool[Tensor, " n"]


def network_from_lidar(camera_from_lidar: Float[Tensor, "b 4 4"]) -> Float[Tensor, "b 4 4"]:
    """The camera's axes (right, down, forward) renamed to forward, left, up.

    Deviation: published VXP reverses the coordinate order around this step on KITTI and ViViD++, which swaps the
    forward and up translations; here it is the plain rigid transform.
    """
    right, down, forward, last = camera_from_lidar.unbind(1)
    return torch.stack([forward, -right, -down, last], dim=1)


def transform_points(
    matrix: Float[Tensor, "b 4 4"], points: Float[Tensor, "n 3"], batch_index: Int[Tensor, " n"]
) -> Float[Tensor, "n 3"]:
    """Each point by the rigid transform of its sample."""
    rotation, translation = matrix[:, :3, :3], matrix[:, :3, 3]
    # No matrix product: TF32 or autocast would round coordinates to centimetres.
    return (rotation[batch_index] * points[:, None, :]).sum(-1) + translation[batch_index]


def project(
    points: Float[Tensor, "n 3"], batch_index: Int[Tensor, " n"], intrinsics: Float[Tensor, "b 4"]
) -> Projection:
    """Points of the network frame through the pinhole of their sample.

    ``intrinsics`` are (fx, fy, cx, cy) as image fractions. In view means in front of the camera and strictly
    inside the image.

    Deviation: published VXP does not test the sign of depth; its ranges start at the camera, ours need not.
    """
    forward, left, up = points.unbind(1)
    fx, fy, cx, cy = intrinsics[batch_index].unbind(1)
    depth_m = forward.clamp(min=MIN_DEPTH_M)
    uv = torch.stack([cx - fx * left / depth_m, cy - fy * up / depth_m], dim=1)
    in_view = (forward > MIN_DEPTH_M) & ((uv > 0) & (uv < 1)).all(1)
    return Projection(uv, forward, in_view)


def voxel_centres(indices: Int[Tensor, "n 4"], grid: VoxelGrid, stride: int = 4) -> Float[Tensor, "n 3"]:
    """Centres, in the network frame, of the sites (batch, z, y, x) of an encoder's output grid.

    Two convolutions of kernel 3, stride 2, padding 1 centre output ``i`` on input voxel ``4 i``.

    Deviation: published VXP stretches the 28 output cells over the range of 110 voxels, which is off by up to
    0.59 m in x and y.
    """
    return grid.centres_m(stride * indices[:, 1:].flip(1), like=torch.empty(0, device=indices.device))
