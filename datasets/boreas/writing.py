"""The files of frames, by any number of processes."""

import io
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray
from PIL import Image

from datasets.boreas.choosing import Chosen, Recording
from datasets.boreas.sweeps import placed, read_sweep
from datasets.errors import CrossplaceError
from datasets.files import npy, write_atomically
from datasets.pixels import resize
from datasets.readers import is_return, read_image

FRAMES_PER_JOB = 20
JPEG_QUALITY = 92


class Recipe(NamedTuple):
    """Everything, besides its run and pose, that the files of a frame depend on."""

    image_size: tuple[int, int]
    """Width and height of the stored images."""
    raw_size: tuple[int, int]
    within_m: float
    correct_motion: bool


class Job(NamedTuple):
    """Some consecutive frames of one run: the times of sweep and image, and the body's pose, of each."""

    run: Path
    destination: Path
    recipe: Recipe
    lidar_us: list[int]
    camera_us: list[int]
    world_from_body: Float[ndarray, "n 4 4"]


class Written(NamedTuple):
    """What became of one sweep: how many points are stored and left out; without points there are no files."""

    points: int
    not_finite: int
    no_return: int
    beyond: int


def jobs_of(recording: Recording, chosen: Chosen, recipe: Recipe, destination: Path) -> list[Job]:
    """The work on all frames of a run, in their order."""
    starts = range(0, len(chosen.lidar_us), FRAMES_PER_JOB)
    parts = [slice(start, start + FRAMES_PER_JOB) for start in starts]
    return [
        Job(
            recording.folder,
            destination,
            recipe,
            chosen.lidar_us[part].tolist(),
            chosen.camera_us[part].tolist(),
            chosen.world_from_body[part],
        )
        for part in parts
    ]


def image_path(run: str, time_us: int) -> str:
    """The path of a frame's image in the prepared folder; the time is that of the sweep."""
    return f"images/{run}/{time_us}.jpg"


def cloud_path(run: str, time_us: int) -> str:
    """The path of a frame's cloud in the prepared folder."""
    return f"clouds/{run}/{time_us}.npy"


def write_frames(job: Job) -> list[Written]:
    """Write images and clouds, of one frame after the other."""
    recording, outcome = _recording(job.run), []
    name, recipe = recording.name, job.recipe
    for lidar_us, camera_us, pose in zip(job.lidar_us, job.camera_us, job.world_from_body, strict=True):
        points, written = cloud(recording, lidar_us, np.linalg.inv(pose), recipe)
        outcome.append(written)
        if not len(points):
            continue
        image = _whole_image(recording.image(camera_us), recipe.raw_size)
        small = resize(image, *recipe.image_size)
        write_atomically(job.destination / image_path(name, lidar_us), _jpeg(small), durable=False)
        write_atomically(job.destination / cloud_path(name, lidar_us), npy(points), durable=False)
    return outcome


def cloud(
    recording: Recording, lidar_us: int, body_from_world: Float[ndarray, "4 4"], recipe: Recipe
) -> tuple[Float[ndarray, "n 3"], Written]:
    """The points of a sweep in the body's axes as float32, and how many were left out."""
    path = recording.sweep(lidar_us)
    points, time_ns, not_finite = read_sweep(path)
    kept = is_return(points)
    n_returns = int(kept.sum())
    kept &= np.hypot(points[:, 0], points[:, 1]) <= recipe.within_m
    found = placed(
        points[kept],
        time_ns[kept],
        lidar_us * 1000,
        recording.lidar,
        body_from_world,
        correct_motion=recipe.correct_motion,
    )
    written = Written(len(found), not_finite, len(points) - n_returns, n_returns - len(found))
    return found.astype(np.float32), written


@lru_cache(maxsize=1)
def _recording(run: Path) -> Recording:
    """The run, whose pose tables a process reads once for all consecutive jobs on it."""
    return Recording(run)


def _whole_image(path: Path, expected: tuple[int, int]) -> UInt8[ndarray, "h w 3"]:
    image = read_image(path)
    size = image.shape[1], image.shape[0]
    if size != expected:
        raise CrossplaceError(
            f"{path}: {size[0]}×{size[1]} pixels, but the run's first image has {expected[0]}×{expected[1]}; the "
            "images of a run share one calibration: fetch it again, or delete it to do without that image"
        )
    return image


def _jpeg(image: UInt8[ndarray, "h w 3"]) -> bytes:
    content = io.BytesIO()
    Image.fromarray(image).save(content, "jpeg", quality=JPEG_QUALITY)
    return content.getvalue()
