"""The one network that describes the depth images of cameras and of LiDARs."""

from jaxtyping import Float
from torch import Tensor, nn

from methods.base import FROM_SCRATCH
from methods.dxpr.config import DxprConfig
from methods.layers.backbone import ImageBackbone
from methods.layers.salad import Salad, require_mass


class DepthEncoder(nn.Module):
    """Backbone → normalised local features and a global token → SALAD.

    The token of a transformer is its class token, that of a convolutional network the mean of its map. Deviation: the
    normalisation is a new layer, since the backbone comes without its last one.
    """

    def __init__(self, config: DxprConfig) -> None:
        super().__init__()
        self.backbone = ImageBackbone(
            config.backbone, config.backbone_block, config.size, config.weights, config.weights_sha256
        )
        sizes = config.salad
        rows, columns = self.backbone.map_size
        require_mass(rows * columns, sizes.clusters)
        self.norm = nn.LayerNorm(self.backbone.channels)
        self.pool = Salad(
            self.backbone.channels,
            sizes.clusters,
            sizes.cluster_channels,
            sizes.token_channels,
            hidden=sizes.hidden,
            dropout=sizes.dropout,
            iterations=sizes.iterations,
        )
        self._trained_blocks = config.trained_blocks if config.weights != FROM_SCRATCH else None

    def forward(self, pixels: Float[Tensor, "b 3 height width"]) -> Float[Tensor, "b d"]:
        """Descriptors of unit length."""
        if self.backbone.has_class_token:
            feature_map, token = self.backbone.map_and_class_token(pixels)
        else:
            feature_map = self.backbone(pixels)
            token = feature_map.mean((2, 3))
        return self.pool(self.norm(feature_map.movedim(1, -1)).movedim(-1, 1), self.norm(token))

    def trained(self) -> list[nn.Module]:
        """What training changes: the last blocks of a pretrained transformer with the pooling, else all."""
        if self._trained_blocks is None or not self.backbone.has_class_token:
            return [self]
        blocks = [*self.backbone.encoder.blocks]
        return [*blocks[len(blocks) - self._trained_blocks :], self.norm, self.pool]
