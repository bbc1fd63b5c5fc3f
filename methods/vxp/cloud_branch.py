"""The cloud side of VXP: voxels, sparse encoder, projection into the image, pooling."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from methods.batch import Batch
from methods.layers.layout_pool import LayoutPool
from methods.layers.pooling import pool_of, pooled_channels
from methods.layers.projection import (
    nearest_in_cell,
    network_from_lidar,
    project,
    stretched_voxel_centres,
    transform_points,
    voxel_centres,
)
from methods.layers.sparse.modules import RowNorm, SparseConv3d, SparseTensor, SparseUnit, SubmanifoldConv3d
from methods.layers.sparse.sites import Sites
from methods.layers.voxels import (
    PaddedVoxelFeatureEncoder,
    VoxelFeatureEncoder,
    VoxelGrid,
    Voxels,
    voxelize,
    voxelize_in_file_order,
)
from methods.vxp.config import EncoderWidths, VxpConfig
from methods.vxp.published import AsPublished


@dataclass(kw_only=True)
class CloudInputs:
    """Voxelized clouds and the camera they are projected into."""

    points: Float[Tensor, "n 3"]
    """In the network frame: at the camera, x forward, y left, z up, metres."""
    voxels: Voxels
    intrinsics: Float[Tensor, "b 4"]
    """In units of image width and height."""
    batch_size: int

    def packed(self) -> tuple[Tensor, ...]:
        """All that the networks need of one cloud, in little memory."""
        points = self.points[self.voxels.point_rows]
        return points, self.voxels.sites.keys, self.voxels.counts, self.intrinsics

    @classmethod
    def joined(cls, clouds: Sequence[tuple[Tensor, ...]], grid: VoxelGrid) -> "CloudInputs":
        """The batch of some :meth:`packed` clouds."""
        points, keys, counts, intrinsics = map(list, zip(*clouds, strict=True))
        shape = grid.shape[::-1]
        sites = torch.cat([own + number * math.prod(shape) for number, own in enumerate(keys)])
        rows, in_voxel = torch.cat(points), torch.cat(counts)
        voxels = Voxels(
            sites=Sites.from_keys(sites, shape, len(clouds)),
            point_rows=torch.arange(len(rows), device=rows.device),
            voxel_of_point=torch.repeat_interleave(in_voxel, output_size=len(rows)),
            counts=in_voxel,
            grid=grid,
        )
        return cls(points=rows, voxels=voxels, intrinsics=torch.cat(intrinsics), batch_size=len(clouds))


@dataclass(kw_only=True)
class InViewVoxels:
    """Encoded voxels that project into the image; several may share a pixel unless the nearest wins."""

    features: Float[Tensor, "n c"]
    batch_index: Int[Tensor, " n"]
    uv: Float[Tensor, "n 2"]
    """Where, in units of image width and height, inside (0, 1)."""
    depth_m: Float[Tensor, " n"]


class SparseEncoder(nn.Sequential):
    """110³ → 55³ → 55³ → 28³: submanifold layers within a resolution, regular ones between (as published).

    With ``only_occupied`` the regular ones keep to the cells that hold a return.
    """

    stride = 4

    def __init__(
        self, in_channels: int, out_channels: int, widths: EncoderWidths, *, only_occupied: bool = False
    ) -> None:
        regular = {"only_occupied": only_occupied}
        units: list[nn.Module] = []

        def add(conv: type[SubmanifoldConv3d | SparseConv3d], channels: int, **options: Any) -> None:
            nonlocal in_channels
            units.append(SparseUnit(conv(in_channels, channels, **options)))
            in_channels = channels

        add(SubmanifoldConv3d, widths.entry)
        for channels in widths.full:
            add(SubmanifoldConv3d, channels)
        for level, stride in ((widths.half, 2), (widths.deep, 1)):
            add(SparseConv3d, level[0], stride=stride, **regular)
            for channels in level[1:]:
                add(SubmanifoldConv3d, channels)
        add(SparseConv3d, out_channels, stride=2, **regular)
        super().__init__(*units)


class CloudBranch(nn.Module):
    """Voxels → features → sparse encoder → in-view voxels → pooling → linear."""

    def __init__(self, config: VxpConfig, out_channels: int, map_size: tuple[int, int] = (28, 28)) -> None:
        super().__init__()
        self.config = config
        self.map_size = map_size
        """Rows and columns of the image's feature map, whose cells voxels may collide in."""
        published = config.as_published
        self.feature_encoder = (
            PaddedVoxelFeatureEncoder(config.feature_channels, published.slots)
            if published
            else VoxelFeatureEncoder(config.feature_channels)
        )
        self.is_occupied = config.output_sites == "occupied"
        self.encoder = SparseEncoder(
            config.feature_channels[-1], out_channels, config.widths, only_occupied=self.is_occupied
        )
        pooling = "gem" if config.pooling == "class-token" else config.pooling
        self.pool = pool_of(pooling, out_channels, config.layout)
        self.head = nn.Linear(pooled_channels(self.pool, out_channels), config.descriptor_size)

        for norm in (module for module in self.modules() if isinstance(module, RowNorm)):
            norm.momentum = config.norm_momentum

    def inputs(self, batch: Batch) -> CloudInputs:
        """Move the clouds into the network frame and voxelize them."""
        if self.config.as_published:
            return self._published_inputs(batch, self.config.as_published)
        clouds = batch.require_clouds()
        intrinsics, camera_from_lidar = batch.calibration()
        index = clouds.batch_index
        points = transform_points(network_from_lidar(camera_from_lidar), clouds.points, index)
        voxels = voxelize(points, index, len(batch), self.config.grid, self.config.max_voxels)
        return CloudInputs(points=points, voxels=voxels, intrinsics=intrinsics, batch_size=len(batch))

    def _published_inputs(self, batch: Batch, published: AsPublished) -> CloudInputs:
        """One camera for all frames, caps in file order; in double precision until voxels are found, as published."""
        clouds, size = batch.require_clouds(), len(batch)
        points, index = clouds.points.double(), clouds.batch_index
        if published.affine:
            matrix = published.affine.network_from_lidar().to(points.device).expand(size, 4, 4)
        else:
            matrix = network_from_lidar(batch.calibration()[1].double())
        points = transform_points(matrix, points, index)
        voxels = voxelize_in_file_order(
            points, index, size, self.config.grid, self.config.max_voxels, max_points=published.slots
        )
        intrinsics = points.new_tensor(published.intrinsics).expand(size, 4)
        return CloudInputs(points=points, voxels=voxels, intrinsics=intrinsics, batch_size=size)

    def in_view(self, inputs: CloudInputs) -> InViewVoxels:
        """Encode the voxels and keep those in front of the camera and inside the image, on collisions as configured."""
        features = self.feature_encoder(inputs.points, inputs.voxels)
        encoded = self.encoder(SparseTensor(features, inputs.voxels.sites))
        indices = encoded.sites.indices
        batch_index = indices[:, 0]
        grid, shape = self.config.grid, encoded.sites.shape
        centres = (
            stretched_voxel_centres(indices, grid, shape)
            if self.config.stretched_centres
            else voxel_centres(indices, grid, stride=self.encoder.stride, is_mean=self.is_occupied)
        )
        either_side = self.config.as_published is not None
        uv, depth_m, visible = project(centres, batch_index, inputs.intrinsics, either_side=either_side)
        rows = visible.nonzero()[:, 0]
        if self.config.collisions == "nearest-wins":
            rows = rows[nearest_in_cell(uv[rows], depth_m[rows], batch_index[rows], *self.map_size)]
        return InViewVoxels(
            features=encoded.features[rows], batch_index=batch_index[rows], uv=uv[rows], depth_m=depth_m[rows]
        )

    def forward(self, inputs: CloudInputs) -> Float[Tensor, "b d"]:
        """Global descriptors; defined for a cloud without any voxel in view."""
        return self.describe(self.in_view(inputs), inputs.batch_size)

    def describe(self, seen: InViewVoxels, batch_size: int) -> Float[Tensor, "b d"]:
        """Global descriptors of encoded voxels."""
        weights = 1 / seen.depth_m if self.config.collisions == "inverse-depth" else None
        rows = seen.batch_index, batch_size, weights
        if isinstance(self.pool, LayoutPool):
            return self.head(self.pool.pool_rows(seen.features, seen.uv, *rows))
        return self.head(self.pool.pool_rows(seen.features, *rows))
