"""The one interface of every method: its input, its output and its training.

A method never asks which dataset it is on. It turns a :class:`Batch` into descriptors in two steps that are timed
apart: preprocessing on the device (``image_inputs``, ``cloud_inputs``) and the networks (``encode_images``,
``encode_clouds``). Training is a sequence of :class:`Stage`. The training loop belongs to the harness.
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
    """Mean that is subtracted from each channel. Default: ImageNet's."""
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    """Standard deviation by which each channel is divided. Default: ImageNet's."""
    antialias: bool = True
    """Whether a smaller image averages over the pixels of the larger one."""
    per_image: bool = False
    """Whether each image is normalised by its own mean and deviation per channel. This removes exposure and colour
    cast. It suits backbones trained from scratch."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width

    def __call__(self, images: Sequence[UInt8[Tensor, "3 _ _"]]) -> Float[Tensor, "b 3 height width"]:
        """Scale to ``[0, 1]``, resize (bilinear, aspect ratio not kept), normalise."""
        size = [self.height, self.width]
        scaled = [image_ops.resize(image.float() / 255, size, antialias=self.antialias) for image in images]
        return self.normalised(torch.stack(scaled))

    def normalised(self, pixels: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
        """Pixels from 0 to 1 with the mean and the deviation taken out, by constants or by each image's own."""
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
    """How many numbers one descriptor has."""
    distance: DistanceKind = "l2"
    """Distance between two descriptors."""
    image_views: int = 1
    """Descriptors of one image. The nearest one counts."""
    cloud_views: int = 1
    """Descriptors of one cloud. The nearest one counts."""

    def views(self, modality: Modality) -> int:
        """How many descriptors an image or a cloud has."""
        return self.image_views if modality == "image" else self.cloud_views


@dataclass(frozen=True, slots=True, kw_only=True)
class Fusion:
    """Re-ranking of the frames that the main descriptor finds, by the sum of their ranks by two descriptors."""

    descriptor: str
    """Name of the second descriptor."""
    top: int
    """How many of the nearest frames are re-ranked. All other frames keep their order."""


FROM_SCRATCH, DOWNLOAD, PACKAGE = "none", "timm", "package"
"""Choices of backbone weights that are not a file."""


@dataclass(frozen=True, kw_only=True)
class MethodConfig:
    """Base of every method's configuration. Defaults of subclasses are the paper's values."""

    weights: str = FROM_SCRATCH
    """Pretrained backbone: ``none`` (from scratch), ``timm`` (download), ``package`` (ImageNet weights of an installed
    package, see :mod:`methods.layers.package_weights`) or a local file."""
    weights_sha256: str = ""
    """Expected SHA-256 of the backbone file, or at least its first 8 digits. Empty: not checked."""
    image: ImageInput | None = field(default=None, metadata=ADDED)
    """How camera images become network input. None: the method makes its network input in another way."""
    backbone: str = field(default="", metadata=ADDED)
    """The image backbone, by its name in timm. Empty: the method has none."""
    depth: DepthConfig | None = field(default=None, metadata=ADDED)
    """Source of the depth of camera images, and how this source is trained. None: the method needs no depth."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"([0-9a-f]{8,64})?", self.weights_sha256):
            raise CrossplaceError(
                f"weights_sha256 {self.weights_sha256!r} is no SHA-256: expected 64 lower-case hexadecimal digits"
            )


@dataclass(frozen=True, kw_only=True)
class TowersConfig(MethodConfig):
    """Base of configurations with an encoder of camera images and separate encoders of what points look like."""

    cloud_backbone: str = field(default="", metadata=ADDED)
    """Backbone of the encoders of points, from scratch. Empty: that of camera images, with the same weights."""

    def tower(self, *, of_points: bool) -> tuple[str, str, str]:
        """Backbone, weights and their SHA-256 of one encoder."""
        if of_points and self.cloud_backbone:
            return self.cloud_backbone, FROM_SCRATCH, ""
        return self.backbone, self.weights, self.weights_sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A named change of a configuration: one line of an ablation."""

    question: str
    """Question that the variant helps to answer. Tables group variants by question."""
    change: Callable[[Any], MethodConfig]
    """Function that turns a preset's configuration into the variant's configuration."""
    is_cheap: bool = True
    """Whether the variant is affordable on a CPU with the ``quick`` preset."""


# --- how a method is trained ---------------------------------------------------------------------


@dataclass(kw_only=True)
class StageOutput:
    """Sums over a batch, so that batches (and devices) can be added up."""

    loss_sum: Float[Tensor, ""]
    count: Float[Tensor, ""]
    """Divisor of ``loss_sum``: the mean loss is ``loss_sum / count``."""
    statistics: dict[str, Float[Tensor, ""]] = field(default_factory=dict)

    @property
    def loss(self) -> Float[Tensor, ""]:
        """The mean loss, or 0 if the count is 0."""
        return self.loss_sum / self.count.clamp(min=1)


class Sampler:
    """Chooses the frames of each batch of an epoch.

    Subclasses that change over time keep their changes in ``state``.
    """

    def batches(self, rng: np.random.Generator) -> list[list[int]]:
        """Rows of the frames in each batch of one epoch. All randomness comes from ``rng``."""
        raise NotImplementedError

    def after_epoch(self, statistics: dict[str, float]) -> None:
        """React to the epoch's training statistics, for example with larger batches."""

    def state(self) -> dict[str, Any]:
        """Plain data that a resumed run must restore."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore ``state``."""


class Stage(nn.Module):
    """One phase of training: its loss, its data and the modules that it trains."""

    name: str
    recipe: Recipe
    modalities: tuple[Modality, ...] = ("image", "cloud")
    ignores: tuple[str, ...] = ()
    """Fields of the configuration that cannot change the outcome of this stage. Configurations that differ only in
    these fields share the trained stage."""
    is_shared: bool = False
    """Whether different methods share the trained stage. A shared stage uses no code of a single method. It is the
    first stage, and it trains the module that is built first. Its parameters have the same names in all methods."""

    def trainable(self) -> Sequence[nn.Module]:
        """The modules that are optimised and run in training mode. All other modules are frozen."""
        raise NotImplementedError

    def groups(self) -> Sequence[ParameterGroup]:
        """The :meth:`trainable` modules, grouped by how they are optimised. Default: one group."""
        return (ParameterGroup(modules=self.trainable()),)

    def sampler(self, frames: Frames, *, training: bool) -> Sampler:
        """Batches over ``frames`` for training, or for validation."""
        raise NotImplementedError

    def augment(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """A training sample with random changes. All randomness comes from ``rng``."""
        return sample

    def before(self, batches: Iterable[Batch]) -> None:
        """Prepare the stage once before the first step.

        Examples are copies of modules, and clusters of the features of some training batches. ``batches`` is an epoch
        of training data without augmentation. Each batch is loaded when the iteration reaches it.
        """

    def forward(self, batch: Batch) -> StageOutput:
        """Loss sum, count and statistics of a batch."""
        raise NotImplementedError

    def score(self, statistics: dict[str, float]) -> float:
        """Value that the best checkpoint minimises. ``statistics`` are those of validation, with ``loss``."""
        return statistics["loss"]


# --- the method ----------------------------------------------------------------------------------


class Method(nn.Module):
    """A place-recognition method. It turns images and clouds into descriptors that can be compared."""

    card: ClassVar[MethodCard]
    presets: ClassVar[dict[str, MethodConfig]]
    """Named configurations. ``quick`` must exist and run on a CPU."""
    variants: ClassVar[dict[str, Variant]] = {}
    """Named changes of any preset. They can be combined. Together they are the method's ablation."""
    tunes: ClassVar[dict[str, tuple[Any, ...]]] = {}
    """Settings that the study ``tune`` tries: the path of a value in the configuration, and other values for it."""
    is_trainable: ClassVar[bool] = True
    """Whether the method has anything to learn."""
    shipped: ClassVar[tuple[ShippedWeights, ...]] = ()
    config: MethodConfig
    descriptors: tuple[DescriptorSpec, ...]
    """Descriptors that the method returns. Frames are ranked by the first one, the main descriptor."""
    fusion: Fusion | None = None
    """How a second descriptor re-ranks the nearest frames. None: only the main descriptor counts."""

    def bytes_per_place(self, modality: Modality) -> int:
        """Bytes that a map stores for each image or cloud: all descriptors, all views, as float32."""
        return sum(4 * spec.size * spec.views(modality) for spec in self.descriptors)

    def image_inputs(self, batch: Batch) -> Any:
        """Network input for the images of a batch, on the batch's device. Default: the configuration's ``image``."""
        if self.config.image is None:
            raise NotImplementedError(f"{type(self).__name__}: give the configuration an image, or write image_inputs")
        return self.config.image(batch.require_images())

    def cloud_inputs(self, batch: Batch) -> Any:
        """Network input for the clouds of a batch, on the batch's device."""
        raise NotImplementedError

    def encode_images(self, inputs: Any) -> dict[str, Float[Tensor, "b views size"]]:
        """Descriptors of images by name. Most methods have one view."""
        raise NotImplementedError

    def encode_clouds(self, inputs: Any) -> dict[str, Float[Tensor, "b views size"]]:
        """Descriptors of clouds by name. They are finite even for an empty cloud."""
        raise NotImplementedError

    def stages(self, split: Split) -> Sequence[Stage]:
        """Stages of training in order, for the split's radii of a place. Empty if there is nothing to learn."""
        return ()
