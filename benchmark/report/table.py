"""Tables as values: what a cell holds is known before anybody decides how it looks (see ``formats``)."""

from collections.abc import Sequence
from dataclasses import dataclass, field

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
    """One value: words, or a number that may have an interval or a spread."""

    words: str = ""
    under: str = ""
    """What stands below the words, or behind them where there is room."""
    value: int | float | None = None
    low: int | float | None = None
    high: int | float | None = None
    is_spread: bool = False
    """Whether low and high are the least and the greatest of several runs, instead of the ends of an interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows under columns, with a title above and notes below. The first column names the rows."""

    title: str = ""
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = field(default=())


def text(words: str, under: str = "") -> Cell:
    """A cell of words."""
    return Cell(words=words, under=under)


def number(value: int | float | None) -> Cell:
    """A cell with a number, or with none."""
    return Cell(value=None if value is None else float(value))


def parts(cell: Cell, column: Column) -> tuple[str, str]:
    """A cell as two texts: what it says, and what stands below it or behind it."""
    if cell.words:
        return cell.words, cell.under
    if cell.value is None:
        return NONE, ""
    if cell.low is None or cell.high is None:
        return column.number(cell.value), cell.under
    low, high = column.number(cell.low), column.number(cell.high)
    return column.number(cell.value), f"({low} to {high})" if cell.is_spread else f"[{low}, {high}]"
