"""The files of drives, written by several processes; files from before an interruption are kept."""

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from PIL import Image

from datasets.files import npy, write_atomically
from datasets.jobs import map_in_processes
from datasets.town.drives import Drive
from datasets.town.light import LIGHTS
from datasets.town.seeding import generator_for

FRAMES_PER_JOB = 40
JPEG_QUALITY = 92
"""Quality of stored images: they have a fifth of a PNG's size, and a thirtieth of its encoding time (measured)."""

Job = tuple[Drive, list[int], Path]


def frame_id(drive: Drive, number: int) -> str:
    """The identifier of a frame."""
    return f"{drive.name}-{number:04d}"


def image_path(drive: Drive, number: int) -> str:
    """The path of a frame's image in the prepared folder."""
    return f"images/{drive.name}/{number:04d}.jpg"


def cloud_path(drive: Drive, number: int) -> str:
    """The path of a frame's cloud in the prepared folder."""
    return f"clouds/{drive.name}/{number:04d}.npy"


def write_drives(drives: Sequence[Drive], folder: Path, workers: int | None) -> Iterator[int]:
    """Write all images and clouds below ``folder`` that are not there yet; yields how many more frames are there.

    Files are written whole or not at all. They do not depend on ``workers`` or on interruptions, because every random
    number is drawn from a generator of its frame or drive.
    """
    _remove_parts(folder)
    yield from write_missing(
        drives, folder, workers, lambda drive, n: all(_are_written(folder, drive, n)), _write_frames
    )


def write_missing(
    drives: Sequence[Drive],
    folder: Path,
    workers: int | None,
    is_there: Callable[[Drive, int], bool],
    write: Callable[[Job], int],
) -> Iterator[int]:
    """Let processes ``write`` the frames that are not there yet; yields how many more are there."""
    jobs: list[Job] = []
    for drive in drives:
        numbers = range(len(drive.frame_times_s()))
        missing = [n for n in numbers if not is_there(drive, n)]
        yield len(numbers) - len(missing)
        jobs += [(drive, missing[i : i + FRAMES_PER_JOB], folder) for i in range(0, len(missing), FRAMES_PER_JOB)]
    yield from map_in_processes(write, jobs, workers)


def _are_written(folder: Path, drive: Drive, number: int) -> tuple[bool, bool]:
    return is_written(folder / image_path(drive, number)), is_written(folder / cloud_path(drive, number))


def is_written(path: Path) -> bool:
    """Whether the file is whole. Writing does not wait for the disk, so a crash of the machine may leave empty ones."""
    return path.is_file() and path.stat().st_size > 0


def _remove_parts(folder: Path) -> None:
    """Remove files that a killed process had begun to write."""
    for part in folder.glob("*/*/.*"):
        part.unlink()


def _write_frames(job: Job) -> int:
    drive, numbers, folder = job
    times = drive.frame_times_s()[numbers]
    for number, time, pose in zip(numbers, times.tolist(), drive.pose_at(times), strict=True):
        has_image, has_cloud = _are_written(folder, drive, number)
        if not has_image:
            noise = generator_for(drive.seed, drive.name, "sensor noise", number)
            pixels = drive.camera.image(drive.scene_at(time), pose, LIGHTS[drive.light], noise)
            content = io.BytesIO()
            Image.fromarray(pixels).save(content, "jpeg", quality=JPEG_QUALITY)
            write_atomically(folder / image_path(drive, number), content.getvalue(), durable=False)
        if not has_cloud:
            write_atomically(folder / cloud_path(drive, number), npy(drive.scan(drive.lidar, time)), durable=False)
    return len(numbers)
