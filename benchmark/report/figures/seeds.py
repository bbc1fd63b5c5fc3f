"""Two kinds of doubt in one drawing: how much a number moves with the seed, and how much with the places asked."""

from typing import TYPE_CHECKING

from benchmark.report.comparison import FIRST, arrow
from benchmark.report.figures.style import FAINT, GRID, LETTER_IN, MOST_SERIES, Margins, looks, sheet, short
from benchmark.report.figures.topics import Sources, Topic, chosen, content, names_in
from benchmark.report.table import Cell, Column, Table, text
from benchmark.report.tables import recall_cell

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MEAN = "mean"
FEWEST_IN = 0.3


def numbers(topic: Topic, sources: Sources) -> Table:
    """A line for the mean of each method and direction, and one for each seed."""
    rows = []
    for row in topic.rows:
        for direction in row.entry.recall:
            rows.append([text(row.label), text(direction), text(MEAN), recall_cell(row.entry, direction, FIRST)])
            for result in row.results:
                value = result.headline(direction).values.get(FIRST) if direction in result.directions else None
                cell = Cell(reason="no query counts") if value is None else Cell(value=100 * value)
                rows.append([text(row.label), text(direction), text(f"seed {result.seed}"), cell])
    notes = [
        "Thick bar: mean ± one standard deviation between seeds; marks: each seed. Thin line with ends: 95 % interval "
        "over places. A row without a thick bar has one seed.",
    ]
    if len(topic.rows) > MOST_SERIES:
        notes.append(f"Drawn are the best {MOST_SERIES} of {len(topic.rows)} methods; the data beside it holds all.")
    columns = [Column(name=name) for name in ("method", "direction", "of")]
    title = f"Seeds and places · {topic.words}"
    return Table(title=title, columns=[*columns, Column(name=FIRST, unit="%")], rows=rows, notes=notes)


def draw(table: Table, sources: Sources) -> "Figure":
    """A panel a direction, a row a method."""
    methods, directions = names_in(table)[:MOST_SERIES], names_in(table, "direction")
    longest = max(len(short(name)) for name in methods)
    drawn = sheet(
        len(directions),
        title=table.title,
        caption=table.notes,
        height_in=max(FEWEST_IN * len(methods), 0.8),
        margins=Margins(left=0.15, right=0.2),
        names_in=(0.1 + LETTER_IN * longest, 0.0, 0.0),
    )
    for number, (axes, direction) in enumerate(zip(drawn.panels, directions, strict=True)):
        _panel(axes, chosen(table, "direction", direction), methods)
        if not drawn.is_left(number):
            axes.set_yticklabels([])
        axes.set_title(arrow(direction), loc="left")
        axes.set_xlabel(f"{FIRST}, %" if drawn.is_lowest(number) else "")
    return drawn.figure


def _panel(axes: "Axes", part: Table, methods: list[str]) -> None:
    of, highest = looks(methods), 5.0
    for place, name in enumerate(methods):
        rows = [(content(row[2]), row[-1]) for row in chosen(part, "method", name).rows]
        for what, cell in rows:
            if cell.value is None:
                continue
            if what != MEAN:
                axes.plot(cell.value, place - 0.16, color=of[name].colour, marker="|", markersize=8)
                continue
            axes.plot(cell.value, place, color=of[name].colour, marker=of[name].marker, markersize=4.5, zorder=3)
            if cell.deviation is not None:
                ends = [cell.value - cell.deviation, cell.value + cell.deviation]
                axes.plot(
                    ends, [place - 0.16] * 2, color=of[name].colour, linewidth=4, alpha=0.45, solid_capstyle="butt"
                )
                highest = max(highest, ends[1])
            if cell.low is not None and cell.high is not None:
                axes.plot([cell.low, cell.high], [place + 0.16] * 2, color=FAINT, marker="|", markersize=5, linewidth=1)
                highest = max(highest, cell.high)
            highest = max(highest, cell.value)
    axes.set(xlim=(0, min(highest * 1.06, 101)), ylim=(len(methods) - 0.5, -0.5))
    axes.set_yticks(range(len(methods)), labels=[short(name) for name in methods])
    axes.grid(axis="x", color=GRID, linewidth=0.5)
