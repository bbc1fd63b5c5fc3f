"""Camera images, or their depth, drawn over the angles of a spherical image of the cloud: both share one grid."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from methods.layers.range_image import Windows

SMALLEST_COSINE = 1e-3
"""Cosine between a ray and the optical axis. Rays with less than this look sideways or backwards."""


def angular_images(
    images: Sequence[UInt8[Tensor, "3 _ _"]],
    windows: Windows,
    intrinsics: Float[Tensor, "b 4"],
    camera_from_lidar: Float[Tensor, "b 4 4"],
    *,
    rows: int,
    columns: int,
) -> Float[Tensor, "b 3 rows columns"]:
    """What the camera sees in each direction of a window, from 0 to 255; black outside the image.

    Rows and columns run as those of :func:`methods.layers.range_image.nearest_ranges`: from the upper edge down and
    from the left edge to the right, evenly in angle. Directions are those of the LiDAR's axes. The decimetres from
    LiDAR to camera are neglected. An image with more pixels than the window shows is averaged before it is sampled.
    """
    places = _places_in_image(_rays(windows, camera_from_lidar, rows, columns), intrinsics)
    drawn = []
    for image, place in zip(images, places, strict=True):
        pixels = image.float()[None]
        size = min(2 * rows, image.shape[1]), min(2 * columns, image.shape[2])
        if size != tuple(image.shape[1:]):
            pixels = functional.interpolate(pixels, size, mode="bilinear", antialias=True)
        drawn.append(functional.grid_sample(pixels, place[None], align_corners=False))
    return torch.cat(drawn)


def angular_ranges(
    depth_m: Float[Tensor, "b 1 h w"],
    windows: Windows,
    intrinsics: Float[Tensor, "b 4"],
    camera_from_lidar: Float[Tensor, "b 4 4"],
    *,
    rows: int,
    columns: int,
) -> Float[Tensor, "b rows columns"]:
    """The range that the depth of whole images (metres along the optical axis) means in each direction of a window.

    It compares with :func:`methods.layers.range_image.nearest_ranges`: metres, and 0 where there is nothing, beyond the
    window's limit and outside the image. Unknown depth (0) counts as nothing. Depth is interpolated by its logarithm.
    The decimetres from LiDAR to camera are neglected.
    """
    rays = _rays(windows, camera_from_lidar, rows, columns)
    places = _places_in_image(rays, intrinsics)
    reach_m = windows.max_range_m[:, None, None, None]
    log_depth = torch.where(depth_m > 0, depth_m, reach_m).log()
    log_depth = functional.grid_sample(log_depth, places, padding_mode="border", align_corners=False)[:, 0]
    ranges_m = log_depth.exp() / rays[..., 2].clamp(min=SMALLEST_COSINE)
    is_seen = (places.abs() <= 1).all(-1) & (ranges_m < reach_m[:, 0])
    return torch.where(is_seen, ranges_m, 0.0)


def _rays(
    windows: Windows, camera_from_lidar: Float[Tensor, "b 4 4"], rows: int, columns: int
) -> Float[Tensor, "b rows columns 3"]:
    """Each direction of a window as a unit vector of the camera: right, down, forward."""
    column = (torch.arange(columns, device=camera_from_lidar.device) + 0.5) / columns
    elevation = windows.elevations_rad(rows)[:, :, None].expand(-1, -1, columns)
    azimuth = (windows.left_rad[:, None] - column * windows.width_rad[:, None])[:, None].expand(-1, rows, -1)
    level = elevation.cos()
    direction = torch.stack([level * azimuth.cos(), level * azimuth.sin(), elevation.sin()], dim=-1)
    # A sum, not a matrix product, which TF32 or autocast would round.
    rotation = camera_from_lidar[:, None, None, :3, :3]
    return (rotation * direction[..., None, :]).sum(-1)


def _places_in_image(
    rays: Float[Tensor, "b rows columns 3"], intrinsics: Float[Tensor, "b 4"]
) -> Float[Tensor, "b rows columns 2"]:
    """Where each ray falls, right and down: −1 and 1 are the edges of the image, what is not seen lies beyond."""
    right, down, forward = rays.unbind(-1)
    fx, fy, cx, cy = intrinsics[:, :, None, None].unbind(1)
    deep = forward.clamp(min=SMALLEST_COSINE)
    places = torch.stack([cx + fx * right / deep, cy + fy * down / deep], dim=-1) * 2 - 1
    return torch.where((forward > SMALLEST_COSINE)[..., None], places, torch.full_like(places, 2.0))
