"""A light network that estimates depth from one image.

It replaces the large depth networks of the papers, so that everything runs without outside weights.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from methods.base import ImageInput
from methods.batch import Batch
from methods.depth import DepthNetwork
from methods.layers.depth.provider import DepthProvider

NEAREST_M, FARTHEST_M = 0.5, 300.0
"""Smallest and largest depth that the network predicts, metres."""
TYPICAL_M = 10.0
"""Depth that an untrained network predicts, metres."""


class DepthCnn(nn.Module):
    """Encoder and decoder with skips: log of depth at half of the input's size.

    The input of each pixel is its colour, row and column. On a road, row and column say much about depth.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        sizes = [5, *channels]
        self.down = nn.ModuleList(
            nn.Sequential(*_unit(before, after, stride=2), *_unit(after, after)) for before, after in pairwise(sizes)
        )
        self.up = nn.ModuleList(
            nn.Sequential(*_unit(deep + skip, skip)) for skip, deep in reversed([*pairwise(channels)])
        )
        self.head = nn.Conv2d(channels[0], 1, 3, padding=1)

    def forward(self, pixels: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 h2 w2"]:
        """Natural logarithm of metres along the optical axis."""
        rows, columns = (torch.linspace(-1, 1, n, device=pixels.device) for n in pixels.shape[-2:])
        grid = torch.stack(torch.meshgrid(rows, columns, indexing="ij")).expand(len(pixels), 2, -1, -1)
        maps = [torch.cat([pixels, grid], dim=1)]
        for unit in self.down:
            maps.append(unit(maps[-1]))
        found = maps.pop()
        for unit in self.up:
            skip = maps.pop()
            found = unit(torch.cat([functional.interpolate(found, size=skip.shape[-2:]), skip], dim=1))
        return self.head(found).float() + math.log(TYPICAL_M)


def _unit(before: int, after: int, stride: int = 1) -> tuple[nn.Module, ...]:
    return nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)


class NetworkDepth(DepthProvider):
    """Depth images from the built-in network."""

    def __init__(self, source: DepthNetwork, height: int, width: int) -> None:
        super().__init__(height, width)
        # Normalised by its own brightness: this removes exposure, night and colour cast.
        self.image_input = ImageInput(height=source.height, width=source.width, per_image=True)
        self.network = DepthCnn(source.channels)
        self.source = source

    def log_depth(self, batch: Batch) -> Float[Tensor, "b 1 h w"]:
        """Log depth that the network predicts, at the size of its output."""
        return self.network(self.image_input(batch.require_images()))

    def forward(self, batch: Batch) -> Float[Tensor, "b 1 height width"]:
        """Metres along the optical axis, known everywhere. Log depth is interpolated to the provider's size."""
        found = self.log_depth(batch).clamp(math.log(NEAREST_M), math.log(FARTHEST_M))
        return functional.interpolate(found, size=(self.height, self.width), mode="bilinear").exp()
