"""True depth of the town's images, as files: what a method that compares depth could do with a perfect network."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from PIL import Image

from datasets.errors import CrossplaceError
from datasets.files import read_json, write_atomically
from datasets.town.drives import Drive
from datasets.town.town import Town
from datasets.town.writing import Job, frame_id, is_written, write_missing

UNIT_M = 1 / 256
"""Unit of the stored 16-bit numbers."""


def write_depth(town: Town, folder: Path, workers: int | None = None) -> Iterator[None]:
    """Write ``depth.json`` and the depth of every image as ``FRAME_ID.png``; yields once for each image.

    Depth is the distance along the optical axis to the surface at each pixel's centre. Sky, and what is 256 m away and
    more, is unknown (0). Files that are there already are kept.

    Raises:
        CrossplaceError: the folder holds depth of something else.
    """
    _describe(town, folder / "depth.json")

    def is_there(drive: Drive, number: int) -> bool:
        return is_written(folder / f"{frame_id(drive, number)}.png")

    for n_more in write_missing(town.drives(), folder, workers, is_there, _write):
        yield from [None] * n_more


def _describe(town: Town, path: Path) -> None:
    made_by = f"true depth of the town, version {town.version}: {json.dumps(town.options())}"
    description = {"format": "png", "unit_m": UNIT_M, "made_by": made_by}
    if path.is_file() and read_json(path) != description:
        raise CrossplaceError(f"{path.parent}: holds depth of something else than {made_by}; choose another folder")
    write_atomically(path, json.dumps(description).encode())


def _write(job: Job) -> int:
    drive, numbers, folder = job
    times = drive.frame_times_s()[numbers]
    for number, time, pose in zip(numbers, times.tolist(), drive.pose_at(times), strict=True):
        depth_m = drive.camera.depth(drive.scene_at(time), pose)
        write_atomically(folder / f"{frame_id(drive, number)}.png", _png(depth_m), durable=False)
    return len(numbers)


def _png(depth_m: Float[ndarray, "h w"]) -> bytes:
    stored = np.rint(depth_m.astype(np.float64) / UNIT_M)
    content = io.BytesIO()
    Image.fromarray(np.where(stored < 2**16, stored, 0).astype(np.uint16)).save(content, "png")
    return content.getvalue()
