"""A light network that reads depth from one image, and the stage that teaches it on the LiDAR's points.

It stands in for the large depth networks of the papers, so that everything runs without outside weights.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from datasets.base import Frames, Lidar
from methods.base import Batch, ImageInput, Sample, Sampler, Stage, StageOutput
from methods.layers.augment import colour_jitter, mirror
from methods.layers.camera_plane import depth_image
from methods.layers.samplers import ShuffleSampler
from methods.recipe import Recipe

NEAREST_M, FARTHEST_M = 0.5, 300.0
"""Predictions are kept within."""
TYPICAL_M = 10.0
"""What an untrained network answers."""
GOOD_RATIO = 1.25
"""A pixel counts as right if prediction and truth differ by less than this factor (δ₁ of the depth literature)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthNetwork:
    """Depth from the built-in network, trained as a stage of the method."""

    source: Literal["network"] = "network"
    height: int = 192
    width: int = 384
    """Size of its input, whatever the camera's; its output is half of it."""
    channels: tuple[int, ...] = (32, 48, 64, 96, 128)
    """Of each resolution, each half of the one before."""
    jitter: float = 0.2
    """Colour jitter in training."""


QUICK_DEPTH = DepthNetwork(height=96, width=128, channels=(16, 32, 48, 64))
"""For two CPU cores."""
DEPTH_RECIPE = Recipe(epochs=20, batch_size=16, learning_rate=1e-3, learning_rate_floor=1e-5, decay=0.8)
"""Ours, as the network is."""
GPU_DEPTH_RECIPE = replace(DEPTH_RECIPE, budget_s=120.0)
QUICK_DEPTH_RECIPE = Recipe(
    epochs=2, batch_size=8, learning_rate=2e-3, learning_rate_floor=1e-5, decay=0.5, decay_every=1
)
"""About a minute of one core on the small town."""


class DepthCnn(nn.Module):
    """Encoder and decoder with skips: log of depth at half of the input's size.

    Beside its colour each pixel is told its row and column: on a road they say much about depth.
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


class DepthProvider(nn.Module):
    """What every source of depth becomes: a module from a batch to its depth images, all of one size."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.height, self.width = height, width

    def forward(self, batch: Batch) -> Float[Tensor, "b 1 height width"]:
        """Metres along the optical axis, 0 where unknown."""
        raise NotImplementedError


class NetworkDepth(DepthProvider):
    """Depth images from the built-in network."""

    def __init__(self, source: DepthNetwork, height: int, width: int) -> None:
        super().__init__(height, width)
        # By its own brightness: exposure, night and colour cast drop out.
        self.image_input = ImageInput(height=source.height, width=source.width, per_image=True)
        self.network = DepthCnn(source.channels)
        self.jitter = source.jitter

    def log_depth(self, batch: Batch) -> Float[Tensor, "b 1 h w"]:
        """What the network answers, at the size that it answers in."""
        return self.network(self.image_input(batch.require_images()))

    def forward(self, batch: Batch) -> Float[Tensor, "b 1 height width"]:
        """Metres along the optical axis, known everywhere; log depth is interpolated to the size asked for."""
        found = self.log_depth(batch).clamp(math.log(NEAREST_M), math.log(FARTHEST_M))
        return functional.interpolate(found, size=(self.height, self.width), mode="bilinear").exp()


class DepthStage(Stage):
    """The network's depth towards that of the LiDAR's points where they project, and far away where it sees nothing.

    The loss is the mean difference of log depth, metric and alike at all distances; points are few (sparse
    supervision), so most pixels of an image teach nothing.
    """

    name = "depth"
    is_shared = True

    def __init__(self, provider: NetworkDepth, recipe: Recipe, ignores: tuple[str, ...]) -> None:
        super().__init__()
        self.provider, self.recipe, self.ignores = provider, recipe, ignores

    def trainable(self) -> list[nn.Module]:
        """The network; later stages leave it as it is."""
        return [self.provider.network]

    def sampler(self, frames: Frames, *, training: bool) -> Sampler:
        """Every frame once an epoch."""
        return ShuffleSampler(len(frames), self.recipe.batch_size)

    def augment(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Joint mirroring and colour jitter: changes that keep points on their pixels."""
        if rng.random() < 0.5:
            sample = mirror(sample)
        assert sample.image is not None
        return replace(sample, image=colour_jitter(sample.image, rng, self.provider.jitter))

    def forward(self, batch: Batch) -> StageOutput:
        """Mean absolute difference of log depth over the pixels that are known."""
        found = self.provider.log_depth(batch)
        depth_m = lidar_depth(batch, *found.shape[-2:])
        known = depth_m > 0
        error = (found[known] - depth_m[known].log()).abs()
        pixels = known.sum().to(error.dtype)
        right = (error < math.log(GOOD_RATIO)).sum().to(error.dtype)
        return StageOutput(loss_sum=error.sum(), count=pixels, statistics={"right": right, "pixels": pixels})


def lidar_depth(batch: Batch, height: int, width: int) -> Float[Tensor, "b 1 height width"]:
    """What the clouds know of the depth of each pixel, metres; 0 where they know nothing.

    The nearest point of a pixel; above the horizon, where the LiDAR looks and neither the pixel nor its neighbours have
    one, the view is open: the LiDAR's range.
    """
    clouds = batch.require_clouds()
    intrinsics, camera_from_lidar = batch.calibration()
    depth_m = depth_image(clouds.points, clouds.batch_index, camera_from_lidar, intrinsics, height, width)
    near_point = functional.max_pool2d((depth_m > 0).to(depth_m.dtype), 3, stride=1, padding=1) > 0
    swept = is_swept(intrinsics, camera_from_lidar, clouds.lidars, height, width)
    far_m = depth_m.new_tensor([lidar.max_range_m if lidar else 0.0 for lidar in clouds.lidars])
    return torch.where(swept & ~near_point, far_m[:, None, None, None], depth_m)


def is_swept(
    intrinsics: Float[Tensor, "b 4"],
    camera_from_lidar: Float[Tensor, "b 4 4"],
    lidars: Sequence[Lidar | None],
    height: int,
    width: int,
) -> Bool[Tensor, "b 1 height width"]:
    """Whether a beam above the horizon passes in the direction of each pixel; nowhere without a LiDAR block.

    The decimetres from LiDAR to camera are neglected: nothing near is missed above the horizon but what stands close.
    """
    rows, columns = ((torch.arange(n, device=intrinsics.device) + 0.5) / n for n in (height, width))
    fx, fy, cx, cy = intrinsics[:, :, None, None].unbind(1)
    right, down = (columns - cx) / fx, (rows[:, None] - cy) / fy
    right, down = right.expand(-1, height, -1), down.expand(-1, -1, width)
    camera = torch.stack([right, down, torch.ones_like(right)], dim=-1)
    rotation = camera_from_lidar[:, :3, :3]
    # Summed over rows: the transpose, from the camera to the LiDAR.
    x, y, z = (camera[..., :, None] * rotation[:, None, None]).sum(-2).unbind(-1)
    elevation_deg = torch.rad2deg(torch.atan2(z, torch.hypot(x, y)))
    limits = [lidar.vertical_fov_deg if lidar else (90.0, -90.0) for lidar in lidars]
    lowest, highest = elevation_deg.new_tensor(limits).T[:, :, None, None]
    swept = (elevation_deg > lowest.clamp(min=0)) & (elevation_deg < highest)
    return swept[:, None]
