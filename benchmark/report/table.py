"""Tables as values: what a cell holds is known before anybody decides how it looks (see ``formats``)."""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, stdev
from typing import Literal

Mark = Literal["", "best", "second"]
NONE = "–"
"""What stands where there is no value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column: its heading, and how its values are written."""

    name: str
    unit: str = ""
    digits: int = 1
    """Digits behind the decimal point of numbers."""
    is_signed: bool = False
    """Whether positive numbers carry a plus."""
    better: Literal["", "higher", "lower"] = ""
    """Which values are better; a page sorts the best first."""

    @property
    def heading(self) -> str:
        """Name and unit."""
        return f"{self.name} {self.unit}".strip()

    def number(self, value: int | float) -> str:
        """``value`` as this column writes it; numbers above a thousand have separators and no fraction."""
        if abs(value) >= 1000:
            return f"{value:{'+' if self.is_signed else ''},.0f}"
        return f"{value:{'+' if self.is_signed else ''}.{self.digits}f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One value: words, or a number that may have an interval and a deviation between seeds."""

    words: str = ""
    under: str = ""
    """What stands below the words, or behind them where there is room."""
    value: int | float | None = None
    low: int | float | None = None
    high: int | float | None = None
    deviation: float | None = None
    """Standard deviation between seeds, in the unit of the value."""
    letters: str = ""
    """Values of a column that share a letter cannot be told apart."""
    mark: Mark = ""
    """Set only where a test separates the value from those behind it."""
    reason: str = ""
    """Why there is no value; formats say it in a note."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows under columns, with a title above and notes below. The first column names the rows."""

    title: str = ""
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = field(default=())

    def is_words(self, number: int) -> bool:
        """Whether a column holds words: the first does, and each in which a cell does."""
        return number == 0 or any(row[number].words for row in self.rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Tables under one title, and how to read all of them."""

    title: str
    tables: Sequence[Table]
    notes: Sequence[str] = field(default=())


def text(words: str, under: str = "") -> Cell:
    """A cell of words."""
    return Cell(words=words, under=under)


def number(value: int | float | None, *, reason: str = "") -> Cell:
    """A cell with a number, or with none and the reason why."""
    return Cell(value=None if value is None else float(value), reason="" if value is not None else reason)


def mean_of(values: Iterable[float | None], reason: str) -> Cell:
    """A cell with the mean of seeds and the standard deviation between them; without any value, with the reason."""
    found = [value for value in values if value is not None]
    if not found:
        return Cell(reason=reason)
    return Cell(value=fmean(found), deviation=stdev(found) if len(found) > 1 else None)


def parts(cell: Cell, column: Column) -> tuple[str, str]:
    """A cell as two texts: what it says, and what stands below it or behind it. Both can be shown anywhere."""
    if cell.words:
        return printable(cell.words), printable(cell.under)
    if cell.value is None:
        return NONE, printable(cell.under)
    spread = "" if cell.deviation is None else f"± {abs(cell.deviation):.{column.digits}f}"
    ends = "" if cell.low is None or cell.high is None else f"[{column.number(cell.low)}, {column.number(cell.high)}]"
    behind = (spread, ends, cell.letters, printable(cell.under))
    return column.number(cell.value), " ".join(filter(None, behind))


def explained(table: Table) -> Table:
    """The same table with a number in each cell that lacks its value for a known reason, and the reasons as notes."""
    reasons = list(dict.fromkeys(cell.reason for row in table.rows for cell in row if cell.reason))
    if not reasons:
        return table
    number = {reason: f"({place})" for place, reason in enumerate(reasons, start=1)}
    rows = [[replace(cell, under=number[cell.reason]) if cell.reason else cell for cell in row] for row in table.rows]
    return replace(table, rows=rows, notes=[*table.notes, *(f"{number[reason]} {reason}" for reason in reasons)])


def printable(words: str) -> str:
    """``words`` without characters that a terminal or a page would obey: each becomes a blank."""
    return "".join(" " if unicodedata.category(character) in ("Cc", "Cf", "Cs") else character for character in words)
