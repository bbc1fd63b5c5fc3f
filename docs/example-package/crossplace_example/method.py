"""A method in one file: what is seen in each column of the image, and how far the cloud is in each direction."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from datasets.base import Frames, Split
from datasets.places import neighbours
from methods.base import DescriptorSpec, ImageInput, Method, MethodConfig, Sampler, Stage, StageOutput
from methods.batch import Batch
from methods.card import MethodCard
from methods.learning.losses import batch_all_triplet, pair_masks
from methods.learning.samplers import PairSampler
from methods.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class ColumnProfileConfig(MethodConfig):
    """Every choice that a number depends on, with its default."""

    image: ImageInput = ImageInput(height=8, width=16)
    """Network input made of camera images; the cloud has as many directions as this has columns."""
    half_view_rad: float = 0.7
    """How far to either side of straight ahead the cloud is looked at."""
    far_m: float = 40.0
    """Range that stands for nothing in view."""
    size: int = 32
    """Numbers of the descriptor."""
    align: Recipe = Recipe(epochs=3, batch_size=16, learning_rate=1e-2, learning_rate_floor=1e-3)


class ColumnProfile(Method):
    """Two small perceptrons on two profiles, trained so that frames of one place come close together."""

    card = MethodCard(
        name="column_profile",
        title="Column profile (worked example)",
        paper="none",
        venue="none",
        year=2026,
        code="docs/example-package of crossplace",
        code_licence="MIT",
        modalities="image, cloud",
        trained_on="nothing",
        pretrained="nothing",
        sources="none",
    )
    presets = {"quick": ColumnProfileConfig()}

    def __init__(self, config: ColumnProfileConfig | None = None) -> None:
        super().__init__()
        self.config: ColumnProfileConfig = config or ColumnProfileConfig()
        columns, size = self.config.image.width, self.config.size
        self.descriptors = (DescriptorSpec(size=size, distance="cosine"),)
        self.image_branch = nn.Sequential(nn.Linear(24 * columns, 64), nn.ReLU(), nn.Linear(64, size))
        self.cloud_branch = nn.Sequential(nn.Linear(columns, 64), nn.ReLU(), nn.Linear(64, size))

    def cloud_inputs(self, batch: Batch) -> Tensor:
        """Range of the nearest point above the road per direction, as a share of ``far_m``: (batch, columns)."""
        clouds, config, columns = batch.require_clouds(), self.config, self.config.image.width
        x, y, z = clouds.points.unbind(1)
        direction = (0.5 - torch.atan2(y, x) / (2 * config.half_view_rad)) * columns
        seen = (direction >= 0) & (direction < columns) & (z > -1)
        # Batch size is explicit: an empty cloud keeps its row, all of it far.
        cell = clouds.batch_index[seen] * columns + direction[seen].long()
        nearest = clouds.points.new_full((len(batch) * columns,), config.far_m)
        nearest.scatter_reduce_(0, cell, torch.hypot(x, y)[seen], "amin")
        return nearest.view(len(batch), columns) / config.far_m

    def encode_images(self, inputs: Tensor) -> dict[str, Tensor]:
        """(batch, one view, size)."""
        return {"main": functional.normalize(self.image_branch(inputs.flatten(1)), dim=1)[:, None]}

    def encode_clouds(self, inputs: Tensor) -> dict[str, Tensor]:
        """(batch, one view, size)."""
        return {"main": functional.normalize(self.cloud_branch(inputs), dim=1)[:, None]}

    def stages(self, split: Split) -> Sequence[Stage]:
        """One stage trains both branches."""
        return [Align(self, split)]


class Align(Stage):
    """Images and clouds of a batch are embedded together; a triplet loss tells places apart."""

    name = "align"

    def __init__(self, method: ColumnProfile, split: Split) -> None:
        super().__init__()
        self.method, self.split, self.recipe = method, split, method.config.align

    def trainable(self) -> list[nn.Module]:
        """Both branches."""
        return [self.method.image_branch, self.method.cloud_branch]

    def sampler(self, frames: Frames, *, training: bool) -> Sampler:
        """Pairs of the same place."""
        positives = neighbours(frames, self.split.positive_m, self.split.heading_limit_rad)
        return PairSampler(positives, self.recipe.batch_size)

    def forward(self, batch: Batch) -> StageOutput:
        """Triplets over both modalities; a frame's own image and cloud are a pair, too."""
        method = self.method
        images = method.encode_images(method.image_inputs(batch))["main"][:, 0]
        clouds = method.encode_clouds(method.cloud_inputs(batch))["main"][:, 0]
        positive, negative = pair_masks(batch.frames, self.split, images.device)
        own = torch.from_numpy(np.eye(len(batch), dtype=bool)).to(images.device)
        across = positive | own
        positive = torch.cat([torch.cat([positive, across], 1), torch.cat([across, positive], 1)])
        loss, active, triplets = batch_all_triplet(torch.cat([images, clouds]), positive, negative.repeat(2, 2))
        return StageOutput(loss_sum=loss, count=active, statistics={"active": active, "triplets": triplets})
