"""The one network that sees camera images and depth images alike."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from methods.layers.backbone import ImageBackbone
from methods.layers.netvlad import NetVLAD
from methods.layers.nmf import heat_maps
from methods.modalink.config import ModaLinkConfig
from methods.whole_batch import all_rows, own_rows

_SEED = 0
"""Seed of the parts that every factorisation starts from."""


class SharedNetwork(nn.Module):
    """Backbone → unit features per cell → NetVLAD of them, NetVLAD of their heat maps, and if wanted an MLP."""

    start: Float[Tensor, "k c"]

    def __init__(self, config: ModaLinkConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = ImageBackbone(
            config.backbone, config.backbone_block, config.image.size, config.weights, config.weights_sha256
        )
        channels = self.backbone.channels
        self.pool = NetVLAD(channels, config.clusters)
        self.heat_pool = None if config.nmf == "none" else NetVLAD(config.factors, config.clusters)
        self.mlp = None
        if config.mlp:
            self.mlp = nn.Sequential(
                nn.Linear(channels, config.mlp_size), nn.ReLU(), nn.Linear(config.mlp_size, config.mlp_size)
            )
        generator = torch.Generator().manual_seed(_SEED)
        self.register_buffer("start", torch.rand(config.factors, channels, generator=generator))

    @property
    def descriptor_size(self) -> int:
        """Numbers of all branches."""
        heat = 0 if self.heat_pool is None else self.heat_pool.out_channels
        return self.pool.out_channels + heat + (0 if self.mlp is None else self.config.mlp_size)

    def feature_map(self, pixels: Float[Tensor, "b 3 height width"]) -> Float[Tensor, "b c h w"]:
        """Features of unit length in each cell."""
        return functional.normalize(self.backbone(pixels), dim=1)

    def heat(self, feature_map: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k h w"]:
        """How strongly each cell shows each factor of its frame's features (or its batch's, if configured)."""
        if self.config.nmf != "batch":
            return heat_maps(feature_map, self.start, self.config.updates)
        return own_rows(heat_maps(all_rows(feature_map.detach()), self.start, self.config.updates, together=True))

    def describe(self, feature_map: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        """Descriptors of unit length, each branch with the same weight."""
        parts = [self.pool(feature_map)]
        if self.heat_pool is not None:
            parts.append(self.heat_pool(self.heat(feature_map)))
        if self.mlp is not None:
            parts.append(functional.normalize(self.mlp(feature_map.mean((2, 3))), dim=1))
        return functional.normalize(torch.cat(parts, dim=1), dim=1)

    def forward(self, pixels: Float[Tensor, "b 3 height width"]) -> Float[Tensor, "b d"]:
        """Descriptors."""
        return self.describe(self.feature_map(pixels))
