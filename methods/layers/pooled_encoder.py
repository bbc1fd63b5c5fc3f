"""The plainest image encoder with one descriptor."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from methods.layers.backbone import ImageBackbone
from methods.layers.gem import GeM


class PooledEncoder(nn.Module):
    """Backbone (see :class:`ImageBackbone`) → GeM → linear → unit length."""

    def __init__(
        self,
        backbone: str,
        block: int,
        image_size: tuple[int, int],
        descriptor_size: int,
        weights: str,
        weights_sha256: str = "",
    ) -> None:
        super().__init__()
        self.backbone = ImageBackbone(backbone, block, image_size, weights, weights_sha256)
        self.pool = GeM()
        self.head = nn.Linear(self.backbone.channels, descriptor_size)

    def forward(self, pixels: Float[Tensor, "b 3 height width"]) -> Float[Tensor, "b d"]:
        """Descriptors of normalised images."""
        return functional.normalize(self.head(self.pool(self.backbone(pixels))), dim=1)
