"""What stands in the tables of papers: printed numbers, results beside them, and differences where both agree."""

import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import tyro
from printed import change, committed_files, result_under

from benchmark.cli.main import Command, main
from benchmark.cli.runs import Bench
from benchmark.keys import plain
from benchmark.records.collection import Collection, collect
from benchmark.records.published import PUBLISHED, published_in
from benchmark.records.schema import Result
from benchmark.registry import METHODS
from benchmark.report.documents import DOCUMENTS, TABLES
from benchmark.report.paper_tables import DIFFERENCE, MARKED, NOT_RECOVERED, ON_TOWN, paper_sections
from benchmark.report.papers import PAPERS
from benchmark.report.screen import screen_section
from benchmark.report.table import Cell, Section, Table
from benchmark.runs.study import STUDIES
from datasets.base import Protocol, Selection
from datasets.prepared import PreparedDataset
from datasets.protocols import PROTOCOLS
from datasets.resolving import resolve

SYNCHRONOUS = "kitti-synchronous-10m"
OTHER_TRAINING = replace(PROTOCOLS[SYNCHRONOUS].split, train=Selection(traversals=("01", "03")))
Made = Callable[..., Result]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A folder of results that holds the committed printed numbers alone."""
    committed_files(tmp_path / "results")
    return tmp_path / "results"


@pytest.fixture
def made(results: Path, small_world: PreparedDataset, protocol: Protocol) -> Made:
    """Write a result under a protocol of a paper, on sequence 00 unless other pairs are named."""

    def made(name: str = SYNCHRONOUS, run: str = "run", **changes: object) -> Result:
        pairs = changes.pop("pairs", (("00", "00"),))
        return result_under(name, pairs, results / run, small_world, protocol, **changes)  # type: ignore[arg-type]

    return made


def sections(results: Path, name: str = "rangebev") -> list[Section]:
    return paper_sections(name, collect(results))


def named(section: Section, title: str) -> Table | None:
    return next((table for table in section.tables if table.title == title), None)


def row_of(table: Table, words: str, under: str) -> list[Cell]:
    (row,) = [row for row in table.rows if row[0].words == words and row[0].under.startswith(under)]
    return [*row[1:]]


# --- printed numbers -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["vxp", "lc2", "liploc"])
def test_an_empty_template_says_not_recovered_everywhere(results: Path, name: str) -> None:
    for section in sections(results, name):
        for row in section.tables[0].rows:
            if row[0].under == "published":
                assert {(cell.value, cell.under) for cell in row[1:]} == {(None, NOT_RECOVERED)}
            else:
                assert row[0].under == "here"
                assert all(cell.reason for cell in row[1:])


def test_a_filled_template_shows_each_number_in_its_cell(results: Path) -> None:
    """Each line gets numbers of its own, and each is found again under its row and its column."""
    path = results / PUBLISHED / "vxp.csv"
    for row in published_in(results / PUBLISHED)["vxp"]:
        if row.direction:
            change(path, row.line, recall_at_1=f"{row.line}.25", recall_at_1pct=f"{row.line}.5", table="1", page="5")
        else:
            change(path, row.line, image_ms=f"1{row.line}", cloud_ms=f"2{row.line}", parameters_m=f"3{row.line}")
    first, *others = sections(results, "vxp")
    table = first.tables[0]
    assert [column.name for column in table.columns[1:]] == [
        f"{direction} {metric}" for direction in ("image→cloud", "cloud→image") for metric in ("R@1", "R@1%")
    ]
    assert [cell.value for cell in row_of(table, "VXP", "published")] == [6.25, 6.5, 7.25, 7.5]
    assert "Printed numbers: VXP (arXiv 2403.14594), Table 1, page 5." in table.notes
    night = next(section for section in others if "city night-day2" in section.title)
    assert [cell.value for cell in row_of(night.tables[0], "Cattaneo", "published")] == [26.25, 26.5, 27.25, 27.5]
    cost = next(section for section in others if section.title == "Time and size")
    assert [cell.value for cell in row_of(cost.tables[0], "VXP", "published")] == [156, 256, 356]
    shown = [cell for s in (first, *others) for row in s.tables[0].rows if row[0].under == "published" for cell in row]
    assert not any(cell.under == NOT_RECOVERED for cell in shown)


def test_numbers_keep_the_digits_that_are_printed(results: Path) -> None:
    shown = screen_section(sections(results)[0], 100)
    assert re.search(r"PlainEBD published +19\.93 +16\.50 +30\.64", shown)
    assert "Printed numbers: RangeBEV (arXiv 2502.11742), Table I." in shown


def test_a_paper_that_quotes_fills_what_the_own_file_leaves_open(results: Path) -> None:
    first = sections(results, "modalink")[0].tables[0]
    assert row_of(first, "ModaLink", "published")[0].value == 95.8
    change(results / PUBLISHED / "modalink.csv", 2, recall_at_1="95.80", table="1")
    first = sections(results, "modalink")[0].tables[0]
    assert any("ModaLink (arXiv 2403.18762), Table 1" in note for note in first.notes), "the own file comes first"


def test_a_folder_without_printed_numbers_has_no_such_tables(made: Made, results: Path) -> None:
    made()
    assert paper_sections("rangebev", Collection(groups=collect(results).groups)) == []


# --- results beside them -------------------------------------------------------------------------


def test_a_result_that_agrees_in_protocol_and_training_gets_a_difference(made: Made, results: Path) -> None:
    result = made()
    section = sections(results)[0]
    here = row_of(section.tables[0], "ModaLink", "here")
    value = 100 * (result.headline("image->cloud").values["R@1"] or 0)
    low, high = (100 * end for end in result.directions["image->cloud"].intervals["R@1"])
    assert (here[0].value, here[0].low, here[0].high) == (value, low, high)
    assert here[1].reason == "this result does not hold this number"
    table = named(section, DIFFERENCE)
    assert table is not None
    first, second, *_ = row_of(table, "ModaLink", "paper-kitti")
    assert first.value == pytest.approx(value - 90.31)
    assert (first.low, first.high) == pytest.approx((low - 90.31, high - 90.31))
    assert second.reason == "one of the two numbers is missing"
    assert named(section, MARKED) is None


def test_of_several_sequences_each_has_its_own_number_without_the_interval_of_all(made: Made, results: Path) -> None:
    result = made(pairs=(("00", "00"), ("02", "02")))
    here = row_of(sections(results)[0].tables[0], "ModaLink", "here")
    for cell, pair in zip(here, result.directions["image->cloud"].pairs, strict=False):
        assert cell.value == pytest.approx(100 * (pair.values["R@1"] or 0))
        assert cell.low is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"protocol_changes": {"version": 0}}, f"made under version 0 of {SYNCHRONOUS}, which is at"),
        (
            {"protocol_changes": {"split": plain(OTHER_TRAINING)}},
            "trained on 01, 03 here, on 11-21 there",
        ),
    ],
)
def test_a_result_by_other_rules_gets_the_reason_instead(
    made: Made, results: Path, changes: dict[str, object], reason: str
) -> None:
    made(**changes)
    table = named(sections(results)[0], DIFFERENCE)
    assert table is not None
    cell = row_of(table, "ModaLink", "paper-kitti")[0]
    assert cell.value is None
    assert cell.reason.startswith(reason)


def test_an_open_rule_of_the_printed_number_forbids_the_difference(made: Made, results: Path) -> None:
    made("kitti-00head-10m")
    table = named(sections(results, "modalink")[0], DIFFERENCE)
    assert table is not None
    assert row_of(table, "ModaLink", "")[0].reason == "not known of the printed number: own-frame rule unknown"
    made(method={"name": "vxp"})
    table = named(sections(results)[0], DIFFERENCE)
    assert table is not None
    assert "how its authors trained VXP could not be read" in row_of(table, "VXP", "")[0].reason


def test_what_a_printed_number_was_trained_on_must_be_known(made: Made, results: Path) -> None:
    made()
    line = next(row.line for row in published_in(results / PUBLISHED)["rangebev"] if row.method == "ModaLink")
    change(results / PUBLISHED / "rangebev.csv", line, train_split="")
    table = named(sections(results)[0], DIFFERENCE)
    assert table is not None
    assert row_of(table, "ModaLink", "")[0].reason == "what RangeBEV (arXiv 2502.11742) trained on is not known"


ASIDE: dict[str, dict[str, object]] = {
    "PARTIAL: 1 test traversals are absent": {"protocol_changes": {"absent": ["07"]}},
    "SMOKE RUN: recall means nothing": {"protocol_changes": {"smoke": True}},
    "50 % of schedule": {"method": {"share_of_schedule": 0.5}},
    "scratch": {"method": {"backbone_weights": "none"}},
    "quick": {"method": {"preset": "quick"}},
    "partial: training sequences 12 are absent": {"warnings": ["partial: training sequences 12 are absent"]},
}
"""Marks, and what of a result makes them."""


@pytest.mark.parametrize("mark", ASIDE)
def test_a_marked_result_stands_in_a_table_of_its_own(made: Made, results: Path, mark: str) -> None:
    made(**ASIDE[mark])
    section = sections(results)[0]
    assert all(cell.reason for cell in row_of(section.tables[0], "ModaLink", "here")), "none beside printed numbers"
    assert named(section, DIFFERENCE) is None
    table = named(section, MARKED)
    assert table is not None
    (row,) = table.rows
    assert row[0].under.split(", ").count(mark) == 1
    assert row[1].value is not None


def test_the_warning_of_partial_training_is_that_of_resolving(small_world: PreparedDataset) -> None:
    of = PROTOCOLS[SYNCHRONOUS]
    drives = {"00": small_world.traversals["morning"], "11": small_world.traversals["evening"]}
    there = small_world.__class__(**(vars(small_world) | {"name": of.dataset, "traversals": drives}))
    _, warnings = resolve(SYNCHRONOUS, there)
    assert any(warning.startswith("partial: training sequences 12, 13") for warning in warnings)


def test_perturbed_untrained_and_foreign_results_have_no_row(made: Made, results: Path) -> None:
    for place, origin in enumerate(("untrained", "ranker", "foreign")):
        made(run=f"run{place}", method={"origin": origin, "weights_sha256": origin})
    assert all(cell.reason for cell in row_of(sections(results)[0].tables[0], "ModaLink", "here"))


def test_the_town_never_shares_a_table_with_print(made: Made, results: Path) -> None:
    made("town-revisit", method={"preset": "quick"}, pairs=(("test-day", "test-day"),))
    *papers, town = sections(results)
    assert town.title == ON_TOWN
    assert "never to be compared with printed numbers" in ON_TOWN
    for table in town.tables:
        assert table.title.startswith("town-revisit · image→cloud · R@")
        assert table.title.endswith("procedural stand-in")
        assert "published" not in str(table.rows)
    assert [row[1].value for row in town.tables[0].rows if row[0].words == "ModaLink"] == [100.0]
    assert not any(cell.value for section in papers for row in section.tables[0].rows if "here" in row[0].under
                   for cell in row)  # fmt: skip


def test_changes_of_a_study_stand_in_the_ablation_of_the_town() -> None:
    collection = collect(Path(__file__).parents[3] / "results")
    *_, town = paper_sections("vxp", collection)
    (table,) = [t for t in town.tables if any("What the parts bring" in note for note in t.notes)]
    said = {(row[0].words, row[0].under.split(",")[0]) for row in table.rows}
    assert ("VXP, without the local stage", "study ablation") in said
    assert not any("robustness" in under for _, under in said), "its lines are perturbations, not variants"
    assert "ablation" in STUDIES


# --- commands ------------------------------------------------------------------------------------


def commands() -> set[str]:
    empty = dict.fromkeys(PAPERS, ())
    found = set()
    for name in PAPERS:
        for section in paper_sections(name, Collection(groups=[], published=empty)):
            for table in section.tables:
                found |= {cell.reason for row in table.rows for cell in row if "crossplace bench" in cell.reason}
    return found


@pytest.mark.parametrize("reason", sorted(commands()))
def test_the_command_for_an_empty_cell_is_one_that_the_suite_takes(reason: str) -> None:
    _, _, command = reason.partition(": ")
    asked = tyro.cli(Command, args=shlex.split(command)[1:])
    assert isinstance(asked, Bench)
    method = METHODS.get(asked.method.name)
    assert asked.method.preset in method.presets
    assert asked.method.variant in ("", None, *method.variants)
    assert PROTOCOLS[asked.data.protocol or ""].dataset == asked.data.dataset


# --- the command ---------------------------------------------------------------------------------


def test_one_paper_is_printed_and_written_alone(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(results.parent)
    assert main(["tables", "--paper", "rangebev"]) == 0
    out = capsys.readouterr().out
    assert "RangeBEV published" in out
    assert {path.name for path in (results / "tables").iterdir()} == {
        f"paper-rangebev.{ending}" for ending in DOCUMENTS
    }
    kind = TABLES["paper-rangebev"]
    assert (results / "tables" / "paper-rangebev.md").read_text() == DOCUMENTS["md"](
        kind, kind.sections(collect(results))
    )


def test_results_of_this_machine_are_shown_and_written_apart(
    made: Made, results: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(results.parent)
    made(run="../runs/results/run")
    tables = ["tables", "--paper", "rangebev"]
    assert main(tables) == 0
    committed = Path("results/tables/paper-rangebev.md").read_text()
    assert "here, paper-kitti" not in committed
    capsys.readouterr()
    assert main([*tables, "--runs", "runs"]) == 0
    assert "ModaLink here, paper-kitti" in capsys.readouterr().out
    assert "here, paper-kitti" in Path("runs/tables/paper-rangebev.md").read_text()
    assert Path("results/tables/paper-rangebev.md").read_text() == committed
    assert main(["publish", "runs/results/run"]) == 0
    shown = Path("runs/tables/paper-rangebev.md").read_bytes()
    assert main([*tables, "--runs", "runs"]) == 0, "a published copy counts once"
    assert Path("runs/tables/paper-rangebev.md").read_bytes() == shown
    assert main(tables) == 0
    assert Path("results/tables/paper-rangebev.md").read_bytes() == shown


@pytest.mark.parametrize("other", [[], ["--paper", "vxp", "--check"]])
def test_runs_without_the_tables_of_a_paper_are_refused(
    other: list[str], results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tables", "--results", str(results), "--runs", "runs", *other]) == 1
    assert "--runs goes with --paper alone: name a paper, and leave --check out" in " ".join(
        capsys.readouterr().err.split()
    )
    assert main(["tables", "--results", str(results), "--runs", str(results.parent / "runs"), "--paper", "vxp"]) == 0


def test_an_unknown_paper_is_a_sentence_with_near_names(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(results.parent)
    assert main(["tables", "--paper", "modalnik"]) == 1
    assert capsys.readouterr().err.startswith("error: unknown paper 'modalnik'. Did you mean modalink? Available: vxp,")
    assert main(["tables", "--paper", "modalink"]) == 0, "the advice helps"


def test_a_folder_without_files_of_papers_is_a_sentence_whose_advice_helps(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(results.parent)
    for option in ([], ["--check"]):
        assert main(["tables", "--paper", "vxp", "--results", "other", *option]) == 1
        assert (
            "other/published: no vxp.csv; name the folder of committed results with --results"
            in capsys.readouterr().err
        )
        assert main(["tables", "--paper", "vxp", "--results", "results", *option]) == 0
        capsys.readouterr()
