"""The page from the command line: on its own, and at the end of a run."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmark.cli.main import main
from benchmark.report.page import page as pages
from benchmark.request import EngineOptions
from benchmark.runs import sweep
from benchmark.runs.carrying import Wanted
from benchmark.runs.plan import Plan
from benchmark.runs.run import run
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset

REPOSITORY = Path(__file__).parents[3]
METHOD = ("--method", "height_histogram")
COMMITTED = REPOSITORY / "results" / "town" / "height_histogram-quick-town-night-s0-bbe50397440c"
"""One committed result: a page of all of them takes long, and is made once below."""


def crossplace(*arguments: object) -> int:
    return main([*map(str, arguments)])


def bench(dataset: PreparedDataset, *arguments: object) -> int:
    return crossplace(
        "bench", "--method", "height_histogram", "--dataset", dataset.folder, "--device", "cpu", *arguments
    )


def test_a_run_ends_with_a_page_beside_its_result(
    small_world: PreparedDataset, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(small_world) == 0
    (said,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("report: ")]
    path = Path(said.removeprefix("report: "))
    assert (path.parent / "result.json").is_file()
    assert path.parent.name.startswith("height_histogram-")
    first = path.read_text()
    assert "height_histogram finds the place of" in first
    assert bench(small_world) == 0, "nothing to do"
    assert path.read_text() == first


@pytest.mark.parametrize("error", [CrossplaceError("no room"), RuntimeError("a fault")], ids=["sentence", "fault"])
def test_a_page_that_cannot_be_written_never_costs_the_run(
    small_world: PreparedDataset,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    tmp_path: Path,
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(pages, "report", fail)
        assert bench(small_world) == 0
    captured = capsys.readouterr()
    (warning,) = [line for line in captured.err.splitlines() if "no report" in line]
    assert "no room" in warning or "because of a fault of the suite" in warning
    assert "Traceback" not in captured.err
    assert "report: " not in captured.out
    (again,) = [words for words in warning.split("; ") if "crossplace report" in words]
    folder = again.split("crossplace report ")[1].removesuffix(" tries again")
    assert crossplace("report", folder, "--output", "again.html") == 0, "what the warning advises works"
    assert (tmp_path / "again.html").is_file()


def test_every_method_of_a_sweep_is_on_one_page_and_so_are_its_holes(
    small_world: PreparedDataset, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sweep_here(wanted: Sequence[Wanted], _: EngineOptions) -> list[sweep.SweepOutcome]:
        """In this process, as if one method had failed."""
        results = run(Plan(wanted[0].request))
        return [sweep.SweepOutcome(results=results, holes={wanted[1].label: "it was killed"})]

    monkeypatch.setattr(sweep, "run_sweep", sweep_here)
    row = ("--dataset", small_world.folder, "--device", "cpu")
    assert crossplace("sweep", "--methods", METHOD[1], "liploc", *row) == 1
    assert "report: runs/report.html" in capsys.readouterr().out.splitlines()
    page = (tmp_path / "runs" / "report.html").read_text()
    assert "No result of liploc: it was killed" in page


def test_results_are_looked_for_where_they_are(
    small_world: PreparedDataset, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert crossplace("report") == 1
    sentence = capsys.readouterr().err
    assert sentence == "error: runs/results: no such folder; run crossplace bench, or name a folder with results\n"
    assert bench(small_world) == 0
    capsys.readouterr()
    assert crossplace("report") == 0, "the advice of the sentence works"
    assert capsys.readouterr().out == "report: report.html\n"
    own = (tmp_path / "report.html").read_text()
    assert "small_world" in own
    (tmp_path / "results").symlink_to(COMMITTED)
    assert crossplace("report", "--output", "committed.html") == 0
    assert "protocol town-night" in (tmp_path / "committed.html").read_text()
    assert crossplace("report", "runs/results", "--output", "own.html") == 0
    assert (tmp_path / "own.html").read_text() == own


def test_an_output_that_is_a_folder_is_a_sentence_whose_cure_works(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "there").mkdir()
    assert crossplace("report", COMMITTED, "--output", "there") == 1
    sentence = capsys.readouterr().err.strip()
    assert sentence.endswith("there is a folder; name a file in it, such as there/report.html")
    assert crossplace("report", COMMITTED, "--output", sentence.split()[-1]) == 0


def test_a_page_needs_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from benchmark.cli.main import main; "
        f"assert main(['report', {str(COMMITTED)!r}, {str(REPOSITORY / 'results' / 'studies')!r}]) == 0; "
        "print(*({'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["report: report.html", ""]
