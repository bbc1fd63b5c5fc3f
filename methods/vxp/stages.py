"""How VXP is trained: teacher, local alignment, global alignment (paper §3)."""

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from datasets.base import Frames, Split
from datasets.places import neighbours
from methods.base import Batch, Sample, Sampler, Stage, StageOutput
from methods.layers.augment import colour_jitter, mirror, random_affine, random_rigid
from methods.layers.losses import batch_all_triplet, batch_hard_triplet, pair_masks
from methods.layers.netvlad import initialise_clusters
from methods.layers.projection import image_cells
from methods.layers.samplers import PairSampler, ShuffleSampler
from methods.vxp.cloud_branch import InViewVoxels

if TYPE_CHECKING:
    from methods.vxp import Vxp


CLOUD_BRANCH = (
    *("grid", "max_voxels", "feature_channels", "widths"),
    *("collisions", "stretched_centres", "as_published"),
)
"""Fields of the configuration that only the cloud branch reads."""


class _VxpStage(Stage):
    """What the three stages share."""

    def __init__(self, method: "Vxp", split: Split) -> None:
        super().__init__()
        self.method, self.split = method, split
        self.config, self.teacher, self.student = method.config, method.image_branch, method.cloud_branch
        recipes = {"teacher": self.config.teacher, "local": self.config.local_stage, "global": self.config.global_stage}
        self.recipe = recipes[self.name]

    def sampler(self, frames: Frames, *, training: bool) -> Sampler:
        """Every frame once an epoch. Deviation: the published loader drops a last, smaller batch, in validation too."""
        return ShuffleSampler(len(frames), self.recipe.batch_size)

    def _paired(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Joint mirroring and colour jitter, as both alignment stages use them."""
        if rng.random() < self.config.augmentation.mirror_probability:
            sample = mirror(sample)
        return self._jittered(sample, rng)

    def _jittered(self, sample: Sample, rng: np.random.Generator) -> Sample:
        assert sample.image is not None
        return replace(sample, image=colour_jitter(sample.image, rng, self.config.augmentation.jitter))


def _shifted(sample: Sample, rng: np.random.Generator) -> Sample:
    assert sample.image is not None
    return replace(sample, image=random_affine(sample.image, rng))


class TeacherStage(_VxpStage):
    """Image descriptors by triplets of images of the same and of other places."""

    name = "teacher"
    modalities = ("image",)
    ignores = (*CLOUD_BRANCH, "inverse_depth_weighting", "head_from_teacher", "local_stage", "global_stage")

    def trainable(self) -> list[nn.Module]:
        """The whole image branch, backbone included (as published)."""
        return [self.teacher]

    def sampler(self, frames: Frames, *, training: bool) -> Sampler:
        """Pairs of positives; the batch grows in training only."""
        config, positives = self.config, neighbours(frames, self.split.positive_m, self.split.heading_limit_rad)
        rate = config.growth_rate if training else 1.0
        return PairSampler(
            positives, self.recipe.batch_size, rate=rate, limit=config.growth_limit, threshold=config.growth_threshold
        )

    def before(self, batches: Iterable[Batch]) -> None:
        """Clusters of the untrained (or pretrained) features, if the pooling has any."""
        maps = (self.teacher.backbone(self.method.image_inputs(batch)) for batch in batches)
        initialise_clusters(self.teacher.pool, (rows.movedim(1, -1).flatten(0, 2) for rows in maps))

    def augment(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Colour jitter and a small affine of the image; no mirroring."""
        sample = self._jittered(sample, rng)
        return _shifted(sample, rng) if self.config.augmentation.teacher_affine else sample

    def forward(self, batch: Batch) -> StageOutput:
        """Triplet loss, mean over the active triplets."""
        embeddings = self.teacher(self.method.image_inputs(batch))
        positive, negative = pair_masks(batch.frames, self.split, embeddings.device)
        triplet_loss = {"hardest": batch_hard_triplet, "all": batch_all_triplet}[self.config.mining]
        loss_sum, active, triplets = triplet_loss(embeddings, positive, negative, self.config.margin)
        return StageOutput(loss_sum=loss_sum, count=active, statistics={"active": active, "triplets": triplets})

    def score(self, statistics: dict[str, float]) -> float:
        """Mean loss × share of active triplets. As published: × their number, the same up to a constant."""
        return statistics["loss"] * statistics["active"] / max(statistics["triplets"], 1.0)


class LocalStage(_VxpStage):
    """Voxel features towards the teacher's pixel features where they project, near voxels weighing more."""

    name = "local"
    ignores = ("head_from_teacher", "global_stage")

    def trainable(self) -> list[nn.Module]:
        """Voxel feature encoder and sparse encoder."""
        return [self.student.feature_encoder, self.student.encoder]

    def augment(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Joint mirroring and colour jitter: changes that keep points on their pixels."""
        return self._paired(sample, rng)

    def forward(self, batch: Batch) -> StageOutput:
        """SmoothL1 between voxel and pixel features (as published: × inverse depth), mean over all elements."""
        with torch.no_grad():
            feature_map = self.teacher.backbone(self.method.image_inputs(batch))
        seen = self.student.in_view(self.method.cloud_inputs(batch))
        error = functional.smooth_l1_loss(seen.features, pixels_at(feature_map, seen), reduction="none")
        if self.config.inverse_depth_weighting:
            error = error / seen.depth_m[:, None]
        return StageOutput(loss_sum=error.sum(), count=error.new_tensor(error.numel()))


class GlobalStage(_VxpStage):
    """The cloud's descriptor towards the teacher's descriptor of the same frame."""

    name = "global"

    def trainable(self) -> list[nn.Module]:
        """The whole cloud branch: the encoder is tuned further, pooling and head are new."""
        return [self.student]

    def before(self, batches: Iterable[Batch]) -> None:
        """Copy the teacher's pooling and head, if the configuration says so; else clusters of the voxels' features."""
        if not self.config.head_from_teacher:
            seen = (self.student.in_view(self.method.cloud_inputs(batch)).features for batch in batches)
            initialise_clusters(self.student.pool, seen)
            return
        if type(self.student.pool) is type(self.teacher.pool):
            self.student.pool.load_state_dict(self.teacher.pool.state_dict())
        self.student.head.load_state_dict(self.teacher.head.state_dict())

    def augment(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Joint mirroring, colour jitter, rigid motion of the cloud, and on some datasets an affine of the image."""
        sample = self._paired(sample, rng)
        if self.config.augmentation.affine:
            sample = _shifted(sample, rng)
        if self.config.augmentation.rigid:
            assert sample.points is not None
            sample = replace(sample, points=random_rigid(sample.points, rng))
        return sample

    def forward(self, batch: Batch) -> StageOutput:
        """SmoothL1 between descriptors, mean over elements."""
        with torch.no_grad():
            target = self.teacher(self.method.image_inputs(batch))
        found = self.student(self.method.cloud_inputs(batch))
        return StageOutput(
            loss_sum=functional.smooth_l1_loss(found, target, reduction="sum"),
            count=found.new_tensor(found.numel()),
        )


def pixels_at(feature_map: Tensor, seen: InViewVoxels) -> Tensor:
    """Features (n, c) of the pixels that voxels fall into: nearest cell, no interpolation (as published)."""
    column, row = image_cells(seen.uv, *feature_map.shape[-2:]).unbind(1)
    return feature_map[seen.batch_index, :, row, column]
