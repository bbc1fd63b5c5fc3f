"""Depth images of a map, and which of their pixels a camera would really see."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

Depth = Float[Tensor, "b 1 height width"]
LEAST_FORWARD_M = 0.1
"""Smallest depth of a point that is drawn, metres."""


def drawn_depth(
    points: Float[Tensor, "n 3"], pixel_intrinsics: Float[Tensor, "4"], height: int, width: int, max_depth_m: float
) -> Float[Tensor, "height width"]:
    """Depth of the nearest point of each pixel, metres along the optical axis; 0 where there is none.

    ``points`` are in the camera's frame (right, down, forward). ``pixel_intrinsics`` are fx, fy, cx, cy in pixels. The
    pixel (column, row) covers the square from there to the next whole numbers.
    """
    fx, fy, cx, cy = pixel_intrinsics.unbind(0)
    right, down, forward = points.unbind(1)
    is_drawn = (forward > LEAST_FORWARD_M) & (forward <= max_depth_m)
    depth_m = forward.clamp(min=LEAST_FORWARD_M)
    column, row = (fx * right / depth_m + cx).floor(), (fy * down / depth_m + cy).floor()
    is_drawn &= (column >= 0) & (column < width) & (row >= 0) & (row < height)
    cell = (row * width + column)[is_drawn].long()
    nearest = points.new_full((height * width,), torch.inf).scatter_reduce(0, cell, depth_m[is_drawn], "amin")
    return torch.where(nearest.isinf(), 0.0, nearest).view(height, width)


def back_projected(depth_m: Depth, pixel_intrinsics: Float[Tensor, "b 4"]) -> Float[Tensor, "b 3 height width"]:
    """The point (right, down, forward) at the middle of each pixel, metres; the origin where depth is unknown."""
    height, width = depth_m.shape[2:]
    fx, fy, cx, cy = pixel_intrinsics[:, :, None, None].unbind(1)
    column = torch.arange(width, device=depth_m.device) + 0.5
    row = (torch.arange(height, device=depth_m.device) + 0.5)[:, None]
    z = depth_m[:, 0]
    return torch.stack([(column - cx) / fx * z, (row - cy) / fy * z, z], dim=1)


def visible(depth_m: Depth, pixel_intrinsics: Float[Tensor, "b 4"], radius: int, threshold: float = 3.0) -> Depth:
    """The depth image without pixels that surfaces in front of them would hide.

    The window of ``radius`` pixels each way has four quadrants, which share the row and the column of its centre. For
    each other point of the window, take the cosine between the way to it and the way to the camera. A pixel is dropped
    if the largest cosines of the four quadrants sum to ``threshold`` or more. A quadrant without points counts −1.

    Source: CMRNet's code (its window has a radius of 5 for images 1241 pixels wide). Deviation: at the left border
    that code never drops a pixel. Here all borders lose the part of the window that is outside.
    """
    points = back_projected(depth_m, pixel_intrinsics)
    height, width = depth_m.shape[2:]
    to_camera = -points / _length(points)[:, None]
    padded = functional.pad(points, (radius,) * 4)
    largest = [depth_m.new_full((len(depth_m), height, width), -1.0) for _ in range(4)]
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            if dy == dx == 0:
                continue
            other = padded[:, :, radius + dy : radius + dy + height, radius + dx : radius + dx + width]
            way = other - points
            cosine = (way * to_camera).sum(1) / _length(way)
            cosine = torch.where(other[:, 2] > 0, cosine, -1.0)
            for number in _quadrants(dy, dx):
                largest[number] = torch.maximum(largest[number], cosine)
    is_hidden = torch.stack(largest).sum(0) >= threshold
    return torch.where(is_hidden[:, None], 0.0, depth_m)


def _length(vectors: Float[Tensor, "b 3 height width"]) -> Float[Tensor, "b height width"]:
    """Lengths, never quite 0. A norm along a middle dimension would be many times slower."""
    x, y, z = vectors.unbind(1)
    return (x * x + y * y + z * z).clamp(min=1e-12).sqrt()


def _quadrants(dy: int, dx: int) -> list[int]:
    """Numbers of the quadrants that a shift lies in: upper left, upper right, lower left, lower right."""
    rows = [number for number, is_in in enumerate((dy <= 0, dy >= 0)) if is_in]
    columns = [number for number, is_in in enumerate((dx <= 0, dx >= 0)) if is_in]
    return [2 * row + column for row in rows for column in columns]
