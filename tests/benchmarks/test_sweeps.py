"""What jobs cost beyond their work: 200 that are planned, and as many that do nothing, beside processes that import."""

import sys
from pathlib import Path
from subprocess import run

import pytest
from counted_jobs import counted
from pytest_benchmark.fixture import BenchmarkFixture

from benchmark.request import EngineOptions, Request
from benchmark.runs.carrying import run_jobs, undertaken
from benchmark.runs.engines import engine_of
from benchmark.runs.study_file import named
from benchmark.runs.watching import Watch
from datasets.prepared import PreparedDataset

N_PLANNED = 200
N_DONE = 20
"""Each takes as long as the next one, so a tenth says the same."""
IMPORTS = "import benchmark.runs.jobs, benchmark.process, counted_jobs"


def test_200_jobs_are_planned(benchmark: BenchmarkFixture, tiny_town: PreparedDataset, tmp_path: Path) -> None:
    base = Request.of(method="height_histogram", dataset_options=("preset=tiny",), device="cpu", runs=tmp_path)
    wanted = named([base.changed(seed=seed) for seed in range(N_PLANNED // 2)], measured=False)
    found = benchmark.pedantic(undertaken, (wanted, EngineOptions()), rounds=3, warmup_rounds=1)
    assert len({job.id for one in found for job in one.jobs}) == N_PLANNED


@pytest.mark.benchmark(group="20 jobs that do nothing, and processes that import the same")
def test_jobs_that_do_nothing(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    options = EngineOptions()

    def work(folder: Path) -> dict[str, str]:
        jobs = [counted(folder, f"job{number}") for number in range(N_DONE)]
        with engine_of(options, folder, "cpu") as engine:
            return run_jobs(jobs, engine, options.tries, Watch())

    found = benchmark.pedantic(work, (tmp_path,), rounds=1)
    assert [*found.values()] == [""] * N_DONE


@pytest.mark.benchmark(group="20 jobs that do nothing, and processes that import the same")
def test_processes_that_import_the_same(benchmark: BenchmarkFixture) -> None:
    path = f"import sys; sys.path[:] = {sys.path!r}; "

    def work() -> list[int]:
        return [run([sys.executable, "-c", path + IMPORTS], check=True).returncode for _ in range(N_DONE)]

    assert benchmark.pedantic(work, rounds=1) == [0] * N_DONE
