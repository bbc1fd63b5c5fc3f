"""The stage that trains the built-in depth network on the LiDAR's points."""

import math
from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from datasets.base import Frames, Lidar
from methods.base import MethodConfig, Sampler, Stage, StageOutput
from methods.batch import Batch, Sample
from methods.layers.camera_plane import depth_image
from methods.layers.depth.network import NetworkDepth
from methods.layers.depth.provider import DepthProvider
from methods.learning.augment import colour_jitter, mirror
from methods.learning.relighting import Relighting
from methods.learning.samplers import ShuffleSampler
from methods.recipe import Recipe

GOOD_RATIO = 1.25
"""Limit of a right pixel: prediction and truth differ by less than this factor (δ₁ of the depth literature)."""


def depth_stages(provider: DepthProvider, config: MethodConfig) -> list[Stage]:
    """The stage that trains the provider, or no stage if there is nothing to train.

    The stage is the first of the method. It reads only ``depth`` of the configuration. So all configurations of all
    methods with equal ``depth`` share the trained network.
    """
    depth = config.depth
    if depth is None or not isinstance(provider, NetworkDepth) or not depth.recipe.epochs:
        return []
    ignores = tuple(f.name for f in fields(config) if f.name != "depth")
    return [DepthStage(provider, depth.recipe, ignores)]


class DepthStage(Stage):
    """Train the network towards the LiDAR's depth: that of projected points, and far away in open directions.

    The loss is the mean difference of log depth. It is metric, and alike at all distances. Points are few (sparse
    supervision), so most pixels of an image teach nothing.
    """

    name = "depth"
    is_shared = True

    def __init__(self, provider: NetworkDepth, recipe: Recipe, ignores: tuple[str, ...]) -> None:
        super().__init__()
        self.provider, self.recipe, self.ignores = provider, recipe, ignores

    def trainable(self) -> list[nn.Module]:
        """The depth network. Later stages leave it unchanged."""
        return [self.provider.network]

    def sampler(self, frames: Frames, *, training: bool) -> Sampler:
        """Every frame once an epoch."""
        return ShuffleSampler(len(frames), self.recipe.batch_size)

    def augment(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Joint mirroring, and other light or colour jitter: changes that keep points on their pixels."""
        if rng.random() < 0.5:
            sample = mirror(sample)
        assert sample.image is not None
        source = self.provider.source
        if source.has_random_light:
            return replace(sample, image=Relighting(blur=source.largest_blur)(sample.image, rng))
        return replace(sample, image=colour_jitter(sample.image, rng, source.jitter))

    def forward(self, batch: Batch) -> StageOutput:
        """Mean absolute difference of log depth over the pixels of known depth."""
        found = self.provider.log_depth(batch)
        depth_m = lidar_depth(batch, *found.shape[-2:])
        known = depth_m > 0
        error = (found[known] - depth_m[known].log()).abs()
        pixels = known.sum().to(error.dtype)
        right = (error < math.log(GOOD_RATIO)).sum().to(error.dtype)
        return StageOutput(loss_sum=error.sum(), count=pixels, statistics={"right": right, "pixels": pixels})


def lidar_depth(batch: Batch, height: int, width: int) -> Float[Tensor, "b 1 height width"]:
    """Depth of each pixel from the clouds, metres; 0 where it is unknown.

    The depth of a pixel is that of its nearest point. A pixel above the horizon, where the LiDAR looks, may have no
    point in it or in its neighbours. Then the view is open, and the depth is the LiDAR's range.
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

    The decimetres from LiDAR to camera are neglected. Above the horizon this matters only for objects that stand
    close.
    """
    rows, columns = ((torch.arange(n, device=intrinsics.device) + 0.5) / n for n in (height, width))
    fx, fy, cx, cy = intrinsics[:, :, None, None].unbind(1)
    right, down = (columns - cx) / fx, (rows[:, None] - cy) / fy
    right, down = right.expand(-1, height, -1), down.expand(-1, -1, width)
    camera = torch.stack([right, down, torch.ones_like(right)], dim=-1)
    rotation = camera_from_lidar[:, :3, :3]
    # The sum over rows applies the transpose, from the camera to the LiDAR.
    x, y, z = (camera[..., :, None] * rotation[:, None, None]).sum(-2).unbind(-1)
    elevation_deg = torch.rad2deg(torch.atan2(z, torch.hypot(x, y)))
    limits = [lidar.vertical_fov_deg if lidar else (90.0, -90.0) for lidar in lidars]
    lowest, highest = elevation_deg.new_tensor(limits).T[:, :, None, None]
    swept = (elevation_deg > lowest.clamp(min=0)) & (elevation_deg < highest)
    return swept[:, None]
