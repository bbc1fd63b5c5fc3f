"""The same study on every engine: equal bytes, nothing done twice, and a lost machine costs time alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from counted_jobs import counted

from benchmark.records.schema import RANKS, Result
from benchmark.request import EngineOptions, Request
from benchmark.runs.carrying import carry_out
from benchmark.runs.journal import attempts_of
from benchmark.runs.study_file import named
from datasets.prepared import PreparedDataset

LONGEST_S = 500


def ranks_and_recalls(runs: Path) -> dict[str, tuple[bytes, object]]:
    """By the name of a run, its ranks, and its recalls with intervals."""
    results = {folder.name: folder for folder in (runs / "results").iterdir() if folder.is_dir()}
    return {
        name: ((folder / RANKS).read_bytes(), Result.read(folder).model_dump(mode="json")["directions"])
        for name, folder in results.items()
    }


def descriptors(runs: Path) -> dict[str, bytes]:
    folder = runs / "descriptors"
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.npy"))}


def times_finished(runs: Path) -> dict[str, int]:
    """By job, how many attempts came to their end."""
    return {folder.name: sum(a.is_finished for a in attempts_of(folder)) for folder in (runs / "jobs").glob("*-*")}


@pytest.mark.slow
def test_all_engines_give_the_same_bytes_and_a_lost_node_costs_time_alone(
    small_world: PreparedDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    pytest.importorskip("submitit")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    for engine, more in (("local", ()), ("slurm", ("cluster=local",))):
        runs = tmp_path / engine
        request = Request.of(method="height_histogram", dataset=str(small_world.folder), device="cpu", runs=runs)
        options = EngineOptions(engine=engine, slurm=more, threads=1)
        assert [u.reason for u in carry_out(named([request], measured=False), options)] == [""]
    environment = {**os.environ, "RAY_worker_niceness": "0"}
    script = Path(__file__).parents[2] / "support" / "two_nodes.py"
    command = [sys.executable, script, tmp_path, small_world.folder]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LONGEST_S)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["study"] == [""]

    first = ranks_and_recalls(tmp_path / "local")
    assert len(first) == 4, "the method and three rankers"
    for engine in ("slurm", "ray"):
        assert ranks_and_recalls(tmp_path / engine) == first
        assert descriptors(tmp_path / engine) == descriptors(tmp_path / "local") != {}
        assert times_finished(tmp_path / engine) == times_finished(tmp_path / "local")
    assert [*times_finished(tmp_path / "local").values()] == [1, 1]

    # Of two long jobs one was on the node that was killed; it went on elsewhere.
    jobs = found["jobs"]
    assert sorted(jobs[key]["attempts"] for key in ("one", "two")) == [1, 2]
    assert {jobs[key]["reason"] for key in ("one", "two", "weak")} == {""}
    for key in ("one", "two"):
        job = counted(tmp_path / "counted", key)
        assert len(job.checkpoints) == 12
        assert len({path.read_text() for path in job.checkpoints}) == jobs[key]["attempts"]
        assert sum(attempt.is_finished for attempt in attempts_of(job.journal)) == 1
        assert job.outcome.read_text().startswith("1 ")
    assert (jobs["weak"]["attempts"], jobs["poisoned"]["attempts"], jobs["wrong"]["attempts"]) == (2, 3, 1)
    assert jobs["poisoned"]["reason"].endswith("(3 tries)")
    assert jobs["wrong"]["reason"] == "no frames; add some"
