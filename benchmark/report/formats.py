"""How a table looks in a file. A new format is a function and a line in ``FORMATS``."""

import csv
import io
from collections.abc import Callable, Sequence
from html import escape

from tabulate import tabulate

from benchmark.records.published import FORMULA
from benchmark.report.html import html
from benchmark.report.latex import latex
from benchmark.report.screen import one_line, screen
from benchmark.report.table import Cell, Column, Table, explained, parts, printable

ENDS = ("low", "high", "deviation", "letters")
"""Further columns of a column of numbers, where any cell has them."""
MARKS = {"": "{}", "best": "**{}**", "second": "<ins>{}</ins>"}


def markdown(table: Table) -> str:
    """The table as GitHub writes tables, with its title as a bold line and its notes as a list."""
    table = explained(table)
    rows = [[_marked(cell, column) for cell, column in zip(row, table.columns, strict=True)] for row in table.rows]
    headings = [plain(column.heading) for column in table.columns]
    align = ["left" if table.is_words(number) else "right" for number in range(len(headings))]
    body = tabulate(rows, headers=headings, tablefmt="github", disable_numparse=True, colalign=align) if rows else ""
    title = [f"**{plain(table.title)}**"] if table.title else []
    notes = ["\n".join(f"- {plain(note)}" for note in table.notes)] if table.notes else []
    return "\n\n".join([*title, body, *notes]) + "\n"


def _marked(cell: Cell, column: Column) -> str:
    says, under = parts(cell, column)
    return one_line((MARKS[cell.mark].format(plain(says)), plain(under)))


def plain(words: str) -> str:
    """``words`` that Markdown shows as they are: no tag, no end of a cell, no link."""
    return escape(printable(words), quote=False).replace("|", "¦").replace("](", "] (")


def comma_separated(table: Table) -> str:
    """The numbers in full: a column for each value, and further columns for interval, deviation and letters."""
    headings: list[object] = []
    rows: list[list[object]] = [[] for _ in table.rows]
    for number, column in enumerate(table.columns):
        cells = [row[number] for row in table.rows]
        further = [end for end in ENDS if any(getattr(cell, end) not in (None, "") for cell in cells)]
        headings += [column.heading, *(f"{column.heading} {end}" for end in further)]
        for row, cell in zip(rows, cells, strict=True):
            row += [_value(cell), *(getattr(cell, end) for end in further)]
    return as_csv([headings, *rows])


def as_csv(rows: Sequence[Sequence[object]]) -> str:
    """Rows as CSV; words that a spreadsheet would take for a formula begin with an apostrophe."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([[_inert(value) for value in row] for row in rows])
    return buffer.getvalue()


FORMATS: dict[str, Callable[[Table], str]] = {
    "screen": screen,
    "md": markdown,
    "csv": comma_separated,
    "tex": latex,
    "html": html,
}
"""Name (and ending of files) → function from a table to its text."""


def _value(cell: Cell) -> object:
    if cell.words:
        return " ".join(filter(None, [cell.words, cell.under]))
    return cell.value


def _inert(value: object) -> object:
    if not isinstance(value, str):
        return "" if value is None else value
    words = printable(value)
    return f"'{words}" if words.lstrip().startswith(FORMULA) else words
