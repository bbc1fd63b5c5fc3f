"""Map of the drive: where the queries of one method were hit, and where they were missed."""

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from benchmark.report.comparison import arrow
from benchmark.report.figures.style import FAINT, GRID, RIGHT, WRONG, Margins, sheet
from benchmark.report.figures.topics import Sources, Topic, cells, chosen, names_in, queries_of, ranks_of
from benchmark.report.table import Cell, Column, Table, number, text
from datasets.errors import CrossplaceError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = ("id", "traversal", "world", "east_m", "north_m")
"""What is shown of a frame."""
MOST_PANELS = 12
MANY = 400
"""Marks of a panel above which an SVG holds them as a picture."""
HIT, PARTLY, MISSED = "hit in every pair", "hit in some pairs", "missed in every pair"
LOOKS = {MISSED: ("X", WRONG, WRONG, 12), PARTLY: ("D", "white", FAINT, 9), HIT: ("o", RIGHT, RIGHT, 8)}
"""Marker, inside, edge and area of each kind of query, in the order in which they are drawn."""


def numbers(topic: Topic, sources: Sources) -> Table:
    """A line for each direction and frame that asked a counted query, with its position and how often it was hit."""
    assert topic.row is not None
    run = topic.row.runs[0]
    ranks = ranks_of(run, "query_frame", *(f"frame_{name}" for name in COLUMNS))
    rows: list[list[Cell]] = []
    word, value_of = cache(text), cache(number)  # words and places come again in each direction
    for direction in run.result.directions:
        found = queries_of(run, ranks, direction)
        frames, place = np.unique(found["frame"], return_inverse=True)
        asked, hit = np.bincount(place), np.bincount(place, weights=found.is_hit)
        columns = [found.of_frame(name, frames) for name in COLUMNS]
        for *words, east_m, north_m, n_asked, n_hit in zip(*columns, asked, hit, strict=True):
            told = [word(str(each)) for each in words]
            values = [value_of(_finite(float(each))) for each in (east_m, north_m, n_asked, n_hit)]
            rows.append([word(direction), *told, *values])
    if not any(row[4].value is not None and row[5].value is not None for row in rows):
        raise CrossplaceError("its frames have no positions in the plane; prepare the dataset with poses")
    names = ("direction", "frame", "traversal", "world")
    columns_of = [*(Column(name=name) for name in names), Column(name="east", unit="m"), Column(name="north", unit="m")]
    several = f" Seed {run.result.seed} of {len(topic.row.runs)}." if len(topic.row.runs) > 1 else ""
    return Table(
        title=f"Hits and misses on the map · {topic.words}",
        columns=[*columns_of, Column(name="asked", digits=0), Column(name="hit", digits=0)],
        rows=rows,
        notes=[
            "A mark is a query at its place; each is asked in several pairs of traversals. A hit: the nearest frame "
            f"shows the place.{several}"
        ],
    )


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def draw(table: Table, sources: Sources) -> "Figure":
    """A panel a direction; with several maps a panel a map, of the first direction."""
    directions, worlds = names_in(table, "direction"), names_in(table, "world")
    if len(worlds) == 1:
        panels = {arrow(direction): chosen(table, "direction", direction) for direction in directions}
    else:
        first = chosen(table, "direction", directions[0])
        panels = {f"{arrow(directions[0])} · {world}": chosen(first, "world", world) for world in worlds}
    left_out = len(panels) - MOST_PANELS
    notes = [*table.notes, *([f"{left_out} further maps are left out; the data holds all."] if left_out > 0 else [])]
    shown = dict(list(panels.items())[:MOST_PANELS])
    drawn = sheet(
        len(shown),
        title=table.title,
        caption=notes,
        n_columns=2 if len(shown) <= 4 else 3,
        height_in=2.6 if len(shown) <= 4 else 1.8,
        margins=Margins(left=0.15, right=0.15, top=0.32, bottom=0.2),
    )
    for axes, (name, part) in zip(drawn.panels, shown.items(), strict=True):
        _panel(axes, part)
        axes.set_title(name, loc="left")
    marks = [
        drawn.panels[0].scatter([], [], marker=marker, facecolor=inside, edgecolor=edge, s=area, label=kind)
        for kind, (marker, inside, edge, area) in LOOKS.items()
    ]
    drawn.figure.legend(handles=marks, loc="upper right", ncols=3, frameon=False, handletextpad=0.2, columnspacing=1)
    return drawn.figure


def _panel(axes: "Axes", part: Table) -> None:
    found = [row for row in cells(part, "east", "north", "asked", "hit") if row[0] is not None and row[1] is not None]
    east_m, north_m, asked, hit = np.array(found, dtype=float).T
    kinds = np.where(hit == asked, HIT, np.where(hit > 0, PARTLY, MISSED))
    for kind, (marker, inside, edge, area) in LOOKS.items():
        of = kinds == kind
        axes.scatter(
            east_m[of], north_m[of], marker=marker, facecolor=inside, edgecolor=edge, s=area, linewidths=0.4,
            rasterized=len(kinds) > MANY,
        )  # fmt: skip
    axes.set_aspect("equal", adjustable="datalim")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(visible=True, color=GRID)
    _scale_bar(axes, float(np.hypot(np.ptp(east_m), np.ptp(north_m))))


def _scale_bar(axes: "Axes", extent_m: float) -> None:
    """A bar of a round length, a tenth to a quarter of the drive, in the lower left corner."""
    if extent_m <= 0:
        return
    wanted = extent_m / 5
    power = 10.0 ** np.floor(np.log10(wanted))
    length_m = power * max(step for step in (1, 2, 5) if step * power <= wanted)
    axes.apply_aspect()
    (x, right), (y, top) = axes.get_xlim(), axes.get_ylim()
    x, y = x + 0.03 * (right - x), y + 0.04 * (top - y)
    axes.plot([x, x + length_m], [y, y], color=FAINT, linewidth=1.5, solid_capstyle="butt")
    axes.text(x + length_m / 2, y + 0.02 * (top - y), f"{length_m:g} m", ha="center", va="bottom", color=FAINT)
