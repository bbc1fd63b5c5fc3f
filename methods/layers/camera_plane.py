"""Clouds as depth images in the camera's plane: projection, cropping of rows, densification.

A depth image holds metres along the optical axis, (batch, 1, height, width), and 0 where depth is unknown.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from datasets.errors import CrossplaceError
from methods.layers.projection import image_cells, network_from_lidar, project, transform_points

Depth = Float[Tensor, "b 1 height width"]


def depth_image(
    points: Float[Tensor, "n 3"],
    batch_index: Int[Tensor, " n"],
    camera_from_lidar: Float[Tensor, "b 4 4"],
    intrinsics: Float[Tensor, "b 4"],
    height: int,
    width: int,
) -> Depth:
    """Depth of the nearest point of each pixel, metres along the optical axis; 0 in pixels without points.

    ``points`` are in the LiDAR's frame. ``intrinsics`` (fx, fy, cx, cy) are fractions of the image's width and height.
    Points behind the camera and beside the image are left out. Where a pixel has several points, the nearest counts. So
    the order of the points does not matter.
    """
    batch_size = len(intrinsics)
    forward_left_up = transform_points(network_from_lidar(camera_from_lidar), points, batch_index)
    uv, depth_m, in_view = project(forward_left_up, batch_index, intrinsics)
    column, row = image_cells(uv[in_view], height, width).unbind(1)
    # Just below 1 the product may round up to the size itself.
    column, row = column.clamp(max=width - 1), row.clamp(max=height - 1)
    cell = (batch_index[in_view] * height + row) * width + column
    nearest = depth_m.new_full((batch_size * height * width,), torch.inf)
    nearest = nearest.scatter_reduce(0, cell, depth_m[in_view], "amin")
    return torch.where(nearest.isinf(), 0.0, nearest).view(batch_size, 1, height, width)


def without_upper_rows(intrinsics: Float[Tensor, "b 4"], share: float) -> Float[Tensor, "b 4"]:
    """Intrinsics, as fractions, of images without their upper ``share`` of rows."""
    if not 0 <= share < 1:
        raise CrossplaceError(f"cut of upper image rows: expected a share from 0 to below 1, found {share}")
    fx, fy, cx, cy = intrinsics.unbind(1)
    return torch.stack([fx, fy / (1 - share), cx, (cy - share) / (1 - share)], dim=1)


class KeptRows(NamedTuple):
    """The rows that remain of images of ``whole_height`` rows."""

    whole_height: int
    top: int
    """First row that is kept."""
    height: int
    """Number of rows that are kept."""

    @classmethod
    def of(cls, height: int, share: tuple[float, float]) -> "KeptRows":
        """So many rows as this share of the whole image, from its upper to its lower end (0 to 1)."""
        upper, lower = share
        if not 0 <= upper < lower <= 1:
            raise CrossplaceError(
                f"kept image rows: expected two rising shares from 0 to 1, found {upper:g} and {lower:g}"
            )
        whole_height = round(height / (lower - upper))
        return cls(whole_height, min(round(upper * whole_height), whole_height - height), height)

    def __call__(self, images: Float[Tensor, "b c whole width"]) -> Float[Tensor, "b c height width"]:
        """These rows of images."""
        return images[:, :, self.top : self.top + self.height]

    def intrinsics(self, intrinsics: Float[Tensor, "b 4"]) -> Float[Tensor, "b 4"]:
        """Intrinsics of these rows, from those of the whole images; both are fractions."""
        fx, fy, cx, cy = intrinsics.unbind(1)
        return torch.stack(
            [fx, fy * self.whole_height / self.height, cx, (cy * self.whole_height - self.top) / self.height], 1
        )


def densified(depth_m: Depth, radius: int = 4, passes: int = 2) -> Depth:
    """Fill empty pixels from the known pixels around them. Known pixels do not change.

    In each pass an empty pixel takes the mean of the known pixels in the square window of ``radius`` around it,
    weighted by inverse squared distance. A pixel without known pixels in its window stays empty. A later pass may fill
    it. So gaps between beams close, and sky farther than ``passes`` × ``radius`` from any return stays empty. Each
    image is filled by itself.

    Deviation: ModaLink interpolates the 50 nearest neighbours and fills holes (in C++). A fixed window instead of a
    neighbour search runs on the device in a few convolutions.
    """
    weights = _inverse_squared_distance(radius, depth_m)
    for _ in range(passes):
        known = (depth_m > 0).to(depth_m.dtype)
        with torch.autocast(depth_m.device.type, enabled=False):
            sums = functional.conv2d(torch.cat([depth_m, known]), weights, padding=radius)
        weighted_m, total = sums.chunk(2)
        # The mask decides: transformed convolutions may leave a trace where the sum is zero.
        is_reached = functional.max_pool2d(known, 2 * radius + 1, stride=1, padding=radius) > 0
        filled = torch.where(is_reached, weighted_m / total.clamp(min=float(weights.min()) / 2), 0.0)
        # A mean lies between its terms. Rounding must not make it zero or less, which means "unknown".
        depth_m = torch.where(known > 0, depth_m, filled.clamp(min=0.0))
    return depth_m


def _inverse_squared_distance(radius: int, like: Tensor) -> Float[Tensor, "1 1 k k"]:
    """Weights of a window by the distance from its centre in pixels. The weight of the centre is never used."""
    offset = torch.arange(-radius, radius + 1, device=like.device, dtype=like.dtype)
    squared = offset[:, None] ** 2 + offset**2
    return (1 / squared.clamp(min=1))[None, None]
