"""Jobs in processes: in order, once each, resumable, and with a sentence for a worker that died."""

import os
import signal
from pathlib import Path

import pytest
from workers import append_and_double, die, fail_at_three

from datasets.errors import CrossplaceError
from datasets.jobs import map_in_processes, run_jobs


@pytest.mark.parametrize("workers", [1, 2])
def test_outcomes_come_in_order_and_a_second_run_does_nothing(tmp_path: Path, workers: int) -> None:
    log = tmp_path / "log"
    jobs = [(n, str(log)) for n in range(7)]
    assert list(run_jobs(append_and_double, jobs, tmp_path, workers=workers)) == [0, 2, 4, 6, 8, 10, 12]
    assert list(run_jobs(append_and_double, jobs, tmp_path, workers=workers)) == [0, 2, 4, 6, 8, 10, 12]
    assert sorted(log.read_text().split()) == [str(n) for n in range(7)]


def test_what_was_finished_before_an_error_is_not_done_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    jobs = [(n, str(log)) for n in range(5)]
    with pytest.raises(CrossplaceError, match="job 3"):
        list(run_jobs(fail_at_three, jobs, tmp_path, workers=1))
    assert list(run_jobs(append_and_double, jobs, tmp_path, workers=1)) == [0, 2, 4, 6, 8]
    assert log.read_text().split() == ["0", "1", "2", "3", "4"]


def test_an_outcome_is_what_a_resumed_run_reads(tmp_path: Path) -> None:
    first = list(run_jobs(tuple, ["ab", "cd"], tmp_path, workers=1))
    assert first == list(run_jobs(tuple, ["ab", "cd"], tmp_path, workers=1)) == [["a", "b"], ["c", "d"]]


def test_a_worker_that_was_ended_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(CrossplaceError, match="ended from outside"):
        list(map_in_processes(die, [signal.SIGKILL, signal.SIGKILL], workers=2))


def test_environment_is_as_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    assert list(map_in_processes(os.getenv, ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"], workers=2)) == ["1", "1"]
    assert (os.environ["OMP_NUM_THREADS"], "OPENBLAS_NUM_THREADS" in os.environ) == ("7", False)
