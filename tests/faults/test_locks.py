"""Two processes on one folder: the second waits, says for whom, and finds nothing broken."""

import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest

from benchmark.frames.preparing import locate, prepare
from benchmark.records.schema import Result
from datasets.errors import CrossplaceError
from datasets.files import locked
from datasets.prepared import PreparedDataset

HOLD = """
import logging, sys
from pathlib import Path
from datasets.files import locked
logging.basicConfig(format="%(message)s", stream=sys.stdout)
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def hold(tmp_path: Path) -> Callable[[], subprocess.Popen[str]]:
    """Start a process that takes the lock of ``tmp_path/run`` and keeps it until it may read a line."""

    def hold() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", HOLD, tmp_path / "run"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )

    return hold


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("end", ["finishes", "is killed"])
def test_the_second_process_waits_says_for_whom_and_goes_on(
    hold: Callable[[], subprocess.Popen[str]], tmp_path: Path, end: str
) -> None:
    with hold() as first:
        assert line_of(first) == "held"
        with hold() as second:
            said = line_of(second)
            assert re.fullmatch(rf"{tmp_path}/\.run\.lock is held by process {first.pid} on \S+; waiting .*", said)
            assert second.poll() is None
            if end == "is killed":
                first.kill()
            else:
                first.communicate("\n")
            assert line_of(second) == "held"
            second.communicate("\n")
        assert first.wait() == (-signal.SIGKILL if end == "is killed" else 0)
    assert list(tmp_path.iterdir()) == []


def test_what_a_dead_process_left_does_not_block(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / ".run.lock").write_text("process 1 on another-machine")
    with caplog.at_level(logging.INFO), locked(tmp_path / "run"):
        pass
    assert not caplog.records
    assert list(tmp_path.iterdir()) == []


def test_a_place_where_no_lock_can_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with (
        pytest.raises(CrossplaceError, match=r"file/\.run\.lock: cannot be written .*give the same command again"),
        locked(tmp_path / "file" / "run"),
    ):
        pass


@pytest.mark.slow
def test_two_runs_at_once_end_with_the_same_whole_result(
    victim: Any, begin: Callable[[Any], ForkServerProcess], small_world: PreparedDataset, tmp_path: Path
) -> None:
    """Same training and descriptor folders; the first is stopped in the middle of a stage so that both meet."""
    job = victim.Job(dataset=small_world.folder, runs=tmp_path / "runs")
    first = begin(replace(job, pauses_at="batch teach 2/3 train 1"))
    while not list(tmp_path.glob("runs/stages/toy-teach-*/progress.json")):
        assert first.is_alive()
        time.sleep(0.02)
    second = begin(job)
    for process in (first, second):
        process.join()
        assert process.exitcode == 0
    results = {Result.read(path.parent).method.name for path in tmp_path.glob("runs/results/*/result.json")}
    assert "toy" in results
    assert not list(tmp_path.rglob(".*")), "no lock and no part of a file is left"


def test_the_processes_of_a_test_run_copy_the_town_that_one_of_them_made(
    tiny_town: PreparedDataset, shared_data_folder: Path | None
) -> None:
    if not shared_data_folder:
        pytest.skip("one process runs all tests")
    shared = shared_data_folder / "prepared" / tiny_town.folder.name
    made, own = ((folder / "dataset.json").stat() for folder in (shared, tiny_town.folder))
    assert made.st_mtime_ns == own.st_mtime_ns
    assert made.st_ino != own.st_ino, "a test may change its files"


def test_a_dataset_that_another_process_prepared_meanwhile_is_taken(
    tiny_town: PreparedDataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CROSSPLACE_DATA", str(tmp_path))
    location = locate("town", None, ["preset=tiny"])

    class Meanwhile:
        """The lock, handed over by a process that has prepared the dataset."""

        def __init__(self, folder: Path) -> None:
            folder.parent.mkdir()
            folder.symlink_to(tiny_town.folder)

        def __enter__(self) -> None: ...

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr("benchmark.frames.preparing.locked", Meanwhile)
    assert prepare(location).fingerprint == tiny_town.fingerprint
    assert location.folder.is_symlink(), "nothing was deleted or prepared anew"
