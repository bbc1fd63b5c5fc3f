"""Depth of images and ranges of clouds over one grid of angles, through one network: this suite's own method.

The depth of a camera image says at which range each of the LiDAR's rays would end. So image and cloud are drawn as
pictures of one kind over the same directions: rows are elevations, columns are azimuths. One small network describes
both, and its pooling keeps where things are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from datasets.base import ADDED, Split
from methods.base import DescriptorSpec, Method, MethodConfig, Stage, Variant
from methods.batch import Batch
from methods.card import MethodCard, ShippedWeights
from methods.depth import GPU_DEPTH, QUICK_DEPTH, DepthConfig, DepthNetwork
from methods.layers.angular_image import angular_ranges
from methods.layers.depth.sources import depth_provider
from methods.layers.layout_pool import Layout
from methods.layers.pooled_encoder import PooledEncoder
from methods.layers.range_image import RangeView
from methods.layers.range_picture import cloud_pictures, range_picture
from methods.layout_variants import CHANGES, INPUTS, LAYOUT_VARIANTS, changed
from methods.learning.contrast_stage import ContrastStage, ContrastTraining
from methods.learning.contrastive import Temperature
from methods.learning.depth_stage import depth_stages
from methods.learning.relighting import Relighting
from methods.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class DepthLayoutConfig(MethodConfig):
    """Architecture and training. There is no paper, so all values are this suite's choices."""

    depth: DepthConfig = DepthConfig(source=DepthNetwork(has_random_light=True))
    """Depth of images. The default is the suite's own light network, trained first, on the LiDAR's points and in random
    light."""
    depth_size: tuple[int, int] = (96, 192)
    """Height and width of the depth of a whole image, before it is drawn over the angles."""
    backbone: str = "resnet18"
    """The network of both sides, from scratch."""
    backbone_block: int = 2
    """Stage of the backbone whose feature map is pooled: 2 is the second, at stride 8."""
    has_one_network: bool = True
    """Whether one network describes both sides. If not, each side has its own."""
    view: RangeView = RangeView(rows=64, columns=224, azimuth_deg="camera")
    """Directions that both sides show: all beams of the sensor, within the camera's horizontal field of view."""
    size: tuple[int, int] = (128, 224)
    """Height and width of the network's input."""
    layout: Layout | None = Layout(rows=4, columns=8, channels=48)
    """Grid in which the pooling keeps the layout. None: GeM, which keeps none."""
    headings: int = 1
    """Views of a cloud, evenly over the full turn from the camera's own. The nearest one counts. With one, a place is
    found only in the camera's direction of travel."""
    has_height: bool = True
    """Whether the input has the height of what is seen and whether there is anything, beside its nearness."""
    gap: tuple[int, int] = field(default=(1, 1), metadata=ADDED)
    """Gaps in the picture of a cloud that are smaller than so many rows and columns are filled. Both numbers are odd; 1
    and 1 fill nothing."""
    descriptor_size: int = 256
    training: ContrastTraining = ContrastTraining()
    recipe: Recipe = Recipe(
        epochs=40,
        batch_size=64,
        learning_rate=1e-3,
        learning_rate_floor=0.0,
        schedule="cosine",
        warmup_steps=100,
        optimizer="adamw",
        weight_decay=1e-2,
    )


def _in_any_light(depth: DepthConfig, **recipe: Any) -> DepthConfig:
    """Depth whose network sees random light in training, since no training drive is as dark as a night."""
    assert isinstance(depth.source, DepthNetwork)
    return DepthConfig(source=replace(depth.source, has_random_light=True), recipe=replace(depth.recipe, **recipe))


_FULL = DepthLayoutConfig()
_QUICK = replace(
    _FULL,
    depth=_in_any_light(QUICK_DEPTH, epochs=4, decay=0.6),
    depth_size=(48, 64),
    view=RangeView(rows=32, columns=64, azimuth_deg="camera"),
    size=(64, 96),
    recipe=replace(_FULL.recipe, epochs=12, batch_size=32, warmup_steps=40),
)

PRESETS: dict[str, MethodConfig] = {
    "quick": _QUICK,
    "gpu": replace(_FULL, depth=_in_any_light(GPU_DEPTH), recipe=replace(_FULL.recipe, budget_s=420.0)),
    "full": _FULL,
}
"""Presets. ``full`` takes the place of ``paper``, since there is no paper."""


def _worse_frames(config: DepthLayoutConfig) -> DepthLayoutConfig:
    """Training with clouds that lose up to 80 % of their points, and with images that are blurred three times as far.

    The built-in depth network learns on such images too. Depth of another source stays as it is.
    """
    light, source = Relighting(blur=0.03), config.depth.source
    if isinstance(source, DepthNetwork):
        source = replace(source, largest_blur=light.blur)
    training = replace(config.training, lost_points=0.8, relighting=light)
    return replace(config, depth=replace(config.depth, source=source), training=training)


VARIANTS: dict[str, Variant] = {
    "two-networks": Variant(
        question="Is one network for both sides better than two?", change=changed(has_one_network=False)
    ),
    "gaps-filled": Variant(question=INPUTS, change=changed(gap=(9, 5))),
    "worse-frames": Variant(question=CHANGES, change=_worse_frames),
    **LAYOUT_VARIANTS,
}


class DepthLayout(Method):
    """Ranges from depth and ranges of a cloud over one grid of angles, one ResNet, pooling with the layout, InfoNCE."""

    card = MethodCard(
        name="depth_layout",
        title="Depth and ranges over one grid of angles, one network, pooled with their layout",
        paper="none: this suite's own method",
        venue="none",
        year=2026,
        code="this repository",
        code_licence="MIT",
        modalities="image (as depth), cloud",
        trained_on="nothing published",
        pretrained="nothing published",
        sources="one network for the depth of both sides: DXPR (arXiv 2609.09005); common parts: ResNet-18 (He et al. "
        "2016), InfoNCE in both directions (Radford et al. 2021)",
    )
    presets = PRESETS
    variants = VARIANTS
    shipped = (
        ShippedWeights(
            preset="quick",
            fingerprint="628329ec7c7217b2fcdcac17bc5e9b4c76889c81865bd12f8c6186aead3b978f",
            seed=0,
            file=Path(__file__).with_name("depth_layout-town-quick.safetensors"),
            sha256="7327eaebee3d123850bdec25ceb9d9b489a485ed0045a060998859d0308ab27a",
            command="crossplace train --method depth_layout --preset quick --dataset town --seed 0 --retrain",
        ),
    )
    tunes = {
        "recipe.learning_rate": (2e-3, 5e-4),
        "recipe.weight_decay": (1e-1,),
        "recipe.batch_size": (64,),
        "training.temperature": (0.07, 0.02),
        "training.turn_deg": (6.0,),
        "training.yaw_deg": (0.0, 6.0),
    }

    def __init__(self, config: DepthLayoutConfig | None = None) -> None:
        super().__init__()
        self.config: DepthLayoutConfig = config or DepthLayoutConfig()
        c = self.config
        self.descriptors = (DescriptorSpec(size=c.descriptor_size, distance="l2", cloud_views=c.headings),)
        # Built first, so that its training does not depend on the other parts.
        self.depth = depth_provider(c.depth.source, *c.depth_size)
        self.encoder = self._encoder()
        self.cloud_encoder = None if c.has_one_network else self._encoder()
        self.temperature = Temperature(c.training.temperature)
        self.holes = c.training.holes()

    def _encoder(self) -> PooledEncoder:
        c = self.config
        return PooledEncoder(
            c.backbone, c.backbone_block, c.size, c.descriptor_size, c.weights, c.weights_sha256, c.layout
        )

    def image_inputs(self, batch: Batch) -> Float[Tensor, "b 3 h w"]:
        """What the depth of the images shows over the angles of the view. Getting depth is preprocessing."""
        batch.require_images()
        windows, (intrinsics, camera_from_lidar) = self.config.view.windows(batch), batch.calibration()
        rows, columns = self.config.size
        with torch.no_grad():
            depth_m = self.depth(batch)
        ranges_m = angular_ranges(depth_m, windows, intrinsics, camera_from_lidar, rows=rows, columns=columns)
        return range_picture(ranges_m, windows, self.config.size, has_height=self.config.has_height)

    def cloud_inputs(self, batch: Batch) -> Float[Tensor, "b views 3 h w"]:
        """What the LiDAR shows over the same angles, one view for each heading."""
        c = self.config
        return cloud_pictures(batch, c.view, c.size, has_height=c.has_height, headings=c.headings, gap=c.gap)

    def encode_images(self, inputs: Float[Tensor, "b 3 h w"]) -> dict[str, Float[Tensor, "b 1 d"]]:
        """Descriptors of camera images, of unit length."""
        return {"main": self.encoder(inputs)[:, None]}

    def encode_clouds(self, inputs: Float[Tensor, "b views 3 h w"]) -> dict[str, Float[Tensor, "b views d"]]:
        """Descriptors of clouds, one for each heading, of unit length."""
        encoder = self.cloud_encoder or self.encoder
        return {"main": encoder(inputs.flatten(0, 1)).unflatten(0, inputs.shape[:2])}

    def stages(self, split: Split) -> Sequence[Stage]:
        """Training of depth, if its source learns; then of the network, on the heading of the camera."""
        config = self.config
        trained: list[nn.Module] = [self.encoder, *filter(None, [self.cloud_encoder]), self.holes]
        contrast = ContrastStage(self._both, split, config.recipe, config.training, trained, self.temperature)
        return [*depth_stages(self.depth, config), contrast]

    def _both(self, batch: Batch) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b d"]]:
        """Descriptors of images and clouds with holes. One network sees both at once, for the statistics of both."""
        images = self.holes(self.image_inputs(batch))
        c = self.config
        clouds = self.holes(cloud_pictures(batch, c.view, c.size, has_height=c.has_height, gap=c.gap)[:, 0])
        if self.cloud_encoder is not None:
            return self.encoder(images), self.cloud_encoder(clouds)
        of_images, of_clouds = self.encoder(torch.cat([images, clouds])).chunk(2)
        return of_images, of_clouds
