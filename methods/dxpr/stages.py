"""How DXPR is trained after depth is there: multi-similarity over pairs that are mined by overlap."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from datasets.base import Frames, Split
from datasets.places import Poses, neighbours
from methods.base import Sampler, Stage, StageOutput
from methods.batch import Batch, Sample
from methods.dxpr.mining import PairOverlaps, mined_pairs
from methods.layers.range_image import camera_window
from methods.learning.augment import colour_jitter
from methods.learning.depth_overlap import DepthViews, camera_poses, depth_overlaps
from methods.learning.losses import multi_similarity
from methods.learning.overlap import Views, overlaps
from methods.learning.samplers import PairSampler
from methods.whole_batch import all_frames, all_rows, counted_once

if TYPE_CHECKING:
    from methods.dxpr import Dxpr


class SharedStage(Stage):
    """Multi-similarity among all descriptors of a batch, those of images and those of clouds alike.

    Deviation: the overlap of two frames is that of their clouds' depth, which has one scale (published: of camera and
    LiDAR depth, after their scales are aligned). A batch is mirrored as a whole or not at all, because a mirrored frame
    is another place.
    """

    name = "shared"

    def __init__(self, method: "Dxpr", split: Split) -> None:
        super().__init__()
        self.method, self.split, self.config = method, split, method.config
        self.recipe = self.config.recipe

    def trainable(self) -> Sequence[nn.Module]:
        """What is trained of the one encoder."""
        return self.method.encoder.trained()

    def sampler(self, frames: Frames, *, training: bool) -> Sampler:
        """Every frame once, beside another one of its place if there is one."""
        positives = neighbours(frames, self.split.positive_m, self.split.heading_limit_rad)
        return PairSampler(positives, self.recipe.batch_size, alone=True)

    def augment(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Colour jitter of the image, from which its depth is estimated."""
        assert sample.image is not None
        return replace(sample, image=colour_jitter(sample.image, rng, self.config.jitter))

    def forward(self, batch: Batch) -> StageOutput:
        """Sum of the loss over the descriptors of the batch."""
        cloud_depth_m, config = self.method.cloud_depth(batch), self.config.mining
        overlaps_of = (
            self._depth_overlaps(batch, cloud_depth_m)
            if config.overlap == "depth"
            else _view_overlaps(batch, config.view_reach_m)
        )
        pairs = mined_pairs(all_frames(batch), overlaps_of, config, cloud_depth_m.device).of_both_modalities()
        seen = self.method.seen(torch.cat([self.method.image_depth(batch), cloud_depth_m]))
        # In one pass, so that the encoder's normalisation has the statistics of both modalities.
        descriptors = self.method.encoder(self._mirrored(seen).expand(-1, 3, -1, -1))
        loss_sum, active, count = multi_similarity(
            similarities(all_rows(descriptors)),
            pairs.positive,
            pairs.negative,
            config.base + config.base_slope * pairs.overlap,
            config.negative_base,
            alpha=config.alpha,
            beta=config.beta,
            margin=config.margin,
        )
        return counted_once(StageOutput(loss_sum=loss_sum, count=count, statistics={"active": active}))

    def _mirrored(self, seen: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n 1 h w"]:
        """All depth images mirrored left to right, or none of them. Validation mirrors none."""
        is_learning = self.trainable()[0].training
        return seen.flip(-1) if is_learning and torch.rand(()) < self.config.mirror_probability else seen

    def _depth_overlaps(self, batch: Batch, cloud_depth_m: Float[Tensor, "b 1 h w"]) -> PairOverlaps:
        """Overlaps of the clouds' depth in the views of the cameras."""
        intrinsics, camera_from_lidar = map(all_rows, batch.calibration())
        poses = camera_poses(all_frames(batch), camera_from_lidar)
        views = DepthViews(all_rows(cloud_depth_m[:, 0]), self.method.crop.intrinsics(intrinsics), poses)
        return lambda pairs: depth_overlaps(views, pairs, self.config.mining.matching)


def similarities(descriptors: Float[Tensor, "b d"]) -> Float[Tensor, "b b"]:
    """Dot products in float32."""
    with torch.autocast(descriptors.device.type, enabled=False):
        return descriptors.float() @ descriptors.float().T


def _view_overlaps(batch: Batch, reach_m: float) -> PairOverlaps:
    """Overlaps of the cameras' views on the ground."""
    left, width = (all_rows(angle.double()).cpu().numpy() for angle in camera_window(*batch.calibration()))
    poses = Poses.of(all_frames(batch))
    views = Views(poses.position_m[:, :2], poses.yaw_rad + left - width / 2, width, reach_m, poses.world)

    def found(pairs: Int[Tensor, "k 2"]) -> Float[Tensor, " k"]:
        return torch.from_numpy(overlaps(views, views)).to(pairs.device)[pairs[:, 0], pairs[:, 1]]

    return found
