"""The plain method of the projection family: image and spherical image, one small network each, one triplet loss.

What every method that projects the cloud must beat: no depth, no shared weights, no attention, no pretraining on pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from datasets.base import Frames, Split
from methods.base import (
    Batch,
    DescriptorSpec,
    ImageInput,
    Method,
    MethodCard,
    MethodConfig,
    Recipe,
    Sample,
    Sampler,
    Stage,
    StageOutput,
    Variant,
)
from methods.layers.augment import colour_jitter, mirror
from methods.layers.backbone import ImageBackbone
from methods.layers.gem import GeM
from methods.layers.losses import TRIPLET_LOSSES, cross_modal_masks
from methods.layers.range_image import RangeView, as_pixels, range_shares
from methods.layers.samplers import ShuffleSampler

CAMERA_VIEW = RangeView(rows=64, columns=320, azimuth_deg="camera")


@dataclass(frozen=True, kw_only=True)
class RangePlainConfig(MethodConfig):
    """Architecture and training; there is no paper, so these are this suite's choices."""

    weights: str = "timm"
    backbone: str = "resnet18"
    backbone_block: int = 4
    """Which stage's feature map is pooled: 4 is the last, at stride 32."""
    image_size: tuple[int, int] = (240, 320)
    """Height and width of the camera image, pixels."""
    normalise_per_image: bool = False
    """Normalise each image by its own statistics instead of ImageNet's: for backbones trained from scratch."""
    view: RangeView = CAMERA_VIEW
    """What of the cloud is drawn: all beams of the sensor, within the camera's horizontal field of view."""
    range_size: tuple[int, int] = (128, 320)
    """Height and width that the spherical image is resized to."""
    descriptor_size: int = 256
    mining: Literal["hardest", "all"] = "hardest"
    """Triplets: the hardest of each anchor in the batch, or all."""
    margin: float = 0.3
    """Between distances of unit vectors."""
    jitter: float = 0.1
    """Strength of the colour jitter of training images."""
    mirror_probability: float = 0.5
    """Of mirroring a training image and its cloud together."""
    recipe: Recipe = Recipe(epochs=30, batch_size=32, learning_rate=1e-4, learning_rate_floor=1e-6, decay=0.9)


_FULL = RangePlainConfig()

PRESETS: dict[str, MethodConfig] = {
    "quick": replace(
        _FULL,
        weights="none",
        backbone_block=3,
        image_size=(80, 112),
        normalise_per_image=True,
        view=RangeView(rows=32, columns=64, azimuth_deg="camera"),
        range_size=(64, 96),
        mining="all",
        recipe=Recipe(epochs=8, batch_size=16, learning_rate=5e-4, learning_rate_floor=1e-5, decay=0.7, decay_every=1),
    ),
    "gpu": replace(_FULL, recipe=replace(_FULL.recipe, budget_s=540.0)),
    "full": _FULL,
}
"""``full`` takes the place of ``paper``, for there is none."""


class PooledEncoder(nn.Module):
    """Backbone → GeM → linear → unit length."""

    def __init__(self, config: RangePlainConfig, size: tuple[int, int]) -> None:
        super().__init__()
        self.backbone = ImageBackbone(
            config.backbone, config.backbone_block, size, config.weights, config.weights_sha256
        )
        self.pool = GeM()
        self.head = nn.Linear(self.backbone.channels, config.descriptor_size)

    def forward(self, pixels: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b d"]:
        """Descriptors of unit length."""
        return functional.normalize(self.head(self.pool(self.backbone(pixels))), dim=1)


class RangePlain(Method):
    """ResNet-18 with GeM on the image and on the spherical image, trained with triplets across the two."""

    card = MethodCard(
        name="range_plain",
        title="Plain 2D projection: ResNet-18 with GeM on image and spherical image",
        paper="none: the floor of the projection family in this suite",
        year=2026,
        code="this repository",
        code_licence="MIT",
        modalities="image, cloud",
        trained_on="nothing published",
        sources="common parts: ResNet-18 (He et al. 2016), GeM (Radenović et al. 2019), triplets (Hermans et al. 2017)",
    )
    presets = PRESETS
    variants = {
        "full-turn": Variant(
            question="What does the field-of-view crop bring?",
            change=lambda config: replace(config, view=replace(config.view, azimuth_deg=(180.0, -180.0))),
        ),
    }

    def __init__(self, config: RangePlainConfig | None = None) -> None:
        super().__init__()
        self.config: RangePlainConfig = config or RangePlainConfig()
        height, width = self.config.image_size
        self.image_input = ImageInput(height=height, width=width, per_image=self.config.normalise_per_image)
        self.descriptors = (DescriptorSpec(size=self.config.descriptor_size, distance="l2"),)
        self.image_encoder = PooledEncoder(self.config, self.config.image_size)
        self.cloud_encoder = PooledEncoder(self.config, self.config.range_size)

    def cloud_inputs(self, batch: Batch) -> Float[Tensor, "b 3 h w"]:
        """Spherical images of nearness: 1 at the LiDAR, 0 at its maximum range and where nothing returned."""
        return as_pixels(1 - range_shares(batch, self.config.view), *self.config.range_size)

    def encode_images(self, inputs: Float[Tensor, "b 3 h w"]) -> dict[str, Float[Tensor, "b 1 d"]]:
        """Descriptors of camera images."""
        return {"main": self.image_encoder(inputs)[:, None]}

    def encode_clouds(self, inputs: Float[Tensor, "b 3 h w"]) -> dict[str, Float[Tensor, "b 1 d"]]:
        """Descriptors of spherical images."""
        return {"main": self.cloud_encoder(inputs)[:, None]}

    def stages(self, split: Split) -> Sequence[Stage]:
        """One stage."""
        return [TripletStage(self, split)]


class TripletStage(Stage):
    """Triplets of an image, a cloud of its place and one of another; and the reverse."""

    name = "triplets"

    def __init__(self, method: RangePlain, split: Split) -> None:
        super().__init__()
        self.method, self.split, self.recipe = method, split, method.config.recipe

    def trainable(self) -> list[nn.Module]:
        """Everything."""
        return [self.method]

    def sampler(self, frames: Frames, *, training: bool) -> Sampler:
        """Every frame once an epoch: its own cloud is a positive."""
        return ShuffleSampler(len(frames), self.recipe.batch_size)

    def augment(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Joint mirroring and colour jitter."""
        if rng.random() < self.method.config.mirror_probability:
            sample = mirror(sample)
        assert sample.image is not None
        return replace(sample, image=colour_jitter(sample.image, rng, self.method.config.jitter))

    def forward(self, batch: Batch) -> StageOutput:
        """Triplet loss of every named descriptor, mean over the active triplets."""
        images = self.method.encode_images(self.method.image_inputs(batch))
        clouds = self.method.encode_clouds(self.method.cloud_inputs(batch))
        positive, negative = cross_modal_masks(batch.frames, self.split, batch.require_clouds().points.device)
        loss, config = TRIPLET_LOSSES[self.method.config.mining], self.method.config
        sums = [
            loss(torch.cat([images[name][:, 0], clouds[name][:, 0]]), positive, negative, config.margin, swap=False)
            for name in images
        ]
        loss_sum, active, triplets = (torch.stack(parts).sum() for parts in zip(*sums, strict=True))
        return StageOutput(loss_sum=loss_sum, count=active, statistics={"active": active, "triplets": triplets})

    def score(self, statistics: dict[str, float]) -> float:
        """Mean loss over all triplets, of which the active ones are a share."""
        return statistics["loss"] * statistics["active"] / max(statistics["triplets"], 1.0)
