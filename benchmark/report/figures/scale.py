"""Recall and latency against the size of the map, on a logarithmic axis."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from benchmark.report.comparison import FIRST, arrow
from benchmark.report.figures.style import GRID, Look, Margins, label_ends, looks, sheet
from benchmark.report.figures.topics import Sources, Topic, names_in
from benchmark.report.sensitivity import point_cell
from benchmark.report.table import Cell, Column, Table, number, text
from datasets.errors import CrossplaceError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FEWEST = 2
"""Fewest points of a curve."""
HEIGHT_IN = 1.9
FIRST_POWER = 1000.0
"""The first number that is written as a power of ten."""


def numbers(topic: Topic, sources: Sources) -> Table:
    """A line for each size of the map and direction.

    Raises:
        CrossplaceError: fewer than two sizes.
    """
    points = topic.record.points
    if len(points) < FEWEST:
        raise CrossplaceError("one size of the map makes no curve; run crossplace scale with several --places")
    columns = [Column(name="direction"), Column(name="places", digits=0), Column(name="synthetic", unit="%")]
    columns += [Column(name=FIRST, unit="%"), Column(name="latency", unit="ms")]
    rows: list[list[Cell]] = []
    for point in points:
        for direction in point.directions:
            share = number(100 * point.n_synthetic / point.places)
            found = point_cell(point.directions, direction, FIRST)
            rows.append([text(direction), number(point.places), share, found, number(point.latency_ms)])
    notes = [
        "Bars: 95 % interval over queries. Filled marks: at most half of the map is synthetic. Hollow marks: most of "
        "it is drawn from a normal distribution, and no place shows it.",
        "Latency of one query alone that searches the whole map exactly.",
    ]
    title = f"Recall@1 and latency against the size of the map · {topic.words}"
    return Table(title=title, columns=columns, rows=rows, notes=notes)


def draw(table: Table, sources: Sources) -> "Figure":
    """A panel of recall, a curve a direction, and one of latency."""
    of = looks([arrow(direction) for direction in names_in(table, "direction")])
    drawn = sheet(
        2,
        title=table.title,
        caption=table.notes,
        height_in=HEIGHT_IN,
        margins=Margins(left=0.5, right=1.05, top=0.2, bottom=0.5),
    )
    recall, latency = drawn.panels
    highest = _recall(recall, table, of)
    recall.set_ylim(0, min(highest * 1.08, 102))
    times = {float(row[1].value or 0): float(row[4].value or 0) for row in table.rows}
    latency.plot([*times], [*times.values()], color="black", marker="o", markersize=4, linewidth=1.2)
    recall.set_xscale("log")
    latency.set(xscale="log", yscale="log")
    recall.set_ylabel(f"{FIRST}, %")
    latency.set_ylabel("latency, ms")
    for axis in (recall.xaxis, latency.xaxis, latency.yaxis):
        axis.set_major_formatter(lambda value, _: powered(value))
        axis.set_minor_formatter(lambda *_: "")
    for axes in drawn.panels:
        axes.set_xlabel("places in the map")
        axes.grid(axis="y", color=GRID, linewidth=0.5)
    label_ends(recall, _ends(table), of, HEIGHT_IN)
    return drawn.figure


def powered(value: float) -> str:
    """A power of ten as it is written by hand, such as 10⁶; small ones as they are.

    >>> [powered(value) for value in (0.1, 10.0, 100.0, 1e3, 1e7)]
    ['0.1', '10', '100', '10³', '10⁷']
    """
    if value < FIRST_POWER:
        return f"{value:g}"
    return "10" + str(round(math.log10(value))).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _recall(axes: "Axes", table: Table, of: Mapping[str, Look]) -> float:
    """Draw the curves; returns the highest value."""
    highest = 5.0
    for name, look in of.items():
        rows = [row for row in table.rows if arrow(row[0].words) == name and row[3].value is not None]
        x, y = [float(row[1].value or 0) for row in rows], [float(row[3].value or 0) for row in rows]
        axes.plot(x, y, color=look.colour, linestyle=look.line, linewidth=1.2)
        for row, at, value in zip(rows, x, y, strict=True):
            filled = look.colour if float(row[2].value or 0) <= 50 else "white"
            axes.plot(at, value, color=look.colour, marker=look.marker, markersize=4, markerfacecolor=filled)
            if row[3].low is not None and row[3].high is not None:
                axes.plot([at, at], [row[3].low, row[3].high], color=look.colour, linewidth=0.9)
                highest = max(highest, float(row[3].high))
        highest = max([highest, *y])
    return highest


def _ends(table: Table) -> dict[str, float]:
    values = [(arrow(row[0].words), row[3].value) for row in table.rows]
    return {name: float(value) for name, value in values if value is not None}
