"""Printed numbers as files: what is refused, by which sentence, and that its advice helps."""

import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from printed import COMMITTED, LINE, change, write_lines

from benchmark.records.published import (
    COLUMNS,
    QUANTITIES,
    PublishedRow,
    examined_in,
    names_in_runs,
    published_in,
    training_words,
)
from benchmark.registry import METHODS
from datasets.errors import CrossplaceError
from datasets.protocols import PROTOCOLS

FAULTS: dict[str, tuple[dict[str, str], str, dict[str, str]]] = {
    "no method": ({"method": ""}, "no method; write the name that the paper prints", {"method": "ModaLink"}),
    "an unknown method": (
        {"method_id": "modalnik"},
        "unknown method 'modalnik'. Did you mean modalink?",
        {"method_id": "modalink"},
    ),
    "an unknown protocol": (
        {"protocol_id": "kitti-synchronous"},
        "unknown protocol 'kitti-synchronous'. Did you mean kitti-synchronous-10m?",
        {"protocol_id": "kitti-synchronous-10m"},
    ),
    "an unknown direction": (
        {"direction": "2D-3D"},
        "unknown direction '2D-3D'. Available: image->image, image->cloud",
        {"direction": "image->cloud"},
    ),
    "another dataset": (
        {"dataset": "oxford"},
        "is for the dataset kitti, not for 'oxford'; change one of the two",
        {"dataset": "kitti"},
    ),
    "no source": ({"source": ""}, "a number without a source; write the paper", {"source": "A paper (arXiv 1)"}),
    "a comma in a number": (
        {"recall_at_1": "90,31"},
        "recall_at_1 is '90,31', which is no number; write it as printed, such as 77.28, or leave the cell empty",
        {"recall_at_1": ""},
    ),
    "a dash": ({"recall_at_1": "n/a"}, "is 'n/a', which is no number", {"recall_at_1": "77.28"}),
    "more than everything": ({"recall_at_1": "903.1"}, "recall ends at 100 %", {"recall_at_1": "90.31"}),
    "a fraction": ({"recall_at_1": "0.9031"}, "looks like a fraction; write 90.31, or", {"recall_at_1": "90.31"}),
    "a fraction that is printed": ({"recall_at_1": "0.4"}, "or 0.4% if that is printed", {"recall_at_1": "0.4%"}),
    "milliseconds in percent": ({"image_ms": "12 %"}, "image_ms is '12 %', which is no number", {"image_ms": "12"}),
    "a formula": (
        {"note": "=1+1"},
        "note begins with '=', which a spreadsheet computes; write the words without it",
        {"note": "1+1"},
    ),
}
"""Changes of a right line, what is said of them, and what the sentence advises."""


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_line_is_named_with_its_cure_which_helps(fault: str, tmp_path: Path) -> None:
    broken, sentence, cure = FAULTS[fault]
    path = write_lines(tmp_path / "a.csv", {}, broken | {"split": "02"})
    with pytest.raises(CrossplaceError, match=re.escape(f"{path}, line 3: ")) as raised:
        published_in(tmp_path)
    assert sentence in str(raised.value)
    write_lines(path, {}, broken | {"split": "02"} | cure)
    assert len(published_in(tmp_path)["a"]) == 2


def as_text(change: Callable[[str], str]) -> Callable[[Path], None]:
    return lambda path: path.write_text(change(path.read_text())) and None


FILES: dict[str, tuple[Callable[[Path], None], str, Callable[[Path], None]]] = {
    "semicolons": (
        as_text(lambda words: words.replace(",", ";")),
        "separate the columns by commas",
        as_text(lambda words: words.replace(";", ",")),
    ),
    "a missing column": (
        as_text(lambda words: words.replace(",page,", ",sheet,", 1)),
        "the columns page are missing; begin the file with the line " + ",".join(COLUMNS),
        as_text(lambda words: "\n".join([",".join(COLUMNS), *words.splitlines()[1:]])),
    ),
    "an additional column": (
        as_text(lambda words: "\n".join([f"{line},x" for line in words.splitlines()])),
        "unknown column 'x'",
        as_text(lambda words: "\n".join([line.removesuffix(",x") for line in words.splitlines()])),
    ),
    "a column twice": (
        as_text(lambda words: "\n".join([f"{line},note" for line in words.splitlines()])),
        "the column note is there twice; take one away",
        as_text(lambda words: "\n".join([line.removesuffix(",note") for line in words.splitlines()])),
    ),
    "a comma in words": (
        as_text(lambda words: words.replace("A paper", "A paper, once")),
        "cells where the header has 21; put words that hold a comma between quotation marks",
        as_text(lambda words: words.replace("A paper, once (arXiv 2502.11742)", '"A paper, once"')),
    ),
    "a short line": (
        as_text(lambda words: words.rstrip()[:-2]),
        "add commas",
        as_text(lambda words: f"{words},,"),
    ),
    "an open quotation mark": (
        as_text(lambda words: words.replace("A paper", '"A paper')),
        "add commas, and close every quotation mark",
        as_text(lambda words: words.replace('"A paper', "A paper")),
    ),
    "another encoding": (
        lambda path: path.write_bytes(path.read_text().replace("A paper", "Ein Gerät").encode("latin-1")) and None,
        "save it as UTF-8",
        lambda path: path.write_text(path.read_bytes().decode("latin-1")) and None,
    ),
}
"""Changes of a right file, what is said of them, and what the sentence advises."""


@pytest.mark.parametrize("fault", FILES)
def test_a_wrong_file_is_named_with_its_cure_which_helps(fault: str, tmp_path: Path) -> None:
    damage, sentence, cure = FILES[fault]
    path = write_lines(tmp_path / "a.csv", {})
    right = published_in(tmp_path)["a"]
    damage(path)
    with pytest.raises(CrossplaceError, match=re.escape(str(path))) as raised:
        published_in(tmp_path)
    assert sentence in str(raised.value)
    cure(path)
    assert [row.values for row in published_in(tmp_path)["a"]] == [row.values for row in right]


def test_what_a_spreadsheet_saves_is_read(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.csv", {}, {"split": "02", "recall_at_1": "70.18 %"})
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    one, other = published_in(tmp_path)["a"]
    assert one.values == {"R@1": Decimal("90.31")}
    assert other.values == {"R@1": Decimal("70.18")}
    assert (one.where, one.origin) == (f"{path}, line 2", "A paper (arXiv 2502.11742), Table I")


def test_every_fault_is_found_at_once(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.csv", {"method_id": "x", "recall_at_1": "y"}, {"source": ""}, {})
    rows, faults = examined_in(tmp_path)
    assert [row.line for row in rows["a"]] == [4]
    assert [fault.split(": ")[0] for fault in faults] == [f"{path}, line {number}" for number in (2, 2, 3)]
    with pytest.raises(CrossplaceError, match=r"2 further faults: crossplace tables --check"):
        published_in(tmp_path)


# --- contradictions ------------------------------------------------------------------------------


@pytest.mark.parametrize("files", [("a", "a"), ("a", "b")], ids=["in one file", "between two papers"])
@pytest.mark.parametrize("column", ["train_split", "protocol_id", "open_rule"])
def test_one_cell_with_two_numbers_is_refused_until_the_lines_say_how_they_differ(
    files: tuple[str, str], column: str, tmp_path: Path
) -> None:
    other = {"method": "modalink", "recall_at_1": "90.1", "source": "Another paper (arXiv 2)"}

    def write(**changes: str) -> None:
        lines: dict[str, list[dict[str, str]]] = {}
        for name, line in zip(files, ({}, other | changes), strict=True):
            lines.setdefault(name, []).append(line)
        for name, wanted in lines.items():
            write_lines(tmp_path / f"{name}.csv", *wanted)

    write()
    with pytest.raises(CrossplaceError) as raised:
        published_in(tmp_path)
    said = str(raised.value)
    second = f"{tmp_path / files[1]}.csv, line {3 if files[0] == files[1] else 2}"
    assert said.startswith(
        f"{tmp_path / files[0]}.csv, line 2 and {second} contradict each other: R@1 of ModaLink on 00"
    )
    assert "is 90.31 and 90.1" in said
    assert column in said
    write(**{column: "kitti-00head-10m" if column == "protocol_id" else "something else"})
    assert sum(map(len, published_in(tmp_path).values())) == 2
    write(recall_at_1="90.31")
    assert sum(map(len, published_in(tmp_path).values())) == 2, "the other advice: correct one"


@pytest.mark.parametrize(("number", "agrees"), [("90.3", True), ("90", True), ("90.310", True), ("90.32", False)])
def test_a_rounded_number_contradicts_nothing(number: str, agrees: bool, tmp_path: Path) -> None:
    write_lines(tmp_path / "a.csv", {}, {"recall_at_1": number})
    assert bool(examined_in(tmp_path)[1]) != agrees


def test_without_a_protocol_only_numbers_of_one_table_are_of_one_thing(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.csv", {"protocol_id": ""}, {"protocol_id": "", "recall_at_1": "1.5", "table": "II"})
    assert not examined_in(tmp_path)[1]
    write_lines(tmp_path / "a.csv", {"protocol_id": ""}, {"protocol_id": "", "recall_at_1": "1.5"})
    assert len(examined_in(tmp_path)[1]) == 1


# --- the committed files -------------------------------------------------------------------------

ROWS = [row for rows in published_in(COMMITTED).values() for row in rows]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.file.stem}:{row.line}")
def test_a_committed_line_can_be_traced(row: PublishedRow) -> None:
    assert re.search(r"\(arXiv \d{4}\.\d{5}\)", row.source)
    assert not row.method_id or row.method_id in METHODS.names()
    assert not row.protocol_id or row.protocol_id in PROTOCOLS
    if row.values and row.direction:
        assert row.table, "a number of recall names its table"


def test_the_shared_facts_are_all_there() -> None:
    """Numbers that were read once and must not be lost: their count by paper, and some of them."""
    counts = {path.stem: sum(len(row.values) for row in ROWS if row.file == path) for path in COMMITTED.glob("*.csv")}
    assert counts == {"dxpr": 129, "rangebev": 126, "modalink": 1, "vxp": 0, "lc2": 0, "liploc": 0}
    of = {(row.file.stem, row.method, row.split, row.protocol_id): row.values for row in ROWS}
    assert of["rangebev", "ModaLink", "00", "kitti-synchronous-10m"]["R@1"] == Decimal("90.31")
    assert of["dxpr", "ModaLink", "00", "kitti-00head-10m"]["R@1"] == Decimal("95.8")
    assert of["rangebev", "VXP", "00", "kitti-synchronous-10m"]["R@1%"] == Decimal("80.00")


def test_a_number_typed_into_a_copy_is_read(tmp_path: Path) -> None:
    path = tmp_path / "vxp.csv"
    path.write_bytes((COMMITTED / "vxp.csv").read_bytes())
    change(path, 2, recall_at_1="12.34", table="1", page="5")
    assert published_in(tmp_path)["vxp"][0].values == {"R@1": Decimal("12.34")}


# --- words for training sets ---------------------------------------------------------------------


def test_training_sets_have_the_words_of_the_files() -> None:
    said = {name: training_words(protocol.split.train) for name, protocol in PROTOCOLS.items()}
    assert said["kitti-synchronous-10m"] == "11-21"
    assert said["kitti-00head-10m"] == "00 frames 0-2999"
    for row in ROWS:
        if row.protocol_id and (row.values or row.file.stem == "vxp"):
            assert row.train_split == said[row.protocol_id], row.where


def test_names_that_follow_each_other_are_written_as_their_ends() -> None:
    assert names_in_runs(["1", "2", "3", "5", "a", "09", "10"]) == ["1-3", "5", "a", "09-10"]
    assert names_in_runs([]) == []


def test_the_example_has_every_column() -> None:
    assert set(LINE) < set(COLUMNS)
    assert set(QUANTITIES) < set(COLUMNS)
