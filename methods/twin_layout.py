"""Twin towers over one grid of angles, pooled with their layout: this suite's own method.

Camera image and cloud are drawn over the same directions: rows are elevations, columns are azimuths. Each goes through
a small network of its own. The pooling keeps where things are, and both towers are trained together by a contrastive
loss on images under random light.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from datasets.base import Split
from methods.base import DescriptorSpec, ImageInput, Method, MethodConfig, Stage, TowersConfig, Variant
from methods.batch import Batch
from methods.card import MethodCard, ShippedWeights
from methods.layers.angular_image import angular_images
from methods.layers.layout_pool import Layout
from methods.layers.package_weights import LITE0, PACKAGED, started_from
from methods.layers.pooled_encoder import PooledEncoder
from methods.layers.range_image import RangeView
from methods.layers.range_picture import cloud_pictures
from methods.layout_variants import HEADING, INPUTS, LAYOUT_VARIANTS, changed, trained
from methods.learning.contrast_stage import ContrastStage, ContrastTraining
from methods.learning.contrastive import Temperature
from methods.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class TwinLayoutConfig(TowersConfig):
    """Architecture and training. There is no paper, so all values are this suite's choices."""

    weights: str = "timm"
    backbone: str = "resnet18"
    backbone_block: int = 2
    """Stage of the backbone whose feature map is pooled: 2 is the second, at stride 8."""
    image: ImageInput = ImageInput(height=128, width=224)
    """Network input made of the directions that the camera's image and the LiDAR's beams share."""
    view: RangeView = RangeView(rows=64, columns=224, azimuth_deg="camera")
    """Directions that both sides show: all beams of the sensor, within the camera's horizontal field of view."""
    range_size: tuple[int, int] = (128, 224)
    """Height and width of the cloud's network input."""
    layout: Layout | None = Layout(rows=4, columns=8, channels=48)
    """Grid in which the pooling keeps the layout. None: GeM, which keeps none."""
    headings: int = 1
    """Views of a cloud, evenly over the full turn from the camera's own. The nearest one counts. With one, a place is
    found only in the camera's direction of travel."""
    has_common_angles: bool = True
    """Whether images are drawn over the angles of the view. If not, the whole image is resized as it is."""
    has_height: bool = True
    """Whether the cloud's input has the height of its points and whether there are any, beside their nearness."""
    descriptor_size: int = 256
    training: ContrastTraining = ContrastTraining()
    recipe: Recipe = Recipe(
        epochs=40,
        batch_size=64,
        learning_rate=2e-3,
        learning_rate_floor=0.0,
        schedule="cosine",
        warmup_steps=100,
        optimizer="adamw",
        weight_decay=1e-2,
    )


_FULL = TwinLayoutConfig()
_QUICK = replace(
    _FULL,
    weights="none",
    image=ImageInput(height=64, width=112, per_image=True),
    view=RangeView(rows=32, columns=64, azimuth_deg="camera"),
    range_size=(64, 96),
    recipe=replace(_FULL.recipe, epochs=26, batch_size=32, warmup_steps=40),
)

_PRETRAINED = replace(
    _QUICK,
    **started_from(LITE0),
    cloud_backbone="resnet18",
    image=PACKAGED[LITE0].image(height=64, width=112),
    recipe=replace(_QUICK.recipe, learning_rate=1e-3),
)

PRESETS: dict[str, MethodConfig] = {
    "quick": _QUICK,
    "pretrained": _PRETRAINED,
    "gpu": replace(_FULL, recipe=replace(_FULL.recipe, budget_s=540.0)),
    "full": _FULL,
}
"""Presets. ``full`` takes the place of ``paper``, since there is no paper."""

VARIANTS: dict[str, Variant] = {
    "plain-image": Variant(question=INPUTS, change=changed(has_common_angles=False)),
    **LAYOUT_VARIANTS,
    "loose-yaw": Variant(question=HEADING, change=trained(yaw_deg=15.0)),
}


class TwinLayout(Method):
    """Image and cloud over one grid of angles, a ResNet each, pooling with the layout, symmetric InfoNCE."""

    card = MethodCard(
        name="twin_layout",
        title="Twin towers over one grid of angles, pooled with their layout",
        paper="none: this suite's own method",
        venue="none",
        year=2026,
        code="this repository",
        code_licence="MIT",
        modalities="image, cloud",
        trained_on="nothing published",
        pretrained="nothing published; preset full: ResNet-18 from ImageNet",
        sources="common parts: ResNet-18 (He et al. 2016), InfoNCE in both directions (Radford et al. 2021)",
    )
    presets = PRESETS
    variants = VARIANTS
    shipped = (
        ShippedWeights(
            preset="quick",
            fingerprint="628329ec7c7217b2fcdcac17bc5e9b4c76889c81865bd12f8c6186aead3b978f",
            seed=0,
            file=Path(__file__).with_name("twin_layout-town-quick.safetensors"),
            sha256="2afea15598528b801084d7c1d1070d7d8c9c7c44fa1f76df5a77a068565d173e",
            command="crossplace train --method twin_layout --preset quick --dataset town --seed 0 --retrain",
        ),
    )
    tunes = {
        "recipe.learning_rate": (1e-3, 4e-3),
        "recipe.weight_decay": (1e-1,),
        "recipe.batch_size": (64,),
        "training.temperature": (0.07, 0.02),
        "training.turn_deg": (6.0,),
        "training.yaw_deg": (0.0, 6.0),
    }

    def __init__(self, config: TwinLayoutConfig | None = None) -> None:
        super().__init__()
        self.config: TwinLayoutConfig = config or TwinLayoutConfig()
        c = self.config
        self.descriptors = (DescriptorSpec(size=c.descriptor_size, distance="l2", cloud_views=c.headings),)
        self.image_encoder = self._encoder(c.image.size, of_points=False)
        self.cloud_encoder = self._encoder(c.range_size, of_points=True)
        self.temperature = Temperature(c.training.temperature)
        self.holes = c.training.holes()

    def _encoder(self, size: tuple[int, int], *, of_points: bool) -> PooledEncoder:
        c = self.config
        backbone, weights, sha256 = c.tower(of_points=of_points)
        return PooledEncoder(backbone, c.backbone_block, size, c.descriptor_size, weights, sha256, c.layout)

    def image_inputs(self, batch: Batch) -> Float[Tensor, "b 3 h w"]:
        """Images over the angles of the view, normalised."""
        if not self.config.has_common_angles:
            return self.config.image(batch.require_images())
        image, (intrinsics, camera_from_lidar) = self.config.image, batch.calibration()
        windows = self.config.view.windows(batch)
        drawn = angular_images(
            batch.require_images(), windows, intrinsics, camera_from_lidar, rows=image.height, columns=image.width
        )
        return image.normalised(drawn / 255)

    def cloud_inputs(self, batch: Batch) -> Float[Tensor, "b views 3 h w"]:
        """Spherical images of nearness, height and presence, one for each heading."""
        c = self.config
        return cloud_pictures(batch, c.view, c.range_size, has_height=c.has_height, headings=c.headings)

    def encode_images(self, inputs: Float[Tensor, "b 3 h w"]) -> dict[str, Float[Tensor, "b 1 d"]]:
        """Descriptors of camera images, of unit length."""
        return {"main": self.image_encoder(inputs)[:, None]}

    def encode_clouds(self, inputs: Float[Tensor, "b views 3 h w"]) -> dict[str, Float[Tensor, "b views d"]]:
        """Descriptors of clouds, one for each heading, of unit length."""
        return {"main": self.cloud_encoder(inputs.flatten(0, 1)).unflatten(0, inputs.shape[:2])}

    def stages(self, split: Split) -> Sequence[Stage]:
        """One stage, on the heading of the camera."""
        config, towers = self.config, [self.image_encoder, self.cloud_encoder, self.holes]

        def both(batch: Batch) -> tuple[Tensor, Tensor]:
            clouds = cloud_pictures(batch, config.view, config.range_size, has_height=config.has_height)[:, 0]
            return self.image_encoder(self.holes(self.image_inputs(batch))), self.cloud_encoder(self.holes(clouds))

        return [ContrastStage(both, split, config.recipe, config.training, towers, self.temperature)]
