"""Every kind of table from a collection with all that goes wrong: holes, ties, scratch, partial, bad names."""

import csv
import io
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from statistics import fmean, stdev

import pytest
from synthetic import DATASETS, HOLE, LONG, METHODS, SCRIPT, SEEDS

from benchmark.records.collection import Collection, Group, collect
from benchmark.records.schema import RESULT, Result
from benchmark.report.documents import DOCUMENTS, TABLES, TIDY, write_tables
from benchmark.report.formats import FORMATS
from benchmark.report.screen import screen
from benchmark.report.table import Section, Table


@pytest.fixture(scope="module")
def collection(synthetic: Path) -> Collection:
    return collect(synthetic)


@pytest.fixture(scope="module")
def documents(collection: Collection) -> dict[str, list[Section]]:
    """The sections of every kind."""
    return {name: kind.sections(collection) for name, kind in TABLES.items()}


def tables_in(documents: dict[str, list[Section]]) -> list[Table]:
    return [table for sections in documents.values() for section in sections for table in section.tables]


def test_every_result_is_read_and_each_dataset_has_its_board(collection: Collection) -> None:
    boards = {group.board.dataset: group for group in collection.groups}
    assert boards.keys() == set(DATASETS)
    for dataset, group in boards.items():
        n_methods = len(METHODS) - (dataset == HOLE[1])
        assert len(group.runs) == n_methods * len(SEEDS) + 2


def test_every_method_stands_in_every_board_but_for_the_hole(
    documents: dict[str, list[Section]], synthetic: Path
) -> None:
    for kind in ("recall", "seeds", "pairs", "conditions"):
        sections = documents[kind]
        assert len(sections) == len(DATASETS)
        for section in sections:
            said = str(section.tables)
            for method in METHODS:
                is_hole = (method, section.title.split(" · ")[0]) == HOLE
                assert (repr(method)[1:-1] in said) != is_hole, (kind, section.title, method)


def test_marks_stand_where_they_belong(documents: dict[str, list[Section]]) -> None:
    titles = {section.title.split(" · ")[0]: section for section in documents["recall"]}
    assert "PARTIAL: 2 test traversals" in titles["third-partial"].title
    assert "two test traversals are absent" in titles["third-partial"].notes
    assert "SMOKE RUN" in titles["fourth-smoke"].title
    assert "stand-in" in titles["first"].title
    assert "stand-in" not in titles["fifth-real"].title
    (weak,) = [row[0] for row in titles["first"].tables[0].rows if row[0].words == "weak"]
    assert "scratch" in weak.under
    assert "33 % of schedule" in weak.under
    assert "files of the suite were changed" in weak.under


def test_methods_that_tie_have_equal_numbers(documents: dict[str, list[Section]]) -> None:
    for section in documents["recall"]:
        rows = {row[0].words: row[1:] for row in section.tables[0].rows}
        assert [cell.value for cell in rows["twin"]] == [cell.value for cell in rows["other-twin"]]


def test_two_machines_are_two_tables_of_cost(documents: dict[str, list[Section]]) -> None:
    section = documents["cost"][0]
    assert [table.title for table in section.tables] == ["Cost on Test CPU, 2 threads", "Cost on Other GPU, 2 threads"]
    named = [{row[0].words for row in table.rows} for table in section.tables]
    assert named[1] == {METHODS[3]}
    assert named[0] == set(METHODS) - {METHODS[2], METHODS[3]}, "one was not measured"


def test_seeds_of_two_machines_stand_in_both_tables_of_cost(synthetic: Path, tmp_path: Path) -> None:
    for number, device in enumerate(("Test CPU", "Third CPU")):
        folder = tmp_path / str(number)
        shutil.copytree(synthetic / f"m0-s{number}-first", folder)
        result = Result.read(folder)
        environment = {**result.environment, "device": device}
        (folder / RESULT).write_bytes(result.model_copy(update={"environment": environment}).content())
    collection = collect(tmp_path)
    (section,) = TABLES["cost"].sections(collection)
    assert [table.title for table in section.tables] == ["Cost on Test CPU, 2 threads", "Cost on Third CPU, 2 threads"]
    own = [run.result.cost.numbers["image"].value for run in collection.groups[0].runs if run.result.cost]
    assert [table.rows[0][1].value for table in section.tables] == own


def test_protocols_of_a_dataset_stand_side_by_side(synthetic: Path, tmp_path: Path) -> None:
    """The first method under two protocols, the second under one, whose rows have a hole."""
    for path in synthetic.glob("*-first"):
        if path.name.startswith(("m0-", "m1-", "random-")):
            shutil.copytree(path, tmp_path / path.name)
    for path in [*tmp_path.glob("m0-*"), *tmp_path.glob("random-*")]:
        result = Result.read(path)
        other = result.model_copy(update={"protocol": {**result.protocol, "name": "town-any"}})
        shutil.copytree(path, tmp_path / f"any-{path.name}")
        (tmp_path / f"any-{path.name}" / RESULT).write_bytes(other.content())
    collection = collect(tmp_path)
    (section,) = TABLES["protocols"].sections(collection)
    assert section.title.startswith("first · procedural stand-in")
    assert [table.title for table in section.tables] == ["R@1, image→cloud, %", "R@1, cloud→image, %"]
    for table, direction in zip(section.tables, ("image->cloud", "cloud->image"), strict=True):
        assert [column.name for column in table.columns] == ["method", "town-any", "small"]
        one, other, chance = (dict(zip(("name", "any", "small"), row, strict=True)) for row in table.rows)
        assert [row["name"].words for row in (one, other, chance)] == [*METHODS[:2], "by chance"]
        runs = [run.result for run in collection.groups[0].runs if run.result.method.name == METHODS[0]]
        expected = [100 * (run.headline(direction).recall_at[0] or 0.0) for run in runs]
        assert len(expected) == len(SEEDS)
        assert one["any"] == one["small"]
        assert one["any"].value == pytest.approx(fmean(expected))
        assert one["any"].deviation == pytest.approx(stdev(expected))
        assert (other["any"].value, other["any"].reason) == (None, "not run under this protocol")
        assert other["small"].value is not None
        assert chance["any"] == chance["small"]


def test_a_second_run_writes_the_same_bytes(collection: Collection, synthetic: Path, tmp_path: Path) -> None:
    first = {path.name: path.read_bytes() for path in write_tables(collection, tmp_path / "a")}
    second = {path.name: path.read_bytes() for path in write_tables(collect(synthetic), tmp_path / "b")}
    assert first == second
    assert {name.rpartition(".")[2] for name in first} == set(DOCUMENTS)
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b"}, "nothing is written elsewhere"
    assert len(list((tmp_path / "a").iterdir())) == len(TABLES) * len(DOCUMENTS)


# --- names that would do something ---------------------------------------------------------------


class Elements(HTMLParser):
    """Names of all elements and attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {tag, *(f"@{name}" for name, _ in attrs)}


def test_names_are_inert_in_a_page(documents: dict[str, list[Section]]) -> None:
    for table in tables_in(documents):
        reader = Elements()
        reader.feed(FORMATS["html"](table))
        assert reader.found <= {
            "figure", "figcaption", "div", "table", "thead", "tbody", "tr", "th", "td", "small", "strong", "u", "ul",
            "li", "@class", "@scope", "@data-value", "@data-better",
        }  # fmt: skip


def test_names_are_inert_in_markdown(documents: dict[str, list[Section]]) -> None:
    for name, kind in TABLES.items():
        written = DOCUMENTS["md"](kind, documents[name])
        assert SCRIPT not in written
        assert not re.search(r"(?<!\\)\]\(javascript", written)
        rows = [line for line in written.splitlines() if line.startswith("|")]
        assert all(line.endswith("|") for line in rows)


def test_formulae_are_inert_in_csv(documents: dict[str, list[Section]]) -> None:
    for name, kind in TABLES.items():
        for values in csv.reader(io.StringIO(DOCUMENTS["csv"](kind, documents[name]))):
            for value in values:
                assert not value.startswith(("=", "@", "+")), value
                assert not value.startswith("-") or float(value) <= 0
    tidy = list(csv.DictReader(io.StringIO(DOCUMENTS["csv"](TABLES["recall"], documents["recall"]))))
    assert tuple(tidy[0]) == TIDY
    assert any(row["row"].startswith("'=1+1") for row in tidy)


def test_commands_are_inert_in_latex(documents: dict[str, list[Section]]) -> None:
    for name, kind in TABLES.items():
        written = DOCUMENTS["tex"](kind, documents[name])
        assert "\\input{" not in written
        assert "\\textbackslash{}input" in written or "x\\_1" not in written
        assert all(ord(letter) < 0x180 for letter in written)


@pytest.mark.parametrize("width", [80, 100])
def test_escapes_are_inert_and_nothing_is_cut_on_a_screen(documents: dict[str, list[Section]], width: int) -> None:
    for table in tables_in(documents):
        shown = screen(table, width)
        assert "\x1b" not in shown
        assert "…" not in shown
        if not any(cell.words == LONG for row in table.rows for cell in row):
            assert max(map(len, shown.splitlines())) <= width


def test_a_board_without_any_method_has_its_bounds_and_no_rows(synthetic: Path) -> None:
    rankers = [run for run in collect(synthetic).groups[0].runs if run.result.method.origin == "ranker"]
    alone = Collection(groups=[Group(runs=rankers)])
    for name, kind in TABLES.items():
        for section in kind.sections(alone):
            assert all(not table.rows for table in section.tables), name
