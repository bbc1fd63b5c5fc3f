"""A turn of image and map together about the optical axis, for training."""

import math
from dataclasses import replace

import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as image_ops

from methods.batch import Sample


def rolled(sample: Sample, angle_deg: float) -> Sample:
    """The frame as seen by a camera that is turned about its optical axis: its content turns counter-clockwise.

    The image turns about the principal point, black outside, and ``camera_from_lidar`` turns alike. This is exact for
    square pixels.
    Deviation: the released code turns the image about its middle, up to 1.6 pixels off on KITTI.
    """
    image, k, matrix = sample.image, sample.intrinsics, sample.camera_from_lidar
    if not angle_deg or image is None or k is None or matrix is None:
        return sample
    height, width = image.shape[1:]
    centre = [float(k[2]) * width, float(k[3]) * height]
    turned = image_ops.rotate(image, angle_deg, InterpolationMode.BILINEAR, center=centre, fill=[0.0])
    cos, sin = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    roll = matrix.new_tensor([[cos, sin, 0, 0], [-sin, cos, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    return replace(sample, image=turned, camera_from_lidar=torch.matmul(roll.double(), matrix.double()).to(matrix))
