"""A table for a terminal of any width: no number and no name is ever cut."""

import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from benchmark.report.table import Section, Table, explained, parts, printable

UNBOUNDED = 120
"""Columns that are assumed where the output is no terminal."""
GAP = 2
"""Columns between two columns of a table: one of padding and one that rich draws a divider into."""
STYLES = {"": "", "best": "bold", "second": "underline"}
"""Styles of a terminal by the mark of a cell."""


def screen(table: Table, width: int | None = None) -> str:
    """The table for a terminal of ``width`` columns (default: this one's): no number and no name is ever cut.

    Where a row does not fit, intervals go below their numbers and words are wrapped. Where that does not suffice
    either, the columns are divided into several tables below each other.
    """
    table, width = explained(table), width or terminal_width()
    blocks: list[list[_Drawn]] = []
    for lines in (one_line, _two_lines, _three_lines):
        columns = [_Drawn.of(table, number, lines) for number in range(len(table.columns))]
        is_wrapped = lines is not one_line
        if sum((column.least if is_wrapped else column.most) + GAP for column in columns) <= width + GAP:
            blocks = [columns]
            break
    blocks = blocks or _blocks(columns, width + GAP)
    title = paragraphs([table.title], width) if table.title else ""
    return title + "\n".join(_drawn(block, width) for block in blocks) + paragraphs(table.notes, width)


def screen_section(section: Section, width: int | None = None) -> str:
    """A title, tables and how to read them."""
    tables = [screen(table, width) for table in section.tables]
    return "\n".join([paragraphs([section.title], width), *tables, paragraphs(section.notes, width)])


def one_line(texts: tuple[str, str]) -> str:
    """Both texts of a cell behind each other."""
    return " ".join(filter(None, texts))


def _two_lines(texts: tuple[str, str]) -> str:
    return "\n".join(filter(None, texts))


def _three_lines(texts: tuple[str, str]) -> str:
    """As in two lines, with the interval on a line of its own."""
    return _two_lines(texts).replace(" [", "\n[")


def paragraphs(lines: Sequence[str], width: int | None = None) -> str:
    """Lines of text, wrapped between words at ``width`` columns (default: this terminal's)."""
    width = width or terminal_width()
    shown = ["\n".join(map(printable, line.split("\n"))) for line in lines]
    return "".join(_printed(Text(line), width) if _longest_line(line) > width else f"{line}\n" for line in shown)


def terminal_width() -> int:
    """Columns of this terminal; 120 where the output is none."""
    console = Console()
    return console.width if console.is_terminal else UNBOUNDED


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawn:
    """A column as text, with the room that it needs."""

    heading: str
    cells: list[str]
    styles: list[str]
    """How each cell is written on a terminal that can; a file holds no styles."""
    is_words: bool
    least: int
    """Width at which no number, no name and no word is broken."""
    most: int
    """Width at which nothing is wrapped."""

    @classmethod
    def of(cls, table: Table, number: int, lines: Callable[[tuple[str, str]], str]) -> "_Drawn":
        column = table.columns[number]
        heading, texts = printable(column.heading), [parts(row[number], column) for row in table.rows]
        cells, is_words = [lines(pair) for pair in texts], table.is_words(number)
        most = max(map(_longest_line, [heading, *cells]))
        names = [_longest_line(words) for words, _ in texts] if number == 0 else []
        words = [_longest_word(text) for text in [heading, *cells]]
        least = max([*names, *words]) if is_words else max([most, *words])
        styles = [STYLES[row[number].mark] for row in table.rows]
        return cls(heading=heading, cells=cells, styles=styles, is_words=is_words, least=least, most=most)


def _longest_line(text: str) -> int:
    return max((len(line) for line in text.split("\n")), default=0)


def _longest_word(text: str) -> int:
    return max((len(word) for word in text.split()), default=0)


def _blocks(columns: Sequence[_Drawn], width: int) -> list[list[_Drawn]]:
    """Tables that fit into ``width``: each begins with the first column, which names the rows."""
    blocks = [[columns[0]]]
    for column in columns[1:]:
        if len(blocks[-1]) > 1 and sum(c.least + GAP for c in [*blocks[-1], column]) > width:
            blocks.append([columns[0]])
        blocks[-1].append(column)
    return blocks


def _drawn(columns: Sequence[_Drawn], width: int) -> str:
    """One table; columns of words share what is left of ``width`` by how much they could use."""
    left = width - sum(column.least + GAP for column in columns) + GAP
    usable = sum(column.most - column.least for column in columns if column.is_words)
    share = min(max(left, 0) / usable, 1) if usable else 0
    drawn = RichTable(box=box.SIMPLE_HEAD, padding=(0, GAP - 1, 0, 0), pad_edge=False, show_edge=False)
    for column in columns:
        more = int(share * (column.most - column.least)) if column.is_words else 0
        justify: Literal["left", "right"] = "left" if column.is_words else "right"
        drawn.add_column(column.heading, justify=justify, overflow="fold", width=column.least + more)
    for row in zip(*(zip(column.cells, column.styles, strict=True) for column in columns), strict=True):
        drawn.add_row(*(Text(words, style=style) for words, style in row))
    return _printed(drawn, max(width, sum(column.least + GAP for column in columns)))


def _printed(what: RichTable | Text, width: int) -> str:
    file = io.StringIO()
    is_styled = Console().is_terminal and not os.environ.get("NO_COLOR")
    Console(width=width, file=file, color_system="standard" if is_styled else None).print(what)
    return "\n".join(line.rstrip() for line in file.getvalue().rstrip("\n").split("\n")) + "\n"
