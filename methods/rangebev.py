"""RangeBEV: Range and Bird's Eye View Fused Cross-Modal Visual Place Recognition (Peng et al., IV 2025, 2502.11742).

Two searches in one: camera image against spherical image (:mod:`methods.range_plain`), and the image's points from
above against the cloud's points from above. One search finds the nearest places. The ranks of both searches order these
places.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as image_ops

from datasets.base import Split
from methods.base import DescriptorSpec, Fusion, ImageInput, Method, MethodConfig, Stage, TowersConfig, Variant
from methods.batch import Batch
from methods.card import MethodCard
from methods.depth import GPU_DEPTH, QUICK_DEPTH, DepthConfig
from methods.layers.bev import BevGrid, bev_image, pseudo_points, thinned
from methods.layers.depth.sources import depth_provider
from methods.layers.package_weights import LITE0, PACKAGED, started_from
from methods.layers.pooled_encoder import PooledEncoder
from methods.layers.projection import network_from_lidar, project, transform_points
from methods.layers.range_image import RangeView, as_pixels, range_shares
from methods.learning.cross_modal import CrossModalTriplets, TripletTraining
from methods.learning.depth_stage import depth_stages
from methods.recipe import Recipe

View = Literal["range", "bev"]
"""View of the scene that a descriptor is made of: ahead, or from above."""


@dataclass(frozen=True, kw_only=True)
class RangeBevConfig(TowersConfig):
    """Architecture and training. Defaults are the paper's for KITTI (authors' configuration for ``Kitti_evaluate``).

    Deviation: no feature pyramid and no start from ADE20K. GeM on the last map is the plain form, and weights of
    ADE20K are not at hand. Deviation: stepwise decay instead of a warm-up and cosine restarts, as in all recipes of the
    suite.
    """

    weights: str = "timm"
    backbone: str = "resnet50"
    backbone_block: int = 4
    image: ImageInput = ImageInput(height=128, width=768)
    """Network input made of camera images."""
    view: RangeView = RangeView(rows=64, columns=224, azimuth_deg="camera")
    """Part of the cloud that is drawn: 224 of the 900 columns of a full turn, as published. The camera of KITTI sees
    this part."""
    range_size: tuple[int, int] = (64, 224)
    """Height and width of the resized spherical image."""
    grid: BevGrid = BevGrid(rows=128, columns=128, forward_m=(0.0, 51.2), left_m=(-25.6, 25.6), height_m=(-1.0, 9.0))
    """Grid of the bird's-eye view at the camera: cells of 0.4 m, from 1 m below the camera.

    Deviation: the ground is left out by height; published with Patchwork++, a package of its own.
    """
    slice_m: float = 0.4
    """Height of a slice, metres. One point of each cell and slice counts."""
    saturation: float = 10.0
    """Number of points that make a cell white."""
    depth: DepthConfig = DepthConfig()
    """Depth of images. Deviation: published with Depth Anything V2; here any source can be named. The default source
    needs no outside weights."""
    depth_size: tuple[int, int] = (96, 192)
    """Height and width of the depth image. Its pixels become points."""
    retrieved_by: View = "bev"
    """The main descriptor, which finds the nearest places. Both descriptors then order these places."""
    top: int = 60
    """How many of the nearest places are re-ranked."""
    descriptor_size: int = 256
    """How many numbers each of the two descriptors has."""
    training: TripletTraining = TripletTraining(margin=0.2)
    """Training with triplets. Deviation: one margin, 0.2, and the protocol's radii. The published margin is 0.6 times
    the similarity of the clouds, which the authors' data preparation computes. 0.2 is our guess of a typical
    product."""
    recipe: Recipe = Recipe(
        epochs=80, batch_size=16, learning_rate=1e-5, learning_rate_floor=1e-7, decay=0.95, weight_decay=1e-4
    )


_PAPER = RangeBevConfig()
_QUICK = replace(
    _PAPER,
    weights="none",
    backbone="resnet18",
    backbone_block=3,
    image=ImageInput(height=80, width=112, per_image=True),
    view=RangeView(rows=32, columns=64, azimuth_deg="camera"),
    range_size=(64, 96),
    grid=replace(_PAPER.grid, rows=64, columns=64),
    slice_m=0.8,
    depth=QUICK_DEPTH,
    depth_size=(48, 64),
    retrieved_by="range",
    training=TripletTraining(mining="all"),
    recipe=Recipe(epochs=4, batch_size=16, learning_rate=1e-3, learning_rate_floor=1e-5, decay=0.5, decay_every=1),
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
    "gpu": replace(
        _PAPER,
        depth=GPU_DEPTH,
        recipe=replace(_PAPER.recipe, learning_rate=1e-4, budget_s=420.0),
    ),
    "paper": _PAPER,
}
"""Presets. ``quick`` is that of ``range_plain``, re-ranked by bird's-eye views with cells of 0.8 m. ``pretrained`` is
``quick`` with ImageNet weights for camera images; the three encoders of points keep their ResNet-18 from scratch."""


@dataclass(kw_only=True)
class Views:
    """Network input for the frames of a batch, of one modality."""

    range: Float[Tensor, "b 3 h w"]
    """View of the scene ahead: camera image or spherical image."""
    bev: Float[Tensor, "b 3 rows columns"]
    """View of the scene from above."""


class RangeBev(Method):
    """Four encoders: image and spherical image, and both modalities from above."""

    card = MethodCard(
        name="rangebev",
        title="Range and Bird's Eye View Fused Cross-Modal Visual Place Recognition",
        paper="Peng, Lu, Li, Huang, Qu, Chen, arXiv 2502.11742",
        venue="IEEE Intelligent Vehicles Symposium",
        year=2025,
        code="https://github.com/cppcute-pm/RangeBEV",
        code_licence="Apache-2.0",
        modalities="image (as it is and as points from its depth), cloud (as spherical image and from above)",
        trained_on="KITTI odometry, sequences 11 to 21",
        pretrained="the image's ResNet-50 from ADE20K (segmentation)",
        sources="abstract; configurations and evaluator of the authors' code at commit f673271",
        deviations=(
            "ResNet-50 with GeM and a linear layer, of unit length (published: with a feature pyramid, started from "
            "ADE20K); triplets with one margin and the protocol's radii (published: 0.6 by the similarity of the "
            "clouds); stepwise decay (published: warm-up and cosine restarts); depth by the suite's own light network "
            "unless files or a plug-in are named (published: Depth Anything V2); ground left out by height (published: "
            "Patchwork++); density on a logarithmic scale beside greatest height (published: density); equal sums of "
            "ranks keep the order of the search (published: they share the better rank). Preset quick searches with "
            "range images and re-ranks with bird's-eye views (published: the other way round), and takes all triplets"
        ),
    )
    presets = PRESETS
    variants = {
        "range-first": Variant(
            question="Which descriptor searches?", change=lambda config: replace(config, retrieved_by="range")
        ),
        "bev-first": Variant(
            question="Which descriptor searches?", change=lambda config: replace(config, retrieved_by="bev")
        ),
        "no-fusion": Variant(question="What does re-ranking bring?", change=lambda config: replace(config, top=0)),
    }
    tunes = {
        "recipe.learning_rate": (2e-3, 5e-4),
        "recipe.decay": (0.7,),
        "recipe.batch_size": (32,),
        "training.margin": (0.5, 0.15),
        "training.jitter": (0.3,),
        "retrieved_by": ("bev",),
    }

    def __init__(self, config: RangeBevConfig | None = None) -> None:
        super().__init__()
        self.config: RangeBevConfig = config or RangeBevConfig()
        c = self.config
        second: View = "bev" if c.retrieved_by == "range" else "range"
        self.names: dict[View, str] = {c.retrieved_by: "main", second: second}
        self.descriptors = tuple(DescriptorSpec(name=name, size=c.descriptor_size) for name in self.names.values())
        self.fusion = Fusion(descriptor=second, top=c.top) if c.top else None
        # Built first, so that its training does not depend on the other parts.
        self.depth = depth_provider(c.depth.source, *c.depth_size)
        from_above = (c.grid.rows, c.grid.columns)
        ahead = self._encoder(c.image.size, of_points=False)
        self.image_encoders = nn.ModuleDict({"range": ahead, "bev": self._encoder(from_above)})
        ahead = self._encoder(c.range_size)
        self.cloud_encoders = nn.ModuleDict({"range": ahead, "bev": self._encoder(from_above)})

    def _encoder(self, size: tuple[int, int], *, of_points: bool = True) -> PooledEncoder:
        c = self.config
        backbone, weights, sha256 = c.tower(of_points=of_points)
        return PooledEncoder(backbone, c.backbone_block, size, c.descriptor_size, weights, sha256)

    def image_inputs(self, batch: Batch) -> Views:
        """The image, and its points from above. Estimating or reading depth is preprocessing."""
        pixels = self.config.image(batch.require_images())
        with torch.no_grad():
            points, index = pseudo_points(self.depth(batch), batch.calibration()[0])
        return Views(range=pixels, bev=self._from_above(points, index, len(batch)))

    def cloud_inputs(self, batch: Batch) -> Views:
        """The spherical image of nearness, and the points that the camera sees from above."""
        clouds = batch.require_clouds()
        intrinsics, camera_from_lidar = batch.calibration()
        points = transform_points(network_from_lidar(camera_from_lidar), clouds.points, clouds.batch_index)
        seen = project(points, clouds.batch_index, intrinsics).in_view
        return Views(
            range=as_pixels(1 - range_shares(batch, self.config.view), *self.config.range_size),
            bev=self._from_above(points[seen], clouds.batch_index[seen], len(batch)),
        )

    def _from_above(
        self, points: Float[Tensor, "n 3"], batch_index: Int[Tensor, " n"], batch_size: int
    ) -> Float[Tensor, "b 3 rows columns"]:
        """Density, greatest height and density again of points at the camera, on the scale of camera images.

        Deviation: published with linear density alone. Height tells a wall from a kerb at no cost.
        """
        points, batch_index = thinned(points, batch_index, batch_size, self.config.grid, self.config.slice_m)
        image = bev_image(points, batch_index, batch_size, self.config.grid, self.config.saturation)
        return image_ops.normalize(image[:, [0, 1, 0]], list(self.config.image.mean), list(self.config.image.std))

    def encode_images(self, inputs: Views) -> dict[str, Float[Tensor, "b 1 d"]]:
        """Two descriptors of the image: the scene ahead, and from above."""
        return self._encode(self.image_encoders, inputs)

    def encode_clouds(self, inputs: Views) -> dict[str, Float[Tensor, "b 1 d"]]:
        """Two descriptors of the cloud."""
        return self._encode(self.cloud_encoders, inputs)

    def _encode(self, encoders: nn.ModuleDict, inputs: Views) -> dict[str, Float[Tensor, "b 1 d"]]:
        return {name: encoders[view](getattr(inputs, view))[:, None] for view, name in self.names.items()}

    def stages(self, split: Split) -> Sequence[Stage]:
        """Training of depth, if its source learns; then of all four encoders together."""
        c = self.config
        trained, ignores = [self.image_encoders, self.cloud_encoders], ("retrieved_by", "top")
        triplets = CrossModalTriplets(self, split, c.recipe, c.training, trained, ignores)
        return [*depth_stages(self.depth, c), triplets]
