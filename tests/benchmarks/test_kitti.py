"""Frames per second and core that KITTI is prepared with: ``pytest --benchmark-only``."""

import shutil
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datasets.kitti import Kitti

N_FRAMES = 40
N_WITHOUT_GROUND = 2
N_POINTS = 120_000


def write_sequence(source: Path, n_frames: int) -> None:
    """Images and clouds of KITTI's size: noise, and a road."""
    folder, random = source / "sequences" / "05", np.random.default_rng(0)
    (folder / "image_2").mkdir(parents=True)
    (folder / "velodyne").mkdir()
    smooth = random.integers(0, 256, (47, 156, 3), dtype=np.uint8)
    for i in range(n_frames):
        Image.fromarray(smooth).resize((1226, 370), Image.Resampling.BICUBIC).save(folder / f"image_2/{i:06d}.png")
        points = random.uniform((-50, -50, -1.7, 0), (50, 50, 5, 1), (N_POINTS, 4))
        points[: N_POINTS // 2, 2] = -1.7
        points.astype("<f4").tofile(folder / f"velodyne/{i:06d}.bin")
    p2, tr = "707 0 602 0 0 707 183 0 0 0 1 0", "0 -1 0 0 0 0 -1 -0.08 1 0 0 -0.27"
    (folder / "calib.txt").write_text(f"P2: {p2}\nTr: {tr}\n")
    (folder / "times.txt").write_text("".join(f"{i / 10:e}\n" for i in range(n_frames)))
    (folder / "poses.txt").write_text("".join(f"1 0 0 0 0 1 0 0 0 0 1 {i}\n" for i in range(n_frames)))


@pytest.mark.slow
@pytest.mark.benchmark(group=f"KITTI prepared by one process: {N_FRAMES} frames, or {N_WITHOUT_GROUND} without ground")
@pytest.mark.parametrize("remove_ground", [False, True], ids=["referenced", "without ground"])
def test_prepare(benchmark: Any, tmp_path: Path, remove_ground: bool) -> None:
    raw, numbers, n_frames = tmp_path / "raw", count(), N_WITHOUT_GROUND if remove_ground else N_FRAMES
    write_sequence(raw, n_frames)

    def prepare() -> None:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        list(Kitti(remove_ground=remove_ground).prepare(raw, folder, workers=1))
        shutil.rmtree(folder)

    benchmark.pedantic(prepare, rounds=1 if remove_ground else 3)
    benchmark.extra_info["frames_per_second"] = n_frames / benchmark.stats.stats.min
