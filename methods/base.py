"""The one interface of every method: what it is given, what it returns, how it is trained.

A method never asks which dataset it is on. It turns a :class:`Batch` into descriptors in two steps that are timed
apart: preprocessing on the device (``image_inputs``, ``cloud_inputs``) and the networks (``encode_images``,
``encode_clouds``). Training is a sequence of :class:`Stage`; the loop around them belongs to the harness.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as image_ops

from datasets.base import ADDED, DistanceKind, Frames, Modality, Split
from datasets.errors import CrossplaceError
from methods.batch import Batch, Sample
from methods.card import MethodCard, ShippedWeights
from methods.depth import DepthConfig
from methods.recipe import ParameterGroup, Recipe

# --- what a method declares ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInput:
    """How stored images become network input."""

    height: int
    """Rows of the network input, pixels."""
    width: int
    """Columns of the network input, pixels."""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    """Mean of each channel that is taken off; by default ImageNet's."""
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    """Deviation of each channel that is divided by; by default ImageNet's."""
    antialias: bool = True
    """Whether pixels are averaged over where an image shrinks."""
    per_image: bool = False
    """Whether each image is normalised by its own mean and deviation per channel, so that exposure and colour cast drop
    out. It suits backbones trained from scratch."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width

    def __call__(self, images: Sequence[UInt8[Tensor, "3 _ _"]]) -> Float[Tensor, "b 3 height width"]:
        """Scale to ``[0, 1]``, resize (bilinear, aspect ratio not kept), normalise."""
        size = [self.height, self.width]
        scaled = [image_ops.resize(image.float() / 255, size, antialias=self.antialias) for image in images]
        pixels = torch.stack(scaled)
        if self.per_image:
            spread, mean = torch.std_mean(pixels, dim=(2, 3), keepdim=True)
            return (pixels - mean) / (spread + 1 / 255)  # one grey level keeps a blank image finite
        return image_ops.normalize(pixels, list(self.mean), list(self.std))


@dataclass(frozen=True, slots=True, kw_only=True)
class DescriptorSpec:
    """One descriptor that a method returns, and how two of them compare."""

    name: str = "main"
    """Name under which the encoders return it."""
    size: int
    """Numbers of one view."""
    distance: DistanceKind = "l2"
    """How two descriptors compare."""
    image_views: int = 1
    """Views that an image has, of which the nearest counts."""
    cloud_views: int = 1
    """Views that a cloud has, of which the nearest counts."""

    def views(self, modality: Modality) -> int:
        """How many descriptors an image or a cloud has."""
        return self.image_views if modality == "image" else self.cloud_views


@dataclass(frozen=True, slots=True, kw_only=True)
class Fusion:
    """Re-ranking: the nearest frames by the main descriptor, ordered anew by the sum of their ranks by two."""

    descriptor: str
    """Name of the second descriptor."""
    top: int
    """How many of the nearest frames are re-ranked; those behind keep their order."""


FROM_SCRATCH, DOWNLOAD = "none", "timm"
"""Choices of backbone weights that are no file."""


@dataclass(frozen=True, kw_only=True)
class MethodConfig:
    """Base of every method's configuration; defaults of subclasses are the paper's values."""

    weights: str = FROM_SCRATCH
    """Pretrained backbone: ``none`` (from scratch), ``timm`` (download) or a local file."""
    weights_sha256: str = ""
    """Expected SHA-256 of the backbone file, or at least its first 8 digits; checked if given."""
    image: ImageInput | None = field(default=None, metadata=ADDED)
    """How camera images become network input; none where a method makes its input of them in another way."""
    depth: DepthConfig | None = field(default=None, metadata=ADDED)
    """Depth of camera images, for methods that need it: its source, and the training of that."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"([0-9a-f]{8,64})?", self.weights_sha256):
            raise CrossplaceError(
                f"weights_sha256 {self.weights_sha256!r} is no SHA-256: expected 64 lower-case hexadecimal digits"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A named change of a configuration: one line of an ablation."""

    question: str
    """What the line helps to answer; lines with the same question stand together."""
    change: Callable[[Any], MethodConfig]
    """From a preset's configuration to the variant's."""
    is_cheap: bool = True
    """Affordable on a CPU with the ``quick`` preset."""


# --- how a method is trained ---------------------------------------------------------------------


@dataclass(kw_only=True)
class StageOutput:
    """Sums over a batch, so that batches (and devices) can be added up."""

    loss_sum: Float[Tensor, ""]
    count: Float[Tensor, ""]
    """What ``loss_sum`` is divided by for the mean loss."""
    statistics: dict[str, Float[Tensor, ""]] = field(default_factory=dict)

    @property
    def loss(self) -> Float[Tensor, ""]:
        """The mean; 0 of nothing."""
        return self.loss_sum / self.count.clamp(min=1)


class Sampler:
    """Which frames form the batches of an epoch. Subclasses that change over time keep that in ``state``."""

    def batches(self, rng: np.random.Generator) -> list[list[int]]:
        """Rows of each batch of one epoch; everything random comes from ``rng``."""
        raise NotImplementedError

    def after_epoch(self, statistics: dict[str, float]) -> None:
        """React to the epoch's training statistics (batch growth)."""

    def state(self) -> dict[str, Any]:
        """What a resumed run must restore, as plain data."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore ``state``."""


class Stage(nn.Module):
    """One phase of training: its loss, its data and what it trains."""

    name: str
    recipe: Recipe
    modalities: tuple[Modality, ...] = ("image", "cloud")
    ignores: tuple[str, ...] = ()
    """Fields of the configuration that cannot change what this stage learns: configurations that differ in nothing
    else share its outcome."""
    is_shared: bool = False
    """Methods, too, share its outcome: nothing of a method's own code takes part. Such a stage is the first, trains
    what is built first, and what it trains has the same names in all methods that have it."""

    def trainable(self) -> Sequence[nn.Module]:
        """The modules whose parameters are optimised and that run in training mode; all others are frozen."""
        raise NotImplementedError

    def groups(self) -> Sequence[ParameterGroup]:
        """:meth:`trainable` modules by how they are optimised; all alike by default."""
        return (ParameterGroup(modules=self.trainable()),)

    def sampler(self, frames: Frames, *, training: bool) -> Sampler:
        """Batches over ``frames`` for training, or for validation."""
        raise NotImplementedError

    def augment(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """A training sample, changed at random; everything random comes from ``rng``."""
        return sample

    def before(self, batches: Iterable[Batch]) -> None:
        """What must happen once before the first step: copies, or clusters of the features of some training batches.

        ``batches`` is an epoch of training data without augmentation, loaded as it is iterated over.
        """

    def forward(self, batch: Batch) -> StageOutput:
        """Loss sum, count and statistics of a batch."""
        raise NotImplementedError

    def score(self, statistics: dict[str, float]) -> float:
        """What the best checkpoint minimises, from the validation statistics (with ``loss``)."""
        return statistics["loss"]


# --- the method ----------------------------------------------------------------------------------


class Method(nn.Module):
    """A place-recognition method: images and clouds in, comparable descriptors out."""

    card: ClassVar[MethodCard]
    presets: ClassVar[dict[str, MethodConfig]]
    """Named configurations; ``quick`` must exist and run on a CPU."""
    variants: ClassVar[dict[str, Variant]] = {}
    """Named changes of any preset, which can be combined; together the method's ablation."""
    is_trainable: ClassVar[bool] = True
    """False for a method without anything to learn."""
    shipped: ClassVar[tuple[ShippedWeights, ...]] = ()
    config: MethodConfig
    descriptors: tuple[DescriptorSpec, ...]
    """The first is the main one, by which frames are ranked."""
    fusion: Fusion | None = None
    """How another descriptor takes part in the ranking, if one does."""

    def bytes_per_place(self, modality: Modality) -> int:
        """What a map keeps of each image or cloud: all descriptors, all views, as float32."""
        return sum(4 * spec.size * spec.views(modality) for spec in self.descriptors)

    def image_inputs(self, batch: Batch) -> Any:
        """Network input for the images of a batch, on the batch's device: as the configuration's ``image`` says."""
        if self.config.image is None:
            raise NotImplementedError(f"{type(self).__name__}: give the configuration an image, or write image_inputs")
        return self.config.image(batch.require_images())

    def cloud_inputs(self, batch: Batch) -> Any:
        """Network input for the clouds of a batch, on the batch's device."""
        raise NotImplementedError

    def encode_images(self, inputs: Any) -> dict[str, Float[Tensor, "b views size"]]:
        """Descriptors by name; most methods have one view."""
        raise NotImplementedError

    def encode_clouds(self, inputs: Any) -> dict[str, Float[Tensor, "b views size"]]:
        """Descriptors by name, finite even for an empty cloud."""
        raise NotImplementedError

    def stages(self, split: Split) -> Sequence[Stage]:
        """Training in order, given what counts as the same place; empty if there is nothing to learn."""
        return ()
