"""docs/your-data.md keeps its promise: its commands, as they stand there, lead from a person's files to a row."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from drives import write_drive

from datasets.prepared import PreparedDataset
from datasets.trajectory.calibration import read_calibration

REPOSITORY = Path(__file__).parents[1]
PAGE = (REPOSITORY / "docs" / "your-data.md").read_text()
COMMANDS = re.findall(r"^    (crossplace .+)$", PAGE, flags=re.MULTILINE)


def run(line: str, folder: Path) -> str:
    """What a shell in ``folder`` prints for ``line``, where ``crossplace`` is this checkout's."""
    script = folder / "bin" / "crossplace"
    script.parent.mkdir(exist_ok=True)
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m benchmark.cli.main "$@"\n')
    script.chmod(0o755)
    environment = os.environ | {
        "PATH": f"{script.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
    }
    done = subprocess.run(["bash", "-c", line], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_there_are_five_commands() -> None:
    assert len(COMMANDS) == 5


def test_the_calibration_of_the_page_is_valid(tmp_path: Path) -> None:
    blocks = re.findall(r"^```yaml\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1
    (tmp_path / "calibration.yaml").write_text(blocks[0])
    found = read_calibration(tmp_path / "calibration.yaml")
    for name in type(found).model_fields:
        if not name.startswith("lidar_from_"):  # the inverses
            assert name in found.model_fields_set, f"{name} is not on the page"


@pytest.mark.slow
def test_the_commands_of_the_page_lead_to_a_row(tiny_town: PreparedDataset, tmp_path: Path) -> None:
    for traversal, name in (("test-day", "monday"), ("test-evening", "tuesday")):
        write_drive(tiny_town, traversal, tmp_path / name)
    said = {line: run(line, tmp_path) for line in COMMANDS}
    first, second, check, bench, compare = said.values()
    assert "monday/poses.txt: TUM, 75 times in s (recognised by magnitude)" in first
    assert "own: 75 frames kept, 1 traversal" in first
    assert "own: 150 frames kept, 2 traversals" in second
    assert "in-view " in check
    assert "doubt" not in check
    assert re.search(r"height_histogram +\d+\.\d", bench)
    assert "SMOKE RUN" in bench
    assert re.search(r"image→cloud|image->cloud", compare)
