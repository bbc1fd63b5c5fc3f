"""Ranges as pictures for an image network: nearness, height and presence in each direction."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from methods.batch import Batch
from methods.layers.range_image import RangeView, Windows, nearest_ranges

HEIGHT_UNIT_M = 10.0
"""Height above the LiDAR that counts as 1 in the second channel, metres."""
MEAN, STD = 0.4, 0.3
"""Common scale of the channels."""


def cloud_pictures(
    batch: Batch,
    view: RangeView,
    size: tuple[int, int],
    *,
    has_height: bool,
    headings: int = 1,
    gap: tuple[int, int] = (1, 1),
) -> Float[Tensor, "b headings 3 h w"]:
    """What the LiDAR sees in the window of ``view`` and in turned copies of it, evenly over the full turn.

    Gaps smaller than ``gap`` (rows and columns of ``view``) are filled.
    """
    clouds, windows = batch.require_clouds(), view.windows(batch)

    def towards(turn_rad: float) -> Float[Tensor, "b 3 h w"]:
        window = windows._replace(left_rad=windows.left_rad + turn_rad)
        ranges_m = nearest_ranges(clouds.points, clouds.batch_index, window, rows=view.rows, columns=view.columns)
        return range_picture(without_gaps(ranges_m, *gap), window, size, has_height=has_height)

    return torch.stack([towards(i * 2 * math.pi / headings) for i in range(headings)], dim=1)


def without_gaps(ranges_m: Float[Tensor, "b rows columns"], rows: int, columns: int) -> Float[Tensor, "b rows columns"]:
    """Ranges in metres with gaps filled that are smaller than a window of ``rows`` × ``columns`` (odd numbers).

    A gap takes the farther range of its sides: a morphological closing of nearness. What was measured stays, and what
    is open to one side, as the sky, stays 0.
    """
    if rows == columns == 1:
        return ranges_m
    window, around = (rows, columns), (rows // 2, columns // 2)
    far = torch.where(ranges_m > 0, ranges_m, torch.inf)[:, None]
    nearest = -functional.max_pool2d(-far, window, stride=1, padding=around)
    filled = functional.max_pool2d(nearest, window, stride=1, padding=around)[:, 0]
    return torch.where((ranges_m > 0) | filled.isinf(), ranges_m, filled)


def range_picture(
    ranges_m: Float[Tensor, "b rows columns"], windows: Windows, size: tuple[int, int], *, has_height: bool
) -> Float[Tensor, "b 3 h w"]:
    """Nearness, height and presence, resized and scaled; without height, nearness in all three channels."""
    nearness, height_m, is_there = nearness_and_height(ranges_m, windows)
    channels = [nearness, height_m / HEIGHT_UNIT_M, is_there] if has_height else [nearness] * 3
    picture = functional.interpolate(torch.stack(channels, dim=1), size, mode="bilinear", align_corners=False)
    return (picture - MEAN) / STD


def nearness_and_height(
    ranges_m: Float[Tensor, "b rows columns"], windows: Windows
) -> tuple[Float[Tensor, "b rows columns"], Float[Tensor, "b rows columns"], Float[Tensor, "b rows columns"]]:
    """What ranges show: nearness, height above the LiDAR in metres, and 1 where something is there.

    Nearness falls with the logarithm of the range, from 1 at a metre to 0 at the window's limit. All are 0 where there
    is nothing.
    """
    is_there = ranges_m > 0
    reach_m = windows.max_range_m[:, None, None]
    nearness = torch.where(is_there, 1 - ranges_m.clamp(min=1).log() / reach_m.log(), 0.0)
    height_m = ranges_m * windows.elevations_rad(ranges_m.shape[1]).sin()[:, :, None]
    return nearness, height_m, is_there.to(nearness.dtype)
