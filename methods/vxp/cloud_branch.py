"""The cloud side of VXP: voxels, sparse encoder, projection into the image, pooling."""

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor, nn

from methods.base import Batch
from methods.layers.pooling import POOLINGS, Pool, pooled_channels
from methods.layers.projection import network_from_lidar, project, transform_points, voxel_centres
from methods.layers.sparse import SparseConv3d, SparseTensor, SparseUnit, SubmanifoldConv3d
from methods.layers.voxels import VoxelFeatureEncoder, VoxelGrid, Voxels, voxelize
from methods.vxp.config import EncoderWidths, VxpConfig


@dataclass(kw_only=True)
class CloudInputs:
    """Voxelized clouds and the camera they are projected into."""

    points: Float[Tensor, "n 3"]
    """In the network frame: at the camera, x forward, y left, z up, metres."""
    voxels: Voxels
    intrinsics: Float[Tensor, "b 4"]
    """In units of image width and height."""
    batch_size: int


@dataclass(kw_only=True)
class InViewVoxels:
    """Encoded voxels that project into the image, all of them: several may share a pixel (as published)."""

    features: Float[Tensor, "n c"]
    batch_index: Int[Tensor, " n"]
    uv: Float[Tensor, "n 2"]
    """Where, in units of image width and height, inside (0, 1)."""
    depth_m: Float[Tensor, " n"]


class SparseEncoder(nn.Sequential):
    """110³ → 55³ → 55³ → 28³: submanifold layers within a resolution, regular ones between (as published)."""

    stride = 4

    def __init__(self, in_channels: int, out_channels: int, widths: EncoderWidths) -> None:
        units: list[nn.Module] = []

        def add(conv: type[SubmanifoldConv3d | SparseConv3d], channels: int, **options: int) -> None:
            nonlocal in_channels
            units.append(SparseUnit(conv(in_channels, channels, **options)))
            in_channels = channels

        add(SubmanifoldConv3d, widths.entry)
        for channels in widths.full:
            add(SubmanifoldConv3d, channels)
        for level, stride in ((widths.half, 2), (widths.deep, 1)):
            add(SparseConv3d, level[0], stride=stride)
            for channels in level[1:]:
                add(SubmanifoldConv3d, channels)
        add(SparseConv3d, out_channels, stride=2)
        super().__init__(*units)


class CloudBranch(nn.Module):
    """Voxels → features → sparse encoder → in-view voxels → pooling → linear."""

    def __init__(self, config: VxpConfig, out_channels: int) -> None:
        super().__init__()
        self.grid: VoxelGrid = config.grid
        self.max_voxels = config.max_voxels
        self.feature_encoder = VoxelFeatureEncoder(config.feature_channels)
        self.encoder = SparseEncoder(config.feature_channels[-1], out_channels, config.widths)
        self.pool: Pool = POOLINGS["gem" if config.pooling == "class-token" else config.pooling](out_channels)
        self.head = nn.Linear(pooled_channels(self.pool, out_channels), config.descriptor_size)

    def inputs(self, batch: Batch) -> CloudInputs:
        """Move the clouds into the network frame and voxelize them."""
        clouds = batch.require_clouds()
        intrinsics, camera_from_lidar = batch.calibration()
        index = clouds.batch_index
        points = transform_points(network_from_lidar(camera_from_lidar), clouds.points, index)
        voxels = voxelize(points, index, len(batch), self.grid, self.max_voxels)
        return CloudInputs(points=points, voxels=voxels, intrinsics=intrinsics, batch_size=len(batch))

    def in_view(self, inputs: CloudInputs) -> InViewVoxels:
        """Encode the voxels and keep those in front of the camera and inside the image."""
        features = self.feature_encoder(inputs.points, inputs.voxels)
        encoded = self.encoder(SparseTensor(features, inputs.voxels.sites))
        indices = encoded.sites.indices
        batch_index = indices[:, 0]
        centres = voxel_centres(indices, self.grid, stride=self.encoder.stride)
        uv, depth_m, visible = project(centres, batch_index, inputs.intrinsics)
        return InViewVoxels(
            features=encoded.features[visible],
            batch_index=batch_index[visible],
            uv=uv[visible],
            depth_m=depth_m[visible],
        )

    def forward(self, inputs: CloudInputs) -> Float[Tensor, "b d"]:
        """Global descriptors; defined for a cloud without any voxel in view."""
        seen = self.in_view(inputs)
        return self.head(self.pool.pool_rows(seen.features, seen.batch_index, inputs.batch_size))
