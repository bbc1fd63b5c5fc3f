"""``crossplace tables --check``: what is filled, what is wrong, and which results differ from print."""

from pathlib import Path

import pytest
from printed import change, committed_files, result_under, write_lines

from benchmark.cli.main import main
from benchmark.records.collection import collect
from benchmark.records.published import PUBLISHED, published_in
from benchmark.report.paper_check import check_papers, differing, filled, known_papers
from benchmark.report.papers import PAPERS
from datasets.base import Protocol
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset

SYNCHRONOUS = "kitti-synchronous-10m"


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of results that holds the committed printed numbers alone, below the working directory."""
    monkeypatch.chdir(tmp_path)
    committed_files(tmp_path / "results")
    return tmp_path / "results"


def counts(results: Path, name: str) -> list[tuple[str, str]]:
    return [(row[0].words, row[1].words) for row in filled(name, published_in(results / PUBLISHED)).rows]


def test_the_committed_files_have_no_fault(results: Path) -> None:
    tables, faults = check_papers([*PAPERS], results)
    assert faults == []
    assert len(tables) == len(PAPERS)
    assert all(row[0].words.startswith("0 of ") for row in filled("vxp", published_in(results / PUBLISHED)).rows)
    assert counts(results, "rangebev") == [("42 of 42", "none")] * 3
    assert counts(results, "modalink")[:2] == [("50 of 50", "2-6"), ("43 of 50", "2-6")], "quoted, but not by itself"


def test_each_number_that_is_typed_is_counted_and_its_line_is_done_when_it_is_full(results: Path) -> None:
    path = results / PUBLISHED / "vxp.csv"
    change(path, 2, recall_at_1="12.3")
    assert counts(results, "vxp")[0] == ("1 of 12", "2-7")
    change(path, 2, recall_at_1pct="45.6", table="1", page="5")
    assert counts(results, "vxp")[0] == ("2 of 12", "3-7")
    assert filled("vxp", published_in(results / PUBLISHED)).notes == []


def test_a_number_that_no_table_shows_is_named_and_the_advice_helps(results: Path) -> None:
    """Spreadsheets make 0 of 00."""
    path = results / PUBLISHED / "vxp.csv"
    change(path, 32, split="0", recall_at_1="12.3", page="5")
    (note,) = filled("vxp", published_in(results / PUBLISHED)).notes
    assert note.startswith("No table shows the numbers of lines 32; compare method, variant, split, protocol_id and")
    change(path, 32, split=published_in(results / PUBLISHED)["vxp"][31].split)
    assert filled("vxp", published_in(results / PUBLISHED)).notes == []


def test_a_number_without_a_page_is_named(results: Path) -> None:
    path = results / PUBLISHED / "vxp.csv"
    change(path, 2, recall_at_1="12.3", table="1")
    assert filled("vxp", published_in(results / PUBLISHED)).notes == ["Numbers without a page: lines 2."]


def test_faults_are_printed_and_the_exit_code_says_so(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tables", "--paper", "vxp", "--check"]) == 0
    out = capsys.readouterr().out
    assert out.count("0 of 12") == 7
    assert "No fault and no contradiction." in out
    assert sorted(path.name for path in results.iterdir()) == [PUBLISHED], "nothing is written"
    path = results / PUBLISHED / "vxp.csv"
    change(path, 2, recall_at_1="0.471")
    change(path, 3, recall_at_1="forty")
    assert main(["tables", "--check"]) == 1
    captured = capsys.readouterr()
    said = " ".join(captured.out.split())
    assert "vxp.csv, line 2: recall_at_1 is 0.471, which looks like a fraction; write 47.1" in said
    assert "vxp.csv, line 3: recall_at_1 is 'forty', which is no number" in said
    assert captured.err == "error: 2 faults in printed numbers; each stands above with its cure\n"
    change(path, 2, recall_at_1="47.1")
    change(path, 3, recall_at_1="")
    assert main(["tables", "--check"]) == 0, "the advice helps"


def test_two_papers_that_print_one_cell_differently_are_a_fault(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_lines(results / PUBLISHED / "another.csv", {"recall_at_1": "88.8", "source": "Another (arXiv 1)"})
    assert main(["tables", "--check"]) == 1
    captured = capsys.readouterr()
    assert "another.csv, line 2" in " ".join(captured.out.split())
    assert "contradict each other" in " ".join(captured.out.split())
    assert captured.err.startswith("error: 1 fault in printed numbers")
    path.unlink()
    assert main(["tables", "--check"]) == 0


def test_a_comparable_result_outside_its_interval_is_shown_and_is_no_fault(
    results: Path, small_world: PreparedDataset, protocol: Protocol, capsys: pytest.CaptureFixture[str]
) -> None:
    line = next(row.line for row in published_in(results / PUBLISHED)["rangebev"] if row.method == "ModaLink")
    change(results / PUBLISHED / "rangebev.csv", line, recall_at_1="20.25")
    result_under(SYNCHRONOUS, (("00", "00"),), results / "run", small_world, protocol)
    table = differing("rangebev", collect(results))
    assert table is not None
    name, here, printed, difference = table.rows[0]
    assert name.words == "ModaLink 00 image→cloud R@1"
    assert (here.value, printed.value) == (100.0, 20.25)
    assert difference.value == pytest.approx(79.75)
    assert main(["tables", "--check"]) == 0
    assert "differ from print by more than their interval" in capsys.readouterr().out
    change(results / PUBLISHED / "rangebev.csv", line, recall_at_1="100", recall_at_5="100", recall_at_1pct="100")
    assert differing("rangebev", collect(results)) is None


def test_an_unknown_paper_is_a_sentence() -> None:
    assert known_papers(None) == [*PAPERS]
    assert known_papers("lc2") == ["lc2"]
    with pytest.raises(CrossplaceError, match=r"unknown paper 'lip-loc'\. Did you mean liploc"):
        known_papers("lip-loc")
