"""What papers print, below the row of the same data."""

from decimal import Decimal
from pathlib import Path

import pytest

from benchmark.records.environment import REPOSITORY
from benchmark.records.leaderboard import Board
from benchmark.records.published import PUBLISHED, PublishedRow, published_in
from benchmark.report.printed import printed_by_papers
from benchmark.report.screen import screen


def row(method: str, split: str, value: str, **changes: str) -> PublishedRow:
    words = dict.fromkeys(
        ("method_id", "variant", "protocol_id", "train_split", "source", "table", "page", "open_rule", "note"), ""
    )
    words |= {"direction": "image->cloud", "dataset": "boreas", "source": "A paper", **changes}
    return PublishedRow(method=method, split=split, values={"R@1": Decimal(value)}, file=Path("x.csv"), line=2, **words)


def board(dataset: str = "boreas", protocol: str = "boreas-5m", *, is_real: bool = True) -> Board:
    return Board(dataset=dataset, fingerprint="f", is_real=is_real, protocol={"name": protocol})


ROWS = [
    row("Near", "one", "81.75", note="right within 5 m", open_rule="heading"),
    row("Near", "two", "70.1", note="right within 5 m", open_rule="heading; map"),
    row("Far", "two", "50", note="right within 5 m", table="II"),
    row("Far", "two", "99", direction="cloud->image"),
    row("Far", "two", "98", dataset="kitti"),
]


def test_a_column_a_sequence_with_the_digits_of_the_paper_and_what_is_not_known() -> None:
    assert screen(printed_by_papers(board(), ROWS), 80).splitlines() == [  # type: ignore[arg-type]
        "R@1 image→cloud on boreas, %, as papers print it",
        "paper                    one    two",
        "───────────────────────────────────",
        "Near A paper           81.75  70.10",
        "Far A paper, Table II      –  50.00",
        "No paper is known to use boreas-5m, so differences mean little. Their rule:",
        "right within 5 m.",
        "Not known of their rule: heading; map.",
    ]


def test_rows_under_the_same_rule_come_alone() -> None:
    table = printed_by_papers(board(), [*ROWS, row("Same", "", "12.3", protocol_id="boreas-5m", train_split="all")])
    assert table is not None
    assert [[cell.words or cell.value for cell in line] for line in table.rows] == [["Same", 12.3]]
    assert [column.name for column in table.columns] == ["paper", "all"]
    assert table.notes == ["Their rule is that of boreas-5m.", "All: trained on all, A paper."]


def test_another_protocol_is_named_as_their_rule() -> None:
    table = printed_by_papers(board(), [row("Other", "", "1", protocol_id="boreas-old")])
    assert table is not None
    assert table.notes[0].endswith("so differences mean little. Their rule: that of boreas-old.")


@pytest.mark.parametrize("nothing", [board(is_real=False), board("oxford"), board("vivid")])
def test_generated_data_and_data_without_printed_numbers_have_no_table(nothing: Board) -> None:
    assert printed_by_papers(nothing, ROWS) is None


@pytest.mark.parametrize("width", [80, 100])
@pytest.mark.parametrize(("dataset", "protocol"), [("boreas", "boreas-5m"), ("kitti", "kitti-synchronous-10m")])
def test_the_committed_numbers_fit_a_terminal(dataset: str, protocol: str, width: int) -> None:
    files = published_in(REPOSITORY / "results" / PUBLISHED)
    table = printed_by_papers(board(dataset, protocol), [one for rows in files.values() for one in rows])
    assert table is not None
    lines = screen(table, width).splitlines()
    assert max(map(len, lines)) <= width
    assert any(line.startswith("RangeBEV") for line in lines)
