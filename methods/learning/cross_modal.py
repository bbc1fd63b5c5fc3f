"""The plainest training of a cross-modal method: one stage of triplets of an image and two clouds, and the reverse."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import nn

from datasets.base import Frames, Split
from methods.base import Method, Sampler, Stage, StageOutput
from methods.batch import Batch, Sample
from methods.learning.augment import colour_jitter, mirror
from methods.learning.losses import TRIPLET_LOSSES, cross_modal_masks, mean_over_triplets
from methods.learning.samplers import ShuffleSampler
from methods.recipe import Recipe
from methods.whole_batch import all_frames, all_rows, counted_once


@dataclass(frozen=True, slots=True, kw_only=True)
class TripletTraining:
    """How triplets are formed, and how their frames are changed at random."""

    mining: Literal["hardest", "all"] = "hardest"
    """Triplets that count: only the hardest of each anchor in the batch, or all."""
    margin: float = 0.3
    """Margin of the triplets."""
    jitter: float = 0.1
    """Strength of the colour jitter of images."""
    mirror_probability: float = 0.5
    """Probability of mirroring an image and its cloud together."""


class CrossModalTriplets(Stage):
    """Triplets of an image, a cloud of its place and a cloud of another place, and the reverse.

    Each named descriptor has its own triplets. The split gives the radii of a place. A frame's own cloud is a positive
    of its image.
    """

    name = "triplets"

    def __init__(
        self,
        method: Method,
        split: Split,
        recipe: Recipe,
        training: TripletTraining,
        trained: Sequence[nn.Module],
        ignores: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        self.ignores = ignores
        self.method, self.split, self.recipe = method, split, recipe
        self.options, self.trained = training, trained

    def trainable(self) -> Sequence[nn.Module]:
        """The modules that the method hands over."""
        return self.trained

    def sampler(self, frames: Frames, *, training: bool) -> Sampler:
        """Every frame once an epoch, in random order."""
        return ShuffleSampler(len(frames), self.recipe.batch_size)

    def augment(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Joint mirroring and colour jitter."""
        if rng.random() < self.options.mirror_probability:
            sample = mirror(sample)
        assert sample.image is not None
        return replace(sample, image=colour_jitter(sample.image, rng, self.options.jitter))

    def forward(self, batch: Batch) -> StageOutput:
        """Triplet losses of all descriptors, mean over the active triplets."""
        images = self.method.encode_images(self.method.image_inputs(batch))
        clouds = self.method.encode_clouds(self.method.cloud_inputs(batch))
        masks = cross_modal_masks(all_frames(batch), self.split, batch.require_clouds().points.device)
        loss, margin = TRIPLET_LOSSES[self.options.mining], self.options.margin
        parts = [
            loss(all_rows(torch.cat([images[name][:, 0], clouds[name][:, 0]])), *masks, margin, swap=False)
            for name in images
        ]
        loss_sum, active, triplets = (torch.stack(sums).sum() for sums in zip(*parts, strict=True))
        statistics = {"active": active, "triplets": triplets}
        return counted_once(StageOutput(loss_sum=loss_sum, count=active, statistics=statistics))

    def score(self, statistics: dict[str, float]) -> float:
        """Mean loss × share of active triplets: the mean over all triplets."""
        return mean_over_triplets(statistics)
