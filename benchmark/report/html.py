"""A table as a fragment of a page: values for sorting in attributes, every word escaped."""

from collections.abc import Sequence
from html import escape

from benchmark.report.table import Cell, Column, Table, explained, parts, printable

TAGS = {"": "", "best": "strong", "second": "u"}
"""Element around a value by its mark."""


def html(table: Table) -> str:
    """The table as an HTML fragment: ``figure`` with caption, ``table`` and notes.

    Cells of numbers carry ``data-value``, so that a page sorts by numbers and not by their writing. No cell holds
    markup of its own: words are escaped.
    """
    table = explained(table)
    kinds = ["words" if table.is_words(number) else "number" for number in range(len(table.columns))]
    headings = "".join(
        f'<th scope="col" class="{kind}"{_better(column)}>{_safe(column.heading)}</th>'
        for column, kind in zip(table.columns, kinds, strict=True)
    )
    rows = "\n".join(f"<tr>{_row(row, table, kinds)}</tr>" for row in table.rows)
    caption = f"<figcaption>{_safe(table.title)}</figcaption>\n" if table.title else ""
    notes = "".join(f"<li>{_safe(note)}</li>" for note in table.notes)
    below = f'<ul class="notes">{notes}</ul>' if notes else ""
    return (
        f'<figure class="table">\n{caption}<div class="scroll"><table>\n<thead><tr>{headings}</tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody>\n</table></div>\n{below}</figure>\n"
    )


def _better(column: Column) -> str:
    return f' data-better="{column.better}"' if column.better else ""


def _row(row: Sequence[Cell], table: Table, kinds: Sequence[str]) -> str:
    cells = zip(row, table.columns, kinds, strict=True)
    return "".join(_cell(cell, column, kind, is_name=number == 0) for number, (cell, column, kind) in enumerate(cells))


def _cell(cell: Cell, column: Column, kind: str, *, is_name: bool) -> str:
    says, under = map(_safe, parts(cell, column))
    tag = TAGS[cell.mark]
    inner = f"<{tag}>{says}</{tag}>" if tag else says
    inner += f" <small>{under}</small>" if under else ""
    value = "" if cell.words or cell.value is None else f' data-value="{cell.value!r}"'
    return f'<th scope="row" class="{kind}">{inner}</th>' if is_name else f'<td class="{kind}"{value}>{inner}</td>'


def _safe(words: str) -> str:
    return escape(printable(words))
