"""ViViD++ bags of a second, small enough to work out by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from datasets.prepared import PreparedDataset
from datasets.samples.vivid import (
    BOOT_S,
    CLOUD,
    FIX,
    IMAGE,
    cloud_message,
    degrees_of,
    fix_message,
    image_message,
    write_bag,
)
from datasets.vivid import Vivid
from datasets.vivid.messages import CAMERA, GPS, LIDAR

START_S = BOOT_S + 50


def grey(time_s: float, pixels: np.ndarray) -> tuple[str, Any]:
    """The type of an image message, and the message."""
    return IMAGE, image_message(time_s, pixels, "mono8")


def run(
    path: Path,
    n: int = 12,
    *,
    lidar_began_s: float = BOOT_S,
    image_width: int = 128,
    without: str = "",
    header_s: Callable[[str, float], float] = lambda topic, time: time,
    image: Callable[[float, np.ndarray], tuple[str, Any]] = grey,
    image_topic: str = CAMERA,
) -> Path:
    """A car driving north at 10 m/s: clouds of ten points and grey images ten times a second, fixes as often.

    ``header_s`` turns the right time in the header of a topic into the one that is written.
    """
    random = np.random.default_rng(0)
    messages: list[tuple[str, str, float, Any]] = []
    for i in range(n):
        time = START_S + i / 10
        pixels = np.full((104, image_width, 1), i, dtype=np.uint8)
        points = random.normal(scale=20, size=(10, 3))
        kind, picture = image(header_s(CAMERA, time + 0.02), pixels)
        for late, north in ((-0.05, i * 1.0), (0.05, i + 1.0)):
            fix = fix_message(header_s(GPS, time + late), *degrees_of(0.0, north, 60.0))
            messages.append((GPS, FIX, time + late + 0.01, fix))
        cloud = cloud_message(header_s(LIDAR, time - lidar_began_s), points)
        messages += [(LIDAR, CLOUD, time + 0.01, cloud), (image_topic, kind, time + 0.03, picture)]
    write_bag(path, sorted((m for m in messages if m[0] != without), key=lambda message: message[2]))
    return path


def prepared(dataset: Vivid, raw: Path, out: Path) -> PreparedDataset:
    """What is prepared of all bags in ``raw``, in the new folder ``out``."""
    out.mkdir()
    list(dataset.prepare(raw, out, workers=1))
    return PreparedDataset.read(out)
