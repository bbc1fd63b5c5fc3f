"""Frames of Oxford RobotCar per second and core: images of the real size, sweeps as many as in 20 s of a real run."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datasets.oxford.frames import Recipe, find_places, jobs_of, make_frames
from datasets.oxford.layout import find_runs
from datasets.oxford.submap import Crop, read_sweep
from datasets.samples.oxford import DistortedCamera, RawRun, write_models, write_poses

SIZE = (1280, 960)
N_FRAMES = 5


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A street canyon with a flat ground, 26 s of it: what LMS-151 sweeps at 50 Hz see at 9 m/s, 541 points each."""
    folder, random = tmp_path_factory.mktemp("oxford"), np.random.default_rng(0)
    run = RawRun(begin_s=12.0, end_s=40.0, images_per_s=16.0, size=SIZE)
    camera: DistortedCamera = run.camera
    write_models(folder / "models", camera)
    for part in ("stereo/centre", "lms_front", "gps"):
        (folder / run.name / part).mkdir(parents=True)
    write_poses(folder / run.name / "gps" / "ins.csv", run)
    raw = Image.fromarray(random.integers(0, 256, SIZE[::-1], dtype=np.uint8))
    first = folder / run.name / "stereo" / "centre" / f"{run.image_stamps_us[0]}.png"
    raw.save(first)
    for stamp in run.image_stamps_us[1:]:
        (first.parent / f"{stamp}.png").hardlink_to(first)
    angle = np.deg2rad(np.linspace(-135, 135, 541))
    down, aside = np.cos(angle), np.abs(np.sin(angle))
    distance = np.minimum(0.55 / np.maximum(down, 1e-3), 8 / np.maximum(aside, 1e-3))
    for stamp in run.stamps_us(50.0):
        ranges = distance + random.normal(scale=0.02, size=541)
        sweep = np.column_stack([ranges * np.cos(angle), ranges * np.sin(angle), np.ones(541)])
        sweep.astype("<f8").tofile(folder / run.name / "lms_front" / f"{stamp}.bin")
    return folder


@pytest.mark.slow
@pytest.mark.benchmark(group=f"Oxford RobotCar, {N_FRAMES} frames on one core")
def test_frames(benchmark: Any, source: Path, tmp_path: Path) -> None:
    recipe = Recipe(
        models=source / "models",
        poses="ins",
        bridge_bad_ins=False,
        as_published=False,
        spacing_m=5.0,
        ahead_s=20.0,
        crop=Crop(depth_at_least_m=10.0),
        image_size=(320, 240),
        seed=0,
    )
    (run,) = find_runs(source).values()
    job = jobs_of(find_places(run, recipe), recipe, tmp_path)[0]
    assert len(job.stamps_ns) == N_FRAMES

    def work() -> None:
        read_sweep.cache_clear()
        outcome = make_frames(job)
        assert len(outcome["kept"]) == N_FRAMES, outcome

    benchmark.pedantic(work, rounds=3, warmup_rounds=1)
    benchmark.extra_info["frames per second and core"] = N_FRAMES / benchmark.stats.stats.mean
