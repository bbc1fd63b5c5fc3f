"""The tables of papers: each number in its cell, differences only under equal rules, nothing marked beside them."""

import csv
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tyro
from papers import REPOSITORY, recorded, results_folder, within

from benchmark.catalogue import method_entry
from benchmark.cli.main import Command
from benchmark.cli.runs import Bench
from benchmark.evaluation.metrics import METRICS
from benchmark.records.collection import collect
from benchmark.records.published import COLUMNS, QUANTITIES
from benchmark.report.documents import TABLES
from benchmark.report.paper_check import PublishedCheck, check_table, differing
from benchmark.report.paper_pairings import is_cell, published_rows
from benchmark.report.paper_tables import DIFFERENCE, MARKED, NOT_RECOVERED, ON_TOWN, paper_sections
from benchmark.report.papers import PAPERS, PaperTable
from benchmark.report.table import Cell, Section, Table
from datasets.protocols import PROTOCOLS

ON_KITTI = within("00", "02", "05", "06", "07", "08")
PLACES = [
    pytest.param(name, table, id=f"{name}-{number}")
    for name, paper in PAPERS.items()
    for number, table in enumerate(paper.tables)
]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A folder of results with the committed published files alone."""
    return results_folder(tmp_path / "results")


def sections(results: Path, paper: str) -> list[Section]:
    return paper_sections(paper, collect(results))


def cell(table: Table, method: str, under: str, heading: str) -> Cell:
    """The one cell in the row of a method whose second line begins with ``under``."""
    (row,) = [row for row in table.rows if row[0].words == method and row[0].under.startswith(under)]
    (number,) = [number for number, column in enumerate(table.columns) if column.heading == heading]
    return row[number]


def titled(section: Section, title: str) -> list[Table]:
    return [table for table in section.tables if table.title.startswith(title)]


def fill(results: Path, name: str, **of_line: str) -> None:
    """Write values into the one line of a published file in which ``method``, ``split`` and so on are as given."""
    path = results / "published" / f"{name}.csv"
    rows = list(csv.DictReader(path.read_text().splitlines()))
    keys = {key: value for key, value in of_line.items() if key not in QUANTITIES}
    (row,) = [row for row in rows if all(row[key] == value for key, value in keys.items())]
    row |= {key: value for key, value in of_line.items() if key in QUANTITIES}
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


# --- the table at the door -----------------------------------------------------------------------


@pytest.mark.parametrize(("name", "table"), PLACES)
def test_a_table_names_what_there_is(name: str, table: PaperTable) -> None:
    assert PROTOCOLS[table.protocol].dataset == table.dataset
    for line in table.lines:
        variants = method_entry(line.method).variants if line.method else {}
        assert not line.variant or line.variant in variants
        assert line.is_printed or line.method
    for column in table.columns:
        assert PROTOCOLS[column.part.on_town].dataset == "town"
        assert column.metric in {quantity.name for quantity in QUANTITIES.values()}
        assert not column.direction or column.metric in METRICS
        rule = PROTOCOLS[table.protocol]
        for query, database in column.part.pairs:
            assert rule.query.includes(query)
            assert rule.database.includes(database)
            assert query == database or rule.pairs == "across" or (query, database) in rule.pairs


@pytest.mark.parametrize(("name", "table"), PLACES)
def test_every_printed_cell_has_a_line_in_a_published_file_to_write_into(name: str, table: PaperTable) -> None:
    rows = published_rows(name, collect(REPOSITORY / "results"))
    for line in table.lines:
        for column in table.columns:
            found = [row for row in rows if is_cell(table, line, column, row)]
            assert bool(found) == line.is_printed


@pytest.mark.parametrize("name", PAPERS)
def test_every_line_of_a_paper_stands_in_its_tables(name: str, results: Path) -> None:
    assert not PublishedCheck.of(results, [name]).faults


@pytest.mark.parametrize("name", PAPERS)
def test_a_paper_is_a_kind_of_document(name: str) -> None:
    assert TABLES[f"paper-{name}"].title == f"The tables of {PAPERS[name].name}"


def test_without_its_published_file_a_paper_has_no_tables(results: Path) -> None:
    (results / "published" / "vxp.csv").unlink()
    assert sections(results, "vxp") == []
    assert sections(results, "rangebev")


# --- printed numbers -----------------------------------------------------------------------------


def test_the_empty_template_says_everywhere_that_nothing_is_recovered(results: Path) -> None:
    n_cells = 0
    for section in sections(results, "vxp"):
        (table,) = section.tables
        for row in table.rows:
            if row[0].under == "published":
                assert [(one.value, one.under) for one in row[1:]] == [(None, NOT_RECOVERED)] * (len(row) - 1)
                n_cells += len(row) - 1
    assert n_cells == 107


def test_a_filled_template_shows_each_number_in_its_cell(results: Path) -> None:
    path = results / "published" / "vxp.csv"
    rows = list(csv.DictReader(path.read_text().splitlines()))
    number = 0
    expected = {}
    for row in rows:
        names = [n for n, q in QUANTITIES.items() if q.is_percent == bool(row["direction"]) and n != "frames_per_s"]
        for name in names:
            number += 1
            row[name] = f"{10 + number / 100:.2f}"
            expected[row["method"], row["dataset"], row["split"], row["direction"], QUANTITIES[name].name] = row[name]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    by_title = {section.title: section.tables[0] for section in sections(results, "vxp")}
    oxford = by_title["Oxford RobotCar, images and clouds, all pairs of 23 runs"]
    found = cell(oxford, "VXP", "published", "cloud→image R@1%").value
    assert f"{found:.2f}" == expected["VXP", "oxford", "", "cloud->image", "R@1%"]
    city = by_title["ViViD++, both orders of the runs · city night-day2"]
    found = cell(city, "(LC)^2", "published", "image→cloud R@1").value
    assert f"{found:.2f}" == expected["(LC)^2", "vivid", "city night-day2", "image->cloud", "R@1"]
    kitti = by_title["KITTI odometry, revisits · 02"]
    found = cell(kitti, "Cattaneo", "published", "image→cloud R@1%").value
    assert f"{found:.2f}" == expected["Cattaneo", "kitti", "02", "image->cloud", "R@1%"]
    within_one = by_title["Oxford RobotCar within one modality, in the same shared space · R@1"]
    found = cell(within_one, "VXP", "published", "cloud→cloud").value
    assert f"{found:.2f}" == expected["VXP", "oxford", "", "cloud->cloud", "R@1"]
    parts = by_title["What the parts bring, on Oxford RobotCar · R@1"]
    found = cell(parts, "VXP, NetVLAD", "published", "image→cloud").value
    assert f"{found:.2f}" == expected["VXP, NetVLAD", "oxford", "", "image->cloud", "R@1"]
    cost = by_title["Time and size"]
    found = cell(cost, "Cattaneo", "published", "parameters M").value
    assert f"{found:.2f}" == expected["Cattaneo", "", "", "", "parameters"]
    assert NOT_RECOVERED not in str([*by_title.values()])


def test_a_number_that_another_paper_quotes_says_which(results: Path) -> None:
    first = sections(results, "modalink")[0].tables[0]
    assert cell(first, "ModaLink", "published", "00").value == 95.8
    assert first.notes[0] == "Printed numbers: DXPR (arXiv 2609.09005), Table III."
    fill(results, "modalink", method="ModaLink", split="00", recall_at_1="95.83")
    first = sections(results, "modalink")[0].tables[0]
    assert cell(first, "ModaLink", "published", "00").value == 95.83
    assert "ModaLink (arXiv 2403.18762)" in first.notes[0]


# --- results of the suite ------------------------------------------------------------------------


def test_equal_rules_give_a_difference_with_the_interval_moved_along(results: Path) -> None:
    recorded(results / "kitti", "rangebev", "kitti-synchronous-10m", {"image->cloud": ON_KITTI})
    first = sections(results, "rangebev")[0]
    assert cell(first.tables[0], "RangeBEV", "here", "00").value == pytest.approx(90.0)
    (table,) = titled(first, DIFFERENCE)
    assert [column.heading for column in table.columns[1:]] == ["00", "02", "05", "06", "07", "08"]
    ((name, *cells),) = table.rows
    assert name.words == "RangeBEV"
    assert [one.value for one in cells] == pytest.approx([90 - p for p in (99.03, 95.07, 98.91, 97.0, 99.91, 98.21)])
    assert not titled(first, MARKED)
    assert not any("no result of rangebev" in one.reason for row in first.tables[0].rows for one in row)


def test_the_interval_of_a_part_that_is_everything_stands_in_the_difference(results: Path) -> None:
    pairs = {("a", "b"): 0.5, ("b", "a"): 0.7}
    fill(results, "vxp", method="VXP", dataset="oxford", direction="image->cloud", recall_at_1="70.0")
    recorded(results / "o", "vxp", "oxford-vxp-as-published", {"image->cloud": pairs}, interval=(0.55, 0.64))
    first = sections(results, "vxp")[0]
    here = cell(first.tables[0], "VXP", "here", "image→cloud R@1")
    assert (here.value, here.low, here.high) == pytest.approx((60.0, 55.0, 64.0))
    (table,) = titled(first, DIFFERENCE)
    moved = cell(table, "VXP", "paper", "image→cloud R@1")
    assert (moved.value, moved.low, moved.high) == pytest.approx((-10.0, -15.0, -6.0))
    assert cell(table, "VXP", "paper", "cloud→image R@1").reason == "one of the two numbers is missing"
    (sentence,) = differing("vxp", collect(results))
    assert "printed 70 (VXP (arXiv 2403.14594)), here 60.0 [55.0, 64.0]" in sentence
    fill(results, "vxp", method="VXP", dataset="oxford", direction="image->cloud", recall_at_1="64.0")
    assert not differing("vxp", collect(results))


def other_training(protocol: dict[str, Any]) -> dict[str, Any]:
    train = protocol["split"]["train"] | {"traversals": ["01", "03", "04", "09", "10"]}
    return protocol | {"split": protocol["split"] | {"train": train}}


UNLIKE = {
    "other training": (
        "rangebev",
        "kitti-synchronous-10m",
        "trained on 01, 03-04, 09-10 here, on 11-21 there",
        other_training,
    ),
    "other version": (
        "rangebev",
        "kitti-synchronous-10m",
        "made under version 7 of kitti-synchronous-10m, which is at 1; run it again",
        lambda protocol: protocol | {"version": 7},
    ),
    "open rule": (
        "modalink",
        "kitti-00head-10m",
        "not known of the printed number: own-frame rule unknown",
        lambda protocol: protocol,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNLIKE)
def test_unlike_rules_give_the_reason_instead_of_a_difference(name: str, results: Path) -> None:
    method, protocol, reason, change = UNLIKE[name]
    recorded(results / "kitti", method, protocol, {"image->cloud": ON_KITTI}, change=change)
    first = sections(results, method)[0]
    (table,) = titled(first, DIFFERENCE)
    ((_, *cells),) = table.rows
    assert {(one.value, one.reason) for one in cells} == {(None, reason)}


def test_a_rule_that_no_protocol_has_gives_the_reason(results: Path) -> None:
    fill(results, "lc2", dataset="vivid", recall_at_1="50.0")
    pairs = {("campus_day1", "campus_day2"): 0.5, ("campus_day2", "campus_day1"): 0.9}
    recorded(results / "v", "lc2", "vivid-campus-day1-day2", {"cloud->image": pairs})
    first = sections(results, "lc2")[0]
    assert cell(first.tables[0], "(LC)^2", "here", "R@1").value == 50.0
    (table,) = titled(first, DIFFERENCE)
    assert "the paper thins otherwise" in table.rows[0][1].reason
    fill(results, "liploc", method="LIP-Loc, ViT-S/16", split="08", recall_at_1="50.0")
    pairs = within("08", "09")
    recorded(results / "k", "liploc", "liploc-as-published", {"image->cloud": pairs}, variant="vit-s16")
    (table,) = titled(sections(results, "liploc")[1], DIFFERENCE)
    assert table.rows[0][1].reason == "what LIP-Loc (arXiv 2312.16648) trained on is not known"


def test_costs_of_two_machines_are_not_subtracted(results: Path) -> None:
    pairs = within("00", "02", "05", "06", "08")
    recorded(results / "kitti", "modalink", "kitti-00head-10m", {"image->cloud": pairs})
    section = next(section for section in sections(results, "modalink") if section.title == "Speed")
    assert cell(section.tables[0], "ModaLink", "published", "frames/s").value == 30
    assert cell(section.tables[0], "ModaLink", "here", "frames/s").value == 50
    (table,) = titled(section, DIFFERENCE)
    assert table.rows[0][1].reason == "costs were measured on different machines"


def test_both_orders_of_two_runs_are_one_cell_and_other_runs_have_a_reason(results: Path) -> None:
    pairs = {("campus_day1", "campus_day2"): 0.5, ("campus_day2", "campus_day1"): 0.7, ("x", "y"): 0.1}
    recorded(results / "v", "vxp", "vivid-vxp-as-published", {"image->cloud": pairs})
    by_title = {section.title: section.tables[0] for section in sections(results, "vxp")}
    there = by_title["ViViD++, both orders of the runs · campus day1-day2"]
    assert cell(there, "VXP", "here", "image→cloud R@1").value == pytest.approx(60.0)
    assert "campus day1-day2, cloud→image, R@1" in cell(there, "VXP", "here", "cloud→image R@1").reason
    other = by_title["ViViD++, both orders of the runs · city day1-day2"]
    assert "no result of vxp" in cell(other, "VXP", "here", "image→cloud R@1").reason


def test_a_row_asks_for_its_training_set(results: Path) -> None:
    recorded(results / "k", "liploc", "liploc-as-published", {"image->cloud": within("08", "09")})
    table = sections(results, "liploc")[0].tables[0]
    assert cell(table, "LIP-Loc, larger", "here", "08").value == pytest.approx(90.0)
    reason = cell(table, "LIP-Loc, large", "here", "08").reason
    assert reason == "no result of liploc: liploc-as-published trains on 00-07, not on 03-07"


def test_seeds_are_one_row_and_configurations_are_several(results: Path) -> None:
    for seed, value in enumerate((0.8, 0.9)):
        pairs = within("00", "02", "05", "06", "07", "08", recall=value)
        recorded(results / "k", "rangebev", "kitti-synchronous-10m", {"image->cloud": pairs}, seed=seed)
    recorded(
        results / "k", "rangebev", "kitti-synchronous-10m", {"image->cloud": ON_KITTI}, config_key="2", preset="gpu"
    )
    table = sections(results, "rangebev")[0].tables[0]
    found = cell(table, "RangeBEV", "here, paper, 2 seeds", "00")
    assert found.value == pytest.approx(85.0)
    assert found.deviation == pytest.approx(7.0711, abs=1e-4)
    assert cell(table, "RangeBEV", "here, gpu, seed 0", "00").value == pytest.approx(90.0)


def test_results_that_no_paper_prints_stand_nowhere(results: Path) -> None:
    for origin in ("untrained", "foreign"):
        recorded(results / "k", "rangebev", "kitti-synchronous-10m", {"image->cloud": ON_KITTI}, origin=origin)
    recorded(results / "k", "rangebev", "kitti-synchronous-10m", {"image->cloud": ON_KITTI}, variant="no-fusion")
    (table,) = sections(results, "rangebev")[0].tables
    assert "no result of rangebev" in cell(table, "RangeBEV", "here", "00").reason


# --- marked results, and the town ----------------------------------------------------------------

MARKS: dict[str, tuple[dict[str, Any], str]] = {
    "partial": ({"change": lambda protocol: protocol | {"absent": ["07"]}}, "PARTIAL: 1 test traversals are absent"),
    "smoke": ({"change": lambda protocol: protocol | {"smoke": True}}, "SMOKE RUN"),
    "share": ({"share_of_schedule": 0.4}, "40 % of schedule"),
    "scratch": ({"backbone_weights": "none"}, "scratch"),
    "quick": ({"preset": "quick"}, "a smaller network than the paper's"),
    "made up": ({"is_real": False}, "procedural stand-in"),
}


@pytest.mark.parametrize("name", MARKS)
def test_a_marked_result_says_so_and_never_stands_beside_printed_numbers(name: str, results: Path) -> None:
    changes, mark = MARKS[name]
    recorded(results / "k", "rangebev", "kitti-synchronous-10m", {"image->cloud": ON_KITTI}, **changes)
    first = sections(results, "rangebev")[0]
    beside, marked = first.tables
    assert "no result of rangebev" in cell(beside, "RangeBEV", "here", "00").reason
    assert marked.title == MARKED
    ((words, *cells),) = marked.rows
    assert words.under.count(mark) == 1
    assert [one.value for one in cells] == pytest.approx([90.0] * 6)


@pytest.mark.parametrize("name", PAPERS)
def test_the_town_stands_in_a_section_of_its_own(name: str) -> None:
    found = paper_sections(name, collect(REPOSITORY / "results"))
    of_town = [section for section in found if section.title == ON_TOWN]
    for section in found:
        for table in section.tables:
            here = [row for row in table.rows if row[0].under.startswith("here, ")]
            if section in of_town:
                assert "procedural stand-in, never to be compared with printed numbers" in table.title
                assert "published" not in {row[0].under for row in table.rows}
            else:
                assert not here
    assert len(of_town) == (name != "liploc")


def test_lines_of_an_ablation_stand_in_the_tables_of_parts() -> None:
    town = paper_sections("vxp", collect(REPOSITORY / "results"))[-1]
    (table,) = [table for table in town.tables if "What the parts bring" in table.title]
    found = cell(table, "VXP, ResNet-50", "study ablation, quick, 3 seeds, 50 % of schedule", "image→cloud")
    assert found.value == pytest.approx(8.8, abs=0.05)
    assert found.deviation is not None
    assert "robustness" not in str(table.rows), "its lines are perturbations, not variants"


# --- reasons -------------------------------------------------------------------------------------


def commands(*folders: Path) -> Iterator[str]:
    """Every command that a cell of any paper advises, with the results in each folder."""
    for results in folders:
        for name in PAPERS:
            for section in paper_sections(name, collect(results)):
                for table in section.tables:
                    for row in table.rows:
                        yield from (one.reason.split(": ", 1)[1] for one in row if "crossplace" in one.reason)


def test_every_advised_command_is_one_and_names_what_there_is(results: Path) -> None:
    found = {*commands(REPOSITORY / "results", results)}
    assert len(found) > 25
    for command in found:
        program, *arguments = shlex.split(command)
        assert program == "crossplace"
        bench = tyro.cli(Command, args=arguments)
        assert isinstance(bench, Bench)
        entry = method_entry(bench.method.name)
        assert bench.method.preset in entry.presets
        assert not bench.method.variant or bench.method.variant in entry.variants
        assert PROTOCOLS[bench.data.protocol or ""].dataset == bench.data.dataset
        assert (bench.method.preset == "quick") == (bench.data.dataset == "town")


def test_the_result_of_an_advised_command_fills_its_cells(results: Path) -> None:
    reason = cell(sections(results, "rangebev")[0].tables[0], "VXP", "here", "00").reason
    bench = tyro.cli(Command, args=shlex.split(reason.split("crossplace ")[1]))
    assert isinstance(bench, Bench)
    assert bench.data.protocol
    changes = {"preset": bench.method.preset, "variant": bench.method.variant}
    recorded(results / "k", bench.method.name, bench.data.protocol, {"image->cloud": ON_KITTI}, **changes)
    assert cell(sections(results, "rangebev")[0].tables[0], "VXP", "here", "00").value == pytest.approx(90.0)


# --- the check -----------------------------------------------------------------------------------


def test_the_check_counts_own_numbers_quotes_and_holes(results: Path) -> None:
    def counts(name: str) -> list[list[float | None]]:
        table = check_table(name, PublishedCheck.of(results, [name]), results)
        return [[one.value for one in row[1:]] for row in table.rows]

    assert counts("rangebev") == [[42, 0, 0]] * 3
    assert counts("modalink") == [[0, 50, 0], [0, 43, 7], [1, 0, 2]]
    assert counts("vxp")[0] == [0, 0, 12]
    fill(
        results, "vxp", method="VXP", dataset="oxford", direction="image->cloud", recall_at_1="70", recall_at_1pct="80"
    )
    assert counts("vxp")[0] == [2, 0, 10]
    (note,) = check_table("vxp", PublishedCheck.of(results, ["vxp"]), results).notes
    assert note.endswith("line 6.")


def test_a_line_that_stands_in_no_table_is_a_fault(results: Path) -> None:
    path = results / "published" / "vxp.csv"
    right = path.read_text()
    path.write_text(right.replace("campus day1-day2", "campus day1"))
    faults = PublishedCheck.of(results, ["vxp"]).faults
    assert len(faults) == 6
    assert faults[0].startswith(f"{path}, line 8: stands in no table of VXP")
    path.write_text(right)
    assert not PublishedCheck.of(results, ["vxp"]).faults


def test_lines_of_a_table_have_names_of_their_own() -> None:
    for paper in PAPERS.values():
        for table in paper.tables:
            assert len({line.name for line in table.lines}) == len(table.lines)
            assert len({*table.columns}) == len(table.columns)
