"""Atrous spatial pyramid pooling (Chen et al., DeepLabv3+, ECCV 2018) with depthwise separable convolutions."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


class ASPP(nn.Module):
    """Features of each cell at several scales: the cell, 3 × 3 neighbours at each rate, the mean of the map.

    There are three kinds of branches, each with ``out_channels``.

    * A 1 × 1 convolution.

    * For each rate, a 3 × 3 convolution of each channel by itself at this dilation, then a 1 × 1 convolution.

    * The map's mean through a 1 × 1 convolution, the same in all cells.

    A 1 × 1 convolution projects the concatenated branches; dropout follows. Batch normalisation and ReLU follow every
    convolution, and no convolution has a bias. The convolution of the mean is the exception: it has a bias and no
    normalisation, since it may be one number a channel. As in detectron2's layer.
    """

    def __init__(
        self, in_channels: int, out_channels: int, rates: Sequence[int] = (6, 12, 18), dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.cell = _unit(in_channels, out_channels)
        self.atrous = nn.ModuleList(
            nn.Sequential(
                *_unit(in_channels, in_channels, rate),
                *_unit(in_channels, out_channels),
            )
            for rate in rates
        )
        self.mean = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1), nn.ReLU())
        self.project = nn.Sequential(*_unit((len(rates) + 2) * out_channels, out_channels), nn.Dropout(dropout))

    def forward(self, feature_map: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        """A map of the same height and width."""
        parts = [self.cell(feature_map), *(branch(feature_map) for branch in self.atrous)]
        mean = self.mean(feature_map.mean((2, 3), keepdim=True))
        return self.project(torch.cat([*parts, mean.expand_as(parts[0])], dim=1))


def _unit(in_channels: int, out_channels: int, rate: int | None = None) -> nn.Sequential:
    """A 1 × 1 convolution, or with a rate a 3 × 3 convolution of each channel by itself; normalisation, ReLU."""
    if rate is None:
        conv = nn.Conv2d(in_channels, out_channels, 1, bias=False)
    else:
        conv = nn.Conv2d(in_channels, out_channels, 3, padding=rate, dilation=rate, groups=in_channels, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU())
