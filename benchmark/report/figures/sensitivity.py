"""Recall against a rule or against the map: place radius, map spacing, heading limit, foreign places."""

from typing import TYPE_CHECKING, Any

from benchmark.report.comparison import FIRST, arrow
from benchmark.report.figures.style import GRID, Look, Margins, label_ends, looks, sheet, short
from benchmark.report.figures.topics import Sources, Topic, cells, chosen, content, names_in
from benchmark.report.table import Cell, Column, Table, number, text
from datasets.errors import CrossplaceError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from benchmark.records.sensitivity import PointRecord

NO_LIMIT = "no limit"
FEWEST = 2
"""Fewest points of a curve."""
HEIGHT_IN = 1.7


def numbers(topic: Topic, sources: Sources) -> Table:
    """A line for each axis, value and direction.

    Raises:
        CrossplaceError: no axis has two values.
    """
    rows: list[list[Cell]] = []
    notes = ["Bars: 95 % interval over places. Rings: the protocol's own value, whose recall is that of the result."]
    for name, axis in topic.record.axes.items():
        notes += [f"{name} {_words(left.value)} {axis.unit} is left out: {left.reason}." for left in axis.left_out]
        if len(axis.points) < FEWEST:
            notes.append(f"{name} has fewer than {FEWEST} values and makes no curve.")
            continue
        what = [text(name), text(axis.title), text(axis.unit)]
        rows += [[*what, *line] for point in axis.points for line in _lines(point)]
    if not rows:
        raise CrossplaceError(
            "no axis has two values, so that there is no curve; run crossplace sensitivity without --axes, or on data "
            "with more frames"
        )
    names = ("axis", "title", "unit")
    columns = [*(Column(name=name) for name in names), Column(name="value", digits=3), Column(name="own")]
    columns += [Column(name="direction"), Column(name=FIRST, unit="%"), Column(name="counted", digits=0)]
    title = f"Recall@1 against rules and maps · {topic.words}"
    return Table(title=title, columns=columns, rows=rows, notes=notes)


def _lines(point: "PointRecord") -> list[list[Cell]]:
    value = text(NO_LIMIT) if point.value is None else number(point.value)
    found = []
    for direction, record in point.directions.items():
        recall, ends = record.values.get(FIRST), record.intervals.get(FIRST)
        low, high = (100 * ends[0], 100 * ends[1]) if ends else (None, None)
        known = Cell(reason="no query counts") if recall is None else Cell(value=100 * recall, low=low, high=high)
        own = text("yes" if point.is_own else "no")
        found.append([value, own, text(direction), known, number(record.n_counted)])
    return found


def _words(value: float | None) -> str:
    return NO_LIMIT if value is None else f"{value:g}"


def draw(table: Table, sources: Sources) -> "Figure":
    """A panel an axis, a curve a direction."""
    axes_of = names_in(table, "axis")
    of = looks([arrow(direction) for direction in names_in(table, "direction")])
    drawn = sheet(
        len(axes_of),
        title=table.title,
        caption=table.notes,
        height_in=HEIGHT_IN,
        margins=Margins(left=0.5, right=1.05, top=0.35, bottom=0.5),
    )
    for place, (axes, name) in enumerate(zip(drawn.panels, axes_of, strict=True)):
        part = chosen(table, "axis", name)
        ((title, unit),) = dict.fromkeys(cells(part, "title", "unit"))
        _panel(axes, part, of)
        axes.set_title(short(title.partition(":")[0], 40), loc="left")
        axes.set_xlabel(unit)
        axes.set_ylabel(f"{FIRST}, %" if drawn.is_left(place) else "")
    return drawn.figure


def _panel(axes: "Axes", part: Table, of: dict[str, Look] | Any) -> None:
    values = names_in(part, "value")
    is_named = NO_LIMIT in values  # then values are places beside each other
    if is_named:
        axes.set_xticks(range(len(values)), labels=[v if isinstance(v, str) else f"{v:g}" for v in values])
        axes.set_xlim(-0.4, len(values) - 0.6)
    ends, highest = {}, 5.0
    for name, look in of.items():
        found = [
            (values.index(content(row[3])) if is_named else float(content(row[3])), row[4].words == "yes", row[6])
            for row in part.rows
            if arrow(row[5].words) == name and row[6].value is not None
        ]
        if not found:
            continue
        x, recall = [at for at, *_ in found], [float(cell.value or 0) for *_, cell in found]
        axes.plot(x, recall, color=look.colour, linestyle=look.line, marker=look.marker, markersize=4, linewidth=1.2)
        for at, is_own, cell in found:
            if cell.low is not None and cell.high is not None:
                axes.plot([at, at], [cell.low, cell.high], color=look.colour, linewidth=0.9)
                highest = max(highest, cell.high)
            if is_own:
                axes.plot(
                    at, float(cell.value or 0), color=look.colour, marker="o", markersize=9, markerfacecolor="none"
                )
        ends[name], highest = recall[-1], max(highest, *recall)
    axes.set_ylim(0, min(highest * 1.08, 102))
    axes.grid(axis="y", color=GRID, linewidth=0.5)
    label_ends(axes, ends, of, HEIGHT_IN)
