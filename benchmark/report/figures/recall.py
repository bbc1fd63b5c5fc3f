"""Recall@N of every method: means over seeds with their spread, and the interval over places where it is stored."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from benchmark.evaluation.metrics import DEPTHS
from benchmark.evaluation.rankers import CHANCE
from benchmark.records.schema import Result
from benchmark.report.comparison import arrow
from benchmark.report.figures.style import FAINT, GRID, MOST_SERIES, Look, Margins, label_ends, looks, sheet, short
from benchmark.report.figures.topics import MethodRow, Sources, Topic, cells, chosen, content, names_in
from benchmark.report.table import Cell, Column, Table, mean_of, number, text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

METRIC_AT = {1: "R@1", 5: "R@5"}
"""Depths whose recall is a metric with an interval."""
BY_CHANCE = "by chance"


def numbers(topic: Topic, sources: Sources) -> Table:
    """A line for each method, direction and N."""
    assert topic.group is not None
    rows = [
        [text(row.label), text(direction), number(depth), _value(row, direction, depth)]
        for direction in topic.directions
        for row in topic.rows
        if direction in row.entry.recall
        for depth in DEPTHS
    ]
    for result in topic.group.results:
        if result.method.origin == "ranker" and result.method.name == CHANCE:
            rows += [
                [text(BY_CHANCE), text(direction), number(depth), _mean([value])]
                for direction in topic.directions
                if direction in result.directions
                for depth, value in zip(DEPTHS, result.headline(direction).recall_at, strict=False)
            ]
    columns = [Column(name="method"), Column(name="direction"), Column(name="N", digits=0)]
    return Table(
        title=f"Recall@N · {topic.words}",
        columns=[*columns, Column(name="recall", unit="%")],
        rows=rows,
        notes=_notes(topic.rows, rows),
    )


def _notes(methods: Sequence[MethodRow], rows: Sequence[Sequence[Cell]]) -> list[str]:
    bands = "Bands: ± one standard deviation between seeds. " if any(len(row.runs) > 1 for row in methods) else ""
    chance = " Grey dots: by chance (exact expectation)." if any(row[0].words == BY_CHANCE for row in rows) else ""
    notes = [f"{bands}Bars at N = 1 and 5: 95 % interval over places.{chance}"]
    if empty := dict.fromkeys(f"{short(row[0].words)} ({arrow(row[1].words)})" for row in rows if row[3].value is None):
        notes.append(f"Without a curve, because no query counts: {', '.join(empty)}.")
    if len(methods) > MOST_SERIES:
        notes.append(f"Drawn are the best {MOST_SERIES} of {len(methods)} methods; the data beside it holds all.")
    return notes


def _value(row: MethodRow, direction: str, depth: int) -> Cell:
    """Mean over seeds in percent; the interval where the depth is a metric."""
    found = _mean([_at(result, direction, depth) for result in row.results])
    metric = row.entry.recall[direction].get(METRIC_AT.get(depth, ""))
    if metric is None or found.value is None:
        return found
    return Cell(value=found.value, low=metric.low, high=metric.high, deviation=found.deviation)


def _at(result: Result, direction: str, depth: int) -> float | None:
    record = result.headline(direction) if direction in result.directions else None
    return record.recall_at[depth - 1] if record and depth <= len(record.recall_at) else None


def _mean(values: Sequence[float | None]) -> Cell:
    is_whole = None not in values
    return mean_of((100 * value for value in values if value is not None) if is_whole else (), "no query counts")


def draw(table: Table, sources: Sources) -> "Figure":
    """A panel a direction, a curve a method, its name at the end of its curve."""
    directions = names_in(table, "direction")
    methods = [name for name in names_in(table) if name != BY_CHANCE][:MOST_SERIES]
    of = {**looks(methods), BY_CHANCE: Look(colour=FAINT, marker=".", line=(0, (1, 2)))}
    height_in = max(1.9, 0.15 * len(methods) + 0.3)
    drawn = sheet(
        len(directions),
        title=table.title,
        caption=table.notes,
        height_in=height_in,
        margins=Margins(left=0.55, right=1.32),
    )
    for panel, (axes, direction) in enumerate(zip(drawn.panels, directions, strict=True)):
        part = chosen(table, "direction", direction)
        axes.set_title(arrow(direction), loc="left")
        axes.set(xlim=(0.3, DEPTHS[-1] + 0.3), ylim=(0, 100), xticks=(1, 5, 10, 15, 20, 25))
        axes.grid(axis="y", color=GRID, linewidth=0.5)
        axes.set_xlabel("N" if drawn.is_lowest(panel) else "")
        axes.set_ylabel("recall@N, %" if drawn.is_left(panel) else "")
        ends = {}
        for place, name in enumerate([*methods, BY_CHANCE]):
            if (end := _curve(axes, chosen(part, "method", name), of[name], place / max(len(methods), 1))) is not None:
                ends[name] = end
        label_ends(axes, ends, of, height_in)
    return drawn.figure


def _curve(axes: "Axes", part: Table, look: Look, place: float) -> float | None:
    """One curve; returns where it ends, or none if it has no value. Bars of methods stand side by side."""
    found = [(n, cell) for (n,), cell in zip(cells(part, "N"), (row[-1] for row in part.rows), strict=True)]
    known = [(n, cell) for n, cell in found if cell.value is not None]
    if not known:
        return None
    depth, value = [n for n, _ in known], [float(content(cell)) for _, cell in known]
    axes.plot(depth, value, color=look.colour, linestyle=look.line, linewidth=1.3)
    axes.plot(depth[4::5], value[4::5], color=look.colour, marker=look.marker, markersize=4, linestyle="none")
    if all(cell.deviation is not None for _, cell in known):
        low = [v - (cell.deviation or 0) for v, (_, cell) in zip(value, known, strict=True)]
        high = [v + (cell.deviation or 0) for v, (_, cell) in zip(value, known, strict=True)]
        axes.fill_between(depth, low, high, color=look.colour, alpha=0.15, linewidth=0)
    for n, cell in known:
        if cell.low is not None and cell.high is not None:
            at = n + 0.9 * (place - 0.45)
            axes.plot([at, at], [cell.low, cell.high], color=look.colour, linewidth=1.0)
    return value[-1]
