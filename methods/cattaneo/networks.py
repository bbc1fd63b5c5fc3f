"""Image teacher and voxel student."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from methods.batch import Batch
from methods.cattaneo.config import CattaneoConfig, EncoderWidths
from methods.layers.aspp import ASPP
from methods.layers.backbone import ImageBackbone
from methods.layers.gem import GeM
from methods.layers.netvlad import NetVLAD
from methods.layers.projection import network_from_lidar, transform_points
from methods.layers.sparse.modules import RowNorm, SparseConv3d, SparseTensor, SparseUnit, SubmanifoldConv3d
from methods.layers.voxels import VoxelFeatureEncoder, Voxels, voxelize
from methods.learning.distillation import ImageTeacher


class VladHead(nn.Module):
    """From NetVLAD's long vector to a descriptor: linear without bias, batch normalisation, context gating if wanted.

    Gating scales each number by a factor in (0, 1) computed from all of them (Miech et al., 2017).
    """

    def __init__(self, in_channels: int, out_channels: int, *, gating: bool = False) -> None:
        super().__init__()
        self.project, self.norm = nn.Linear(in_channels, out_channels, bias=False), _norm(out_channels)
        self.gates = None
        if gating:
            self.gates = nn.Sequential(nn.Linear(out_channels, out_channels, bias=False), _norm(out_channels))

    def forward(self, vectors: Float[Tensor, "b c"]) -> Float[Tensor, "b d"]:
        """Descriptors, not scaled to unit length."""
        found: Tensor = self.norm(self.project(vectors))
        return found if self.gates is None else found * self.gates(found).sigmoid()


def _norm(channels: int) -> RowNorm:
    return RowNorm(channels, eps=1e-5, momentum=0.1)


class ImageBranch(ImageTeacher):
    """Backbone → GeM → linear, or backbone → NetVLAD → its head. Descriptors are not normalised (as published)."""

    def __init__(self, config: CattaneoConfig) -> None:
        super().__init__()
        self.backbone = ImageBackbone(
            config.backbone, config.backbone_block, config.image.size, config.weights, config.weights_sha256
        )
        if config.backbone.startswith("vgg"):
            self.backbone.encoder.features[-1] = nn.Identity()  # conv5_3 before its ReLU, as published
        channels = self.backbone.channels
        if config.teacher_pooling == "gem":
            self.pool = GeM()
            self.head: nn.Module = nn.Linear(channels, config.descriptor_size)
        else:
            self.pool = NetVLAD(channels, config.clusters)
            self.head = VladHead(self.pool.out_channels, config.descriptor_size, gating=config.gating)

    def forward(self, pixels: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b d"]:
        """Global descriptors."""
        found: Tensor = self.head(self.pool(self.backbone(pixels)))
        return found


class FrontViewEncoder(nn.Sequential):
    """SECOND's sparse encoder with x, not z, as the axis that it shortens: a map of the front view.

    Submanifold layers; the second stage starts by halving all axes, each later one by halving x. A last layer, three
    cells of x wide without padding, halves x once more; what is left of x goes into the channels. As published:
    67³ → 34³ → 34 × 34 × 17 → 9 → 5 → 2 along x, so 2 × 64 channels of 34 × 34 cells.
    """

    def __init__(self, in_channels: int, widths: EncoderWidths, cells: int) -> None:
        """``cells`` is the size of the grid along x."""
        units: list[nn.Module] = [SparseUnit(SubmanifoldConv3d(in_channels, widths.entry))]
        channels = widths.entry
        for number, (first, *rest) in enumerate(widths.stages):
            if number == 0:
                units.append(SparseUnit(SubmanifoldConv3d(channels, first)))
            else:
                units.append(SparseUnit(SparseConv3d(channels, first, stride=2 if number == 1 else (1, 1, 2))))
                cells = (cells - 1) // 2 + 1
            channels = first
            for wider in rest:
                units.append(SparseUnit(SubmanifoldConv3d(channels, wider)))
                channels = wider
        units.append(SparseUnit(SparseConv3d(channels, widths.exit, (1, 1, 3), stride=(1, 1, 2), padding=0)))
        super().__init__(*units)
        self.out_channels = widths.exit * ((cells - 3) // 2 + 1)

    def forward(self, x: SparseTensor) -> Float[Tensor, "b c z y"]:
        """The dense front view, zero where no voxel reaches."""
        return super().forward(x).dense().movedim(-1, 2).flatten(1, 2)


@dataclass(kw_only=True)
class CloudInputs:
    """Voxelized clouds."""

    points: Float[Tensor, "n 3"]
    """In the network frame: at the camera, x forward, y left, z up, metres."""
    voxels: Voxels


class CloudBranch(nn.Module):
    """Voxels → features → sparse encoder → front view → atrous pyramid → NetVLAD → its head."""

    def __init__(self, config: CattaneoConfig) -> None:
        super().__init__()
        self.config = config
        self.feature_encoder = VoxelFeatureEncoder(config.feature_channels)
        self.encoder = FrontViewEncoder(config.feature_channels[-1], config.widths, config.grid.shape[0])
        self.aspp = ASPP(self.encoder.out_channels, config.aspp_channels, config.aspp_rates, config.dropout)
        self.pool = NetVLAD(config.aspp_channels, config.clusters)
        self.head = VladHead(self.pool.out_channels, config.descriptor_size)

    def inputs(self, batch: Batch) -> CloudInputs:
        """Move the clouds into the network frame and voxelize them."""
        clouds = batch.require_clouds()
        _, camera_from_lidar = batch.calibration()
        points = transform_points(network_from_lidar(camera_from_lidar), clouds.points, clouds.batch_index)
        voxels = voxelize(points, clouds.batch_index, len(batch), self.config.grid, self.config.max_voxels)
        return CloudInputs(points=points, voxels=voxels)

    def feature_map(self, inputs: CloudInputs) -> Float[Tensor, "b c z y"]:
        """What NetVLAD pools: features of the front view."""
        features = self.feature_encoder(inputs.points, inputs.voxels)
        found: Tensor = self.aspp(self.encoder(SparseTensor(features, inputs.voxels.sites)))
        return found

    def forward(self, inputs: CloudInputs) -> Float[Tensor, "b d"]:
        """Global descriptors; defined for a cloud without any voxel."""
        found: Tensor = self.head(self.pool(self.feature_map(inputs)))
        return found
