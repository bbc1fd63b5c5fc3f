"""What recall costs: against the latency of a query, on one machine a panel, and against the bytes of a place."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from benchmark.report.comparison import FIRST, arrow, crossing
from benchmark.report.figures.style import (
    FAINT,
    GRID,
    MOST_SERIES,
    WIDE_LETTER_IN,
    Look,
    Margins,
    Sheet,
    label_points,
    looks,
    sheet,
    short,
)
from benchmark.report.figures.topics import MethodRow, Sources, Topic, cells, chosen, names_in
from benchmark.report.table import Column, Table, number, text
from datasets.errors import CrossplaceError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PLACE = "place"
ANY_MACHINE = "any"
"""What stands for the machine where a number is the same on all."""
WIDE = 8.0
"""Costs whose largest is this many times the smallest are drawn on a logarithmic scale."""


def numbers(topic: Topic, sources: Sources) -> Table:
    """A line for each method, direction and cost, with whether it is on the Pareto front of its panel.

    Raises:
        CrossplaceError: no cost was measured.
    """
    measured = [row for row in topic.rows if row.entry.cost]
    if not measured:
        raise CrossplaceError("no cost was measured; crossplace bench measures it, crossplace evaluate does not")
    found = [
        (row.label, direction, name, machine, cost, row.entry.percent(direction, FIRST))
        for direction in crossing(topic.directions)
        for row in measured
        for name, machine in ((direction.split("->")[0], row.entry.machine), (PLACE, ANY_MACHINE))
        if (cost := row.entry.cost.get(name)) is not None and row.entry.recall.get(direction, {}).get(FIRST)
    ]
    if not found:
        raise CrossplaceError("no query counts, so that no recall stands beside the cost; see the table of recall")
    rows = []
    for label, direction, name, machine, cost, recall in found:
        panel = [(of[4].value, of[5]) for of in found if of[1:4] == (direction, name, machine)]
        front = "yes" if is_on_front((cost.value, recall), panel) else "no"
        what = [text(direction), text(name), text(machine), text(cost.unit)]
        rows.append([text(label), *what, number(cost.value), number(recall), text(front)])
    names = ("method", "direction", "cost", "machine", "unit")
    columns = [*(Column(name=name) for name in names), Column(name="amount"), Column(name=FIRST, unit="%")]
    return Table(
        title=f"Recall and cost · {topic.words}",
        columns=[*columns, Column(name="on the front")],
        rows=rows,
        notes=_notes(topic.rows, measured),
    )


def _notes(rows: Sequence[MethodRow], measured: Sequence[MethodRow]) -> list[str]:
    notes = [
        "Line: the Pareto front: no method is better than these in both. Latency: median of one query at batch 1, "
        "preprocessing and network. Bytes: what a map keeps of a place.",
    ]
    if without := [row.label for row in rows if row not in measured]:
        notes.append(f"Without a measured cost: {', '.join(map(short, without))}.")
    if len(measured) > MOST_SERIES:
        notes.append(f"Drawn are the best {MOST_SERIES} of {len(measured)} methods; the data beside it holds all.")
    return notes


def is_on_front(point: tuple[float, float], points: Sequence[tuple[float, float]]) -> bool:
    """Whether no point costs at most as much and finds at least as much, one of them strictly.

    >>> is_on_front((1.0, 50.0), [(1.0, 50.0), (2.0, 50.0)])
    True
    >>> is_on_front((2.0, 50.0), [(1.0, 50.0), (2.0, 50.0)])
    False
    """
    cost, recall = point
    return not any(c <= cost and r >= recall and (c, r) != point for c, r in points)


def draw(table: Table, sources: Sources) -> "Figure":
    """A line of panels a direction: latency on each machine, then bytes of a place."""
    methods = names_in(table)[:MOST_SERIES]
    of = looks(methods)
    panels = list(dict.fromkeys(cells(table, "direction", "cost", "machine", "unit")))
    directions = names_in(table, "direction")
    n_columns = max(sum(panel[0] == direction for panel in panels) for direction in directions)
    drawn = sheet(
        n_columns * len(directions),
        title=table.title,
        caption=table.notes,
        n_columns=n_columns,
        height_in=2.3,
        margins=Margins(left=0.55, right=0.25, top=0.45, bottom=0.5),
    )
    for line, direction in enumerate(directions):
        of_line = sorted((panel for panel in panels if panel[0] == direction), key=lambda panel: panel[1] == PLACE)
        for column in range(n_columns):
            axes = drawn.panels[line * n_columns + column]
            if column < len(of_line):
                _panel(axes, table, of_line[column], methods, of, drawn)
                axes.set_ylabel(f"{FIRST}, %" if column == 0 else "")
            else:
                axes.set_axis_off()
    return drawn.figure


def _plain(value: float, place: int | float | None) -> str:
    """A number of a logarithmic scale without powers of ten."""
    return f"{value:,.12g}"


def _panel(
    axes: "Axes",
    table: Table,
    panel: tuple[str, str, str, str],
    methods: Sequence[str],
    of: Mapping[str, Look],
    drawn: Sheet,
) -> None:
    direction, cost, machine, unit = panel
    part = chosen(chosen(chosen(table, "direction", direction), "cost", cost), "machine", machine)
    found = [row for row in cells(part, "method", "amount", FIRST, "on the front") if row[0] in methods]
    amounts = [amount for _, amount, *_ in found]
    where = "" if cost == PLACE else f"\non {short(machine, int(drawn.panel_in[0] / WIDE_LETTER_IN))}"
    axes.set_title(f"{arrow(direction)}{where}", loc="left")
    axes.set_xlabel(f"{'a place of the map' if cost == PLACE else f'one {cost}'}, {unit}")
    if min(amounts) > 0 and max(amounts) > WIDE * min(amounts):
        axes.set_xscale("log", subs=(2, 5))
        axes.set_xlim(min(amounts) / 1.6, max(amounts) * (max(amounts) / min(amounts)) ** 0.3)
        axes.xaxis.set_major_formatter(_plain)
        axes.xaxis.set_minor_formatter(_plain)
    else:
        axes.set_xlim(0, max(amounts) * 1.15 or 1)
    top = max(recall for *_, recall, _ in found)
    axes.set_ylim(0, min(max(top * 1.15, 5), 104))
    axes.grid(color=GRID, linewidth=0.5)
    front = sorted((amount, recall) for _, amount, recall, is_front in found if is_front == "yes")
    axes.step(*zip(*front, strict=True), where="post", color=FAINT, linewidth=1.0, linestyle=(0, (4, 2)))
    for name, amount, recall, is_front in found:
        inside = of[name].colour if is_front == "yes" else "white"
        axes.plot(
            amount, recall, color=of[name].colour, marker=of[name].marker, markerfacecolor=inside, linestyle="none"
        )
    label_points(axes, {name: (amount, recall) for name, amount, recall, _ in found}, drawn.panel_in)
