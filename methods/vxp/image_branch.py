"""The image side of VXP: the teacher."""

from jaxtyping import Float
from torch import Tensor, nn

from datasets.errors import CrossplaceError
from methods.layers.backbone import ImageBackbone
from methods.layers.pooling import pool_of, pooled_channels
from methods.learning.distillation import ImageTeacher
from methods.vxp.config import VxpConfig


class ImageBranch(ImageTeacher):
    """Backbone → feature map → pooling → linear. Descriptors are not normalised (as published, with GeM)."""

    def __init__(self, config: VxpConfig) -> None:
        super().__init__()
        self.backbone = ImageBackbone(
            config.backbone, config.backbone_block, config.image.size, config.weights, config.weights_sha256
        )
        channels, self.takes_class_token = self.backbone.channels, config.pooling == "class-token"
        if self.takes_class_token and not self.backbone.has_class_token:
            raise CrossplaceError(
                f"backbone {config.backbone} has no class token; choose a transformer or another pooling"
            )
        self.pool = nn.Identity() if self.takes_class_token else pool_of(config.pooling, channels, config.layout)
        self.head = nn.Linear(pooled_channels(self.pool, channels), config.descriptor_size)

    def forward(self, pixels: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b d"]:
        """Global descriptors."""
        if self.takes_class_token:
            return self.head(self.backbone.class_token(pixels))
        return self.describe(self.backbone(pixels))

    def describe(self, feature_map: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        """Global descriptors of feature maps, by a pooling that is not the class token."""
        return self.head(self.pool(feature_map))
