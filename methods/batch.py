"""Input of a method: a loaded frame is a :class:`Sample`, several samples together are a :class:`Batch`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped, UInt8
from torch import Tensor

from datasets.base import Frame, Lidar, Modality
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset


@dataclass(kw_only=True)
class Sample:
    """One frame as loaded. Augmentations map samples to samples."""

    frame: Frame
    image: UInt8[Tensor, "3 h w"] | None
    points: Float[Tensor, "n 3"] | None
    """Points of the cloud in the LiDAR frame, metres."""
    intrinsics: Float[Tensor, "4"] | None
    """Camera intrinsics fx, fy, cx, cy in units of image width and height."""
    camera_from_lidar: Float[Tensor, "4 4"] | None
    is_mirrored: bool = False
    """Whether image, cloud and calibration are seen in a mirror."""
    shift: float = 0.0
    """Share of the image's width by which its content was moved to the right, after it was mirrored."""


def load_sample(dataset: PreparedDataset, frame: Frame, modalities: Sequence[Modality]) -> Sample:
    """Read one frame. A modality stays ``None`` if it is not asked for or if the frame lacks it."""
    matrix = frame.camera_from_lidar
    return Sample(
        frame=frame,
        image=_image(dataset, frame) if "image" in modalities and frame.image else None,
        points=torch.from_numpy(dataset.load_cloud(frame)) if "cloud" in modalities and frame.cloud else None,
        intrinsics=None if frame.intrinsics is None else torch.from_numpy(frame.intrinsics.fractions()).float(),
        camera_from_lidar=None if matrix is None else torch.from_numpy(np.asarray(matrix)).float(),
    )


def _image(dataset: PreparedDataset, frame: Frame) -> Tensor:
    return torch.from_numpy(dataset.load_image(frame).copy()).permute(2, 0, 1).contiguous()


@dataclass(kw_only=True)
class Clouds:
    """The clouds of a batch: the points of all samples, one sample after another."""

    points: Float[Tensor, "n 3"]
    """Points of all clouds, each in its LiDAR frame, metres."""
    batch_index: Int[Tensor, " n"]
    """Number of the sample of each point, in ascending order."""
    lidars: tuple[Lidar | None, ...]


@dataclass(kw_only=True)
class Batch:
    """Some frames together: images, clouds, calibration, and the frames themselves."""

    frames: tuple[Frame, ...]
    images: list[UInt8[Tensor, "3 _ _"]] | None
    """RGB images as stored. Their sizes may differ between frames."""
    clouds: Clouds | None
    intrinsics: Float[Tensor, "b 4"] | None
    """Camera intrinsics fx, fy, cx, cy in units of image width and height. None: at least one frame lacks
    intrinsics."""
    camera_from_lidar: Float[Tensor, "b 4 4"] | None
    is_mirrored: tuple[bool, ...] = ()
    """Whether each sample is seen in a mirror. Empty: none is."""
    shifts: tuple[float, ...] = ()
    """Share of its width by which the content of each image was moved to the right. Empty: none was."""

    def __len__(self) -> int:
        return len(self.frames)

    def require_images(self) -> list[UInt8[Tensor, "3 _ _"]]:
        """The images. Raises an error that names the first frame without an image."""
        if self.images is None:
            raise self._lacking("image")
        return self.images

    def require_clouds(self) -> Clouds:
        """The clouds. Raises an error that names the first frame without a cloud."""
        if self.clouds is None:
            raise self._lacking("cloud")
        return self.clouds

    def _lacking(self, modality: Modality) -> CrossplaceError:
        bad = next((f for f in self.frames if not getattr(f, modality)), self.frames[0])
        return CrossplaceError(
            f"frame {bad.frame_id}: no {modality} to encode; leave the frame out or load its {modality}"
        )

    def calibration(self) -> tuple[Float[Tensor, "b 4"], Float[Tensor, "b 4 4"]]:
        """Intrinsics and ``camera_from_lidar``. Raises an error that names the first frame without calibration."""
        if self.intrinsics is None or self.camera_from_lidar is None:
            bad = next(f for f in self.frames if f.intrinsics is None or f.camera_from_lidar is None)
            raise CrossplaceError(
                f"frame {bad.frame_id}: this method needs intrinsics and camera_from_lidar, but traversal "
                f"{bad.traversal!r} has none in dataset.json; add them or choose a method that needs no calibration"
            )
        return self.intrinsics, self.camera_from_lidar

    @property
    def appearances(self) -> list[tuple[str, bool]]:
        """Identifier of each frame, and whether it is seen in a mirror."""
        mirrored = self.is_mirrored or (False,) * len(self)
        return [(frame.frame_id, is_mirrored) for frame, is_mirrored in zip(self.frames, mirrored, strict=True)]

    def as_seen(self, number: int, recorded: Float[Tensor, "h w"]) -> Float[Tensor, "h w"]:
        """What was recorded beside the image of a sample, changed as that image was: mirrored, then moved."""
        if self.is_mirrored and self.is_mirrored[number]:
            recorded = recorded.flip(-1)
        return moved_right(recorded, self.shifts[number]) if self.shifts else recorded

    def only(self, number: int) -> "Batch":
        """The batch of one of its samples."""
        some, clouds, k, matrix = slice(number, number + 1), self.clouds, self.intrinsics, self.camera_from_lidar
        if clouds is not None:
            points = clouds.points[clouds.batch_index == number]
            index = clouds.batch_index.new_zeros(len(points))
            clouds = Clouds(points=points, batch_index=index, lidars=clouds.lidars[some])
        return Batch(
            frames=self.frames[some],
            images=self.images and self.images[some],
            clouds=clouds,
            intrinsics=None if k is None else k[some],
            camera_from_lidar=None if matrix is None else matrix[some],
            is_mirrored=self.is_mirrored[some],
            shifts=self.shifts[some],
        )

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch with its tensors on ``device``."""

        def move(tensor: Tensor) -> Tensor:
            return tensor.to(device, non_blocking=True)

        images, clouds, k, matrix = self.images, self.clouds, self.intrinsics, self.camera_from_lidar
        return replace(
            self,
            images=images and [move(image) for image in images],
            clouds=clouds and replace(clouds, points=move(clouds.points), batch_index=move(clouds.batch_index)),
            intrinsics=None if k is None else move(k),
            camera_from_lidar=None if matrix is None else move(matrix),
        )


def collate(samples: Sequence[Sample]) -> Batch:
    """Join samples into one batch. A modality is present only if every sample has it."""
    points = [s.points for s in samples if s.points is not None]
    images = [s.image for s in samples if s.image is not None]
    return Batch(
        frames=tuple(s.frame for s in samples),
        images=images if len(images) == len(samples) else None,
        clouds=Clouds(
            points=torch.cat(points),
            batch_index=torch.repeat_interleave(torch.tensor([len(p) for p in points])),
            lidars=tuple(s.frame.lidar for s in samples),
        )
        if len(points) == len(samples)
        else None,
        intrinsics=_stack([s.intrinsics for s in samples]),
        camera_from_lidar=_stack([s.camera_from_lidar for s in samples]),
        is_mirrored=tuple(s.is_mirrored for s in samples),
        shifts=tuple(s.shift for s in samples),
    )


def moved_right(image: Shaped[Tensor, "*_ h w"], share: float) -> Shaped[Tensor, "*_ h w"]:
    """The content of an image moved by a share of its width, to the left if negative; 0 where nothing is known."""
    width = image.shape[-1]
    pixels = round(share * width)
    kept, source, target = max(width - abs(pixels), 0), max(-pixels, 0), max(pixels, 0)
    moved = torch.zeros_like(image)
    moved[..., target : target + kept] = image[..., source : source + kept]
    return moved


def _stack(tensors: list[Tensor | None]) -> Tensor | None:
    present = [t for t in tensors if t is not None]
    return torch.stack(present) if len(present) == len(tensors) else None
