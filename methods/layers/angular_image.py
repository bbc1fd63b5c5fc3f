"""Camera images drawn over the same angles as a spherical image of the cloud, so that both share one grid."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from methods.layers.range_image import Windows


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
    places = _places_in_image(windows, intrinsics, camera_from_lidar, rows, columns)
    drawn = []
    for image, place in zip(images, places, strict=True):
        pixels = image.float()[None]
        size = min(2 * rows, image.shape[1]), min(2 * columns, image.shape[2])
        if size != tuple(image.shape[1:]):
            pixels = functional.interpolate(pixels, size, mode="bilinear", antialias=True)
        drawn.append(functional.grid_sample(pixels, place[None], align_corners=False))
    return torch.cat(drawn)


def _places_in_image(
    windows: Windows, intrinsics: Tensor, camera_from_lidar: Tensor, rows: int, columns: int
) -> Float[Tensor, "b rows columns 2"]:
    """Where each direction falls, right and down: −1 and 1 are the edges of the image, what is not seen lies beyond."""
    column = (torch.arange(columns, device=intrinsics.device) + 0.5) / columns
    elevation = windows.elevations_rad(rows)[:, :, None].expand(-1, -1, columns)
    azimuth = (windows.left_rad[:, None] - column * windows.width_rad[:, None])[:, None].expand(-1, rows, -1)
    level = elevation.cos()
    direction = torch.stack([level * azimuth.cos(), level * azimuth.sin(), elevation.sin()], dim=-1)
    # A sum, not a matrix product, which TF32 or autocast would round.
    rotation = camera_from_lidar[:, None, None, :3, :3]
    right, down, forward = (rotation * direction[..., None, :]).sum(-1).unbind(-1)
    fx, fy, cx, cy = intrinsics[:, :, None, None].unbind(1)
    deep = forward.clamp(min=1e-3)
    places = torch.stack([cx + fx * right / deep, cy + fy * down / deep], dim=-1) * 2 - 1
    return torch.where((forward > 1e-3)[..., None], places, torch.full_like(places, 2.0))
