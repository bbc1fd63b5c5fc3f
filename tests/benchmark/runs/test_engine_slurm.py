"""Jobs through submitit's local executor, which keeps the promises of a cluster with processes of this machine."""

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from counted_jobs import CountedJob, counted

from benchmark.request import EngineOptions
from benchmark.runs.carrying import run_jobs
from benchmark.runs.engines import engine_of
from benchmark.runs.jobs import Ending, environment_of_jobs
from benchmark.runs.journal import attempts_of
from benchmark.runs.watching import Watch
from datasets.errors import CrossplaceError

pytest.importorskip("submitit")


@pytest.fixture(autouse=True)
def modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let processes find the suite and the jobs of tests."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))


def options(*slurm: str, tries: int = 2) -> EngineOptions:
    return EngineOptions(engine="slurm", slurm=("cluster=local", *slurm), tries=tries, jobs=3)


def carried(work: Sequence[CountedJob], folder: Path, chosen: EngineOptions) -> dict[str, str]:
    with engine_of(chosen, folder, "cpu") as engine:
        return run_jobs(work, engine, chosen.tries, Watch())


def test_jobs_that_die_or_fail_and_those_that_do_not(tmp_path: Path) -> None:
    fine = counted(tmp_path, "fine", environment=environment_of_jobs(3, tmp_path))
    weak = counted(tmp_path, "weak", deaths=1, needs=(fine.id,))
    poisoned = counted(tmp_path, "poisoned", deaths=9)
    wrong = counted(tmp_path, "wrong", fault="no frames; add some")
    jobs = [fine, weak, poisoned, wrong]
    found = carried(jobs, tmp_path, options())
    assert found[fine.id] == found[weak.id] == ""
    assert found[poisoned.id].startswith("its process left no answer: ")
    assert found[poisoned.id].endswith("(2 tries)")
    assert found[wrong.id] == "no frames; add some"
    assert [len(attempts_of(job.journal)) for job in jobs] == [1, 2, 2, 1]
    assert fine.outcome.read_text().split()[0] == "3", "threads are fixed by the plan"


def interrupted(job: CountedJob, folder: Path, chosen: EngineOptions) -> Ending:
    """How the job ends that is sent the signal of a cluster after its first checkpoint."""
    with engine_of(chosen, folder, "cpu") as engine:
        (handle,) = engine.start([job])
        while not job.checkpoints:
            time.sleep(0.05)
        os.kill(int(job.checkpoints[0].read_text()), signal.SIGUSR2)
        (ending,) = engine.ended([handle]).values()
    return ending


@pytest.mark.parametrize("minutes", [600, 1], ids=["preempted", "time is over"])
def test_a_job_that_is_put_into_the_queue_again_goes_on_from_its_checkpoint(tmp_path: Path, minutes: int) -> None:
    job = counted(tmp_path, "long", epochs=8, epoch_s=0.3)
    assert interrupted(job, tmp_path, options(f"timeout_min={minutes}")) == Ending()
    workers = [int(path.read_text()) for path in job.checkpoints]
    assert len(workers) == 8
    assert workers[0] != workers[-1]
    assert [attempt.is_finished for attempt in attempts_of(job.journal)] == [False, True]


def test_a_job_whose_time_is_over_once_too_often_is_a_hole(tmp_path: Path) -> None:
    job = counted(tmp_path, "endless", epochs=10_000, epoch_s=0.1)
    ending = interrupted(job, tmp_path, options("timeout_min=1", tries=1))
    assert ending.reason.endswith("Job not requeued because: timed-out too many times.")
    assert not ending.is_lost, "it would take as long again"


@pytest.mark.parametrize(
    ("slurm", "words"),
    [
        (("cluster=pbs",), "cluster=pbs: choose slurm or local"),
        (("gpu",), "expected key=value, such as slurm_partition=gpu"),
        (("cluster=local", "slurm_partitions=gpu"), "--engine slurm: .*slurm_partitions"),
        ((), "with sbatch and srun, or try with --slurm cluster=local"),
    ],
)
def test_what_cannot_be_submitted_is_a_sentence(
    tmp_path: Path, slurm: tuple[str, ...], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CrossplaceError, match=words):
        engine_of(EngineOptions(engine="slurm", slurm=slurm), tmp_path, "cpu")
