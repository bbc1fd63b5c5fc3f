"""A table for a paper: booktabs, ready to paste."""

import re
from collections.abc import Sequence

from benchmark.report.table import Cell, Column, Table, explained, parts, printable

SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "→": r"$\rightarrow$", "↔": r"$\leftrightarrow$", "±": r"$\pm$", "×": r"$\times$", "≤": r"$\leq$", "≥": r"$\geq$",
    "−": "$-$", "Δ": r"$\Delta$", "–": "--", "—": "---", "·": r"$\cdot$", "°": r"$^\circ$", "…": r"\dots{}",
    "²": r"$^2$", "½": r"$\frac12$", "µ": r"$\mu$", "¦": r"\textbar{}", "|": r"\textbar{}",
    "“": "``", "”": "''", "’": "'",
}  # fmt: skip
"""Characters that LaTeX would obey, or does not know, and how it writes them."""
LATIN = range(0xA1, 0x180)
"""Letters with accents that every LaTeX of today writes as they are."""
MARKS = {"": "{}", "best": r"\textbf{{{}}}", "second": r"\underline{{{}}}"}


def latex(table: Table) -> str:
    r"""The table as a ``table`` environment; the document needs ``\usepackage{booktabs}``."""
    table = explained(table)
    align = "".join("l" if table.is_words(number) else "r" for number in range(len(table.columns)))
    headings = _row([written(column.heading) for column in table.columns])
    rows = [_row([_cell(cell, column) for cell, column in zip(row, table.columns, strict=True)]) for row in table.rows]
    caption = [rf"\caption{{{written(table.title)}}}"] if table.title else []
    notes = (
        [rf"\par\smallskip\parbox{{\linewidth}}{{\footnotesize {written(' '.join(table.notes))}}}"]
        if table.notes
        else []
    )
    body = [rf"\begin{{tabular}}{{{align}}}", r"\toprule", headings, r"\midrule", *rows, r"\bottomrule"]
    lines = [r"\begin{table}[t]", r"\centering\small", *caption, *body, r"\end{tabular}", *notes, r"\end{table}"]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    """One line of a table; the line before it would take a bracket or a star at its beginning for an option."""
    row = " & ".join(cells)
    return f"{'{}' if row.lstrip().startswith(('[', '*')) else ''}{row} \\\\"


def written(words: str) -> str:
    """``words`` as LaTeX must write them; a letter that it may not know is named by its number.

    Hyphens in a row, as options of a command have them, stay hyphens.
    """
    apart = re.split("(?<=-)(?=-)", printable(words))
    return "{}".join("".join(SPECIAL.get(letter) or _letter(letter) for letter in part) for part in apart)


def _letter(letter: str) -> str:
    return letter if ord(letter) < 0x7F or ord(letter) in LATIN else rf"\texttt{{U+{ord(letter):04X}}}"


def _cell(cell: Cell, column: Column) -> str:
    says, under = map(written, parts(cell, column))
    says = MARKS[cell.mark].format(says)
    return f"{says} {{\\scriptsize {under}}}" if under else says
