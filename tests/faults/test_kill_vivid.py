"""A prepare of 1,000 frames killed by SIGKILL and started again leaves what an undisturbed one leaves, byte for byte.

Run as a script it is the process that dies: python test_kill_vivid.py RAW OUT WORKERS [MOVE], by its own hand before or
after it moves its MOVE-th file to its place.
"""

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from folders import contents, differences
from raw_vivid import SMALL

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
from datasets.vivid.fisheye import Calibration
from datasets.vivid.messages import CAMERA, GPS, LIDAR

N_FRAMES, N_KILLS = 1000, 4
pytestmark = pytest.mark.slow


@dataclass(frozen=True, kw_only=True)
class TinyVivid(Vivid):
    image_width: int = 16
    calibration: ClassVar[Calibration] = Calibration(raw=SMALL.at_width(16))


def write_run(path: Path, n_frames: int) -> None:
    """A car that drives north; some clouds have nothing but zeros."""
    random_ = np.random.default_rng(len(path.stem))
    messages = []
    for i in range(n_frames):
        time_s = BOOT_S + 50 + i / 10
        points = random_.normal(scale=20, size=(6, 3)) if i % 50 else np.zeros((6, 3))
        pixels = random_.integers(0, 256, (13, 16, 3), dtype=np.uint8)
        for late in (-0.05, 0.05):
            fix = fix_message(time_s + late, *degrees_of(0.0, i + 10 * late, 60.0))
            messages.append((GPS, FIX, time_s + late, fix))
        messages.append((LIDAR, CLOUD, time_s + 0.06, cloud_message(time_s - BOOT_S, points)))
        messages.append((CAMERA, IMAGE, time_s + 0.07, image_message(time_s + 0.01, pixels)))
    write_bag(path, messages)


def start(raw: Path, out: Path, workers: int, dies_at: int | None = None) -> subprocess.Popen[bytes]:
    out.mkdir(exist_ok=True)
    words = [str(word) for word in (raw, out, workers, dies_at) if word is not None]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([sys.executable, __file__, *words], env=environment)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    folder = tmp_path_factory.mktemp("kill")
    for run in ("campus_day1", "city_night"):
        write_run(folder / "raw" / f"{run}.bag", N_FRAMES // 2)
    assert start(folder / "raw", folder / "whole", 1).wait() == 0
    whole = contents(folder / "whole")
    assert len(whole) == 2 * (N_FRAMES - N_FRAMES // 50) + 2, "a cloud and an image a frame"
    return folder, whole


def test_killed_at_random_moves_of_files(undisturbed: tuple[Path, dict[str, bytes]]) -> None:
    folder, whole = undisturbed
    rng, out = random.Random(0), folder / "by-own-hand"
    for _ in range(N_KILLS):
        code = start(folder / "raw", out, 1, rng.randrange(2 * len(whole) // 3)).wait()
        assert code in (0, -signal.SIGKILL)
    assert start(folder / "raw", out, 1).wait() == 0
    assert differences(contents(out), whole) == []


@pytest.mark.parametrize("seed", [0])
def test_killed_from_outside_at_a_random_moment_with_its_workers(
    undisturbed: tuple[Path, dict[str, bytes]], seed: int
) -> None:
    folder, whole = undisturbed
    out, moment = folder / f"outside-{seed}", random.Random(seed).uniform(0.05, 0.9)
    process = start(folder / "raw", out, 2)
    while process.poll() is None and len(list(out.glob("clouds/*/*.npy"))) < moment * N_FRAMES:
        time.sleep(0.02)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert start(folder / "raw", out, 2).wait() == 0
    assert differences(contents(out), whole) == []


def main(raw: str, out: str, workers: str, dies_at: str = "-1") -> None:
    moves, move = iter(range(sys.maxsize)), Path.replace

    def watched(self: Path, target: Path) -> Path:
        number = next(moves)
        if number == int(dies_at) and number % 2:
            os.kill(os.getpid(), signal.SIGKILL)
        moved = move(self, target)
        if number == int(dies_at):
            os.kill(os.getpid(), signal.SIGKILL)
        return moved

    Path.replace = watched  # type: ignore[assignment, method-assign]
    for _ in TinyVivid().prepare(Path(raw), Path(out), workers=int(workers)):
        pass


if __name__ == "__main__":
    main(*sys.argv[1:])
