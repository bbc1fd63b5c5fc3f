"""Recall between each two traversals, as a matrix: which drives find each other."""

from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np
from numpy import ndarray

from benchmark.report.comparison import FIRST, conditions_among
from benchmark.report.figures.style import FAINT, MOST_SERIES, WIDE_LETTER_IN, Margins, Sheet, sheet, short
from benchmark.report.figures.topics import MethodRow, Sources, Topic, cells, chosen, names_in
from benchmark.report.table import Column, Table, number, text
from datasets.errors import CrossplaceError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh
    from matplotlib.figure import Figure

FEW = 8
"""Most traversals whose values are written into the cells, and whose names stand beside them."""
COLOURS = "cividis"


def numbers(topic: Topic, sources: Sources) -> Table:
    """A line for each method and ordered pair of traversals: mean over seeds.

    Raises:
        CrossplaceError: one pair makes no matrix.
    """
    rows, conditions = [], conditions_among(result for row in topic.rows for result in row.results)
    for row in topic.rows:
        for (query, database), value in _values(row, topic.direction).items():
            told = [text(query), text(conditions.get(query, "")), text(database), text(conditions.get(database, ""))]
            rows.append([text(row.label), *told, number(value, reason="no query counts")])
    if len({(content[1].words, content[3].words) for content in rows}) < 2:
        raise CrossplaceError("one pair of traversals makes no matrix; its recall stands in the table of recall")
    notes = [f"Recall@1 of the pairs of traversals: a line asks, a column is searched. {_named(conditions)}"]
    if len(topic.rows) > MOST_SERIES:
        notes.append(f"Drawn are the best {MOST_SERIES} of {len(topic.rows)} methods; the data beside it holds all.")
    names = ("method", "query", "query condition", "database", "database condition")
    return Table(
        title=f"Traversal pairs · {topic.words}",
        columns=[*(Column(name=name) for name in names), Column(name=FIRST, unit="%")],
        rows=rows,
        notes=notes,
    )


def _named(conditions: dict[str, str]) -> str:
    if conditions:
        is_told = all(condition in name for name, condition in conditions.items())
        return "Names tell the condition." if is_told else "Conditions stand in brackets."
    return "Conditions are not known here, because results of older versions do not say them."


def _values(row: MethodRow, direction: str) -> dict[tuple[str, str], float | None]:
    """Mean over seeds in percent by pair; none where no query of the pair counts."""
    found: dict[tuple[str, str], list[float | None]] = {}
    for result in row.results:
        for pair in result.directions[direction].pairs if direction in result.directions else ():
            found.setdefault((pair.query, pair.database), []).append(pair.values.get(FIRST))
    means = {}
    for pair_names, values in found.items():
        known = [100 * value for value in values if value is not None]
        means[pair_names] = fmean(known) if known else None
    return means


def draw(table: Table, sources: Sources) -> "Figure":
    """A panel a method, all with the same colours; values are written where they are few."""
    methods = names_in(table)[:MOST_SERIES]
    asking, found = (list(dict.fromkeys(cells(table, side, f"{side} condition"))) for side in ("query", "database"))
    searched = [*(name for name in asking if name in found), *(name for name in found if name not in asking)]
    is_few = max(len(asking), len(searched)) <= FEW
    drawn = sheet(
        len(methods),
        title=table.title,
        caption=table.notes,
        n_columns=4 if len(searched) <= 4 or not is_few else 3,
        height_in=max(0.2 * len(asking), 0.6) if is_few else 1.1,
        margins=Margins(left=0.06, right=0.06, top=0.3, bottom=0.08),
        names_in=(1.0, 0.95, 0.0) if is_few else (0.2, 0.2, 0.0),
    )
    known = [value for (value,) in cells(table, FIRST) if value is not None]
    top = max([1.0, *known])
    for panel, name in enumerate(methods):
        axes = drawn.panels[panel]
        axes.set_title(short(name, int(drawn.panel_in[0] / WIDE_LETTER_IN)), loc="left")
        recall = {(q, d): v for q, d, v in cells(chosen(table, "method", name), "query", "database", FIRST)}
        values = np.array([[_number(recall.get((q, d))) for d, _ in searched] for q, _ in asking])
        image = _matrix(axes, values, top, is_written=is_few)
        _name(axes, asking, searched, drawn, panel, is_few=is_few)
    height_in = drawn.figure.get_size_inches()[1]
    bar = drawn.figure.add_axes((0.74, 1 - 0.17 / height_in, 0.2, 0.08 / height_in))
    drawn.figure.colorbar(image, cax=bar, orientation="horizontal", ticks=[0, top], format=lambda v, _: f"{v:.0f} %")
    bar.tick_params(length=0, pad=1)
    return drawn.figure


def _number(value: float | None) -> float:
    return np.nan if value is None else value


def _matrix(axes: "Axes", values: ndarray, top: float, *, is_written: bool) -> "QuadMesh":
    """One matrix; a pair that was not asked stays empty."""
    axes.spines[:].set_visible(False)
    axes.set_facecolor("#f2f2f2")
    image = axes.pcolormesh(values, cmap=COLOURS, vmin=0, vmax=top, edgecolors="white", linewidth=0.4)
    axes.set_ylim(len(values), 0)
    if is_written:
        for (line, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                ink = "white" if value < 0.55 * top else "black"
                axes.text(column + 0.5, line + 0.5, f"{value:.0f}", ha="center", va="center", color=ink)
    return image


def _name(
    axes: "Axes",
    queries: list[tuple[str, str | None]],
    databases: list[tuple[str, str | None]],
    drawn: Sheet,
    panel: int,
    *,
    is_few: bool,
) -> None:
    """Names of traversals at the outer panels, or only how many there are."""
    axes.set(xticks=[], yticks=[])
    if not is_few:
        axes.set_ylabel(f"{len(queries)} ask" if drawn.is_left(panel) else "", color=FAINT)
        axes.set_xlabel(f"{len(databases)} are searched" if drawn.is_lowest(panel) else "", color=FAINT)
        return
    if drawn.is_left(panel):
        axes.set_yticks(np.arange(len(queries)) + 0.5, labels=[_words(*name) for name in queries])
    if drawn.is_lowest(panel):
        axes.set_xticks(np.arange(len(databases)) + 0.5, labels=[_words(*name) for name in databases], rotation=90)
    axes.tick_params(length=0)


def _words(name: str, condition: str | None) -> str:
    """A name with its condition, unless it says it itself."""
    if not condition or condition in name:
        return short(name, 15)
    return f"{short(name, 15)}\n({short(condition, 13)})"
