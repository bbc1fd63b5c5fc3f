"""Knowing when not to answer: precision against recall, and predicted against true shares of right answers."""

from typing import TYPE_CHECKING, Any

from benchmark.report.figures.style import FAINT, GRID, MOST_SERIES, Look, Margins, legend, looks, say, sheet, short
from benchmark.report.figures.topics import MethodRow, Sources, Topic, cells, chosen, names_in
from benchmark.report.table import Cell, Column, Table, number, text
from datasets.errors import CrossplaceError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CURVE, CALIBRATION, UNKNOWN = "precision and recall", "calibration", "not recorded"


def numbers(topic: Topic, sources: Sources) -> Table:
    """A line for each point of the curve of precision and recall, and for each bin of the calibration. One seed.

    Raises:
        CrossplaceError: no result holds confidence.
    """
    found = {row.label: _record(row, topic.direction) for row in topic.rows}
    rows = [line for label, record in found.items() for line in _lines(label, record)]
    if all(record is None for record in found.values()):
        raise CrossplaceError(
            "no result says how sure it is; crossplace publish brings results up to date where their ranks are there"
        )
    notes = [
        "Left: answering only where the nearest frame is near enough. Right: the share that is right among queries "
        "with equal predicted probability, which comes from other traversals; on the dashed line it is calibrated.",
    ]
    if without := [label for label, record in found.items() if record is None]:
        notes.append(f"Without recorded confidence: {', '.join(map(short, without))}.")
    columns = [Column(name="method"), Column(name="part"), Column(name="recall or predicted", unit="%")]
    columns += [Column(name="precision or right", unit="%"), Column(name="threshold", digits=4)]
    return Table(
        title=f"Knowing when not to answer · {topic.words}",
        columns=[*columns, Column(name="queries", digits=0)],
        rows=rows,
        notes=notes,
    )


def _record(row: MethodRow, direction: str) -> Any:
    """The confidence of the first seed; none for results that were made before it was recorded."""
    return getattr(row.results[0].directions.get(direction), "confidence", None)


def _lines(label: str, record: Any) -> list[list[Cell]]:
    if record is None:  # a row without numbers, so that each method looks as it does in other figures
        return [[text(label), text(UNKNOWN), *[Cell()] * 4]]
    curve = [
        [text(label), text(CURVE), number(100 * recall), number(100 * precision), number(threshold), Cell()]
        for threshold, precision, recall in zip(
            record.curve.threshold, record.curve.precision, record.curve.recall, strict=True
        )
    ]
    bins = [
        [text(label), text(CALIBRATION), number(100 * b.predicted), number(100 * b.right), Cell(), number(b.n_queries)]
        for b in record.reliability
    ]
    return curve + bins


def draw(table: Table, sources: Sources) -> "Figure":
    """Two panels: precision against recall, and the share that is right against the predicted probability."""
    methods = names_in(table)[:MOST_SERIES]
    of = looks(methods)
    drawn = sheet(
        2,
        title=table.title,
        caption=table.notes,
        height_in=max(2.2, 0.2 * len(methods)),
        margins=Margins(left=0.5, right=0.15),
        names_in=(0.0, 0.0, 1.7),
    )
    words = {CURVE: ("recall, %", "precision, %"), CALIBRATION: ("predicted, %", "right, %")}
    for axes, (part, (along, up)) in zip(drawn.panels, words.items(), strict=True):
        axes.set_title(part, loc="left")
        found = chosen(table, "part", part)
        if not found.rows:
            say(axes, "one traversal asks, so that no other can predict")
            continue
        axes.set(xlim=(0, 102), ylim=(0, 102), xlabel=along, ylabel=up)
        axes.grid(color=GRID, linewidth=0.5)
        if part == CALIBRATION:
            axes.plot([0, 100], [0, 100], color=FAINT, linewidth=0.8, linestyle=(0, (4, 3)))
        for name in methods:
            _curve(axes, cells(chosen(found, "method", name), "recall or predicted", "precision or right"), of[name])
    known = {name for name, part in cells(table, "method", "part") if part != UNKNOWN}
    legend(drawn, {name: look for name, look in of.items() if name in known})
    return drawn.figure


def _curve(axes: "Axes", points: list[tuple[float, float]], look: Look) -> None:
    if not points:
        return
    x, y = zip(*points, strict=True)
    axes.plot(
        x, y, color=look.colour, linestyle=look.line, marker=look.marker, markersize=3.5,
        markevery=max(len(points) // 6, 1), linewidth=1.2,
    )  # fmt: skip
