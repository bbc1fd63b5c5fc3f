"""A prepare of 1,000 frames killed by SIGKILL and started again leaves what an undisturbed one leaves, byte for byte.

Run as a script it is the process that dies: python test_kill_boreas.py RAW OUT WORKERS [MOVE], by its own hand before
or after it moves its MOVE-th file to its place. It says at its end how much memory it held at most.
"""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from folders import contents, differences
from small_boreas import write_run

from datasets.boreas.boreas import Boreas

N_FRAMES, N_KILLS, MOST_MIB = 1000, 3, 300
pytestmark = pytest.mark.slow


def start(raw: Path, out: Path, workers: int, dies_at: int | None = None) -> subprocess.Popen[str]:
    out.mkdir(exist_ok=True)
    words = [str(word) for word in (raw, out, workers, dies_at) if word is not None]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, __file__, *words]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def mib_of(process: subprocess.Popen[str]) -> float:
    said, _ = process.communicate()
    assert process.returncode == 0
    return float(said)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    folder = tmp_path_factory.mktemp("kill")
    for run in ("2021-04-29-15-55", "2021-09-14-20-00"):
        write_run(folder / "raw", n=N_FRAMES // 2, name=run, n_points=6)
    assert mib_of(start(folder / "raw", folder / "whole", 1)) < MOST_MIB
    whole = contents(folder / "whole")
    assert len(whole) == 2 * N_FRAMES + 2, "a cloud and an image a frame"
    return folder, whole


def test_killed_at_random_moves_of_files(undisturbed: tuple[Path, dict[str, bytes]]) -> None:
    folder, whole = undisturbed
    rng, out = random.Random(0), folder / "by-own-hand"
    for _ in range(N_KILLS):
        process = start(folder / "raw", out, 1, rng.randrange(2 * len(whole) // 3))
        process.communicate()
        assert process.returncode in (0, -signal.SIGKILL)
    mib_of(start(folder / "raw", out, 1))
    assert differences(contents(out), whole) == []


def test_memory_does_not_grow_with_the_number_of_frames(undisturbed: tuple[Path, dict[str, bytes]]) -> None:
    """Ten times the frames take less than 30 MiB more: no image and no cloud is kept."""
    folder, _ = undisturbed
    write_run(folder / "few", n=N_FRAMES // 10, n_points=6)
    few = mib_of(start(folder / "few", folder / "few-out", 1))
    many = mib_of(start(folder / "raw", folder / "many-out", 1))
    assert many < few + 30


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
    for _ in Boreas(spacing_m=0.0).prepare(Path(raw), Path(out), workers=int(workers)):
        pass
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    sys.stdout.write(str(int(status["VmHWM"].split()[0]) / 1024))


if __name__ == "__main__":
    main(*sys.argv[1:])
