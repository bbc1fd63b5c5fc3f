"""Random changes of training samples. All randomness comes from the generator that is passed in."""

import math
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as image_ops

from methods.batch import Sample, moved_right


def colour_jitter(
    image: UInt8[Tensor, "3 h w"], rng: np.random.Generator, strength: float = 0.1
) -> UInt8[Tensor, "3 h w"]:
    """Brightness, contrast and saturation by factors in ``1 ± strength``, hue by ``± strength``, in random order."""
    factors = rng.uniform(1 - strength, 1 + strength, size=3)
    hue = float(rng.uniform(-strength, strength))
    changes = [
        lambda x: image_ops.adjust_brightness(x, float(factors[0])),
        lambda x: image_ops.adjust_contrast(x, float(factors[1])),
        lambda x: image_ops.adjust_saturation(x, float(factors[2])),
        lambda x: image_ops.adjust_hue(x, hue),
    ]
    for i in rng.permutation(len(changes)):
        image = changes[i](image)
    return image


def random_affine(
    image: UInt8[Tensor, "3 h w"], rng: np.random.Generator, degrees: float = 5.0, shift: float = 0.1
) -> UInt8[Tensor, "3 h w"]:
    """Rotation within ``± degrees`` and translation within ``± shift`` of the size; nearest pixel, black outside."""
    height, width = image.shape[-2:]
    translate = [round(float(rng.uniform(-shift, shift)) * size) for size in (width, height)]
    angle = float(rng.uniform(-degrees, degrees))
    return image_ops.affine(
        image, angle, translate, 1.0, [0.0, 0.0], interpolation=InterpolationMode.NEAREST, fill=[0.0]
    )


def mirror(sample: Sample) -> Sample:
    """The frame as seen in a mirror: image flipped, cloud reflected left to right, calibration to match.

    The LiDAR's y changes sign. ``camera_from_lidar`` is conjugated with both reflections, so it stays a rigid
    transform. The principal point moves to ``1 - cx``.
    Deviation: as published the principal point stays (an offset of up to half a feature cell); mirrored here so that
    points and pixels still agree.
    """
    flip_lidar = torch.diag(torch.tensor([1.0, -1.0, 1.0, 1.0]))
    flip_camera = torch.diag(torch.tensor([-1.0, 1.0, 1.0, 1.0]))
    k, matrix = sample.intrinsics, sample.camera_from_lidar
    return replace(
        sample,
        image=None if sample.image is None else sample.image.flip(-1),
        points=None if sample.points is None else sample.points * torch.tensor([1.0, -1.0, 1.0]),
        intrinsics=None if k is None else torch.stack([k[0], k[1], 1 - k[2], k[3]]),
        camera_from_lidar=None if matrix is None else flip_camera @ matrix @ flip_lidar,
        is_mirrored=not sample.is_mirrored,
        shift=-sample.shift,
    )


def random_rigid(
    points: Float[Tensor, "n 3"],
    rng: np.random.Generator,
    shift_m: float = 1.5,
    roll_pitch_deg: float = 2.0,
    yaw_deg: float = 10.0,
) -> Float[Tensor, "n 3"]:
    """Points turned by ``Rx(roll) Ry(pitch) Rz(yaw)`` and moved, uniform within the limits per axis.

    Deviation: the published rotation is about the camera. Here it is about the LiDAR, a few decimetres away.
    """
    tilt, turn = math.radians(roll_pitch_deg), math.radians(yaw_deg)
    roll, pitch, yaw = rng.uniform([-tilt, -tilt, -turn], [tilt, tilt, turn])
    rotation = _rotation(0, roll) @ _rotation(1, pitch) @ _rotation(2, yaw)
    moved = torch.from_numpy(rng.uniform(-shift_m, shift_m, size=3))
    return (points.double() @ rotation.T + moved).to(points.dtype)


def _rotation(axis: int, angle: float) -> Float[Tensor, "3 3"]:
    """Right-handed rotation about a coordinate axis, radians."""
    i, j = [(1, 2), (2, 0), (0, 1)][axis]
    matrix = torch.eye(3, dtype=torch.float64)
    matrix[i, i] = matrix[j, j] = math.cos(angle)
    matrix[j, i] = math.sin(angle)
    matrix[i, j] = -matrix[j, i]
    return matrix


def thinned(points: Float[Tensor, "n 3"], rng: np.random.Generator, most: float) -> Float[Tensor, "k 3"]:
    """Points without a random share of them, which is at most ``most``."""
    return points[torch.from_numpy(rng.random(len(points)) >= rng.uniform(0, most))]


def joint_turn(sample: Sample, angle_deg: float) -> Sample:
    """The frame as seen after a turn of the vehicle to the left: image content moves right, points turn clockwise.

    The image is shifted by the pixels that the turn moves its centre. This is exact at the centre, and off by a few
    per cent of the shift at the edges. Pixels that come into view are black. The calibration stays as it is.
    """
    image, points, k, share = sample.image, sample.points, sample.intrinsics, 0.0
    if points is not None:
        points = (points.double() @ _rotation(2, -math.radians(angle_deg)).T).to(points.dtype)
    if image is not None and k is not None:
        width = image.shape[-1]
        share = round(float(k[0]) * math.tan(math.radians(angle_deg)) * width) / width
        image = moved_right(image, share)
    return replace(sample, image=image, points=points, shift=sample.shift + share)
