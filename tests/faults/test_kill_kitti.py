"""A prepare of a thousand frames, killed with SIGKILL at a random moment and given again, ends as if undisturbed."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from folders import contents, differences
from PIL import Image

from datasets.jobs import DONE
from datasets.kitti.kitti import FRAMES_PER_GROUND_JOB

N_FRAMES = 1000
N_KILLS = 3
PREPARE = """
import sys
from pathlib import Path
from datasets.kitti import Kitti

if __name__ == "__main__":
    list(Kitti(remove_ground=True).prepare(Path(sys.argv[1]), Path(sys.argv[2]), workers=2))
"""


def write_thousand_frames(source: Path) -> None:
    """A straight drive over a plain with a wall: every cloud loses its ground, so every cloud is written anew."""
    folder, name = source / "sequences" / "01", "{:06d}"
    (folder / "image_2").mkdir(parents=True)
    (folder / "velodyne").mkdir()
    random_ = np.random.default_rng(0)
    Image.fromarray(random_.integers(0, 256, (5, 12, 3), dtype=np.uint8)).save(folder / "image_2" / "000000.png")
    png = (folder / "image_2" / "000000.png").read_bytes()
    for i in range(N_FRAMES):
        ground = np.column_stack([random_.uniform(-20, 20, (60, 2)), random_.normal(-1.7, 0.02, 60)])
        wall = np.column_stack([random_.uniform(0, 20, 20), np.full(20, 5.0), random_.uniform(-1, 3, 20)])
        points = np.c_[np.concatenate([ground, wall]), np.zeros(80)].astype("<f4")
        points[0, 0] = np.nan if i % 7 == 0 else 1
        points.tofile(folder / "velodyne" / f"{name.format(i)}.bin")
        (folder / "image_2" / f"{name.format(i)}.png").write_bytes(png)
    p2, tr = "700 0 600 70 0 700 180 0 0 0 1 0", "0 -1 0 0 0 0 -1 -0.08 1 0 0 -0.27"
    (folder / "calib.txt").write_text(f"P2: {p2}\nTr: {tr}\n")
    (folder / "times.txt").write_text("".join(f"{i / 10:e}\n" for i in range(N_FRAMES)))
    (folder / "poses.txt").write_text("".join(f"1 0 0 0 0 1 0 0 0 0 1 {i}\n" for i in range(N_FRAMES)))


@pytest.mark.slow
def test_a_thousand_frames_killed_at_random_moments_are_those_of_an_undisturbed_run(tmp_path: Path) -> None:
    source, script, out = tmp_path / "raw", tmp_path / "prepare.py", tmp_path / "out"
    write_thousand_frames(source)
    script.write_text(PREPARE)
    command = [sys.executable, str(script), str(source), str(out)]  # the same folder: copies are named by their path
    subprocess.run(command, check=True, env=environment())
    expected = contents(out)
    assert sum(name.startswith("clouds/") for name in expected) == N_FRAMES
    assert {name for name in expected if not name.startswith("clouds/")} == {"dataset.json", "frames.csv"}
    generator = random.Random(0)
    shutil.rmtree(out)
    for kill in range(N_KILLS):
        after = generator.randrange(60 * kill + 1, 60 * (kill + 1))
        with subprocess.Popen(command, env=environment()) as process:
            while process.poll() is None and len(list((out / DONE).glob("[0-9]*.json"))) < after:
                time.sleep(0.005)
            time.sleep(generator.uniform(0, 0.02))
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        assert not (out / "dataset.json").exists(), "killed before the end"
    finished = len(list((out / DONE).glob("[0-9]*.json")))
    assert 120 < finished < N_FRAMES // FRAMES_PER_GROUND_JOB
    subprocess.run(command, check=True, env=environment())
    assert differences(contents(out), expected) == []


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
