"""Training both branches of VXP together, as an alternative to a teacher and a student."""

from typing import TYPE_CHECKING

import numpy as np
from torch import nn
from torch.nn import functional

from datasets.base import Frames, Split
from datasets.places import neighbours
from methods.base import Sampler, Stage, StageOutput
from methods.batch import Batch, Sample
from methods.learning.contrastive import contrast_masks, masked_info_nce
from methods.learning.samplers import PairSampler, elsewhere
from methods.vxp.stages import CloudMemory, local_loss
from methods.whole_batch import all_frames, all_rows, counted_once, total

if TYPE_CHECKING:
    from methods.vxp import Vxp


class JointStage(Stage):
    """Each image picks the clouds of its place, each cloud its images, and voxels follow the pixels that they fall on.

    Contrastive loss on descriptors of unit length plus the loss of the local stage. The pixels' features are the
    target of the voxels' and get no gradient from them: otherwise both could agree on a constant.
    """

    name = "joint"
    ignores = ("local_stage", "global_stage", "head_from_teacher", "teacher_features")

    def __init__(self, method: "Vxp", split: Split) -> None:
        super().__init__()
        self.method, self.split, self.recipe = method, split, method.config.joint_stage
        self.augmentation = method.config.augmentation
        self._clouds = CloudMemory(method.cloud_branch, is_kept=self.augmentation.only_mirrors)

    def trainable(self) -> list[nn.Module]:
        """Both branches, and the temperature of the contrastive loss."""
        return [self.method.image_branch, self.method.cloud_branch, self.method.temperature]

    def sampler(self, frames: Frames, *, training: bool) -> Sampler:
        """Every frame once an epoch, if possible beside one of its place from another traversal."""
        places = neighbours(frames, self.split.positive_m, self.split.heading_limit_rad)
        return PairSampler(elsewhere(frames, places), self.recipe.batch_size, alone=True)

    def augment(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Changes that keep points on their pixels."""
        return self.augmentation.of_pair(sample, rng)

    def forward(self, batch: Batch) -> StageOutput:
        """Mean contrastive loss plus mean local loss; the count is that of the contrastive terms."""
        images, clouds = self.method.image_branch, self.method.cloud_branch
        feature_map, seen = images.backbone(self.method.image_inputs(batch)), clouds.in_view(self._clouds(batch))
        found = images.describe(feature_map), clouds.describe(seen, len(batch))
        of_images, of_clouds = (all_rows(functional.normalize(descriptors, dim=1)) for descriptors in found)
        masks = contrast_masks(all_frames(batch), self.split, of_images.device)
        loss_sum, count = masked_info_nce(of_images, of_clouds, *masks, self.method.temperature())
        local = local_loss(seen, feature_map.detach(), is_weighted=self.method.config.inverse_depth_weighting)
        contrast = counted_once(StageOutput(loss_sum=loss_sum, count=count))
        local.count = total(local.count)  # each process knows its own voxels
        return StageOutput(loss_sum=contrast.loss_sum + local.loss * count, count=contrast.count)
