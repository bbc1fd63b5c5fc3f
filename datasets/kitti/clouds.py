"""Reading every image and cloud once: which are broken, which are used in place, and which get a clean copy."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict
from zlib import crc32

import numpy as np

from datasets.files import npy, write_atomically
from datasets.planes import ground_plane
from datasets.readers import check_image, read_points


class Outcome(TypedDict):
    """What became of one frame."""

    cloud: Literal["original", "copy", "dropped_no_points", "dropped_no_ground"]
    points_not_finite: int
    points_on_ground: int


@dataclass(frozen=True, slots=True)
class FrameFiles:
    """The files of one frame, and the path of a clean copy of its cloud."""

    frame_id: str
    image: Path
    cloud: Path
    copy: Path


@dataclass(frozen=True, slots=True)
class Job:
    """Several frames, and how their clouds are cleaned."""

    frames: tuple[FrameFiles, ...]
    remove_ground: bool
    seed: int


def clean_frames(job: Job) -> list[Outcome]:
    """Check each image and cloud; write a ``.npy`` copy of a cloud that loses its ground or non-finite points."""
    return [_clean(files, job) for files in job.frames]


def _clean(files: FrameFiles, job: Job) -> Outcome:
    check_image(files.image)
    points = read_points(files.cloud)
    outcome = Outcome(cloud="original", points_not_finite=0, points_on_ground=0)
    is_finite = np.isfinite(points).all()  # nearly always true, and 40 times faster than a test of each point
    if len(points) and is_finite and not job.remove_ground:
        return outcome
    if not is_finite:
        finite = np.isfinite(points[:, :3]).all(axis=1)
        points, outcome["points_not_finite"] = points[finite], int((~finite).sum())
    if job.remove_ground and len(points):
        plane = ground_plane(points, np.random.default_rng([job.seed, crc32(files.frame_id.encode())]))
        if plane is None or not plane.is_level:
            return outcome | {"cloud": "dropped_no_ground"}
        points, outcome["points_on_ground"] = points[~plane.is_inlier], int(plane.is_inlier.sum())
    if len(points) == 0:
        return outcome | {"cloud": "dropped_no_points"}
    write_atomically(files.copy, npy(points), durable=False)
    return outcome | {"cloud": "copy"}
