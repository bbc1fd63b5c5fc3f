"""Frames per second and core of ViViD++'s preparer, at the size of the real sensors: ``pytest --benchmark-only``."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

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

N_FRAMES = 10


def write_full_size(path: Path, encoding: str) -> None:
    """Images of 1280×1024 and clouds of 64×1024 pulses, a third of which do not come back."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:1024, :1280]
    messages = []
    for i in range(N_FRAMES):
        time = BOOT_S + 50 + i / 10
        channels = [128 + 100 * np.sin(rows / (20 + c) + i) * np.cos(columns / 31) for c in range(3)]
        pixels = np.clip(np.stack(channels, axis=2) + random.normal(scale=4, size=(1024, 1280, 3)), 0, 255)
        pixels = pixels.astype(np.uint8)[..., : 3 if encoding == "bgr8" else 1]
        points = random.normal(scale=20, size=(64 * 1024, 3)).astype(np.float32)
        points[::3] = 0
        for late in (-0.05, 0.05):
            fix = fix_message(time + late, *degrees_of(0.0, i + 10 * late, 60.0))
            messages.append((GPS, FIX, time + late, fix))
        messages.append((LIDAR, CLOUD, time + 0.06, cloud_message(time - BOOT_S, points, rows=64)))
        messages.append((CAMERA, IMAGE, time + 0.07, image_message(time + 0.01, pixels, encoding)))
    write_bag(path, messages)


@pytest.mark.slow
@pytest.mark.benchmark(group=f"ViViD++ prepare, {N_FRAMES} frames of full size, one core")
@pytest.mark.parametrize("width", [640, 1280])
@pytest.mark.parametrize("encoding", ["bgr8", "bayer_rggb8"])
def test_prepare(benchmark: Any, encoding: str, width: int, tmp_path: Path) -> None:
    write_full_size(tmp_path / "raw" / "city_day1.bag", encoding)
    folders = iter(range(100))

    def prepare() -> None:
        out = tmp_path / str(next(folders))
        out.mkdir()
        assert list(Vivid(image_width=width).prepare(tmp_path / "raw", out, workers=1))[-1] == (N_FRAMES, N_FRAMES)

    benchmark.pedantic(prepare, rounds=3, warmup_rounds=1)
