"""``crossplace tables --paper`` and ``--check`` as a person types them."""

import shutil
from pathlib import Path

import pytest
from papers import REPOSITORY, recorded, results_folder, within

from benchmark.cli.main import main
from benchmark.report.documents import DOCUMENTS
from benchmark.report.papers import PAPERS

ON_KITTI = {"image->cloud": within("00", "02", "05", "06", "07", "08")}


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder ``results`` of the working directory, with the committed published files alone."""
    monkeypatch.chdir(tmp_path)
    results_folder(tmp_path / "results")
    return Path("results")


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The sentence of a command that must end with exit code 1, in one line."""
    assert main(["tables", *arguments]) == 1
    return " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("name", PAPERS)
def test_the_tables_of_a_paper_are_printed_and_written(
    name: str, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tables", "--paper", name]) == 0
    shown = capsys.readouterr().out
    files = [results / "tables" / f"paper-{name}.{ending}" for ending in DOCUMENTS]
    assert sorted((results / "tables").iterdir()) == sorted(files)
    assert f"written: {', '.join(map(str, files))}" in shown
    assert PAPERS[name].tables[0].title in " ".join(shown.split())
    before = [file.read_bytes() for file in files]
    assert main(["tables", "--paper", name]) == 0
    assert [file.read_bytes() for file in files] == before


def test_one_paper_is_written_as_with_all_others(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(REPOSITORY / "results" / "town", results / "town")
    assert main(["tables", "--paper", "vxp"]) == 0
    alone = {path.name: path.read_bytes() for path in (results / "tables").iterdir()}
    assert main(["tables"]) == 0
    assert {name: (results / "tables" / name).read_bytes() for name in alone} == alone
    assert len(list((results / "tables").glob("paper-*.md"))) == len(PAPERS)


def test_an_unknown_paper_has_near_names(capsys: pytest.CaptureFixture[str]) -> None:
    for option in ((), ("--check",)):
        sentence = refused(capsys, "--paper", "modalnk", *option)
        assert "unknown paper 'modalnk'. Did you mean modalink?" in sentence
    assert main(["tables", "--paper", "modalink"]) == 0


def test_results_of_this_machine_are_shown_and_written_apart(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Path("runs/results")
    recorded(run, "rangebev", "kitti-synchronous-10m", ON_KITTI)
    assert main(["tables", "--paper", "rangebev"]) == 0
    assert "RangeBEV here, paper" not in capsys.readouterr().out
    committed = (results / "tables" / "paper-rangebev.md").read_text()
    assert main(["tables", "--paper", "rangebev", "--runs", "runs"]) == 0
    assert "RangeBEV here, paper, seed 0" in capsys.readouterr().out
    assert "here, paper, seed 0" in Path("runs/tables/paper-rangebev.md").read_text()
    assert (results / "tables" / "paper-rangebev.md").read_text() == committed
    (folder,) = run.iterdir()
    assert main(["publish", str(folder)]) == 0
    assert main(["tables", "--paper", "rangebev", "--runs", "runs"]) == 0
    assert main(["tables", "--paper", "rangebev"]) == 0
    assert "here, paper, seed 0" in (results / "tables" / "paper-rangebev.md").read_text()


def test_runs_without_a_paper_are_refused_and_both_cures_work(capsys: pytest.CaptureFixture[str]) -> None:
    assert "name it with --paper, or leave --runs out" in refused(capsys, "--runs", "runs")
    assert main(["tables", "--paper", "vxp", "--runs", "runs"]) == 0
    assert main(["tables"]) == 0


def test_the_check_of_the_committed_files_finds_no_fault(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tables", "--check"]) == 0
    shown = capsys.readouterr().out
    for name in PAPERS:
        assert f"results/published/{name}.csv" in shown
    assert "No printed number lies outside" in shown


def test_what_contradicts_is_said_and_ends_with_code_1(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = results / "published" / "modalink.csv"
    right = path.read_text()
    first = right.splitlines()[1]
    path.write_text(right.replace(first, first.replace("image->cloud,", "image->cloud,91.0", 1), 1))
    assert main(["tables", "--paper", "modalink", "--check"]) == 1
    captured = capsys.readouterr()
    said = " ".join(captured.out.split())
    quoted = "results/published/dxpr.csv, line 28"
    assert f"{quoted} and {path}, line 2 contradict each other: R@1 of ModaLink on 00 is 95.8 and 91.0" in said
    assert "faults of printed numbers: 1; each line above says what to do" in " ".join(captured.err.split())
    path.write_text(right.replace(first, first.replace("image->cloud,", "image->cloud,95.83", 1), 1))
    assert main(["tables", "--paper", "modalink", "--check"]) == 0


def test_every_malformed_line_is_said_at_once(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = results / "published" / "rangebev.csv"
    right = path.read_text()
    path.write_text(right.replace("19.93", "0.1993").replace(",lc2,", ",lc3,", 1))
    assert main(["tables", "--check"]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert f"{path}, line 2: recall_at_1 is 0.1993, which looks like a fraction; write 19.93" in said
    assert f"{path}, line 8: unknown method 'lc3'. Did you mean lc2?" in said
    assert f"{path}, line 2: " in refused(capsys, "--paper", "rangebev")
    path.write_text(right)
    assert main(["tables", "--check"]) == 0


def test_a_file_that_is_not_there_is_named(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = results / "published" / "vxp.csv"
    kept = path.read_bytes()
    path.unlink()
    assert main(["tables", "--paper", "vxp", "--check"]) == 1
    assert f"{path}: no such file; fetch it from the suite's repository" in " ".join(capsys.readouterr().out.split())
    path.write_bytes(kept)
    assert main(["tables", "--paper", "vxp", "--check"]) == 0


def test_a_folder_without_published_files_names_both_ways_out(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded(Path("runs"), "rangebev", "kitti-synchronous-10m", ON_KITTI)
    sentence = refused(capsys, "--paper", "rangebev", "--results", "runs")
    assert sentence.startswith("error: runs/published/rangebev.csv: no such file")
    assert main(["tables", "--paper", "rangebev", "--results", "results", "--runs", "runs"]) == 0
    shutil.copytree(results / "published", "runs/published")
    assert main(["tables", "--paper", "rangebev", "--results", "runs"]) == 0


def test_a_comparable_result_beyond_its_interval_is_shown_and_no_fault(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = results / "published" / "vxp.csv"
    first = path.read_text().splitlines()[5]
    assert first.startswith("VXP,vxp,,oxford")
    path.write_text(path.read_text().replace(first, first.replace("image->cloud,", "image->cloud,70.0", 1), 1))
    pairs = {("a", "b"): 0.5, ("b", "a"): 0.7}
    recorded(Path("runs"), "vxp", "oxford-vxp-as-published", {"image->cloud": pairs}, interval=(0.55, 0.64))
    assert main(["tables", "--paper", "vxp", "--check"]) == 0
    assert "here 60.0" not in capsys.readouterr().out
    assert main(["tables", "--paper", "vxp", "--check", "--runs", "runs"]) == 0
    assert "R@1: printed 70 (VXP (arXiv 2403.14594)), here 60.0 [55.0, 64.0]" in " ".join(
        capsys.readouterr().out.split()
    )
