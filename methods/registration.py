"""The one interface of registration: from a rough pose in a map to the camera's pose.

A :class:`Registrar` gets camera images, local maps and rough poses, and returns poses. It declares card, presets,
variants and stages as place-recognition methods do (:mod:`methods.base`). Poses are ``map_from_camera``: rigid 4×4
transforms from the camera (x right, y down, z forward, metres) into the frame that the map's points are given in.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn

from datasets.base import Frame, Split
from datasets.errors import CrossplaceError
from methods.base import MethodConfig, Stage, StageOutput, Variant
from methods.batch import Batch
from methods.card import MethodCard, ShippedWeights

BELIEVED_M, BELIEVED_DEG = 0.5, 5.0
"""Errors of a pose, in metres and degrees, within which it counts as right when a registrar says how sure it is."""


@dataclass(kw_only=True)
class RegistrationBatch:
    """Some frames together, each with the map around a rough pose."""

    frames: tuple[Frame, ...]
    images: list[UInt8[Tensor, "3 _ _"]]
    """RGB images as stored. Their sizes may differ between frames."""
    intrinsics: Float[Tensor, "b 4"]
    """Camera intrinsics fx, fy, cx, cy in units of image width and height."""
    points: list[Float[Tensor, "_ 3"]]
    """Points of each frame's local map, metres, in that map's frame. A map may be empty. Its origin should lie within
    some hundred metres of the pose: float32 is not exact far away."""
    rough_map_from_camera: Float[Tensor, "b 4 4"]
    """Where each camera roughly is in its map."""
    true_map_from_camera: Float[Tensor, "b 4 4"] | None = None
    """Where each camera really is. Only training and the bound ``oracle`` may look at it."""

    def __len__(self) -> int:
        return len(self.frames)

    def only(self, number: int) -> "RegistrationBatch":
        """The batch of one of its samples."""
        some, truth = slice(number, number + 1), self.true_map_from_camera
        return RegistrationBatch(
            frames=self.frames[some],
            images=self.images[some],
            intrinsics=self.intrinsics[some],
            points=self.points[some],
            rough_map_from_camera=self.rough_map_from_camera[some],
            true_map_from_camera=None if truth is None else truth[some],
        )

    def without_truth(self) -> "RegistrationBatch":
        """The same batch without the true poses."""
        return replace(self, true_map_from_camera=None)

    def to(self, device: torch.device | str) -> "RegistrationBatch":
        """The same batch with its tensors on ``device``."""
        truth = self.true_map_from_camera
        return replace(
            self,
            images=[image.to(device) for image in self.images],
            intrinsics=self.intrinsics.to(device),
            points=[points.to(device) for points in self.points],
            rough_map_from_camera=self.rough_map_from_camera.to(device),
            true_map_from_camera=None if truth is None else truth.to(device),
        )


@dataclass(kw_only=True)
class Registered:
    """Poses that a registrar found, and how sure it is."""

    map_from_camera: Float[Tensor, "b 4 4"]
    covariance: Float[Tensor, "b 6 6"]
    """Covariance of the error of each pose: translation (metres), then rotation vector (radians), both in the axes of
    the camera that was found. The true pose is about ``map_from_camera`` times the error's rigid transform."""
    belief: Float[Tensor, " b"]
    """Probability, from 0 to 1, that the pose is within ``BELIEVED_M`` and ``BELIEVED_DEG`` of the true one."""

    @property
    def believes(self) -> Bool[Tensor, " b"]:
        """Whether the pose is more likely right than wrong."""
        return self.belief >= 0.5


class PoseStage(Stage):
    """One phase of a registrar's training: rough poses are drawn around the true ones, and are corrected.

    The batches of training hold local maps as their clouds, and ``camera_from_lidar`` is ``camera_from_map``.
    """

    def started(self, batch: Batch) -> RegistrationBatch:
        """The batch with a start for each frame: random in training, always the same for a frame in validation."""
        raise NotImplementedError

    def of_started(self, started: RegistrationBatch) -> StageOutput:
        """Loss of the corrections of given starts."""
        raise NotImplementedError

    def corrected(self, started: RegistrationBatch) -> Float[Tensor, "b 4 4"]:
        """Poses after one correction of given starts by what the stage trains."""
        raise NotImplementedError

    def forward(self, batch: Batch) -> StageOutput:
        """Loss of the corrections of drawn starts."""
        return self.of_started(self.started(batch))


class Registrar(nn.Module):
    """A method of registration. It corrects rough poses of cameras in a map."""

    card: ClassVar[MethodCard]
    presets: ClassVar[dict[str, MethodConfig]]
    """Named configurations. ``quick`` must exist and run on a CPU."""
    variants: ClassVar[dict[str, Variant]] = {}
    """Named changes of any preset. They can be combined."""
    tunes: ClassVar[dict[str, tuple[Any, ...]]] = {}
    """Settings that the study ``tune`` tries: the path of a value in the configuration, and other values for it."""
    is_trainable: ClassVar[bool] = True
    """Whether the method has anything to learn."""
    sees_truth: ClassVar[bool] = False
    """Whether the method looks at the true poses. Only a bound may."""
    shipped: ClassVar[tuple[ShippedWeights, ...]] = ()
    config: MethodConfig

    def register(self, batch: RegistrationBatch) -> Registered:
        """Poses of a batch. They are finite even for an empty map."""
        raise NotImplementedError

    def stages(self, split: Split) -> Sequence[Stage]:
        """Stages of training in order. Those that learn poses are a :class:`PoseStage`."""
        return ()


def require_truth(batch: RegistrationBatch) -> Float[Tensor, "b 4 4"]:
    """The true poses. Raises an error that names the first frame if there are none."""
    if batch.true_map_from_camera is None:
        raise CrossplaceError(
            f"frame {batch.frames[0].frame_id}: its true pose is not known, which training and oracle need; "
            "give true_map_from_camera or choose another registrar"
        )
    return batch.true_map_from_camera


def belief_of(covariance: Float[Tensor, "b 6 6"]) -> Float[Tensor, " b"]:
    """Probability of a right pose: that of two Gaussian errors, as if each were equally large in all directions."""
    variances = torch.diagonal(covariance, dim1=1, dim2=2)
    sigma_m, sigma_rad = variances[:, :3].mean(1).sqrt(), variances[:, 3:].mean(1).sqrt()
    return _within(BELIEVED_M / sigma_m) * _within(math.radians(BELIEVED_DEG) / sigma_rad)


def _within(radius: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    """Probability that a standard normal vector in space is no longer than ``radius``."""
    density = math.sqrt(2 / math.pi) * radius * torch.exp(-radius.square() / 2)
    return (torch.erf(radius / math.sqrt(2)) - density).clamp(0, 1)
