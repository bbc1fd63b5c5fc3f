"""Robustness: recall against the severity of each perturbation, from a study."""

import textwrap
from typing import TYPE_CHECKING

from benchmark.records.study import LineRecord
from benchmark.report.comparison import arrow
from benchmark.report.figures.style import FAINT, GRID, Margins, label_ends, looks, sheet, short
from benchmark.report.figures.topics import Sources, Topic, chosen, content, names_in
from benchmark.report.table import Cell, Column, Table, mean_of, number, text
from datasets.errors import CrossplaceError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

UNCHANGED = "none"
FEWEST = 2
"""Fewest severities of a curve."""


def numbers(topic: Topic, sources: Sources) -> Table:
    """A line for each perturbation, its strength and direction; first the frames as recorded.

    Raises:
        CrossplaceError: a study whose lines have no strength, such as an ablation.
    """
    record = topic.record
    by_question: dict[str, list[tuple[float, LineRecord]]] = {}
    for line in record.lines:
        if line.question and (strength := _strength(line.name)) is not None:
            by_question.setdefault(line.question, []).append((strength, line))
    if not any(len(lines) >= FEWEST for lines in by_question.values()):
        raise CrossplaceError(
            f"the lines of the study {record.study} are no severities, so that they make no curve; "
            "crossplace study robustness makes one whose lines are"
        )
    rows = [
        [text(UNCHANGED), Cell(), text(direction), _mean(line, direction)]
        for line in record.lines
        if not line.question
        for direction in line.recall
    ]
    failed = []
    for question, lines in by_question.items():
        for strength, line in sorted(lines, key=lambda found: found[0]):
            failed += [f"{line.name} failed: {line.error}"] if line.error else []
            rows += [[text(question), number(strength), text(d), _mean(line, d)] for d in line.recall]
    columns = [Column(name="perturbation"), Column(name="strength", digits=3), Column(name="direction")]
    bands = "Bands: ± one standard deviation between seeds. " if len(record.seeds) > 1 else ""
    notes = [f"{bands}Dotted: frames as recorded. Each panel has the strength in the unit of its title.", *failed]
    return Table(
        title=f"Recall@1 against severity · {topic.words}",
        columns=[*columns, Column(name="R@1", unit="%")],
        rows=rows,
        notes=notes,
    )


def _strength(name: str) -> float | None:
    """The number at the end of the name of a line, as in ``range-noise 0.1``."""
    try:
        return float(name.rpartition(" ")[2])
    except ValueError:
        return None


def _mean(line: LineRecord, direction: str) -> Cell:
    return mean_of((100 * value for value in line.recall.get(direction, ())), line.error or "no result")


def draw(table: Table, sources: Sources) -> "Figure":
    """A panel a perturbation, a curve a direction."""
    kinds = [name for name in names_in(table, "perturbation") if name != UNCHANGED]
    directions = names_in(table, "direction")
    drawn = sheet(
        len(kinds),
        title=table.title,
        caption=table.notes,
        height_in=1.5,
        margins=Margins(left=0.5, right=1.15, top=0.35, bottom=0.42),
    )
    base = chosen(table, "perturbation", UNCHANGED)
    for place, (axes, kind) in enumerate(zip(drawn.panels, kinds, strict=True)):
        _panel(axes, chosen(table, "perturbation", kind), base, directions)
        axes.set_title("\n".join(textwrap.wrap(short(kind, 96), 48)), loc="left", fontsize=8)
        axes.set_ylabel("R@1, %" if drawn.is_left(place) else "")
    return drawn.figure


def _panel(axes: "Axes", part: Table, base: Table, directions: list[str]) -> None:
    of = looks([arrow(direction) for direction in directions])
    ends, highest = {}, 5.0
    for direction in directions:
        look = of[arrow(direction)]
        found = [(content(row[1]), row[-1]) for row in chosen(part, "direction", direction).rows]
        known = [(x, cell.value, cell.deviation or 0) for x, cell in found if cell.value is not None]
        for cell in (row[-1] for row in chosen(base, "direction", direction).rows):
            if cell.value is not None:
                axes.axhline(cell.value, color=look.colour, linewidth=0.8, linestyle=(0, (1, 2)))
                highest = max(highest, cell.value)
        if not known:
            continue
        x, value, deviation = (list(column) for column in zip(*known, strict=True))
        axes.plot(
            x, value, color=look.colour, linestyle=look.line, marker=look.marker, markersize=4, linewidth=1.2,
        )  # fmt: skip
        low, high = ([v + sign * d for v, d in zip(value, deviation, strict=True)] for sign in (-1, 1))
        axes.fill_between(x, low, high, color=look.colour, alpha=0.15, linewidth=0)
        ends[arrow(direction)], highest = value[-1], max(highest, *high)
    axes.set_ylim(0, min(highest * 1.08, 102))
    axes.grid(axis="y", color=GRID, linewidth=0.5)
    axes.tick_params(labelcolor=FAINT)
    label_ends(axes, ends, of, 1.5)
