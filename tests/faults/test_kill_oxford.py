"""A thousand frames of a RobotCar run, killed while they are prepared: the same command goes on to the same bytes."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from folders import contents, differences
from raw_oxford import write_street

COMMAND = [
    sys.executable,
    "-c",
    "from benchmark.cli.main import entry_point; entry_point()",
    "data",
    "prepare",
    "oxford",
]
OPTIONS = ["--workers", "2", "--dataset-options", "image_size=[8, 6]", "ahead_s=6"]
JOBS = 200


def start(source: Path, data: Path) -> subprocess.Popen[bytes]:
    environment = os.environ | {"CROSSPLACE_DATA": str(data), "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [*COMMAND, "--source", source, *OPTIONS], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )


def finished(source: Path, data: Path) -> str:
    with start(source, data) as process:
        said, _ = process.communicate()
    assert process.returncode == 0
    return said.decode()


@pytest.mark.slow
def test_a_prepare_of_a_thousand_frames_killed_at_a_random_moment_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    source = tmp_path / "raw"
    write_street(source, n_images=1001)
    said = finished(source, tmp_path / "undisturbed")
    assert "1,000 frames kept" in said
    expected = contents(tmp_path / "undisturbed" / "prepared")
    assert len(expected) == 2 * 1000 + 2

    data, rng = tmp_path / "killed", random.Random(0)
    with start(source, data) as process:
        enough = rng.randrange(1, JOBS - 20)
        while len(list(data.glob("prepared/*/.done/*.json"))) < enough:
            assert process.poll() is None
            time.sleep(0.05)
        time.sleep(rng.uniform(0, 0.2))
        process.kill()
    assert process.returncode == -signal.SIGKILL
    time.sleep(1)  # the workers notice that nobody waits for them
    left = contents(data / "prepared")
    assert not any(name.endswith("dataset.json") for name in left)
    assert finished(source, data) == said.replace("undisturbed", "killed")
    assert differences(contents(data / "prepared"), expected) == []
    unchanged = [name for name in expected if name in left]
    assert len(unchanged) > 2 * enough, "what was done is there"
