"""What both encoders of (LC)² see: near things bright, whether the camera's depth or the LiDAR's range."""

import math
from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from datasets.base import Lidar
from methods.batch import Batch
from methods.layers.range_image import RangeView, camera_window, nearest_ranges
from methods.lc2.config import Lc2Config

COLUMNS: dict[tuple[int, float, float], int] = {
    (64, -24.8, 2.0): 2048,  # Velodyne HDL-64E
    (64, -22.5, 22.5): 1024,  # Ouster OS1-64
    (32, -25.0, 15.0): 1024,  # Velodyne VLP-32C
}
"""Beams, lowest and highest beam in degrees → columns of a whole turn, as the authors' code has them."""
COLUMNS_OF_OTHERS = 1024
TOLERANCE_DEG = 0.5
"""Data sheets and datasets round a sensor's lowest and highest beam differently."""


def disparity(depth_m: Float[Tensor, "*size"], nearest_m: float) -> Float[Tensor, "*size"]:
    """Inverse depth or range in [0, 1]: 1 at ``nearest_m`` and nearer, half of it twice as far; 0 where unknown.

    Deviation: the authors' code stretches each image from its least to its greatest value. The stretch undoes the
    random scale of depth in training, and an image becomes as bright as its nearest return. Here metres mean the same
    in all images.
    """
    return torch.where(depth_m > 0, nearest_m / depth_m.clamp(min=nearest_m), 0.0)


def columns_of(lidar: Lidar) -> int:
    """Columns of a whole turn of this sensor."""
    for (beams, *fov_deg), columns in COLUMNS.items():
        off_deg = max(abs(a - b) for a, b in zip(fov_deg, lidar.vertical_fov_deg, strict=True))
        if lidar.beams == beams and off_deg <= TOLERANCE_DEG:
            return columns
    return COLUMNS_OF_OTHERS


def camera_headings(batch: Batch) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
    """Azimuth of the middle of each image in the LiDAR's frame, counter-clockwise, and the image's width; radians."""
    left, width = camera_window(*batch.calibration())
    return left - width / 2, width


def around(n_views: int, like: Tensor) -> Float[Tensor, " views"]:
    """Headings of so many views around, the first ahead; radians."""
    return torch.arange(n_views, device=like.device) * (2 * math.pi / n_views)


def view_widths(batch: Batch, config: Lc2Config) -> Float[Tensor, " b"]:
    """Width of the views of each cloud, radians."""
    if config.fov_deg is None:
        return camera_headings(batch)[1]
    return batch.require_clouds().points.new_full((len(batch),), math.radians(config.fov_deg))


def cloud_views(
    batch: Batch, headings_rad: Float[Tensor, "b views"], config: Lc2Config
) -> Float[Tensor, "b views height width"]:
    """Disparity of the range images towards the given headings (in the LiDAR's frame), each in its sensor's lines.

    Rows are the sensor's beams and columns its own, before all images are resized to one size.
    """
    clouds, widths_rad = batch.require_clouds(), view_widths(batch, config)
    RangeView().windows(batch)  # says which frame lacks a LiDAR block, if one does
    groups: dict[RangeView, list[int]] = {}
    for i, (lidar, width_rad) in enumerate(zip(clouds.lidars, widths_rad.tolist(), strict=True)):
        assert lidar is not None
        groups.setdefault(_sensor_view(lidar, width_rad, config.range_columns), []).append(i)
    found = clouds.points.new_zeros(len(batch), headings_rad.shape[1], *config.image_size)
    for (view, members), number in product(groups.items(), range(headings_rad.shape[1])):
        left_rad = headings_rad[:, number] + widths_rad / 2
        windows = view.windows(batch)._replace(left_rad=left_rad, width_rad=widths_rad)
        ranges_m = nearest_ranges(clouds.points, clouds.batch_index, windows, rows=view.rows, columns=view.columns)
        seen = disparity(ranges_m[members, None], config.nearest_m)
        resized = functional.interpolate(seen, size=config.image_size, mode="bilinear", antialias=True)
        found[members, number] = resized[:, 0]
    return found


def _sensor_view(lidar: Lidar, width_rad: float, columns_of_turn: int | None) -> RangeView:
    """A view of this width at the sensor's own resolution."""
    columns = round((columns_of_turn or columns_of(lidar)) * width_rad / (2 * math.pi))
    return RangeView(rows=lidar.beams if lidar.form == "scan" else 64, columns=max(columns, 1))
