"""The overlap of two depth images: which pixels of each one the other one confirms (DXPR, arXiv 2609.09005, eq. 6, 7).

The overlap of views on the ground (:mod:`methods.learning.overlap`) knows no walls and no resolution. This one does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from datasets.base import Frame

NEAREST_M = 0.1
"""Points nearer to the plane of the camera, or behind it, are not seen, metres."""


class DepthViews(NamedTuple):
    """Depth images with their cameras and poses, one a row."""

    depth_m: Float[Tensor, "n h w"]
    """Depth along the optical axis; 0 where it is unknown."""
    intrinsics: Float[Tensor, "n 4"]
    """fx, fy, cx, cy as fractions of the width and the height of the depth images."""
    world_from_camera: Float[Tensor, "n 4 4"]
    """Poses in float64; the camera's axes are right, down, forward."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Matching:
    """How depths are compared (values as published, but for the stride, which is not)."""

    stride: int = 4
    """Pixels between two samples. Each sample stands for the pixels around it."""
    tolerance_m: float = 0.25
    """Least tolerated difference of depths."""
    tolerance_share: float = 0.1
    """Tolerated difference as a share of the depth that is compared with."""
    union: Literal["confirmed", "known"] = "confirmed"
    """What the pixels in both sets are a share of: those in any of both sets (as published), or all of known depth too.
    With the first, two views that face each other across a patch of road overlap as much as two equal views."""


def camera_poses(frames: Sequence[Frame], camera_from_lidar: Float[Tensor, "n 4 4"]) -> Float[Tensor, "n 4 4"]:
    """``world_from_camera`` of each frame in float64, on the device of ``camera_from_lidar``.

    Deviation: only position and heading of a frame are known here. Roll and pitch count as zero.
    """
    poses = np.tile(np.eye(4), (len(frames), 1, 1))
    cos, sin = (f([frame.yaw_rad for frame in frames]) for f in (np.cos, np.sin))
    poses[:, 0, 0], poses[:, 0, 1], poses[:, 1, 0], poses[:, 1, 1] = cos, -sin, sin, cos
    poses[:, :3, 3] = [frame.position_m for frame in frames]
    world_from_lidar = torch.from_numpy(poses).to(camera_from_lidar.device)
    return world_from_lidar @ torch.linalg.inv(camera_from_lidar.double())


def depth_overlaps(views: DepthViews, pairs: Int[Tensor, "k 2"], matching: Matching) -> Float[Tensor, " k"]:
    """Overlap of the two views of each pair, from 0 to 1; the order of a pair does not matter.

    In each image of a pair two sets of pixels are formed: those whose point lands in the other image at the depth that
    is known there, and those on which such a point of the other image lands. The overlap of an image is the
    intersection of its two sets over their union. The overlap of the pair is the harmonic mean of both. So a wall that
    one image shows larger than the other gives less than the same wall at the same size.
    """
    from_first = _confirmed(views, pairs[:, 0], pairs[:, 1], matching)
    from_second = _confirmed(views, pairs[:, 1], pairs[:, 0], matching)
    known = views.depth_m > 0 if matching.union == "known" else torch.zeros_like(views.depth_m, dtype=torch.bool)
    first = _intersection_over_union(from_first.sources, from_second.targets, known[pairs[:, 0]])
    second = _intersection_over_union(from_first.targets, from_second.sources, known[pairs[:, 1]])
    return 2 * first * second / (first + second).clamp(min=1e-9)


class _Confirmed(NamedTuple):
    """Pixels of two images of which each confirms the other, seen from one of both."""

    sources: Bool[Tensor, "k h w"]
    targets: Bool[Tensor, "k h w"]


def _confirmed(
    views: DepthViews, source: Int[Tensor, " k"], target: Int[Tensor, " k"], matching: Matching
) -> _Confirmed:
    """Samples of ``source`` that agree with the depth of ``target``, and the pixels on which they land there."""
    height, width = views.depth_m.shape[1:]
    rows, columns = (
        torch.arange(matching.stride // 2, n, matching.stride, device=source.device) for n in (height, width)
    )
    row, column = (grid.flatten() for grid in torch.meshgrid(rows, columns, indexing="ij"))
    depth_m = views.depth_m[source][:, row, column]
    target_from_source = torch.linalg.inv(views.world_from_camera[target]) @ views.world_from_camera[source]
    fx, fy, cx, cy = views.intrinsics[source][:, :, None].unbind(1)
    rays = torch.stack([((column + 0.5) / width - cx) / fx, ((row + 0.5) / height - cy) / fy, torch.ones_like(depth_m)])
    points = _moved(target_from_source.to(depth_m.dtype), rays.movedim(0, 2) * depth_m[..., None])
    fx, fy, cx, cy = views.intrinsics[target][:, :, None].unbind(1)
    found_m = points[..., 2]
    safe_m = found_m.clamp(min=NEAREST_M)
    u, v = (cx + fx * points[..., 0] / safe_m) * width, (cy + fy * points[..., 1] / safe_m) * height
    in_view = (depth_m > 0) & (found_m > NEAREST_M) & (u >= 0) & (u < width) & (v >= 0) & (v < height)
    landed = v.clamp(0, height - 1).long() * width + u.clamp(0, width - 1).long()
    known_m = views.depth_m[target].flatten(1).gather(1, landed)
    tolerated_m = (matching.tolerance_share * known_m).clamp(min=matching.tolerance_m)
    agrees = in_view & (known_m > 0) & ((found_m - known_m).abs() <= tolerated_m)
    start = (row * width + column).expand_as(landed)
    return _Confirmed(*(_dilated(agrees, pixels, (height, width), matching.stride) for pixels in (start, landed)))


def _moved(matrix: Float[Tensor, "k 4 4"], points: Float[Tensor, "k n 3"]) -> Float[Tensor, "k n 3"]:
    """Not a matrix product: TF32 or autocast would round coordinates."""
    return (matrix[:, None, :3, :3] * points[:, :, None]).sum(-1) + matrix[:, None, :3, 3]


def _dilated(
    agrees: Bool[Tensor, "k n"], pixels: Int[Tensor, "k n"], size: tuple[int, int], stride: int
) -> Bool[Tensor, "k h w"]:
    """The pixels for which samples that agree stand: those around them, as far as half the stride."""
    marks = agrees.new_zeros(len(agrees), size[0] * size[1], dtype=torch.float32)
    marks = marks.scatter_reduce(1, pixels, agrees.float(), "amax").view(-1, 1, *size)
    reach = stride // 2
    return functional.max_pool2d(marks, 2 * reach + 1, stride=1, padding=reach)[:, 0] > 0


def _intersection_over_union(
    a: Bool[Tensor, "k h w"], b: Bool[Tensor, "k h w"], known: Bool[Tensor, "k h w"]
) -> Float[Tensor, " k"]:
    """Pixels in both sets over pixels in any set or of known depth; 0 where there are none."""
    both, any_ = (found.flatten(1).sum(1).double() for found in (a & b, a | b | known))
    return both / any_.clamp(min=1)
