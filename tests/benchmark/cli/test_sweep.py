"""The command ``sweep`` with a study file: what it plans, what it shows, and how it ends."""

import shutil
from pathlib import Path

import pytest

from benchmark.cli.main import main
from benchmark.runs.engines import ENGINES
from benchmark.runs.journal import attempts_of
from datasets.prepared import PreparedDataset

STUDY = 'methods = ["height_histogram", "no_such_method"]\nseeds = [0, 1]\ncost = false\n[options]\ndevice = "cpu"\n'


@pytest.fixture
def study(
    small_world: PreparedDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> list[str]:
    """The beginning of the command line; jobs work in this process."""
    monkeypatch.setitem(ENGINES, "local", "here:HereEngine")
    (tmp_path / "study.toml").write_text(STUDY)
    capsys.readouterr()
    return ["sweep", "study.toml", "--dataset", str(small_world.folder), "--alone"]


def test_a_study_is_planned_run_and_shown_with_its_holes(
    study: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main([*study, "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if not line[0].isdigit()] == [
        f"{method} · seed {seed}" for method in ("height_histogram", "no_such_method") for seed in (0, 1)
    ]
    assert [line.split()[1:4:2] for line in lines if line.startswith("4.")] == [["evaluate", "runs"]] * 2
    assert lines[-1].startswith("4 jobs to do; 3 are cached. Expected: 0.0 min of work and 0 MB, from")
    assert not (tmp_path / "runs" / "jobs").exists(), "a plan does nothing"

    assert main(study) == 1
    captured = capsys.readouterr()
    assert "height_histogram finds the place of" in captured.out
    assert captured.out.count("no result") == 2, "a row for each"
    assert "report: runs/report.html" in captured.out
    assert "no result of no_such_method · seed 0, no_such_method · seed 1; the same command tries again" in " ".join(
        captured.err.split()
    )
    page = (tmp_path / "runs" / "report.html").read_text()
    assert "No result of no_such_method · seed 1: unknown method" in page

    shutil.rmtree(tmp_path / "runs" / "results")
    assert main([*study, "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("2 jobs to do; 5 are cached. Expected: ")
    assert main(study) == 1
    again = {folder.name: len(attempts_of(folder)) for folder in (tmp_path / "runs" / "jobs").glob("*-*")}
    assert sorted((name.partition("-")[0], n) for name, n in again.items()) == [
        ("encode", 1),
        ("encode", 1),
        ("evaluate", 2),
        ("evaluate", 2),
    ]


def test_a_study_file_that_is_not_there_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "nowhere.toml"]) == 1
    assert capsys.readouterr().err.startswith("error: nowhere.toml: not readable")
