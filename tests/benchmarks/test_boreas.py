"""Frames per second and core of Boreas' preparer, at the size of the real sensors: ``pytest --benchmark-only``."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from small_boreas import RUN, START_US, write_run

from datasets.boreas.boreas import Boreas
from datasets.boreas.layout import IMAGE_SIZE, PROJECTION, file_of, folder_of

N_FRAMES, N_POINTS = 6, 220_000


def write_full_size(raw: Path) -> None:
    """Images of 2448×2048 and sweeps of 220,000 points, with the published camera matrix."""
    folder, random = write_run(raw, n=N_FRAMES, n_points=N_POINTS), np.random.default_rng(0)
    (folder / PROJECTION).write_text("1460.98 0 1230.0 0\n0 1460.93 1035.08 0\n0 0 1 0\n0 0 0 1\n")
    rows, columns = np.mgrid[: IMAGE_SIZE[1], : IMAGE_SIZE[0]]
    for i in range(N_FRAMES):
        channels = [128 + 100 * np.sin(rows / (20 + c) + i) * np.cos(columns / 31) for c in range(3)]
        pixels = np.clip(np.stack(channels, axis=2) + random.normal(scale=4, size=(*rows.shape, 3)), 0, 255)
        path = raw / folder_of(RUN) / file_of("camera", START_US + 100_000 * i + 20_000)
        Image.fromarray(pixels.astype(np.uint8)).save(path, compress_level=1)


@pytest.mark.slow
@pytest.mark.benchmark(group=f"Boreas prepare, {N_FRAMES} frames of full size, one core")
@pytest.mark.parametrize("correct_motion", [True, False])
@pytest.mark.parametrize("width", [612, 1224])
def test_prepare(benchmark: Any, width: int, correct_motion: bool, tmp_path: Path) -> None:
    write_full_size(tmp_path / "raw")
    folders = iter(range(100))
    dataset = Boreas(spacing_m=0.0, image_width=width, correct_motion=correct_motion)

    def prepare() -> None:
        out = tmp_path / str(next(folders))
        out.mkdir()
        assert list(dataset.prepare(tmp_path / "raw", out, workers=1))[-1] == (N_FRAMES, N_FRAMES)

    benchmark.pedantic(prepare, rounds=2, warmup_rounds=1)
