"""Learning curves: recall against the part of the training places, from a study."""

import re
from typing import TYPE_CHECKING

from benchmark.records.study import BASE, LEARNING_CURVE
from benchmark.report.comparison import arrow
from benchmark.report.figures.style import FAINT, GRID, Margins, label_ends, looks, sheet
from benchmark.report.figures.topics import Sources, Topic, cells, chosen, names_in
from benchmark.report.table import Column, Table, mean_of, number, text
from datasets.errors import CrossplaceError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WHOLE = 100
HEIGHT_IN = 2.4


def numbers(topic: Topic, sources: Sources) -> Table:
    """A line for each part of the training places and direction, from the smallest part to all places.

    Raises:
        CrossplaceError: a study of something else.
    """
    record = topic.record
    if record.study != LEARNING_CURVE:
        raise CrossplaceError(
            f"the lines of the study {record.study} are no parts of the training places; "
            f"crossplace study {LEARNING_CURVE} makes one whose lines are"
        )
    parts = sorted(((_percent(line.name), line) for line in record.lines), key=lambda found: found[0])
    rows = [
        [number(percent), text(direction), mean_of((100 * v for v in line.recall.get(direction, ())), line.error)]
        for percent, line in parts
        for direction in line.recall
    ]
    failed = [f"{line.name} failed: {line.error}" for _, line in parts if line.error]
    bands = ["Bands: ± one standard deviation between seeds."] if len(record.seeds) > 1 else []
    return Table(
        title=f"Recall@1 against training places, equally many steps · {topic.words}",
        columns=[Column(name="places", unit="%", digits=0), Column(name="direction"), Column(name="R@1", unit="%")],
        rows=rows,
        notes=[*bands, *failed],
    )


def _percent(name: str) -> int:
    """The part that the name of a line says, as in ``places 25 %``."""
    found = re.search(r"(\d+) %$", name)
    return WHOLE if name == BASE or found is None else int(found[1])


def draw(table: Table, sources: Sources) -> "Figure":
    """One panel, a curve a direction; each doubling of the places is as wide."""
    drawn = sheet(
        1,
        title=table.title,
        caption=table.notes,
        height_in=HEIGHT_IN,
        margins=Margins(left=0.6, right=1.15, top=0.15, bottom=0.45),
    )
    (axes,) = drawn.panels
    directions = names_in(table, "direction")
    of, ends, highest = looks([*map(arrow, directions)]), {}, 5.0
    for direction in directions:
        look, part = of[arrow(direction)], chosen(table, "direction", direction)
        x, value = (list(column) for column in zip(*cells(part, "places", "R@1"), strict=True))
        spread = [row[-1].deviation or 0.0 for row in part.rows]
        low, high = ([v + sign * d for v, d in zip(value, spread, strict=True)] for sign in (-1, 1))
        axes.plot(x, value, color=look.colour, linestyle=look.line, marker=look.marker, markersize=4, linewidth=1.2)
        axes.fill_between(x, low, high, color=look.colour, alpha=0.15, linewidth=0)
        ends[arrow(direction)], highest = value[-1], max(highest, *high)
    axes.set_xscale("log")
    ticks = names_in(table, "places")
    axes.set_xticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set(xlabel="training places, %", ylabel="R@1, %", ylim=(0, min(highest * 1.08, 102)))
    axes.grid(axis="y", color=GRID, linewidth=0.5)
    axes.tick_params(labelcolor=FAINT)
    label_ends(axes, ends, of, HEIGHT_IN)
    return drawn.figure
