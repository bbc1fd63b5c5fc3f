"""Spherical images: the range of the nearest point in each direction from the LiDAR."""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional
from torchvision.transforms.v2 import functional as image_ops

from datasets.base import Frame, Lidar
from datasets.errors import CrossplaceError
from methods.base import ImageInput
from methods.batch import Batch


class Windows(NamedTuple):
    """Directions that the image of each sample shows, in the LiDAR frame, and the number of its lines."""

    lower_rad: Float[Tensor, " b"]
    """Elevation of the lower edge above the horizon, radians."""
    upper_rad: Float[Tensor, " b"]
    left_rad: Float[Tensor, " b"]
    """Azimuth of the left edge, counter-clockwise from x forward, radians."""
    width_rad: Float[Tensor, " b"]
    """Angle from the left edge clockwise to the right edge, at most a full turn, radians."""
    max_range_m: Float[Tensor, " b"]
    """Range limit, metres. Points at or beyond this range are left out."""
    lines: Int[Tensor, " b"]
    """Number of distinct rows: the number of beams of the sensor, at most the rows of the image."""

    def elevations_rad(self, rows: int) -> Float[Tensor, "b {rows}"]:
        """Elevation of the middle of each of ``rows`` rows, from the upper edge down."""
        row = (torch.arange(rows, device=self.lower_rad.device) + 0.5) / rows
        lower, upper = self.lower_rad[:, None], self.upper_rad[:, None]
        return upper - row * (upper - lower)


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeView:
    """Settings of a spherical image. Fields that are ``None`` come from each frame's own LiDAR block.

    A batch may mix sensors: all images have the same size. A sensor with fewer beams than ``rows`` fills several rows
    with each beam, so no row between beams stays empty.
    """

    rows: int = 64
    columns: int = 900
    vertical_fov_deg: tuple[float, float] | None = None
    """Lower and upper edge above the horizon. None: from half a beam below the lowest beam to half a beam above the
    highest beam. Then (and only then) the lines of the image are the beams of the sensor. A submap has no beams."""
    azimuth_deg: tuple[float, float] | Literal["camera"] = (180.0, -180.0)
    """Azimuth of the left and the right edge, counter-clockwise from x forward; ``camera``: edges of the frame's own
    image."""
    max_range_m: float | None = None

    def windows(self, batch: Batch) -> Windows:
        """The window of every sample, on the device of the batch. It needs no cloud, so images can be drawn in it too.

        Raises:
            CrossplaceError: a frame lacks a LiDAR block or the calibration that the view needs.
        """
        vertical = [self._vertical(frame) for frame in batch.frames]
        ranges = [self.max_range_m or _lidar(frame).max_range_m for frame in batch.frames]
        like = batch.clouds.points if batch.clouds else batch.calibration()[0]
        edges = like.new_tensor([edges for edges, _ in vertical]).deg2rad()
        left, width = self._azimuths(batch, like)
        lines = torch.tensor([lines for _, lines in vertical], device=like.device)
        return Windows(edges[:, 0], edges[:, 1], left, width, like.new_tensor(ranges), lines)

    def _vertical(self, frame: Frame) -> tuple[tuple[float, float], int]:
        """Lower and upper edge, degrees, and the number of lines."""
        if self.vertical_fov_deg is not None:
            return self.vertical_fov_deg, self.rows
        lidar = _lidar(frame)
        lower, upper = lidar.vertical_fov_deg
        if lidar.form == "submap" or lidar.beams < 2:
            return (lower, upper), self.rows
        half_beam = (upper - lower) / (lidar.beams - 1) / 2
        return (lower - half_beam, upper + half_beam), min(lidar.beams, self.rows)

    def _azimuths(self, batch: Batch, like: Tensor) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
        """Left edge and width, radians."""
        if self.azimuth_deg == "camera":
            return camera_window(*batch.calibration())
        left, right = self.azimuth_deg
        every = like.new_ones(len(batch))
        return every * math.radians(left), every * math.radians(left - right)


def _lidar(frame: Frame) -> Lidar:
    """The LiDAR block of a frame."""
    if frame.lidar is None:
        raise CrossplaceError(
            f"frame {frame.frame_id}: a range image needs the LiDAR's field of view and range, but traversal "
            f"{frame.traversal!r} has no lidar block in dataset.json; add it or configure the view in full"
        )
    return frame.lidar


def camera_window(
    intrinsics: Float[Tensor, "b 4"], camera_from_lidar: Float[Tensor, "b 4 4"]
) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
    """Azimuth of the image's left edge in the LiDAR frame, counter-clockwise, and the image's width; radians.

    Angles are measured at the height of the principal point and from the camera. The decimetres from camera to LiDAR
    are neglected.
    """
    ahead = camera_from_lidar[:, 2, :2]  # the optical axis in the LiDAR frame
    fx, _, cx, _ = intrinsics.unbind(1)
    to_left, to_right = torch.atan2(cx, fx), torch.atan2(1 - cx, fx)
    return torch.atan2(ahead[:, 1], ahead[:, 0]) + to_left, to_left + to_right


def range_image(batch: Batch, view: RangeView, empty_m: float = 0.0) -> Float[Tensor, "b rows columns"]:
    """Range in metres of the nearest point in every pixel of ``view``; ``empty_m`` in pixels without points.

    Raises:
        CrossplaceError: see :meth:`RangeView.windows`.
    """
    clouds = batch.require_clouds()
    return nearest_ranges(
        clouds.points, clouds.batch_index, view.windows(batch), rows=view.rows, columns=view.columns, empty_m=empty_m
    )


def range_shares(batch: Batch, view: RangeView, empty: float = 1.0) -> Float[Tensor, "b rows columns"]:
    """:func:`range_image` in shares of each view's maximum range.

    Pixels without points are ``empty`` (1: free view).
    """
    clouds, windows = batch.require_clouds(), view.windows(batch)
    ranges_m = nearest_ranges(clouds.points, clouds.batch_index, windows, rows=view.rows, columns=view.columns)
    return torch.where(ranges_m > 0, ranges_m / windows.max_range_m[:, None, None], empty)


def as_pixels(image: Float[Tensor, "b rows columns"], height: int, width: int) -> Float[Tensor, "b 3 height width"]:
    """Make values in [0, 1] the input of an image network.

    They are resized (bilinear), in three equal channels, and on ImageNet's scale.
    """
    resized = functional.interpolate(image[:, None], (height, width), mode="bilinear", align_corners=False)
    scale = ImageInput(height=height, width=width)
    return image_ops.normalize(resized.expand(-1, 3, -1, -1), list(scale.mean), list(scale.std))


def nearest_ranges(
    points: Float[Tensor, "n 3"],
    batch_index: Int[Tensor, " n"],
    windows: Windows,
    *,
    rows: int,
    columns: int,
    empty_m: float = 0.0,
) -> Float[Tensor, "b rows columns"]:
    """Range in metres of the nearest point of each sample in every pixel of its window.

    Rows run from the upper edge down and columns from the left edge to the right, both evenly spaced in angle. Points
    outside the window are left out. The result repeats bit for bit on any device: a minimum does not depend on order.
    """
    size = len(windows.lines)
    lower, upper, left, width, max_range_m, lines = (values[batch_index] for values in windows)
    x, y, z = points.unbind(1)
    range_m = points.norm(dim=1)
    elevation = torch.atan2(z, torch.hypot(x, y))
    line = ((upper - elevation) / (upper - lower) * lines).floor().long()
    from_left = torch.remainder(left - torch.atan2(y, x), 2 * math.pi)
    column = (from_left / width * columns).floor().long()
    is_full_turn = width > 2 * math.pi - 1e-4  # rounding may put the seam of a full turn one column too far
    column = torch.where(is_full_turn, column.clamp(max=columns - 1), column)
    shown = (line >= 0) & (line < lines) & (column < columns) & (range_m > 0) & (range_m < max_range_m)
    cell = ((batch_index * rows + line) * columns + column)[shown]
    nearest = range_m.new_full((size * rows * columns,), torch.inf).scatter_reduce(0, cell, range_m[shown], "amin")
    row = torch.arange(rows, device=points.device)
    line_of_row = (2 * row + 1) * windows.lines[:, None] // (2 * rows)
    sample = torch.arange(size, device=points.device)[:, None]
    image = nearest.view(size, rows, columns)[sample, line_of_row]
    return torch.where(image.isinf(), empty_m, image)
