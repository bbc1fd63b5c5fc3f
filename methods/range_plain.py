"""The plain method of the projection family: image and spherical image, one small network each, one triplet loss.

Every method that projects the cloud must beat this one. It has no depth, no shared weights, no attention, no
pretraining on pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor

from datasets.base import Split
from methods.base import DescriptorSpec, ImageInput, Method, MethodConfig, Stage, TowersConfig, Variant
from methods.batch import Batch
from methods.card import MethodCard
from methods.layers.package_weights import LITE0, PACKAGED, started_from
from methods.layers.pooled_encoder import PooledEncoder
from methods.layers.range_image import RangeView, as_pixels, range_shares
from methods.learning.cross_modal import CrossModalTriplets, TripletTraining
from methods.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class RangePlainConfig(TowersConfig):
    """Architecture and training. There is no paper, so all values are this suite's choices."""

    weights: str = "timm"
    backbone: str = "resnet18"
    backbone_block: int = 4
    """Stage of the backbone whose feature map is pooled: 4 is the last stage, at stride 32."""
    image: ImageInput = ImageInput(height=240, width=320)
    """Network input made of camera images."""
    view: RangeView = RangeView(rows=64, columns=320, azimuth_deg="camera")
    """Part of the cloud that is drawn: all beams of the sensor, within the camera's horizontal field of view."""
    range_size: tuple[int, int] = (128, 320)
    """Height and width of the resized spherical image."""
    descriptor_size: int = 256
    training: TripletTraining = TripletTraining()
    recipe: Recipe = Recipe(epochs=30, batch_size=32, learning_rate=1e-4, learning_rate_floor=1e-6, decay=0.9)


_FULL = RangePlainConfig()
_QUICK = replace(
    _FULL,
    weights="none",
    backbone_block=3,
    image=ImageInput(height=80, width=112, per_image=True),
    view=RangeView(rows=32, columns=64, azimuth_deg="camera"),
    range_size=(64, 96),
    training=TripletTraining(mining="all"),
    recipe=Recipe(epochs=8, batch_size=16, learning_rate=5e-4, learning_rate_floor=1e-5, decay=0.7, decay_every=1),
)

PRESETS: dict[str, MethodConfig] = {
    "quick": _QUICK,
    "pretrained": replace(
        _QUICK,
        **started_from(LITE0),
        cloud_backbone=_QUICK.backbone,
        image=PACKAGED[LITE0].image(height=80, width=112),
        recipe=replace(_QUICK.recipe, optimizer="adamw", learning_rate=3e-4),
    ),
    "gpu": replace(_FULL, recipe=replace(_FULL.recipe, budget_s=540.0)),
    "full": _FULL,
}
"""Presets. ``full`` takes the place of ``paper``, since there is no paper. ``pretrained`` is ``quick`` with ImageNet
weights for camera images; spherical images keep their ResNet-18 from scratch."""


class RangePlain(Method):
    """ResNet-18 with GeM on the image and on the spherical image, trained with triplets across the two."""

    card = MethodCard(
        name="range_plain",
        title="Plain 2D projection: ResNet-18 with GeM on image and spherical image",
        paper="none: the floor of the projection family in this suite",
        venue="none",
        year=2026,
        code="this repository",
        code_licence="MIT",
        modalities="image, cloud",
        trained_on="nothing published",
        pretrained="nothing published; preset full: ResNet-18 from ImageNet",
        sources="common parts: ResNet-18 (He et al. 2016), GeM (Radenović et al. 2019), triplets (Hermans et al. 2017)",
    )
    presets = PRESETS
    variants = {
        "full-turn": Variant(
            question="What does the field-of-view crop bring?",
            change=lambda config: replace(config, view=replace(config.view, azimuth_deg=(180.0, -180.0))),
        ),
    }
    tunes = {
        "recipe.learning_rate": (1e-3, 2.5e-4),
        "recipe.decay": (0.5, 0.85),
        "recipe.batch_size": (32,),
        "training.margin": (0.5, 0.15),
        "training.mining": ("hardest",),
        "training.jitter": (0.3,),
    }

    def __init__(self, config: RangePlainConfig | None = None) -> None:
        super().__init__()
        self.config: RangePlainConfig = config or RangePlainConfig()
        self.descriptors = (DescriptorSpec(size=self.config.descriptor_size, distance="l2"),)
        self.image_encoder = self._encoder(self.config.image.size, of_points=False)
        self.cloud_encoder = self._encoder(self.config.range_size, of_points=True)

    def _encoder(self, size: tuple[int, int], *, of_points: bool) -> PooledEncoder:
        c = self.config
        backbone, weights, sha256 = c.tower(of_points=of_points)
        return PooledEncoder(backbone, c.backbone_block, size, c.descriptor_size, weights, sha256)

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
        return [CrossModalTriplets(self, split, self.config.recipe, self.config.training, [self])]
