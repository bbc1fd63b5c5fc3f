"""How VXP is trained: teacher, local alignment, global alignment (paper §3)."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from datasets.base import Split
from methods.base import StageOutput
from methods.batch import Batch, Sample
from methods.layers.netvlad import initialise_clusters
from methods.layers.projection import image_cells
from methods.learning import distillation
from methods.learning.remembering import Remembered
from methods.recipe import Recipe
from methods.vxp.cloud_branch import CloudBranch, CloudInputs, InViewVoxels
from methods.vxp.image_branch import ImageBranch
from methods.whole_batch import all_frames

if TYPE_CHECKING:
    from methods.vxp import Vxp


CLOUD_BRANCH = (
    *("grid", "max_voxels", "feature_channels", "widths"),
    *("collisions", "stretched_centres", "as_published", "output_sites", "norm_momentum"),
)
"""Fields of the configuration that only the cloud branch reads."""


class TeacherStage(distillation.TeacherStage):
    """Image descriptors by triplets of images of the same and of other places."""

    ignores = (
        *(*CLOUD_BRANCH, "inverse_depth_weighting", "head_from_teacher"),
        *("local_stage", "global_stage", "joint_stage", "teacher_features", "is_centred"),
    )

    def __init__(self, method: "Vxp", split: Split) -> None:
        super().__init__(method, method.image_branch, method.config, split)


class CloudMemory:
    """Voxelized clouds, found once for each frame and for its mirror image if they ``is_kept``."""

    def __init__(self, branch: CloudBranch, *, is_kept: bool) -> None:
        self.branch, self.is_kept, self.remembered = branch, is_kept, Remembered()

    def __call__(self, batch: Batch) -> CloudInputs:
        """The input of the branch's networks."""
        if not self.is_kept:
            return self.branch.inputs(batch)
        clouds = self.remembered(batch.appearances, lambda number: self.branch.inputs(batch.only(number)).packed())
        return CloudInputs.joined(clouds, self.branch.config.grid)


class StudentStage(distillation.StudentStage):
    """A stage of the cloud branch, which keeps voxelized clouds as long as only mirroring changes them."""

    teacher: ImageBranch
    student: CloudBranch

    def __init__(self, method: "Vxp", recipe: Recipe, *, is_moved: bool) -> None:
        """``is_moved``: whether augmentation moves the points."""
        super().__init__(method, method.image_branch, method.cloud_branch, recipe, method.config.augmentation)
        is_mirrored = self.is_cached and self.augmentation.only_mirrors and not is_moved
        self._clouds = CloudMemory(self.student, is_kept=is_mirrored)

    def cloud_inputs(self, batch: Batch) -> CloudInputs:
        """Voxelized clouds, from memory where that is enough."""
        return self._clouds(batch)


class LocalStage(StudentStage):
    """Voxel features towards the teacher's pixel features where they project, near voxels weighing more."""

    name = "local"
    ignores = ("head_from_teacher", "global_stage", "joint_stage", "is_centred")

    def __init__(self, method: "Vxp", split: Split) -> None:
        super().__init__(method, method.config.local_stage, is_moved=False)
        self.is_weighted = method.config.inverse_depth_weighting

    def trainable(self) -> list[nn.Module]:
        """Voxel feature encoder and sparse encoder."""
        return [self.student.feature_encoder, self.student.encoder]

    def augment(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Changes that keep points on their pixels."""
        return self.augmentation.of_pair(sample, rng)

    def forward(self, batch: Batch) -> StageOutput:
        """SmoothL1 between voxel and pixel features (as published: × inverse depth), mean over all elements."""
        feature_map = self.answers(self.teacher.backbone, batch)
        return local_loss(self.student.in_view(self.cloud_inputs(batch)), feature_map, is_weighted=self.is_weighted)


class GlobalStage(StudentStage):
    """The cloud's descriptor towards the teacher's descriptor of the same frame.

    The encoder is tuned further, pooling and head are new.
    """

    name = "global"

    def __init__(self, method: "Vxp", split: Split) -> None:
        config = method.config
        super().__init__(method, config.global_stage, is_moved=config.augmentation.rigid)
        self.starts_as_teacher = config.head_from_teacher
        self.centring: nn.ModuleDict | None = method.centring if config.is_centred else None

    def trainable(self) -> list[nn.Module]:
        """The whole cloud branch, and the measured means of both sides if descriptors are centred."""
        return [*super().trainable(), *([self.centring] if self.centring is not None else [])]

    def forward(self, batch: Batch) -> StageOutput:
        """The loss of the student. Centred descriptors do not enter it: their means are only measured."""
        if self.centring is None or len(all_frames(batch)) < 2:
            return super().forward(batch)
        target, found = self.answers(self.teacher, batch), self.student(self.cloud_inputs(batch))
        with torch.no_grad():
            for side, descriptors in (("image", target), ("cloud", found)):
                self.centring[side](descriptors)
        return distillation.distance_loss(found, target)

    def before(self, batches: Iterable[Batch]) -> None:
        """Copy the teacher's pooling and head, if the configuration says so; else clusters of the voxels' features."""
        if not self.starts_as_teacher:
            seen = (self.student.in_view(self.method.cloud_inputs(batch)).features for batch in batches)
            initialise_clusters(self.student.pool, seen)
            return
        if type(self.student.pool) is type(self.teacher.pool):
            self.student.pool.load_state_dict(self.teacher.pool.state_dict())
        self.student.head.load_state_dict(self.teacher.head.state_dict())


def local_loss(seen: InViewVoxels, feature_map: Tensor, *, is_weighted: bool) -> StageOutput:
    """SmoothL1 between the features of voxels and of the pixels that they fall on, ``is_weighted`` by inverse depth."""
    error = functional.smooth_l1_loss(seen.features, pixels_at(feature_map, seen), reduction="none")
    if is_weighted:
        error = error / seen.depth_m[:, None]
    return StageOutput(loss_sum=error.sum(), count=error.new_tensor(error.numel()))


def pixels_at(feature_map: Tensor, seen: InViewVoxels) -> Tensor:
    """Features (n, c) of the pixels that voxels fall into: nearest cell, no interpolation (as published)."""
    column, row = image_cells(seen.uv, *feature_map.shape[-2:]).unbind(1)
    return feature_map[seen.batch_index, :, row, column]
