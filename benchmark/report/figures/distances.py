"""Descriptor distances of right and wrong frames: whether a threshold could tell them apart."""

from typing import TYPE_CHECKING

import numpy as np
from numpy import ndarray

from benchmark.report.figures.style import FAINT, GRID, MOST_SERIES, RIGHT, WRONG, Margins, say, sheet, short
from benchmark.report.figures.topics import (
    CountedQueries,
    MethodRow,
    Sources,
    Topic,
    cells,
    chosen,
    names_in,
    queries_of,
    ranks_of,
)
from benchmark.report.table import Cell, Column, Table, number, text
from datasets.errors import CrossplaceError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = ("query_top_distance", "query_best_positive_distance", "query_best_negative_distance")
SHARES = {"5 %": 5, "25 %": 25, "median": 50, "75 %": 75, "95 %": 95}
KINDS = {
    "nearest right frame": True,
    "nearest wrong frame": False,
    "first frame, if right": True,
    "first frame, if wrong": False,
}
"""Kinds of distances, and whether they are of right frames."""


def numbers(topic: Topic, sources: Sources) -> Table:
    """A line for each method and kind of distance: how many there are, and their quantiles. One seed a method.

    Raises:
        CrossplaceError: no method has distances.
    """
    rows: list[list[Cell]] = []
    missing: dict[str, list[str]] = {}
    for row in topic.rows:
        try:
            rows += _lines(row, topic.direction)
        except CrossplaceError as error:
            missing.setdefault(str(error), []).append(row.label)
    if not rows:
        raise CrossplaceError(next(iter(missing)))
    notes = [
        "Boxes: 25 to 75 %, with the median; lines: 5 to 95 % of the queries. One seed a method; each method has its "
        "own scale. The more boxes of right and wrong overlap, the less can a threshold tell them apart.",
        *(f"Without {', '.join(map(short, names))}: {reason}." for reason, names in missing.items()),
    ]
    columns = [Column(name="method"), Column(name="distance to"), Column(name="queries", digits=0)]
    return Table(
        title=f"Descriptor distances · {topic.words}",
        columns=[*columns, *(Column(name=name, digits=4) for name in SHARES)],
        rows=rows,
        notes=notes,
    )


def _lines(row: MethodRow, direction: str) -> list[list[Cell]]:
    run = row.runs[0]
    found = queries_of(run, ranks_of(run, *COLUMNS), direction)
    return [
        [text(row.label), text(kind), number(len(values)), *map(number, _quantiles(values))]
        for kind, values in _distances(found).items()
    ]


def _distances(found: CountedQueries) -> dict[str, ndarray]:
    """Finite distances of each kind, in full precision."""
    first, is_hit = found["top_distance"][:, 0], found.is_hit
    values = [found["best_positive_distance"], found["best_negative_distance"], first[is_hit], first[~is_hit]]
    widened = [column.astype(np.float64) for column in values]
    return {kind: column[np.isfinite(column)] for kind, column in zip(KINDS, widened, strict=True)}


def _quantiles(values: ndarray) -> list[float | None]:
    return [float(np.percentile(values, share)) if len(values) else None for share in SHARES.values()]


def draw(table: Table, sources: Sources) -> "Figure":
    """A panel a method with a box for each kind of distance: filled where the frame is right, hatched where wrong."""
    methods = names_in(table)[:MOST_SERIES]
    drawn = sheet(
        len(methods),
        title=table.title,
        caption=table.notes,
        height_in=0.8,
        margins=Margins(left=0.15, right=0.15, top=0.28, bottom=0.3),
        names_in=(1.2, 0.15, 0.0),
    )
    for number_of, (axes, name) in enumerate(zip(drawn.panels, methods, strict=True)):
        axes.set_title(short(name), loc="left")
        _boxes(axes, chosen(table, "method", name))
        axes.set_yticks(range(len(KINDS)), labels=KINDS if drawn.is_left(number_of) else [""] * len(KINDS))
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("distance" if drawn.is_lowest(number_of) else "")
    return drawn.figure


def _boxes(axes: "Axes", part: Table) -> None:
    found = cells(part, "distance to", *SHARES)
    known = [value for _, *values in found for value in values if value is not None]
    if not known:
        say(axes, "no finite distance")
        return
    low, high = min(known), max(known)
    room = (high - low) or 1.0
    axes.set(xlim=(low - 0.05 * room, high + 0.05 * room), ylim=(len(found) - 0.5, -0.5))
    axes.spines["left"].set_visible(False)
    axes.locator_params(axis="x", nbins=6)
    axes.grid(axis="x", color=GRID, linewidth=0.5)
    for place, (kind, *values) in enumerate(found):
        if values[0] is None:
            axes.text(low, place, "none", va="center", color=FAINT)
            continue
        first, left, middle, right, last = values
        colour, hatch = (RIGHT, "") if KINDS[kind] else (WRONG, "/////")
        axes.plot([first, last], [place, place], color=colour, linewidth=1)
        inside = colour if KINDS[kind] else "white"
        axes.barh(
            place, max(right - left, room / 200), 0.55, left, facecolor=inside, edgecolor=colour, hatch=hatch,
            linewidth=0.8, zorder=2,
        )  # fmt: skip
        axes.plot([middle, middle], [place - 0.4, place + 0.4], color="black", linewidth=1.6, zorder=3)
