"""How a table looks: on the screen, as Markdown, as CSV. A new format is a function and a line in ``FORMATS``."""

import csv
import io
from collections.abc import Callable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from tabulate import tabulate

from benchmark.report.table import Cell, Column, Table, parts

UNBOUNDED = 120
"""Columns that are assumed where the output is no terminal."""
GAP = 2
"""Columns between two columns of a table."""
WIDEST_WORDS = 40
"""A column of words is wrapped beyond this width, if the table is too wide."""

Texts = list[list[tuple[str, str]]]
"""Rows of cells, each as what it says and what stands below it."""


def screen(table: Table, width: int | None = None) -> str:
    """The table for a terminal of ``width`` columns (default: this one's): no number and no name is ever cut.

    Where a row does not fit, intervals go below their numbers; where that does not suffice either, the columns are
    divided into several tables below each other.
    """
    width = width or _terminal_width()
    texts = [[parts(cell, column) for cell, column in zip(row, table.columns, strict=True)] for row in table.rows]
    headings = [column.heading for column in table.columns]
    for lines in (_one_line, _two_lines):
        if _total(widths := _widths(headings, texts, lines)) <= width:
            return _drawn(table, [range(len(headings))], headings, texts, lines, widths, width)
    blocks = _blocks(widths, width)
    return _drawn(table, blocks, headings, texts, _two_lines, widths, width)


def markdown(table: Table) -> str:
    """The table as GitHub writes tables, with its title as a bold line and its notes as a list."""
    rows = [
        [_one_line(parts(cell, column)).replace("|", "¦") for cell, column in zip(row, table.columns, strict=True)]
        for row in table.rows
    ]
    headings = [column.heading for column in table.columns]
    align = ["left" if _is_words(table, number) else "right" for number in range(len(headings))]
    body = tabulate(rows, headers=headings, tablefmt="github", disable_numparse=True, colalign=align) if rows else ""
    title = [f"**{table.title}**"] if table.title else []
    notes = ["\n".join(f"- {note}" for note in table.notes)] if table.notes else []
    return "\n\n".join([*title, body, *notes]) + "\n"


def comma_separated(table: Table) -> str:
    """The numbers in full: a column for each value, and columns for the ends of its interval or spread."""
    rows = list(table.rows)
    has_ends = [any(row[i].low is not None for row in rows) for i in range(len(table.columns))]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    headings: list[str] = []
    for column, ends in zip(table.columns, has_ends, strict=True):
        headings += [column.heading, *([f"{column.heading} low", f"{column.heading} high"] if ends else [])]
    writer.writerow(headings)
    for row in rows:
        values: list[object] = []
        for cell, ends in zip(row, has_ends, strict=True):
            values.append(" ".join(filter(None, [cell.words, cell.under])) if cell.words else cell.value)
            values += [cell.low, cell.high] if ends else []
        writer.writerow(["" if value is None else value for value in values])
    return buffer.getvalue()


FORMATS: dict[str, Callable[[Table], str]] = {"screen": screen, "md": markdown, "csv": comma_separated}
"""Name (and ending of files) → function from a table to its text."""


def _one_line(texts: tuple[str, str]) -> str:
    return " ".join(filter(None, texts))


def _two_lines(texts: tuple[str, str]) -> str:
    return "\n".join(filter(None, texts))


def _terminal_width() -> int:
    console = Console()
    return console.width if console.is_terminal else UNBOUNDED


def _longest_line(text: str) -> int:
    return max((len(line) for line in text.split("\n")), default=0)


def _longest_word(text: str) -> int:
    return max((len(word) for word in text.split()), default=0)


def _widths(headings: Sequence[str], texts: Texts, lines: Callable[[tuple[str, str]], str]) -> list[int]:
    """Columns that each column of the table needs so that nothing in it is wrapped."""
    cells = [[lines(row[i]) for row in texts] for i in range(len(headings))]
    longest = [max([_longest_word(h), *map(_longest_line, column)]) for h, column in zip(headings, cells, strict=True)]
    if lines is _one_line:
        return longest
    # Words may be wrapped between words, numbers and names not.
    return [
        min(width, max([WIDEST_WORDS, *(_longest_word(cell) for cell in column)]))
        for width, column in zip(longest, cells, strict=True)
    ]


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * len(widths)


def _blocks(widths: Sequence[int], width: int) -> list[list[int]]:
    """Column numbers of tables that fit: each begins with the first column, which names the rows."""
    blocks = [[0]]
    for number in range(1, len(widths)):
        if len(blocks[-1]) > 1 and _total([widths[i] for i in [*blocks[-1], number]]) > width:
            blocks.append([0])
        blocks[-1].append(number)
    return blocks


def _is_words(table: Table, number: int) -> bool:
    return number == 0 or any(row[number].words for row in table.rows)


def _drawn(
    table: Table,
    blocks: Sequence[Sequence[int]],
    headings: Sequence[str],
    texts: Texts,
    lines: Callable[[tuple[str, str]], str],
    widths: Sequence[int],
    width: int,
) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None, highlight=False)
    if table.title:
        console.print(table.title, markup=False)
    for block in blocks:
        drawn = RichTable(box=box.SIMPLE_HEAD, padding=(0, GAP, 0, 0), pad_edge=False, show_edge=False)
        for i in block:
            justify = "left" if _is_words(table, i) else "right"
            most = (
                widths[i] if justify == "right" else max(width - _total([widths[j] for j in block if j != i]) - GAP, 8)
            )
            drawn.add_column(
                headings[i], justify=justify, overflow="fold", min_width=min(widths[i], most), max_width=most
            )
        for row in texts:
            drawn.add_row(*(lines(row[i]) for i in block))
        console.print(drawn, markup=False)
    for note in table.notes:
        console.print(note, markup=False)
    file = console.file
    assert isinstance(file, io.StringIO)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"


def cell_texts(row: Sequence[Cell], columns: Sequence[Column]) -> list[str]:
    """The cells of a row, each in one line."""
    return [_one_line(parts(cell, column)) for cell, column in zip(row, columns, strict=True)]
