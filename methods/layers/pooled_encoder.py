"""Plain image encoders with one descriptor."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from methods.layers.backbone import ImageBackbone
from methods.layers.gem import GeM
from methods.layers.layout_pool import Layout, LayoutPool


class PooledEncoder(nn.Module):
    """Backbone (see :class:`ImageBackbone`) → GeM, or means that keep a layout → linear → unit length.

    The backbone works with channels last in memory, which is faster on CPUs and on GPUs.
    """

    def __init__(
        self,
        backbone: str,
        block: int,
        image_size: tuple[int, int],
        descriptor_size: int,
        weights: str,
        weights_sha256: str = "",
        layout: Layout | None = None,
    ) -> None:
        super().__init__()
        self.backbone = ImageBackbone(backbone, block, image_size, weights, weights_sha256)
        self.backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        channels = self.backbone.channels
        self.pool: LayoutPool | GeM = LayoutPool(channels, layout) if layout else GeM()
        pooled = self.pool.out_channels if isinstance(self.pool, LayoutPool) else channels
        self.head = nn.Linear(pooled, descriptor_size)

    def forward(self, pixels: Float[Tensor, "b 3 height width"]) -> Float[Tensor, "b d"]:
        """Descriptors of normalised images."""
        feature_map = self.backbone(pixels.contiguous(memory_format=torch.channels_last))
        return functional.normalize(self.head(self.pool(feature_map)), dim=1)
