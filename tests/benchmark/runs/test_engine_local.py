"""Jobs in real processes of this machine: what dies, what is too large, what is done twice."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from counted_jobs import CountedJob, counted

from benchmark import machine
from benchmark.console import console
from benchmark.request import EngineOptions
from benchmark.runs.carrying import run_jobs
from benchmark.runs.engines import engine_of, threads_of
from benchmark.runs.engines.local import GPU, LOG, LocalEngine
from benchmark.runs.jobs import environment_of_jobs
from benchmark.runs.journal import attempts_of
from benchmark.runs.watching import Watch
from datasets.errors import CrossplaceError


def carried(work: Sequence[CountedJob], folder: Path, **options: object) -> dict[str, str]:
    chosen = EngineOptions(**options)  # type: ignore[arg-type]
    with engine_of(chosen, folder, "cpu") as engine:
        return run_jobs(work, engine, chosen.tries, Watch())


def finished(job: CountedJob) -> int:
    return sum(attempt.is_finished for attempt in attempts_of(job.journal))


def test_jobs_that_die_fail_or_are_too_large_and_those_that_are_not(tmp_path: Path) -> None:
    environment = environment_of_jobs(3, tmp_path)
    fine = counted(tmp_path, "fine", environment=environment)
    weak = counted(tmp_path, "weak", deaths=1, needs=(fine.id,))
    poisoned = counted(tmp_path, "poisoned", deaths=9)
    wrong = counted(tmp_path, "wrong", fault="no frames; add some")
    large = counted(tmp_path, "large", mib=3000)
    jobs = [fine, weak, poisoned, wrong, large]
    found = carried(jobs, tmp_path, jobs=2, tries=2, memory_gib=1.5)
    assert found[fine.id] == found[weak.id] == ""
    assert found[poisoned.id].startswith("its process ended with exit code -9")
    assert found[poisoned.id].endswith("(2 tries)")
    assert found[wrong.id] == "no frames; add some"
    assert found[large.id].startswith("MemoryError")
    assert [len(attempts_of(job.journal)) for job in jobs] == [1, 2, 2, 1, 1]
    assert [finished(job) for job in jobs] == [1, 1, 0, 0, 0]
    assert fine.outcome.read_text() == "3 -", "threads are fixed by the plan"
    (attempt,) = attempts_of(wrong.journal)
    assert attempt.reason == "CrossplaceError: no frames; add some"
    assert carried([fine, weak], tmp_path) == {fine.id: "", weak.id: ""}
    assert finished(fine) == 1, "what is done is not done again"


def test_a_job_that_two_sweeps_want_is_done_once(tmp_path: Path) -> None:
    job = counted(tmp_path, "both", epochs=4, epoch_s=0.3)
    with LocalEngine(EngineOptions(jobs=2), tmp_path, "cpu") as engine:
        running = set(engine.start([job, job]))
        while running:
            for handle, ending in engine.ended(running).items():
                running.discard(handle)
                assert not ending.reason
    assert len(attempts_of(job.journal)) == 1
    assert len({path.read_text() for path in job.checkpoints}) == 1, "one process alone worked at it"


def test_what_is_left_before_its_end_ends_its_jobs_and_a_later_one_goes_on(tmp_path: Path) -> None:
    job = counted(tmp_path, "long", epochs=3, epoch_s=0.2)
    forever = counted(tmp_path, "long", epochs=3, epoch_s=60)
    with LocalEngine(EngineOptions(), tmp_path, "cpu") as engine:
        (work,) = engine.start([forever])
        while not attempts_of(forever.journal):
            time.sleep(0.05)
    assert not work.process.is_alive()
    (job.folder / "long-epoch-0").write_text("of before")
    assert carried([job], tmp_path) == {job.id: ""}
    assert [path.read_text() == "of before" for path in job.checkpoints] == [True, False, False]


def test_jobs_end_with_a_sweep_that_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from counted_jobs import counted; "
        "from benchmark.request import EngineOptions; from benchmark.runs.engines.local import LocalEngine\n"
        "if __name__ == '__main__':\n"
        "    folder = Path(sys.argv[1]); job = counted(folder, 'orphan', epochs=600, epoch_s=0.1)\n"
        "    engine = LocalEngine(EngineOptions(), folder, 'cpu'); engine.ended(engine.start([job]))\n"
    )
    script = tmp_path / "driver.py"
    script.write_text(code)
    path = os.pathsep.join(filter(None, sys.path))
    with subprocess.Popen([sys.executable, script, tmp_path], env={**os.environ, "PYTHONPATH": path}) as driver:
        job = counted(tmp_path, "orphan")
        while not job.checkpoints:
            assert driver.poll() is None
            time.sleep(0.05)
        driver.kill()
    worker = int(job.checkpoints[0].read_text())
    for _ in range(200):
        if not Path(f"/proc/{worker}").exists():
            break
        time.sleep(0.05)
    assert not Path(f"/proc/{worker}").exists()


def test_what_a_job_says_does_not_disturb_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "_force_terminal", True)
    job = counted(tmp_path, "loud", says="something")
    with LocalEngine(EngineOptions(), tmp_path, "cpu") as engine:
        (ending,) = engine.ended(engine.start([job])).values()
    assert ending.reason == ""
    (line,) = (job.journal / LOG).read_text().splitlines()
    assert line.endswith(" something")


@pytest.mark.parametrize(("shown", "expected"), [("", {"0", "1"}), ("2,5", {"2", "5"})])
@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_each_job_has_a_gpu_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, shown: str, expected: set[str]
) -> None:
    monkeypatch.setattr(machine, "cuda_names", lambda: ("first", "second"))
    monkeypatch.delenv(GPU, raising=False)
    if shown:
        monkeypatch.setenv(GPU, shown)
    engine = LocalEngine(EngineOptions(jobs=8), tmp_path, "cuda")
    assert engine.at_once == 2
    assert LocalEngine(EngineOptions(jobs=8), tmp_path, "cpu").at_once == 8
    request = counted(tmp_path, "a").request.changed(device=device)
    jobs = [counted(tmp_path, key, request=request) for key in "abc"]
    with engine:
        assert run_jobs(jobs, engine, 1, Watch()) == dict.fromkeys(("count-a", "count-b", "count-c"), "")
    seen = [job.outcome.read_text().split()[1] for job in jobs]
    assert {*seen} == expected
    assert seen[0] != seen[1]


def test_threads_are_those_of_the_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert threads_of(EngineOptions(threads=5)) == 5
    assert threads_of(EngineOptions()) == 8
    assert threads_of(EngineOptions(jobs=3)) == 2
    assert threads_of(EngineOptions(engine="ray")) == threads_of(EngineOptions(engine="slurm")) == 2
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert threads_of(EngineOptions(jobs=3)) == 4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"engine": "locl"}, "Did you mean local"),
        ({"jobs": 0}, "--jobs 0: expected at least 1"),
        ({"threads": -1}, "--threads -1"),
        ({"tries": 0}, "--tries 0"),
    ],
)
def test_what_no_engine_can_be_is_a_sentence(tmp_path: Path, options: dict[str, object], words: str) -> None:
    with pytest.raises(CrossplaceError, match=words):
        engine_of(EngineOptions(**options), tmp_path, "cpu")  # type: ignore[arg-type]
