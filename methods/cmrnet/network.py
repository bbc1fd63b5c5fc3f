"""The network of CMRNet: two pyramids, a cost volume, a dense block, and what follows it.

Facts: CMRNet (Cattaneo et al., ITSC 2019) and its public code. Written anew.
"""

import math
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from methods.cmrnet.config import CmrnetConfig
from methods.layers.correlation import correlation
from methods.layers.poses import FORWARD_FROM_CAMERA, Rigid, composed, inverse, rigid, rotation_of_quaternion

_SLOPE = 0.1
"""Slope of LeakyReLU below zero."""
_LEAST_LOG_SPREAD, _MOST_LOG_SPREAD = -3.0, 3.0
"""Limits of the logarithm of a displacement's spread, in cells."""


class Prediction(NamedTuple):
    """What the network says about rough poses."""

    translation: Float[Tensor, "b 3"]
    """Correction of the position in the axes forward, right, down of the rough camera, metres."""
    quaternion: Float[Tensor, "b 4"]
    """Correction of the orientation in the same axes (w, x, y, z), of unit length."""
    displacement: Float[Tensor, "b 2 h w"] | None
    """How far the map's points of each cell lie from where they should appear: right and down, in cells."""
    log_spread: Float[Tensor, "b h w"] | None
    """Logarithm of the Laplace spread of each displacement, in cells."""
    matching: Float[Tensor, "b d h w"] | None
    """Logits of each shift in the cost volume: where in the image the content of each cell of the map is."""


def _convolution(n_in: int, n_out: int, stride: int = 1) -> nn.Sequential:
    layer = nn.Conv2d(n_in, n_out, 3, stride, padding=1)
    nn.init.kaiming_normal_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return nn.Sequential(layer, nn.LeakyReLU(_SLOPE))


def _pyramid(n_in: int, channels: tuple[int, ...]) -> nn.Sequential:
    """Levels of half the size each: a convolution of stride 2 and two of stride 1."""
    levels = []
    for before, after in pairwise((n_in, *channels)):
        levels += [_convolution(before, after, 2), _convolution(after, after), _convolution(after, after)]
    return nn.Sequential(*levels)


class DenseBlock(nn.Module):
    """Convolutions, each of which sees its own input and all outputs before it."""

    def __init__(self, n_in: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        sizes = [n_in + sum(widths[:i]) for i in range(len(widths) + 1)]
        self.layers = nn.ModuleList(_convolution(size, width) for size, width in zip(sizes, widths, strict=False))
        self.n_out = sizes[-1]

    def forward(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        """All outputs and the input, the newest first."""
        for layer in self.layers:
            maps = torch.cat([layer(maps), maps], dim=1)
        return maps


class CmrnetNetwork(nn.Module):
    """From an image and a depth image of the map at the rough pose to the correction of that pose."""

    def __init__(self, config: CmrnetConfig) -> None:
        super().__init__()
        self.reach, self.sees_depth_features = config.reach, config.sees_depth_features
        self.n_last = None if config.flattens_all else config.dense[-1]
        self.image_pyramid, self.depth_pyramid = _pyramid(3, config.channels), _pyramid(1, config.channels)
        n_cost = (2 * config.reach + 1) ** 2
        self.activation = nn.LeakyReLU(_SLOPE)
        self.dense = DenseBlock(n_cost + config.sees_depth_features * config.channels[-1], config.dense)
        side = 2 ** len(config.channels)
        n_cells = -(-config.image.height // side) * -(-config.image.width // side)
        shared, own = config.hidden
        self.shared = nn.Linear(n_cells * (self.n_last or self.dense.n_out), shared)
        self.translation, self.rotation = (
            nn.Sequential(nn.Linear(shared, own), nn.LeakyReLU(_SLOPE), nn.Linear(own, n)) for n in (3, 4)
        )
        self.displacement, self.sharpness = None, None
        if config.displacements:
            self.displacement = nn.Conv2d(self.dense.n_out, 3, 3, padding=1)
            self.sharpness = nn.Parameter(torch.tensor(math.log(math.sqrt(config.channels[-1]))))

    def forward(self, image: Float[Tensor, "b 3 h w"], depth: Float[Tensor, "b 1 h w"]) -> Prediction:
        """Corrections. ``image`` is normalised, ``depth`` is from 0 (unknown) to 1."""
        of_image, of_depth = self.image_pyramid(image), self.depth_pyramid(depth)
        # Published: shifts of the map at each cell of the image. Displacements ask the other way round.
        pair = (of_image, of_depth) if self.displacement is None else (of_depth, of_image)
        raw = correlation(*pair, self.reach)
        cost = self.activation(raw)
        maps = self.dense(torch.cat([cost, of_depth], dim=1) if self.sees_depth_features else cost)
        last = maps if self.n_last is None else maps[:, : self.n_last]
        translation, quaternion = self._pose(last)
        if self.displacement is None or self.sharpness is None:
            return Prediction(translation, quaternion, None, None, None)
        matching = raw.float() * self.sharpness.exp()
        found = self.displacement(maps).float()
        displacement = found[:, :2] + expected_shift(matching, self.reach)
        return Prediction(
            translation, quaternion, displacement, found[:, 2].clamp(_LEAST_LOG_SPREAD, _MOST_LOG_SPREAD), matching
        )

    def _pose(self, maps: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b 3"], Float[Tensor, "b 4"]]:
        """Translation and unit quaternion of the fully connected layers."""
        hidden = self.activation(self.shared(maps.flatten(1)))
        quaternion = self.rotation(hidden).float()
        # An untrained head may say nothing at all: then no turn.
        quaternion = quaternion + quaternion.new_tensor([1e-6, 0.0, 0.0, 0.0])
        return self.translation(hidden).float(), quaternion / quaternion.norm(dim=1, keepdim=True)


def expected_shift(matching: Float[Tensor, "b d h w"], reach: int) -> Float[Tensor, "b 2 h w"]:
    """Mean shift right and down of each cell, in cells, by the softmax of its logits."""
    side = torch.arange(-reach, reach + 1, device=matching.device, dtype=matching.dtype)
    chance = matching.softmax(1).unflatten(1, (len(side), len(side)))
    right, down = chance.sum(1), chance.sum(2)
    return torch.stack([(row * side[:, None, None]).sum(1) for row in (right, down)], dim=1)


def regressed(found: Prediction) -> Rigid:
    """Corrections of the heads as poses in the axes of the rough cameras (right, down, forward)."""
    correction = rigid(rotation_of_quaternion(found.quaternion), found.translation)
    axes = correction.new_tensor(FORWARD_FROM_CAMERA).expand_as(correction)
    return composed(composed(inverse(axes), correction), axes)
