"""The files of frames, by any number of processes."""

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from datasets.errors import CrossplaceError
from datasets.files import npy, write_atomically
from datasets.pixels import png
from datasets.readers import is_return
from datasets.vivid.bags import Place
from datasets.vivid.fisheye import LIDAR_FROM_OS1, Calibration, undistorted
from datasets.vivid.messages import CAMERA, LIDAR, TYPES, pixels_of, points_of
from datasets.vivid.survey import content_of


class Job(NamedTuple):
    """Some frames of one bag, which are to be written below a folder."""

    bag: Path
    destination: Path
    calibration: Calibration
    image_width: int
    frames: list[tuple[str, Place, str, Place]]
    """For each frame: path of the cloud in the folder, its place in the bag, and the same two of the image."""
    image_type: str = TYPES[CAMERA]


class Written(NamedTuple):
    """What became of one cloud: how many points are stored and left out; without points there are no files."""

    points: int
    not_finite: int
    no_return: int


def write_frames(job: Job) -> list[Written]:
    """Write images and clouds; an image that several clouds share is written once."""
    outcome, last_image = [], ""
    with job.bag.open("rb") as file:
        for cloud_path, cloud_place, image_path, image_place in job.frames:
            points, written = clean(content_of(job.bag, file, LIDAR, cloud_place, points_of))
            outcome.append(written)
            if not len(points):
                continue
            write_atomically(job.destination / cloud_path, npy(points), durable=False)
            if image_path != last_image:
                read = partial(image_of, calibration=job.calibration)
                image = content_of(job.bag, file, CAMERA, image_place, read, job.image_type)
                small = undistorted(image, job.calibration, job.image_width)
                write_atomically(job.destination / image_path, png(small), durable=False)
                last_image = image_path
    return outcome


def clean(points: Float[ndarray, "n 3"]) -> tuple[Float[ndarray, "m 3"], Written]:
    """The points of the OS1 that are measurements, turned to x forward, y left, z up, as float32."""
    is_finite = np.isfinite(points).all(axis=1)
    with np.errstate(invalid="ignore"):
        kept = is_finite & is_return(points)
    turned = points[kept] @ LIDAR_FROM_OS1[:3, :3].T.astype(np.float32)
    not_finite = int((~is_finite).sum())
    return turned, Written(len(turned), not_finite, len(points) - not_finite - len(turned))


def image_of(message: Any, calibration: Calibration) -> UInt8[ndarray, "h w 3"]:
    """The pixels of an image as RGB; raises :class:`CrossplaceError` if its size is not that of the calibration."""
    image = pixels_of(message)
    height, width = image.shape[:2]
    expected = (calibration.raw.width, calibration.raw.height)
    if (width, height) != expected:
        raise CrossplaceError(f"{width}×{height} pixels; the calibration is of {expected[0]}×{expected[1]}")
    return image
