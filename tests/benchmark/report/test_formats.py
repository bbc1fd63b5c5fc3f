"""How tables look: nothing is cut at any width, and every format holds every number."""

import csv
import io
import os
import sys
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from terminal import shown as shown_on_terminal

from benchmark.report.formats import FORMATS, comma_separated, markdown
from benchmark.report.screen import paragraphs, screen
from benchmark.report.table import NONE, Cell, Column, Table, number, parts, text

COLUMNS = [Column(name="method"), Column(name="first", unit="%"), Column(name="second", digits=3)]
TABLE = Table(
    title="A title",
    columns=COLUMNS,
    rows=[
        [text("one", "quick, seed 1"), Cell(value=12.345, low=1.0, high=99.95), number(None)],
        [text("another_method"), Cell(value=1234.5, deviation=2.04, mark="best", letters="a"), number(0.12345)],
    ],
    notes=["A note."],
)


def test_a_cell_is_written_by_its_column() -> None:
    column = Column(name="x", digits=2, is_signed=True)
    assert parts(number(1.005), column) == ("+1.00", "")
    assert parts(number(-2345.6), column) == ("-2,346", "")
    assert parts(Cell(value=1, low=-2, high=3), column) == ("+1.00", "[-2.00, +3.00]")
    assert parts(Cell(value=1, low=0, high=3, deviation=0.5), Column(name="x")) == ("1.0", "± 0.5 [0.0, 3.0]")
    assert parts(Cell(value=1, letters="ab"), Column(name="x")) == ("1.0", "ab")
    assert parts(text("a\x1b[31m\nb", "\u202e"), column) == ("a [31m b", " ")
    assert parts(number(None), column) == (NONE, "")
    assert parts(text("words", "below"), column) == ("words", "below")


def test_a_wide_screen_has_a_line_a_row() -> None:
    assert _rows(screen(TABLE, 100)) == [
        ["one quick, seed 1", "12.3 [1.0, 100.0]", "–"],
        ["another_method", "1,234 ± 2.0 a", "0.123"],
    ]
    assert screen(TABLE, 100).splitlines()[0] == "A title"
    assert screen(TABLE, 100).splitlines()[-1] == "A note."


def _rows(shown: str) -> list[list[str]]:
    """Cells of the lines between the rule and the note, apart where two blanks or more stand."""
    lines = [line for line in shown.splitlines() if line and not line.startswith(("A ", "method", "─"))]
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]


def test_a_narrow_screen_has_the_interval_below() -> None:
    lines = screen(TABLE, 40).splitlines()
    assert max(map(len, lines)) <= 40
    assert any(line.split() == ["one", "12.3", "–"] for line in lines)
    assert any(line.split() == ["quick,", "seed", "1", "[1.0,", "100.0]"] for line in lines)


def test_what_fits_no_line_is_divided_into_tables_that_begin_with_the_names() -> None:
    wide = Table(
        columns=[Column(name="method"), *(Column(name=f"column-{i}") for i in range(6))],
        rows=[[text(name), *(Cell(value=i + 10.5, low=0, high=99) for i in range(6))] for name in ("one", "other")],
    )
    shown = screen(wide, 40)
    assert max(map(len, shown.splitlines())) <= 40
    assert [line.split()[0] for line in shown.splitlines() if line.startswith("method")] == ["method"] * 3
    for i, name in product(range(6), ("one", "other")):
        assert f"column-{i}" in shown
        assert f"{i + 10.5:.1f}" in shown
        assert shown.count(name) == 3


words = st.text(alphabet="abcdefgh_", min_size=1, max_size=18)
numbers = st.floats(-99_999, 99_999, allow_nan=False)
cells = st.one_of(
    st.builds(lambda value: Cell(value=value), numbers),
    st.builds(lambda value, low, high: Cell(value=value, low=low, high=high), numbers, numbers, numbers),
    st.just(Cell()),
)


@given(
    st.integers(40, 200),
    st.lists(words, min_size=1, max_size=6),
    st.lists(st.tuples(words, st.lists(cells, min_size=6, max_size=6)), min_size=1, max_size=4),
)
def test_no_number_and_no_name_is_cut_at_any_width(
    width: int, names: list[str], rows: list[tuple[str, list[Cell]]]
) -> None:
    columns = [Column(name="method"), *(Column(name=name) for name in names)]
    table = Table(columns=columns, rows=[[text(name), *values[: len(names)]] for name, values in rows])
    shown = screen(table, width)
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= width
    for row in table.rows:
        for cell, column in zip(row, columns, strict=True):
            for part in parts(cell, column):
                assert part in shown, f"{part!r} is cut"


def test_markdown_is_a_table_of_github() -> None:
    assert markdown(TABLE).splitlines() == [
        "**A title**",
        "",
        "| method            |           first % |   second |",
        "|-------------------|-------------------|----------|",
        "| one quick, seed 1 | 12.3 [1.0, 100.0] |        – |",
        "| another_method    | **1,234** ± 2.0 a |    0.123 |",
        "",
        "- A note.",
    ]


def test_a_bar_in_a_cell_ends_no_cell() -> None:
    table = Table(columns=[Column(name="a"), Column(name="b")], rows=[[text("x|y"), text("z")]])
    assert markdown(table).splitlines()[-1].count("|") == 3


def test_csv_holds_numbers_in_full_and_ends_in_columns_of_their_own() -> None:
    rows = list(csv.DictReader(io.StringIO(comma_separated(TABLE))))
    assert rows[0] == {
        "method": "one quick, seed 1",
        "first %": "12.345",
        "first % low": "1.0",
        "first % high": "99.95",
        "first % deviation": "",
        "first % letters": "",
        "second": "",
    }
    assert rows[1]["second"] == "0.12345"


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_takes_every_table(name: str) -> None:
    for table in (TABLE, Table(columns=COLUMNS, rows=[]), Table(title="t", columns=COLUMNS[:1], rows=[[text("x")]])):
        assert FORMATS[name](table)


def test_paragraphs_are_wrapped_between_words() -> None:
    shown = paragraphs(["one two three four", "", "five"], 9)
    assert shown == "one two\nthree\nfour\n\nfive\n"


def test_a_reason_stands_below_once_and_is_pointed_at() -> None:
    gone = Cell(reason="it failed")
    table = Table(columns=COLUMNS, rows=[[text("a"), gone, gone], [text("b"), number(1), number(None, reason="other")]])
    assert markdown(table).splitlines() == [
        "| method   |   first % |   second |",
        "|----------|-----------|----------|",
        "| a        |     – (1) |    – (1) |",
        "| b        |       1.0 |    – (2) |",
        "",
        "- (1) it failed",
        "- (2) other",
    ]
    assert "(2) other" in screen(table, 80)
    assert "(2) other" in FORMATS["html"](table)


def test_latex_is_a_table_of_booktabs() -> None:
    assert FORMATS["tex"](TABLE).splitlines() == [
        r"\begin{table}[t]",
        r"\centering\small",
        r"\caption{A title}",
        r"\begin{tabular}{lrr}",
        r"\toprule",
        r"method & first \% & second \\",
        r"\midrule",
        r"one {\scriptsize quick, seed 1} & 12.3 {\scriptsize [1.0, 100.0]} & -- \\",
        r"another\_method & \textbf{1,234} {\scriptsize $\pm$ 2.0 a} & 0.123 \\",
        r"\bottomrule",
        r"\end{tabular}",
        r"\par\smallskip\parbox{\linewidth}{\footnotesize A note.}",
        r"\end{table}",
    ]


def test_html_holds_values_for_sorting_and_marks_as_elements() -> None:
    shown = FORMATS["html"](TABLE)
    assert '<td class="number" data-value="12.345">12.3 <small>[1.0, 100.0]</small></td>' in shown
    assert '<td class="number" data-value="1234.5"><strong>1,234</strong> <small>± 2.0 a</small></td>' in shown
    assert '<th scope="row" class="words">another_method</th>' in shown
    assert "<figcaption>A title</figcaption>" in shown
    assert '<td class="number">–</td>' in shown, "nothing to sort by"


def test_a_terminal_shows_marks_as_styles_and_a_file_does_not(tmp_path: Path) -> None:
    folder = str(Path(__file__).parent)
    code = (
        f"import sys; sys.path.insert(0, {folder!r}); from test_formats import TABLE; "
        "from benchmark.report.screen import screen; print(screen(TABLE))"
    )
    seen = shown_on_terminal(["-c", code], 80, tmp_path, {"NO_COLOR": "", "PYTHONPATH": os.pathsep.join(sys.path)})
    assert "\x1b[1m" in seen
    assert "\x1b" not in screen(TABLE, 80)
