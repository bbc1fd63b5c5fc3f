"""Voxels and their features from ragged points, without padding. The published form has padding."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from datasets.errors import CrossplaceError
from methods.layers.sparse.modules import RowNorm
from methods.layers.sparse.sites import Sites, site_keys

Vector = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class VoxelGrid:
    """A box of voxels in the network frame (x forward, y left, z up; metres).

    Defaults: VXP on all of its datasets, 110 voxels along each axis (as published: setup_vxp_local_desc.yml).
    """

    lower_m: Vector = (0.0, -22.0, -4.0)
    upper_m: Vector = (44.0, 22.0, 18.0)
    """Upper corner of the box, metres. The corner is not part of the box. If the size does not divide the range, the
    nearest number of voxels is taken."""
    size_m: Vector = (0.4, 0.4, 0.2)

    def __post_init__(self) -> None:
        if min(self.size_m) <= 0 or min(self.shape) < 1:
            raise CrossplaceError(
                f"voxel grid: {self.lower_m} … {self.upper_m} m in steps of {self.size_m} m holds no voxel; "
                "expected positive sizes and each upper limit above the lower one"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels along x, y and z."""
        x, y, z = (
            round((upper - lower) / size)
            for lower, upper, size in zip(self.lower_m, self.upper_m, self.size_m, strict=True)
        )
        return x, y, z

    def centres_m(self, cells: Int[Tensor, "n 3"] | Float[Tensor, "n 3"], like: Tensor) -> Float[Tensor, "n 3"]:
        """Centres of the voxels with these x, y, z numbers, in the dtype of ``like``."""
        return like.new_tensor(self.lower_m) + (cells + 0.5) * like.new_tensor(self.size_m)


@dataclass(frozen=True, eq=False)
class Voxels:
    """The occupied voxels of a batch of clouds, and the points in these voxels, voxel after voxel."""

    sites: Sites
    point_rows: Int[Tensor, " m"]
    """Rows of the points that lie in a kept voxel, sorted by voxel."""
    voxel_of_point: Int[Tensor, " m"]
    """Row in ``sites`` of the voxel of each point in ``point_rows``, ascending."""
    counts: Int[Tensor, " v"]
    """Number of points in each voxel, at least one."""
    grid: VoxelGrid

    def slots(self) -> Int[Tensor, " m"]:
        """The number of each point within its voxel, from 0."""
        first = self.counts.cumsum(0) - self.counts
        return torch.arange(len(self.point_rows), device=first.device) - first[self.voxel_of_point]


def voxelize(
    points: Float[Tensor, "n c"],
    batch_index: Int[Tensor, " n"],
    batch_size: int,
    grid: VoxelGrid,
    max_voxels: int = 10_000,
) -> Voxels:
    """Group points by voxel, at most ``max_voxels`` voxels per sample.

    The first three columns of ``points`` are x, y, z in the network frame, metres. A point belongs to voxel floor((p -
    lower) / size). Points outside the grid (and non-finite points) are left out. Above the cap the fullest voxels stay.
    Of equally full voxels the first in grid order (z, then y, then x) stay.

    Deviation: the published voxelization (:func:`voxelize_in_file_order`) keeps the voxels that come first in the
    file, and 35 points in each. Here the order of the points never matters, and no voxel loses points.
    """
    voxels = _all_voxels(points, batch_index, batch_size, grid)
    n_points, batch = voxels.counts.sum(), voxels.sites.indices[:, 0]
    # One stable sort by sample, then by falling count.
    order = (batch * (n_points + 1) + n_points - voxels.counts).argsort(stable=True)
    return _kept(voxels, _is_among_first(order, voxels.sites, max_voxels))


def voxelize_in_file_order(
    points: Float[Tensor, "n c"],
    batch_index: Int[Tensor, " n"],
    batch_size: int,
    grid: VoxelGrid,
    max_voxels: int = 10_000,
    max_points: int = 35,
) -> Voxels:
    """Group points by voxel as published: the first ``max_voxels`` voxels of a sample to appear, ``max_points`` each.

    The order is that of ``points``, for the voxels of a sample and for the points of a voxel.
    """
    voxels = _all_voxels(points, batch_index, batch_size, grid)
    first_points = voxels.point_rows[voxels.counts.cumsum(0) - voxels.counts]
    order = (voxels.sites.indices[:, 0] * len(points) + first_points).argsort()
    kept = _kept(voxels, _is_among_first(order, voxels.sites, max_voxels))
    is_early = kept.slots() < max_points
    return replace(
        kept,
        point_rows=kept.point_rows[is_early],
        voxel_of_point=kept.voxel_of_point[is_early],
        counts=kept.counts.clamp(max=max_points),
    )


def _all_voxels(
    points: Float[Tensor, "n c"], batch_index: Int[Tensor, " n"], batch_size: int, grid: VoxelGrid
) -> Voxels:
    """Every occupied voxel. The points of each voxel are in their original order."""
    cells = ((points[:, :3] - points.new_tensor(grid.lower_m)) / points.new_tensor(grid.size_m)).floor()
    # The quotient is tested: just below the upper limit it may round up to a voxel that does not exist.
    is_inside = ((cells >= 0) & (cells < cells.new_tensor(grid.shape))).all(1)
    point_rows = is_inside.nonzero()[:, 0]
    cells_zyx = cells[point_rows].long().flip(1)
    indices = torch.cat([batch_index[point_rows, None], cells_zyx], dim=1)
    shape = grid.shape[::-1]
    point_keys, order = site_keys(indices, shape, batch_size).sort(stable=True)
    keys, voxel_of_point, counts = point_keys.unique_consecutive(return_inverse=True, return_counts=True)
    return Voxels(
        sites=Sites.from_keys(keys, shape, batch_size),
        point_rows=point_rows[order],
        voxel_of_point=voxel_of_point,
        counts=counts,
        grid=grid,
    )


def _kept(voxels: Voxels, is_kept: Bool[Tensor, " v"]) -> Voxels:
    """The kept voxels and the points in them."""
    is_point_kept = is_kept[voxels.voxel_of_point]
    return replace(
        voxels,
        sites=Sites.from_keys(voxels.sites.keys[is_kept], voxels.sites.shape, voxels.sites.batch_size),
        point_rows=voxels.point_rows[is_point_kept],
        voxel_of_point=(is_kept.cumsum(0) - 1)[voxels.voxel_of_point[is_point_kept]],
        counts=voxels.counts[is_kept],
    )


def _is_among_first(order: Int[Tensor, " v"], sites: Sites, limit: int) -> Bool[Tensor, " v"]:
    """Which sites are among the first ``limit`` of their sample in ``order``. It goes sample after sample."""
    batch_index = sites.indices[:, 0]
    in_sample = torch.bincount(batch_index, minlength=sites.batch_size)
    first = in_sample.cumsum(0) - in_sample
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device) - first[batch_index[order]]
    return rank < limit


class VoxelFeatureEncoder(nn.Module):
    """One feature vector per voxel from the points in it: a small PointNet per voxel.

    Each point enters as x, y, z and its offset from the centre of its voxel. Every layer is linear, batch
    normalisation, ReLU. All layers but the last append the maximum over the voxel's points to each point. The maximum
    of the last layer is the voxel's feature. The encoder always runs in the precision of the weights: bfloat16 would
    round coordinates to a quarter of a metre.

    As published: hard voxel feature encoder, voxel centre offsets on, no intensity. Deviation: the published form
    (:class:`PaddedVoxelFeatureEncoder`) pads each voxel to 35 points, and the padding takes part in the batch
    statistics and in the maxima. Here only real points take part.
    """

    def __init__(self, channels: Sequence[int] = (16, 64, 128)) -> None:
        super().__init__()
        *hidden, last = channels
        inputs = [6, *(2 * c for c in hidden)]
        # The names are those of the official checkpoints.
        self.vfe_layers = nn.ModuleList(_PointLayer(i, o) for i, o in zip(inputs, [*hidden, last], strict=True))

    def forward(self, points: Float[Tensor, "n c"], voxels: Voxels) -> Float[Tensor, "v d"]:
        """Features of ``voxels``, which hold ``points``."""
        *hidden, last = self.vfe_layers
        with torch.autocast(points.device.type, enabled=False):
            rows = self._rows(points, voxels)
            for layer in hidden:
                rows = layer(rows)
                rows = torch.cat([rows, _maxima(rows, voxels).index_select(0, voxels.voxel_of_point)], dim=1)
            return _maxima(last(rows), voxels)

    def _rows(self, points: Float[Tensor, "n c"], voxels: Voxels) -> Float[Tensor, "m 6"]:
        """Position of each point in a voxel, and its offset from the voxel's centre."""
        rows = points.index_select(0, voxels.point_rows)[:, :3].to(next(self.parameters()).dtype)
        centres_m = voxels.grid.centres_m(voxels.sites.indices[:, 1:].flip(1), like=rows)
        return torch.cat([rows, rows - centres_m.index_select(0, voxels.voxel_of_point)], dim=1)


class PaddedVoxelFeatureEncoder(VoxelFeatureEncoder):
    """The same layers over a fixed number of slots for each voxel, as published. Empty slots enter as zeros.

    After the first normalisation empty slots are no longer zero. They take part in every maximum and in the batch
    statistics.
    """

    def __init__(self, channels: Sequence[int] = (16, 64, 128), slots: int = 35) -> None:
        super().__init__(channels)
        self.slots = slots

    def forward(self, points: Float[Tensor, "n c"], voxels: Voxels) -> Float[Tensor, "v d"]:
        """Features of the voxels. No voxel may hold more points than there are slots."""
        *hidden, last = self.vfe_layers
        with torch.autocast(points.device.type, enabled=False):
            rows = self._rows(points, voxels)
            size = (len(voxels.counts), self.slots)
            place = voxels.voxel_of_point * self.slots + voxels.slots()
            padded = rows.new_zeros(size[0] * size[1], rows.shape[1]).index_copy(0, place, rows)
            for layer in hidden:
                padded = layer(padded).unflatten(0, size)
                padded = torch.cat([padded, padded.amax(1, keepdim=True).expand_as(padded)], dim=2).flatten(0, 1)
            return last(padded).unflatten(0, size).amax(1)


class _PointLayer(nn.Module):
    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_channels, out_channels, bias=False)
        self.norm = RowNorm(out_channels)

    def forward(self, rows: Tensor) -> Tensor:
        return self.norm(self.linear(rows)).relu_()


def _maxima(rows: Float[Tensor, "m c"], voxels: Voxels) -> Float[Tensor, "v c"]:
    return _Maxima.apply(rows, voxels.counts, voxels.voxel_of_point)


class _Maxima(torch.autograd.Function):
    """Maximum over each voxel's rows; equal maxima share the gradient.

    torch.segment_reduce would give each of the equal maxima the whole gradient where the gradient is negative. Equal
    maxima are common: if ReLU made two points zero, the next layer's rows are the same.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, counts: Tensor, voxel_of_point: Tensor) -> Tensor:
        maxima = _reduce(rows, "max", counts)
        ctx.save_for_backward(rows, maxima, counts, voxel_of_point)
        return maxima

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_maxima: Tensor) -> tuple[Tensor, None, None]:
        rows, maxima, counts, voxel_of_point = ctx.saved_tensors
        is_maximum = (rows == maxima.index_select(0, voxel_of_point)).to(rows.dtype)
        shares = grad_maxima / _reduce(is_maximum, "sum", counts)
        return is_maximum * shares.index_select(0, voxel_of_point), None, None


def _reduce(rows: Tensor, how: str, counts: Tensor) -> Tensor:
    # "unsafe" leaves out checks. They hold by construction, wait for the device and refuse an empty cloud.
    return torch.segment_reduce(rows, how, lengths=counts, axis=0, unsafe=True)
