"""Contrastive training of a cross-modal method in one stage: pairs of two visits, each side picks its partners."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from torch import Tensor, nn

from datasets.base import Frames, Split
from datasets.places import neighbours
from methods.base import Sampler, Stage, StageOutput
from methods.batch import Batch, Sample
from methods.learning.augment import colour_jitter, joint_turn, mirror, random_rigid, thinned
from methods.learning.coarse_dropout import CoarseDropout
from methods.learning.contrastive import Temperature, contrast_masks, masked_info_nce
from methods.learning.relighting import Relighting
from methods.learning.samplers import PairSampler, elsewhere
from methods.recipe import Recipe
from methods.whole_batch import all_frames, all_rows, counted_once


@dataclass(frozen=True, slots=True, kw_only=True)
class ContrastTraining:
    """How frames are changed at random before both sides are compared."""

    relighting: Relighting | None = Relighting()
    """Random light, colour and noise of images. None: plain colour jitter instead."""
    jitter: float = 0.1
    """Strength of the plain colour jitter, which is used without relighting."""
    mirror_probability: float = 0.5
    """Probability of mirroring an image and its cloud together."""
    turn_deg: float = 10.0
    """Largest turn of image and cloud together about the vertical, degrees."""
    yaw_deg: float = 3.0
    """Largest turn of the cloud against its image about the vertical, degrees."""
    shift_m: float = 0.0
    """Largest shift of the cloud against its image, per axis of the plane, metres."""
    lost_points: float = 0.3
    """Largest share of the points that a cloud loses at random."""
    hole_probability: float = 0.5
    """Probability of a hole in an input, as of something that stands in front of the sensor."""
    temperature: float = 0.04
    """Temperature at the beginning of training."""

    def holes(self) -> CoarseDropout:
        """The hole of some inputs, as a layer. It covers 20 to 60 % of the height and 10 to 35 % of the width."""
        return CoarseDropout(self.hole_probability, holes=1, heights=(0.2, 0.6), widths=(0.1, 0.35))


Encode = Callable[[Batch], tuple[Float[Tensor, "b d"], Float[Tensor, "b d"]]]
"""Gives the descriptors of the images and of the clouds of a batch, of unit length."""


class ContrastStage(Stage):
    """Train both sides at once with a symmetric InfoNCE over the images and the clouds of a batch.

    A batch holds pairs of frames of one place from different traversals, as far as there are any. So an image is drawn
    to clouds of other days too. The split gives the radii: pairs that are neither positive nor negative take no part.
    """

    name = "contrast"

    def __init__(
        self,
        encode: Encode,
        split: Split,
        recipe: Recipe,
        training: ContrastTraining,
        trained: Sequence[nn.Module],
        temperature: Temperature,
    ) -> None:
        super().__init__()
        self.encode = encode
        self.split, self.recipe, self.options = split, recipe, training
        self.trained, self.temperature = nn.ModuleList(trained), temperature

    def trainable(self) -> list[nn.Module]:
        """The modules that the method hands over, and the temperature."""
        return [*self.trained, self.temperature]

    def sampler(self, frames: Frames, *, training: bool) -> Sampler:
        """Every frame once an epoch, together with a positive of another traversal where one is left."""
        positives = neighbours(frames, self.split.positive_m, self.split.heading_limit_rad)
        return PairSampler(elsewhere(frames, positives), self.recipe.batch_size, alone=True)

    def augment(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Other light in the image, joint mirroring, a joint turn, and a small motion of the cloud alone."""
        options = self.options
        if rng.random() < options.mirror_probability:
            sample = mirror(sample)
        assert sample.image is not None
        assert sample.points is not None
        light = options.relighting
        image = light(sample.image, rng) if light else colour_jitter(sample.image, rng, options.jitter)
        sample = replace(sample, image=image)
        if options.turn_deg:
            sample = joint_turn(sample, float(rng.uniform(-options.turn_deg, options.turn_deg)))
        assert sample.points is not None
        return replace(sample, points=self._changed(sample.points, rng))

    def _changed(self, points: Float[Tensor, "n 3"], rng: np.random.Generator) -> Float[Tensor, "k 3"]:
        """A cloud that is moved a little, and thinner."""
        options = self.options
        if options.lost_points:
            points = thinned(points, rng, options.lost_points)
        if options.yaw_deg or options.shift_m:
            points = random_rigid(points, rng, shift_m=options.shift_m, roll_pitch_deg=0.0, yaw_deg=options.yaw_deg)
        return points

    def forward(self, batch: Batch) -> StageOutput:
        """Loss of each image that picks clouds, and of each cloud that picks images."""
        images, clouds = map(all_rows, self.encode(batch))
        positive, masked = contrast_masks(all_frames(batch), self.split, images.device)
        loss_sum, count = masked_info_nce(images, clouds, positive, masked, self.temperature())
        return counted_once(StageOutput(loss_sum=loss_sum, count=count))
