"""Printed numbers: what a file of them may hold, and that each sentence about a fault says how to mend it."""

import csv
import io
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from benchmark.records.collection import collect
from benchmark.records.published import (
    COLUMNS,
    DIRECTIONS,
    PUBLISHED,
    PublishedRow,
    contradictions,
    examined,
    published_in,
    read_published,
    training_words,
)
from benchmark.registry import DATASETS, METHODS
from datasets.base import Region, Selection
from datasets.errors import CrossplaceError
from datasets.protocols import PROTOCOLS

FOLDER = Path(__file__).parents[3] / "results" / PUBLISHED
ROWS = [row for rows in published_in(FOLDER).values() for row in rows]
GOOD = {
    "method": "ModaLink",
    "method_id": "modalink",
    "dataset": "kitti",
    "split": "00",
    "protocol_id": "kitti-synchronous-10m",
    "train_split": "11-21",
    "direction": "image->cloud",
    "recall_at_1": "90.31",
    "source": "RangeBEV (arXiv 2502.11742)",
    "table": "I",
}


def write(path: Path, *rows: dict[str, str], columns: tuple[str, ...] = COLUMNS) -> Path:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(buffer.getvalue())
    return path


def fault(path: Path) -> str:
    with pytest.raises(CrossplaceError) as caught:
        read_published(path)
    return str(caught.value)


# --- the committed files -------------------------------------------------------------------------


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.file.stem}-{row.line}")
def test_a_committed_row_names_what_there_is_and_has_a_source(row: PublishedRow) -> None:
    assert not row.method_id or row.method_id in METHODS.names()
    assert not row.protocol_id or PROTOCOLS[row.protocol_id].dataset == row.dataset
    assert row.dataset in [*DATASETS.names(), "boreas", ""]
    assert re.search(r"arXiv \d{4}\.\d{5}", row.source)
    assert row.table or not row.values or "README" in row.source
    assert row.direction or set(row.values) <= {"image", "cloud", "frames/s", "parameters"}


def test_the_committed_files_do_not_contradict_each_other() -> None:
    assert not contradictions(ROWS)


def test_each_committed_training_set_is_that_of_its_protocol_but_for_what_the_paper_varies() -> None:
    others = {
        (row.method, row.train_split)
        for row in ROWS
        if row.protocol_id and row.train_split != training_words(PROTOCOLS[row.protocol_id].split.train)
    }
    assert others == {
        ("LIP-Loc, large", "03-07"),
        ("LIP-Loc, largest", "00-07, 11-13, 15-21"),
        ("LIP-Loc, triplet loss", ""),
        ("LIP-Loc, ViT-S/16", ""),
    }


def test_numbers_that_were_read_are_as_they_were_read() -> None:
    """Spot checks against the tables of the papers, each column once."""
    read = {(row.file.stem, row.table, row.method, row.split): row.values for row in ROWS}
    assert read["rangebev", "I", "VXP", "06"] == {
        "R@1": Decimal("29.97"), "R@5": Decimal("41.96"), "R@1%": Decimal("52.50"),
    }  # fmt: skip
    assert read["dxpr", "III", "ModaLink", "00"] == {"R@1": Decimal("95.8"), "R@1%": Decimal("99.4")}
    assert read["dxpr", "III", "PSM-Points", "06"] == {"R@1": Decimal("32.1")}
    assert read["dxpr", "IV", "RangeBEV", "inter-sequence"] == {
        "R@1": Decimal("52.55"), "R@5": Decimal("62.53"), "R@10": Decimal("65.67"),
    }  # fmt: skip


def test_the_template_of_vxp_holds_no_number() -> None:
    rows = read_published(FOLDER / "vxp.csv")
    assert len(rows) == 55
    assert not any(row.values for row in rows)


# --- faults --------------------------------------------------------------------------------------

FAULTS: dict[str, tuple[dict[str, str], str, dict[str, str]]] = {
    "unknown method": ({"method_id": "modalinc"}, "Did you mean modalink", {"method_id": "modalink"}),
    "unknown protocol": (
        {"protocol_id": "kitti-synchronous"},
        "Did you mean kitti-synchronous-10m",
        {"protocol_id": "kitti-synchronous-10m"},
    ),
    "protocol of other data": ({"dataset": "oxford"}, "is for the dataset kitti", {"dataset": "kitti"}),
    "unknown direction": ({"direction": "2D-3D"}, "image->cloud", {"direction": "image->cloud"}),
    "no method": ({"method": ""}, "write the name that the paper prints", {"method": "ModaLink"}),
    "more than everything": ({"recall_at_1": "903.1"}, "ends at 100 %", {"recall_at_1": "90.31"}),
    "a fraction": ({"recall_at_1": "0.77"}, "write 77, or 0.77% if that is printed", {"recall_at_1": "77"}),
    "a small percentage": ({"recall_at_1": "0.77"}, "or 0.77% if", {"recall_at_1": "0.77%"}),
    "a negative number": ({"recall_at_1": "-3"}, "a spreadsheet computes", {"recall_at_1": "3"}),
    "words": ({"recall_at_1": "n/a"}, "or leave the cell empty", {"recall_at_1": ""}),
    "a decimal comma": ({"recall_at_1": "90,31"}, "such as 77.28", {"recall_at_1": "90.31"}),
    "not a number": ({"recall_at_1": "nan"}, "which is no number", {"recall_at_1": ""}),
    "a percentage of time": ({"image_ms": "12%"}, "which is no number", {"image_ms": "12"}),
    "no source": ({"source": ""}, "the paper and its arXiv id", {"source": "RangeBEV (arXiv 2502.11742)"}),
    "a formula": ({"note": "=1+1"}, "write the words without it", {"note": "1+1"}),
    "a hidden formula": ({"table": " @SUM(A1)"}, "a spreadsheet computes", {"table": "I"}),
}  # fmt: skip
"""What is wrong in a line, a part of the sentence about it, and what that sentence says to write instead."""


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_names_its_line_and_its_cure_works(name: str, tmp_path: Path) -> None:
    wrong, said, cure = FAULTS[name]
    path = write(tmp_path / "paper.csv", GOOD, GOOD | {"split": "02"} | wrong)
    sentence = fault(path)
    assert sentence.startswith(f"{path}, line 3: ")
    assert said in sentence
    assert len(read_published(write(path, GOOD, GOOD | {"split": "02"} | wrong | cure))) == 2


def test_a_number_that_is_printed_as_less_than_one_percent_is_one(tmp_path: Path) -> None:
    (row,) = read_published(write(tmp_path / "paper.csv", GOOD | {"recall_at_1": "0.77%"}))
    assert row.values["R@1"] == Decimal("0.77")


HEADERS: dict[str, tuple[Callable[[str], str], str]] = {
    "missing column": (lambda text: text.replace("page,", ""), "missing columns: page;"),
    "unknown column": (lambda text: text.replace("note", "note,notes"), "Did you mean note"),
    "column twice": (lambda text: text.replace("note", "note,note"), "is there twice"),
    "semicolons": (lambda text: text.replace(",", ";"), "separate the columns by commas"),
    "nothing": (lambda _: "", "begin the file with the line method,"),
}  # fmt: skip


@pytest.mark.parametrize("name", HEADERS)
def test_a_fault_of_the_header_says_what_the_header_is(name: str, tmp_path: Path) -> None:
    change, said = HEADERS[name]
    path = write(tmp_path / "paper.csv")
    right = path.read_text()
    path.write_text(change(right))
    sentence = fault(path)
    assert sentence.startswith(f"{path}, line 1: ")
    assert said in sentence
    path.write_text(right)
    assert read_published(path) == ()


def test_a_line_with_a_cell_too_many_asks_for_quotation_marks(tmp_path: Path) -> None:
    path = write(tmp_path / "paper.csv", GOOD)
    right = path.read_text()
    path.write_text(right.replace("ModaLink,", "ModaLink, fast,"))
    assert "quotation marks" in fault(path)
    path.write_text(right.replace("ModaLink,", '"ModaLink, fast",'))
    assert read_published(path)[0].method == "ModaLink, fast"
    path.write_text(right.rsplit(",", 1)[0] + "\n")
    assert "add commas" in fault(path)


def test_what_no_csv_can_be_is_said(tmp_path: Path) -> None:
    path = write(tmp_path / "paper.csv", GOOD)
    path.write_bytes(path.read_bytes() + b"\xff")
    assert "save it as UTF-8" in fault(path)


def test_all_faults_are_found_at_once_and_the_sentence_says_how_many_more(tmp_path: Path) -> None:
    path = write(
        tmp_path / "paper.csv", GOOD | {"method_id": "x", "recall_at_1": "200"}, GOOD | {"split": "02", "source": ""}
    )
    _, faults = examined(path)
    assert len(faults) == 3
    assert "2 further faults: crossplace tables --check" in fault(path)


def test_a_file_of_a_spreadsheet_with_a_mark_and_empty_lines_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "paper.csv", GOOD)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n") + b"," * (len(COLUMNS) - 1) + b"\r\n")
    assert len(read_published(path)) == 1


# --- contradictions ------------------------------------------------------------------------------


def test_one_cell_with_two_numbers_is_refused_and_either_cure_works(tmp_path: Path) -> None:
    path = write(tmp_path / "paper.csv", GOOD, GOOD | {"recall_at_1": "95.8"})
    sentence = fault(path)
    assert (
        f"{path}, line 2 and {path}, line 3 contradict each other: R@1 of ModaLink on 00 is 90.31 and 95.8" in sentence
    )
    assert len(read_published(write(path, GOOD, GOOD))) == 2
    assert (
        len(read_published(write(path, GOOD, GOOD | {"recall_at_1": "95.8", "train_split": "00 frames 0-2999"}))) == 2
    )


def test_rounding_is_no_contradiction(tmp_path: Path) -> None:
    assert len(read_published(write(tmp_path / "paper.csv", GOOD, GOOD | {"recall_at_1": "90.3"}))) == 2
    assert "contradict" in fault(write(tmp_path / "paper.csv", GOOD, GOOD | {"recall_at_1": "90.4"}))


def test_two_papers_that_quote_one_cell_differently_contradict(tmp_path: Path) -> None:
    one = read_published(write(tmp_path / "one.csv", GOOD | {"method": "(LC)^2"}))
    other = read_published(write(tmp_path / "other.csv", GOOD | {"method": "(LC)²", "recall_at_1": "91.31"}))
    (sentence,) = contradictions([*one, *other])
    assert "one.csv, line 2" in sentence
    assert "other.csv, line 2" in sentence
    unlike = read_published(
        write(tmp_path / "other.csv", GOOD | {"method": "(LC)^2", "split": "02", "recall_at_1": "91"})
    )
    assert not contradictions([*one, *unlike])


def test_without_a_protocol_only_one_table_can_contradict_itself(tmp_path: Path) -> None:
    open_rule = GOOD | {"protocol_id": ""}
    one = read_published(write(tmp_path / "one.csv", open_rule))
    other = read_published(write(tmp_path / "other.csv", open_rule | {"recall_at_1": "91.31"}))
    assert not contradictions([*one, *other])
    assert "contradict" in fault(write(tmp_path / "one.csv", open_rule, open_rule | {"recall_at_1": "91.31"}))


def test_a_faulty_file_stops_the_collection_that_tables_are_made_from(tmp_path: Path) -> None:
    (tmp_path / PUBLISHED).mkdir()
    write(tmp_path / PUBLISHED / "paper.csv", GOOD | {"recall_at_1": "0.9"})
    with pytest.raises(CrossplaceError, match="write 90"):
        collect(tmp_path)
    write(tmp_path / PUBLISHED / "paper.csv", GOOD | {"recall_at_1": "90"})
    assert collect(tmp_path).published["paper"][0].values == {"R@1": Decimal("90")}


# --- words ---------------------------------------------------------------------------------------


def test_what_was_trained_on_is_said_in_few_words() -> None:
    square = Region(east_m=0.0, north_m=0.0, half_side_m=1.0)
    assert training_words(Selection(traversals=("00", "01", "03", "21", "night"))) == "00-01, 03, 21, night"
    assert training_words(Selection(outside=(square,), also=(Selection(regions=(square,) * 2),))) == (
        "all outside 1 squares, all in 2 squares"
    )
    assert training_words(Selection(traversals=("00",), rows=(3000, None))) == "00 frames 3000-"
    assert training_words(Selection(traversals=())) == "nothing"


def test_directions_are_those_of_results() -> None:
    assert DIRECTIONS == ("image->image", "image->cloud", "cloud->image", "cloud->cloud")
