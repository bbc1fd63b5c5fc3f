"""The image side of VXP: the teacher."""

from jaxtyping import Float
from torch import Tensor, nn

from methods.layers.backbone import ImageBackbone
from methods.layers.gem import GeM
from methods.vxp.config import VxpConfig


class ImageBranch(nn.Module):
    """Backbone → feature map → GeM → linear. Descriptors are not normalised (as published)."""

    def __init__(self, config: VxpConfig) -> None:
        super().__init__()
        self.backbone = ImageBackbone(
            config.backbone, config.backbone_block, config.image_size, config.weights, config.weights_sha256
        )
        self.pool = GeM()
        self.head = nn.Linear(self.backbone.channels, config.descriptor_size)

    def forward(self, pixels: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b d"]:
        """Global descriptors."""
        return self.head(self.pool(self.backbone(pixels)))
