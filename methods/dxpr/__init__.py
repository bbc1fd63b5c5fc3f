"""DXPR: images and clouds as depth images in the camera's view, through one network (arXiv 2609.09005)."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from datasets.base import Split
from methods.base import DescriptorSpec, Method, Stage
from methods.batch import Batch
from methods.card import MethodCard
from methods.dxpr.config import PRESETS, VARIANTS, DxprConfig, Encoding
from methods.dxpr.encoder import DepthEncoder
from methods.dxpr.stages import SharedStage
from methods.layers.camera_plane import KeptRows, densified, depth_image
from methods.layers.depth.sources import depth_provider
from methods.learning.depth_stage import depth_stages

SMALLEST_SPREAD = 1e-2
"""Added to the deviation of an image, so that an image of one depth stays finite."""
ENCODINGS: dict[Encoding, Callable[[Tensor], Tensor]] = {
    "log": lambda depth_m: depth_m.log(),
    "raw": lambda depth_m: depth_m,
    "inverse": lambda depth_m: depth_m.reciprocal(),
}
"""Functions of depth by name."""


class Dxpr(Method):
    """The depth of an image and the completed depth of a cloud are images of one kind; one network describes both."""

    card = MethodCard(
        name="dxpr",
        title="DXPR: Depth-Based Vision–LiDAR Cross-Modal Place Recognition Using Vision Foundation Models",
        paper="Han, Jang, Roh, Seo, Kim, arXiv 2609.09005",
        venue="arXiv",
        year=2026,
        code="none found",
        code_licence="none published",
        modalities="image (as depth), cloud (as depth in the camera's view)",
        trained_on="KITTI odometry: 11 to 21, or the first 3,000 frames of 00; Boreas",
        pretrained="DINOv2 (the shared encoder); Depth Anything, metric, from KITTI (depth)",
        sources="text of the paper; SALAD and multi-similarity from their papers (CVPR 2024, CVPR 2019)",
        deviations=(
            "depth by the suite's own light network unless files or a plug-in are named (published: Depth Anything); "
            "clouds completed by windows on the device (published: DOC-Depth, on Boreas with ground from neighbouring "
            "scans); overlap from the clouds' depth of both frames, which needs no alignment of scale (published: "
            "camera against LiDAR, scale by golden-section search), without roll and pitch; sizes that patches of 14 "
            "pixels fill (published: 150 × 744 and 112 × 341); `quick` masks pairs of little overlap (published: "
            "negatives). Not published, so as in DINOv2-SALAD: ViT-B, its last 4 blocks trained, sizes of SALAD, "
            "alpha 1, beta 50, base 0 of negatives, margin 0.1, AdamW at 6e-5. Not published, so ours: normalisation "
            "by each image, missing depth as 80 m, kept rows, batch, decay, random changes, which descriptors of a "
            "batch form pairs (here all). λ(O) = 0.2 − 0.1 O is taken as written: as a similarity, it pulls weakly "
            "overlapping pairs more"
        ),
    )
    presets = PRESETS
    tunes = {
        "recipe.learning_rate": (1e-3, 4e-3),
        "recipe.batch_size": (16,),
        "recipe.weight_decay": (1e-2,),
    }
    variants = VARIANTS

    def __init__(self, config: DxprConfig | None = None) -> None:
        super().__init__()
        self.config: DxprConfig = config or DxprConfig()
        self.crop = KeptRows.of(self.config.size[0], self.config.rows)
        # Built first, so that its training does not depend on the other parts.
        self.depth = depth_provider(self.config.depth.source, self.crop.whole_height, self.config.size[1])
        self.encoder = DepthEncoder(self.config)
        self.descriptors = (DescriptorSpec(size=self.encoder.pool.out_channels, distance="l2"),)

    def image_depth(self, batch: Batch) -> Float[Tensor, "b 1 height width"]:
        """Depth of the images in the rows that count, metres."""
        batch.require_images()
        with torch.no_grad():
            return self.crop(self.depth(batch))

    def cloud_depth(self, batch: Batch) -> Float[Tensor, "b 1 height width"]:
        """Completed depth of what the camera sees of the clouds, in the rows that count, metres; 0 where unknown."""
        clouds = batch.require_clouds()
        intrinsics, camera_from_lidar = batch.calibration()
        size, config = (self.crop.whole_height, self.config.size[1]), self.config
        seen = depth_image(clouds.points, clouds.batch_index, camera_from_lidar, intrinsics, *size)
        return self.crop(densified(seen, config.fill_radius, config.fill_passes))

    def seen(self, depth_m: Float[Tensor, "b 1 height width"]) -> Float[Tensor, "b 1 height width"]:
        """What the network sees of depth: its logarithm, normalised. Unknown depth is far."""
        config = self.config
        encode = ENCODINGS[config.encoding]
        known_m = torch.where(depth_m > 0, depth_m, config.far_m).clamp(config.near_m, config.far_m)
        values = encode(known_m)
        if config.per_image:
            spread, mean = torch.std_mean(values, dim=(2, 3), keepdim=True)
            return (values - mean) / (spread + SMALLEST_SPREAD)
        near, far = encode(known_m.new_tensor([config.near_m, config.far_m]))
        return 2 * (values - near) / (far - near) - 1

    def image_inputs(self, batch: Batch) -> Float[Tensor, "b 1 height width"]:
        """Log depth of the images. Estimating or reading depth is preprocessing."""
        return self.seen(self.image_depth(batch))

    def cloud_inputs(self, batch: Batch) -> Float[Tensor, "b 1 height width"]:
        """Log depth of the clouds, completed, in the view of the camera."""
        return self.seen(self.cloud_depth(batch))

    def encode_images(self, inputs: Float[Tensor, "b 1 height width"]) -> dict[str, Float[Tensor, "b 1 d"]]:
        """Descriptors of unit length."""
        return {"main": self.encoder(inputs.expand(-1, 3, -1, -1))[:, None]}

    def encode_clouds(self, inputs: Float[Tensor, "b 1 height width"]) -> dict[str, Float[Tensor, "b 1 d"]]:
        """Descriptors of unit length, by the network of the images."""
        return self.encode_images(inputs)

    def stages(self, split: Split) -> Sequence[Stage]:
        """Training of depth, if its source learns; then of the one encoder."""
        depth = depth_stages(self.depth, self.config)
        return [*depth, SharedStage(self, split)] if self.config.recipe.epochs else depth
