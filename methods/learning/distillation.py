"""An image teacher, and a student that learns the teacher's descriptors: training that VXP and its baseline share."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from datasets.base import ADDED, Frames, Split
from datasets.places import neighbours
from methods.base import Method, MethodConfig, Sampler, Stage, StageOutput
from methods.batch import Batch, Sample
from methods.layers.backbone import ImageBackbone
from methods.layers.netvlad import initialise_clusters
from methods.learning.augment import colour_jitter, joint_turn, mirror, random_affine, random_rigid, thinned
from methods.learning.losses import TRIPLET_LOSSES, mean_over_triplets, pair_masks
from methods.learning.relighting import Relighting
from methods.learning.remembering import Remembered
from methods.learning.samplers import PairSampler, ShuffleSampler
from methods.recipe import Recipe
from methods.whole_batch import all_frames, all_rows, counted_once


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """Random changes of training samples. Probability or strength 0 turns a change off."""

    jitter: float = 0.1
    """Strength of the colour jitter, in all stages."""
    mirror_probability: float = 0.5
    """Probability of mirroring image and cloud together, in all stages of the student."""
    teacher_affine: bool = True
    """Whether the teacher stage applies a random affine to the image."""
    affine: bool = False
    """Whether the stage that aligns descriptors applies a random affine to the image. As published, VXP does so on
    KITTI and ViViD++, not on Oxford."""
    rigid: bool = True
    """Whether the stage that aligns descriptors applies a random rigid motion to the cloud."""
    relighting: Relighting | None = field(default=None, metadata=ADDED)
    """Random light of images in place of their jitter. Not part of any paper's method."""

    turn_deg: float = field(default=0.0, metadata=ADDED)
    """Largest turn of image and cloud together about the vertical, degrees, in all stages. Not part of any paper's
    method."""
    lost_points: float = field(default=0.0, metadata=ADDED)
    """Largest share of the points that a cloud loses at random, in all stages of the student. Not part of any paper's
    method."""

    @property
    def only_mirrors(self) -> bool:
        """Whether :meth:`of_pair` changes points by mirroring alone."""
        return not (self.turn_deg or self.lost_points)

    def only_mirroring(self) -> "Augmentation":
        """The same without any change of the image but mirroring."""
        return replace(self, jitter=0.0, affine=False, relighting=None, turn_deg=0.0)

    def jittered(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Colour jitter of the image, or random light."""
        if not self.jitter and self.relighting is None:
            return sample
        assert sample.image is not None
        if self.relighting is not None:
            return replace(sample, image=self.relighting(sample.image, rng))
        return replace(sample, image=colour_jitter(sample.image, rng, self.jitter))

    def of_image(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Changes for the teacher: colour jitter or random light, a turn, a small affine of the image, no mirroring."""
        sample = self._turned(self.jittered(sample, rng), rng)
        return _shifted(sample, rng) if self.teacher_affine else sample

    def of_pair(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Joint mirroring, colour jitter, a joint turn, fewer points: changes that keep points on their pixels."""
        if rng.random() < self.mirror_probability:
            sample = mirror(sample)
        sample = self._turned(self.jittered(sample, rng), rng)
        if not self.lost_points:
            return sample
        assert sample.points is not None
        return replace(sample, points=thinned(sample.points, rng, self.lost_points))

    def _turned(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The frame as seen after a small turn of the vehicle."""
        return joint_turn(sample, float(rng.uniform(-self.turn_deg, self.turn_deg))) if self.turn_deg else sample

    def of_descriptors(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Joint mirroring and colour jitter; if configured, an affine of the image and a rigid motion of the cloud."""
        sample = self.of_pair(sample, rng)
        if self.affine:
            sample = _shifted(sample, rng)
        if self.rigid:
            assert sample.points is not None
            sample = replace(sample, points=random_rigid(sample.points, rng))
        return sample


def _shifted(sample: Sample, rng: np.random.Generator) -> Sample:
    assert sample.image is not None
    return replace(sample, image=random_affine(sample.image, rng))


@dataclass(frozen=True, kw_only=True)
class TeacherConfig(MethodConfig):
    """Training of an image teacher. It is part of the configuration of a method with a teacher."""

    augmentation: Augmentation = Augmentation()
    """Random changes of training samples."""
    mining: Literal["hardest", "all"] = "hardest"
    """Triplets of the teacher that count: the hardest of each anchor (as published), or all in the batch."""
    margin: float = 0.3
    """Triplet margin of the teacher."""
    growth_rate: float = 1.4
    """Factor by which the teacher's batch size grows after an epoch with few active triplets."""
    growth_threshold: float = 0.7
    """Share of active triplets below which the teacher's batch size grows."""
    growth_limit: int = 80
    """Largest batch size of the teacher."""
    teacher_features: Literal["live", "cached"] = field(default="live", metadata=ADDED)
    """What the student learns from: ``live`` is the teacher's answer to each augmented image (as published). ``cached``
    is its answer to the plain and to the mirrored image, found once and kept in memory. Images then have no jitter and
    no affine in the student's stages."""
    teacher: Recipe = Recipe(epochs=100, batch_size=16, learning_rate=1e-5, learning_rate_floor=1e-6)


class ImageTeacher(nn.Module):
    """Network from images to descriptors: a backbone, a pooling, and the method's own head."""

    backbone: ImageBackbone
    pool: nn.Module


class TeacherStage(Stage):
    """Train image descriptors with triplets of images of the same place and of other places."""

    name = "teacher"
    modalities = ("image",)

    def __init__(self, method: Method, teacher: ImageTeacher, config: TeacherConfig, split: Split) -> None:
        super().__init__()
        self.method, self.teacher, self.config, self.split = method, teacher, config, split
        self.recipe = config.teacher

    def trainable(self) -> list[nn.Module]:
        """The whole image branch, backbone included (as published)."""
        return [self.teacher]

    def sampler(self, frames: Frames, *, training: bool) -> Sampler:
        """Pairs of positives. The batch size grows in training only."""
        config, positives = self.config, neighbours(frames, self.split.positive_m, self.split.heading_limit_rad)
        rate = config.growth_rate if training else 1.0
        return PairSampler(
            positives, self.recipe.batch_size, rate=rate, limit=config.growth_limit, threshold=config.growth_threshold
        )

    def before(self, batches: Iterable[Batch]) -> None:
        """Find clusters of the untrained (or pretrained) features, if the pooling has clusters."""
        maps = (self.teacher.backbone(self.method.image_inputs(batch)) for batch in batches)
        initialise_clusters(self.teacher.pool, (rows.movedim(1, -1).flatten(0, 2) for rows in maps))

    def augment(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Colour jitter and a small affine of the image, no mirroring."""
        return self.config.augmentation.of_image(sample, rng)

    def forward(self, batch: Batch) -> StageOutput:
        """Triplet loss, mean over the active triplets."""
        embeddings = all_rows(self.teacher(self.method.image_inputs(batch)))
        positive, negative = pair_masks(all_frames(batch), self.split, embeddings.device)
        triplet_loss = TRIPLET_LOSSES[self.config.mining]
        loss_sum, active, triplets = triplet_loss(embeddings, positive, negative, self.config.margin)
        statistics = {"active": active, "triplets": triplets}
        return counted_once(StageOutput(loss_sum=loss_sum, count=active, statistics=statistics))

    def score(self, statistics: dict[str, float]) -> float:
        """Mean loss × share of active triplets (published: × their number, the same up to a constant)."""
        return mean_over_triplets(statistics)


class StudentStage(Stage):
    """Train the cloud's descriptor towards the frozen teacher's descriptor of the same frame."""

    def __init__(
        self, method: Method, teacher: ImageTeacher, student: nn.Module, recipe: Recipe, augmentation: Augmentation
    ) -> None:
        super().__init__()
        self.method, self.teacher, self.student = method, teacher, student
        assert isinstance(method.config, TeacherConfig)
        self.is_cached = method.config.teacher_features == "cached"
        self.recipe, self.augmentation = recipe, augmentation.only_mirroring() if self.is_cached else augmentation
        self._answers = Remembered()

    def trainable(self) -> list[nn.Module]:
        """The whole cloud branch."""
        return [self.student]

    def sampler(self, frames: Frames, *, training: bool) -> Sampler:
        """Every frame once an epoch. Deviation: the published loader drops a last, smaller batch, in validation too."""
        return ShuffleSampler(len(frames), self.recipe.batch_size)

    def augment(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Joint mirroring, colour jitter, rigid motion of the cloud, and on some datasets an affine of the image."""
        return self.augmentation.of_descriptors(sample, rng)

    def forward(self, batch: Batch) -> StageOutput:
        """SmoothL1 between descriptors, mean over elements."""
        return distance_loss(self.student(self.cloud_inputs(batch)), self.answers(self.teacher, batch))

    def answers(self, network: nn.Module, batch: Batch) -> Tensor:
        """What the frozen teacher, or its part ``network``, makes of the images. No gradient reaches it.

        A kept answer was found for its image alone, without autocast: it depends neither on other frames of a batch nor
        on who asked first. So a resumed run, which has forgotten all answers, finds the same ones.
        """
        if not self.is_cached:
            with torch.no_grad():
                return network(self.method.image_inputs(batch))

        def answer(number: int) -> tuple[Tensor]:
            pixels = self.method.image_inputs(batch.only(number))
            with torch.no_grad(), torch.autocast(pixels.device.type, enabled=False):
                return (network(pixels)[0],)

        keys = [(id(network), *appearance) for appearance in batch.appearances]
        return torch.stack([found for (found,) in self._answers(keys, answer)])

    def cloud_inputs(self, batch: Batch) -> Any:
        """Network input for the clouds."""
        return self.method.cloud_inputs(batch)


def distance_loss(found: Float[Tensor, "b d"], target: Float[Tensor, "b d"]) -> StageOutput:
    """SmoothL1 between the student's and the teacher's descriptors, mean over elements."""
    loss_sum = functional.smooth_l1_loss(found, target, reduction="sum")
    return StageOutput(loss_sum=loss_sum, count=found.new_tensor(found.numel()))
