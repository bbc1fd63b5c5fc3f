"""LIP-Loc: LiDAR Image Pretraining for Cross-Modal Localization (Shubodh et al., WACV Workshops 2024, 2312.16648).

CLIP-style: one encoder for camera images and one for range images, each with a projection head. They learn to tell the
partner of each frame from all other frames of the batch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from datasets.base import Frames, Split
from methods.base import (
    DescriptorSpec,
    ImageInput,
    Method,
    MethodConfig,
    Sampler,
    Stage,
    StageOutput,
    TowersConfig,
    Variant,
)
from methods.batch import Batch, Sample
from methods.card import MethodCard
from methods.layers.backbone import PooledBackbone
from methods.layers.package_weights import LITE0, PACKAGED, started_from
from methods.layers.range_image import RangeView, as_pixels, range_shares
from methods.learning.augment import colour_jitter, mirror
from methods.learning.coarse_dropout import CoarseDropout
from methods.learning.losses import soft_target_cross_entropy, symmetric_info_nce
from methods.learning.samplers import ShuffleSampler
from methods.recipe import ParameterGroup, Recipe
from methods.whole_batch import all_rows, counted_once

HDL64_AHEAD = RangeView(
    rows=32, columns=300, vertical_fov_deg=(-11.0, 3.0), azimuth_deg=(60.0, -60.0), max_range_m=50.0
)
"""View as published: rows 0 to 31 and columns 300 to 599 of 64 × 900 pixels from +3° to −25°, within 50 m."""
CAMERA_AHEAD = RangeView(rows=64, columns=224, azimuth_deg="camera", max_range_m=50.0)
"""View for any sensor: all of its beams, within the camera's own horizontal field of view."""
EMPTY = 251 / 255
"""Value of pixels without a point. Deviation: published −1, times 5.1, cast to 8 bits without sign. The result of this
cast depends on the machine; common machines give 251."""


@dataclass(frozen=True, kw_only=True)
class LipLocConfig(TowersConfig):
    """Architecture and training of LIP-Loc (authors' configurations ``exp_large`` and ``exp_largest_vit``)."""

    weights: str = "timm"
    backbone: str = "resnet50"
    """Backbone of both encoders, unless another is named for range images. The other published model has
    ``vit_small_patch16_224``."""
    image: ImageInput = ImageInput(height=224, width=224, antialias=False)
    """Network input made of the whole camera image. Range images have the same size."""
    view: RangeView = HDL64_AHEAD
    embedding_size: int = 2048
    """Size of the heads' input. An encoder with fewer channels (ViT-S: 384) gets a linear layer up to this size."""
    descriptor_size: int = 256
    dropout: float = 0.1
    """Dropout in the heads."""
    loss: Literal["soft", "diagonal", "triplet"] = "soft"
    """Loss: soft targets (the authors' code), the diagonal alone (the text of the paper, CLIP), or random triplets
    (the authors' ablation)."""
    temperature: float = 1.0
    holes_probability: float = 0.9
    """Probability of cutting holes into both inputs of a training frame."""
    jitter: float = 0.0
    """Colour jitter of training images (as published: none)."""
    mirror_probability: float = 0.0
    """Probability of mirroring a training image and its cloud together (as published: never)."""
    image_rate: float = 0.01
    """Learning rate of the camera encoder, in units of the heads' rate (as published 1e-5 to 1e-3)."""
    cloud_rate: float = 0.1
    """Learning rate of the range encoder, in units of the heads' rate (as published 1e-4)."""
    head_weight_decay: float = 1e-3
    """Weight decay of the heads. The encoders have no weight decay."""
    recipe: Recipe = Recipe(
        optimizer="adamw",
        epochs=100,
        batch_size=32,
        learning_rate=1e-3,
        learning_rate_floor=0.0,
        decay=0.8,
        plateau=2,  # torch's scheduler with patience 1 decays after the second epoch without a better score
        weight_decay=0.0,
    )


def _vit(config: LipLocConfig) -> LipLocConfig:
    return replace(config, backbone="vit_small_patch16_224", embedding_size=2048)


_PAPER = LipLocConfig()
_QUICK = replace(
    _PAPER,
    weights="none",
    backbone="resnet10t",
    image=ImageInput(height=80, width=112, per_image=True),
    view=replace(CAMERA_AHEAD, rows=32, columns=64),
    embedding_size=512,
    temperature=10.0,
    jitter=0.1,
    mirror_probability=0.5,
    holes_probability=0.5,
    image_rate=1.0,
    cloud_rate=1.0,
    recipe=replace(
        _PAPER.recipe,
        epochs=8,
        batch_size=32,
        learning_rate=5e-4,
        learning_rate_floor=1e-5,
        decay=0.85,
        decay_every=1,
        plateau=None,
    ),
)

PRESETS: dict[str, MethodConfig] = {
    "quick": _QUICK,
    "pretrained": replace(
        _QUICK,
        **started_from(LITE0),
        cloud_backbone=_QUICK.backbone,
        image=PACKAGED[LITE0].image(height=80, width=112),
        image_rate=0.4,
    ),
    "gpu": replace(_PAPER, view=CAMERA_AHEAD, recipe=replace(_PAPER.recipe, budget_s=540.0)),
    "paper": _PAPER,
    "paper-vit": _vit(_PAPER),
}
"""Presets. ``paper`` and ``paper-vit``: KITTI, from ImageNet's weights. ``quick``: a ResNet of ten layers from scratch
on small images. All learning rates of ``quick`` are equal, since nothing is pretrained. At its temperature, descriptors
of norm 16 do not saturate. ``pretrained`` is ``quick`` with ImageNet weights for camera images, which learn at 2e-4.
Deviation: range images keep their ResNet from scratch; published with both encoders from ImageNet."""


class ProjectionHead(nn.Module):
    """Linear, then GELU, linear and dropout as a residual, then layer norm (as published).

    The output is not of unit length.
    """

    def __init__(self, channels: int, size: int, dropout: float) -> None:
        super().__init__()
        self.projection = nn.Linear(channels, size)
        self.residual = nn.Sequential(nn.GELU(), nn.Linear(size, size), nn.Dropout(dropout))
        self.norm = nn.LayerNorm(size)

    def forward(self, features: Float[Tensor, "b c"]) -> Float[Tensor, "b d"]:
        """Descriptors of encoded features."""
        projected = self.projection(features)
        return self.norm(projected + self.residual(projected))


class Branch(nn.Module):
    """Encoder and head of one modality."""

    def __init__(self, config: LipLocConfig, *, of_points: bool) -> None:
        super().__init__()
        name, *weights = config.tower(of_points=of_points)
        backbone = PooledBackbone(name, config.image.size, *weights)
        widens = backbone.channels != config.embedding_size
        self.encoder = nn.Sequential(
            backbone, nn.Linear(backbone.channels, config.embedding_size) if widens else nn.Identity()
        )
        self.head = ProjectionHead(config.embedding_size, config.descriptor_size, config.dropout)

    def forward(self, pixels: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b d"]:
        """Descriptors of normalised images."""
        return self.head(self.encoder(pixels))


class LipLoc(Method):
    """Camera image and range image, each through its own encoder, compared by dot product."""

    card = MethodCard(
        name="liploc",
        title="LIP-Loc: LiDAR Image Pretraining for Cross-Modal Localization",
        paper="Shubodh, Omama, Zaidi, Parihar, Krishna, arXiv 2312.16648",
        venue="WACV Workshops",
        year=2024,
        code="https://github.com/Shubodh/lidar-image-pretrain-VPR",
        code_licence="MIT",
        modalities="image, cloud",
        trained_on="KITTI odometry, KITTI-360",
        pretrained="both encoders: timm's ResNet-50 or ViT-S/16 from ImageNet",
        sources="abstract; behaviour of the authors' code at commit afc86ee",
        deviations=(
            "validation frames by the protocol (published: a random fifth of all frames, among neighbours of those "
            "trained on); points above the window are left out (published: drawn into its edge row); empty pixels are "
            "251 of 255 by definition (published: by a cast of -5.1 to unsigned 8 bits, which the machine decides). "
            "Preset quick trains at temperature 10 (published: 1)"
        ),
    )
    presets = PRESETS
    variants = {
        "diagonal": Variant(
            question="What does the loss bring?", change=lambda config: replace(config, loss="diagonal")
        ),
        "triplet": Variant(question="What does the loss bring?", change=lambda config: replace(config, loss="triplet")),
        "resnet50": Variant(
            question="What does the encoder bring?",
            change=lambda config: replace(config, backbone="resnet50", embedding_size=2048),
            is_cheap=False,
        ),
        "vit-s16": Variant(question="What does the encoder bring?", change=_vit, is_cheap=False),
    }
    tunes = {
        "recipe.learning_rate": (1e-3, 2.5e-4),
        "recipe.decay": (0.7,),
        "recipe.batch_size": (64, 16),
        "temperature": (5.0, 20.0),
        "holes_probability": (0.0, 0.9),
        "loss": ("diagonal",),
    }

    def __init__(self, config: LipLocConfig | None = None) -> None:
        super().__init__()
        self.config: LipLocConfig = config or LipLocConfig()
        self.descriptors = (DescriptorSpec(size=self.config.descriptor_size, distance="dot"),)
        self.image_branch = Branch(self.config, of_points=False)
        self.cloud_branch = Branch(self.config, of_points=True)

    def cloud_inputs(self, batch: Batch) -> Float[Tensor, "b 3 h w"]:
        """Range images in 256 grey levels, 255 at the maximum range.

        Deviation: points outside the window are left out. The published code draws points beyond the upper and lower
        edge into empty pixels of the row next to the edge.
        """
        grey = (range_shares(batch, self.config.view, EMPTY) * 255).floor() / 255
        return as_pixels(grey, *self.config.image.size)

    def encode_images(self, inputs: Float[Tensor, "b 3 h w"]) -> dict[str, Float[Tensor, "b 1 d"]]:
        """Descriptors of camera images."""
        return {"main": self.image_branch(inputs)[:, None]}

    def encode_clouds(self, inputs: Float[Tensor, "b 3 h w"]) -> dict[str, Float[Tensor, "b 1 d"]]:
        """Descriptors of range images."""
        return {"main": self.cloud_branch(inputs)[:, None]}

    def stages(self, split: Split) -> Sequence[Stage]:
        """One stage. It does not ask which frames show the same place."""
        return [PretrainingStage(self)]


# --- training ------------------------------------------------------------------------------------


def random_triplet(
    images: Float[Tensor, "b d"], clouds: Float[Tensor, "b d"], temperature: float = 1.0, margin: float = 0.2
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """The authors' ablation: triplets of a frame, its partner and another frame's partner, as (sum, frames).

    Triplets count in both directions. The other frame is the next one of the shuffled batch. The temperature is not
    used. Deviation: published negatives are drawn from all frames and encoded in addition, at twice the cost.
    """
    losses = [
        functional.triplet_margin_loss(anchors, others, others.roll(1, 0), margin, reduction="sum")
        for anchors, others in ((images, clouds), (clouds, images))
    ]
    return (losses[0] + losses[1]) / 2, images.new_tensor(float(len(images)))


LOSSES: dict[str, Callable[..., tuple[Tensor, Tensor]]] = {
    "soft": soft_target_cross_entropy,
    "diagonal": symmetric_info_nce,
    "triplet": random_triplet,
}


class PretrainingStage(Stage):
    """Tell the partner of each frame from those of the other frames. Each part has its own learning rate."""

    name = "pretraining"

    def __init__(self, method: LipLoc) -> None:
        super().__init__()
        self.method, self.recipe = method, method.config.recipe
        self.image_holes, self.cloud_holes = (CoarseDropout(method.config.holes_probability) for _ in range(2))

    def trainable(self) -> list[nn.Module]:
        """The whole method."""
        return [self.method, self.image_holes, self.cloud_holes]

    def groups(self) -> list[ParameterGroup]:
        """Groups as published: the camera encoder learns slowest, then the range encoder, then the heads."""
        config, image, cloud = self.method.config, self.method.image_branch, self.method.cloud_branch
        return [
            ParameterGroup(modules=[image.encoder], learning_rate_factor=config.image_rate),
            ParameterGroup(modules=[cloud.encoder], learning_rate_factor=config.cloud_rate),
            ParameterGroup(modules=[image.head, cloud.head], weight_decay=config.head_weight_decay),
        ]

    def sampler(self, frames: Frames, *, training: bool) -> Sampler:
        """Every frame once an epoch. A batch may hold several frames of one place (as published).

        Deviation: published validation frames are a random fifth of all frames, and training uses their neighbours.
        Here the protocol chooses the validation frames.
        """
        return ShuffleSampler(len(frames), self.recipe.batch_size)

    def augment(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Mirroring and colour jitter, if configured."""
        config = self.method.config
        if config.mirror_probability and rng.random() < config.mirror_probability:
            sample = mirror(sample)
        if config.jitter and sample.image is not None:
            sample = replace(sample, image=colour_jitter(sample.image, rng, config.jitter))
        return sample

    def forward(self, batch: Batch) -> StageOutput:
        """The configured loss, mean over frames."""
        method, config = self.method, self.method.config
        images = method.image_branch(self.image_holes(method.image_inputs(batch)))
        clouds = method.cloud_branch(self.cloud_holes(method.cloud_inputs(batch)))
        loss_sum, count = LOSSES[config.loss](all_rows(images), all_rows(clouds), config.temperature)
        return counted_once(StageOutput(loss_sum=loss_sum, count=count))
