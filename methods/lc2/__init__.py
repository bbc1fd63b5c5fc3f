"""(LC)²: LiDAR-camera loop constraints (Lee et al., RA-L 2023, arXiv 2304.08660)."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from datasets.base import Split
from methods.base import FROM_SCRATCH, DescriptorSpec, Method, Stage
from methods.batch import Batch
from methods.card import MethodCard
from methods.layers.backbone import ImageBackbone
from methods.layers.depth.sources import depth_provider
from methods.layers.gem import GeM
from methods.layers.netvlad import NetVLAD
from methods.lc2.config import PRESETS, Lc2Config
from methods.lc2.inputs import around, camera_headings, cloud_views, disparity
from methods.lc2.stages import ContrastiveStage, TripletStage, VladStage
from methods.lc2.variants import VARIANTS
from methods.learning.depth_stage import depth_stages


class Lc2(Method):
    """Images of depth and of range meet as disparity; two encoders of one kind, one pooling."""

    card = MethodCard(
        name="lc2",
        title="(LC)²: LiDAR-Camera Loop Constraints for Cross-Modal Place Recognition",
        paper="Lee et al., arXiv 2304.08660",
        venue="IEEE RA-L 8(6)",
        year=2023,
        code="https://github.com/alexjunholee/LC2_crossmatching",
        code_licence="MIT",
        modalities="image (as depth), cloud (as range image)",
        trained_on="ViViD++; the authors' later configurations: KITTI-360, HeLiPR",
        pretrained="VGG16 from ImageNet (both encoders; all but conv5 frozen)",
        sources="paper's abstract; behaviour of the authors' code at commits d630a80 (2022) and 4f13b54 (2026)",
        deviations=(
            "depth by the suite's own light network unless files or a plug-in are named (published: ManyDepth); "
            "disparity on one metric scale (authors' code: each image stretched to its own least and greatest value); "
            "ψ as the shared area of the fields of view (authors' code: angles times a factor of distance); pairs and "
            "hard negatives from within a batch (authors' code: mined over the whole training set before each epoch); "
            "one of the eight views of a cloud drawn at a time; from scratch all of the encoders is trained"
        ),
    )
    presets = PRESETS
    variants = VARIANTS
    tunes = {
        "triplet.learning_rate": (2e-3, 5e-4),
        "triplet.decay": (0.7,),
        "contrastive.learning_rate": (2e-3, 5e-4),
        "margin": (0.3,),
        "hard_negatives": (10, 2),
        "scale_augmentation": (0.1,),
    }

    def __init__(self, config: Lc2Config | None = None) -> None:
        super().__init__()
        self.config: Lc2Config = config or Lc2Config()
        (height, width), (top, bottom) = self.config.image_size, self.config.depth_rows
        self._whole_height = round(height / (bottom - top))
        # First, so that what it learns does not depend on the rest.
        self.depth = depth_provider(self.config.depth.source, self._whole_height, width)
        self.image_encoder, self.cloud_encoder = (_encoder(self.config) for _ in range(2))
        self.gem = GeM()
        self.netvlad = NetVLAD(self.image_encoder.channels, self.config.clusters, bias=False)
        size, views = self.netvlad.out_channels, self.config.views
        self.descriptors = (DescriptorSpec(size=size, distance="l2", cloud_views=views),)

    def image_depth(self, batch: Batch) -> Float[Tensor, "b 1 height width"]:
        """Depth of the rows that count, metres."""
        top = round(self.config.depth_rows[0] * self._whole_height)
        with torch.no_grad():
            return self.depth(batch)[:, :, top : top + self.config.image_size[0]]

    def image_inputs(self, batch: Batch) -> Float[Tensor, "b 1 height width"]:
        """Disparity of the images' depth; estimating or reading depth is preprocessing."""
        return disparity(self.image_depth(batch), self.config.nearest_m)

    def cloud_inputs(self, batch: Batch) -> Float[Tensor, "b views height width"]:
        """Disparity of the range images: one view where the camera looks, or views all around."""
        if self.config.views == 1:
            return cloud_views(batch, camera_headings(batch)[0][:, None], self.config)
        headings = around(self.config.views, batch.require_clouds().points)
        return cloud_views(batch, headings.expand(len(batch), -1), self.config)

    def image_features(self, inputs: Float[Tensor, "b 1 height width"]) -> Float[Tensor, "b c h w"]:
        """Feature maps of disparity images of the camera."""
        return _features(self.image_encoder, inputs)

    def cloud_features(self, inputs: Float[Tensor, "b 1 height width"]) -> Float[Tensor, "b c h w"]:
        """Feature maps of disparity images of the LiDAR."""
        return _features(self.cloud_encoder, inputs)

    def gem_pooled(self, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c"]:
        """Descriptors of the first phase, of unit length."""
        return functional.normalize(self.gem(features), dim=1)

    def encode_images(self, inputs: Float[Tensor, "b 1 height width"]) -> dict[str, Float[Tensor, "b 1 d"]]:
        """Descriptors of unit length."""
        return {"main": self.netvlad(self.image_features(inputs))[:, None]}

    def encode_clouds(self, inputs: Float[Tensor, "b views height width"]) -> dict[str, Float[Tensor, "b views d"]]:
        """Descriptors of unit length, one a view."""
        found = self.netvlad(self.cloud_features(inputs.flatten(0, 1)[:, None]))
        return {"main": found.unflatten(0, inputs.shape[:2])}

    def trained_encoders(self) -> list[nn.Module]:
        """What training changes: with pretrained weights the last stage of each encoder, else all of both."""
        encoders = [self.image_encoder, self.cloud_encoder]
        if self.config.weights == FROM_SCRATCH:
            return [*encoders]
        return [module for encoder in encoders for module in _last_stage(encoder)]

    def stages(self, split: Split) -> Sequence[Stage]:
        """Depth, if its source is to be trained; encoders by contrast; NetVLAD alone; all by triplets."""
        stages = [stage(self, split) for stage in (ContrastiveStage, VladStage, TripletStage)]
        depth = depth_stages(self.depth, self.config)
        return [*depth, *(stage for stage in stages if stage.recipe.epochs)]


def _encoder(config: Lc2Config) -> ImageBackbone:
    """The backbone without its last ReLU, so that features have both signs (as published: VGG16 up to conv5_3)."""
    backbone = ImageBackbone(
        config.backbone, config.backbone_block, config.image_size, config.weights, config.weights_sha256
    )
    layers = getattr(backbone.encoder, "features", None)
    if isinstance(layers, nn.Sequential) and isinstance(layers[-1], nn.ReLU):
        layers[-1] = nn.Identity()
    return backbone


def _last_stage(backbone: ImageBackbone) -> list[nn.Module]:
    """The modules after the feature map before the last."""
    info, encoder = backbone.encoder.feature_info, backbone.encoder
    before, last = (info[block]["module"] for block in (backbone.block - 1, backbone.block))
    if "." not in last:
        return [getattr(encoder, last)]
    layers, _, _ = last.partition(".")
    return [*getattr(encoder, layers)][int(before.rpartition(".")[2]) + 1 :]


def _features(encoder: ImageBackbone, inputs: Float[Tensor, "b 1 height width"]) -> Float[Tensor, "b c h w"]:
    """Three equal channels, from [0, 1] to [-1, 1] (as published)."""
    return encoder(((inputs - 0.5) / 0.5).expand(-1, 3, -1, -1))
