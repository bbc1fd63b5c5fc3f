"""Cumulative errors of registrars: which share of all queries comes within each error, beside the start as it is."""

from typing import TYPE_CHECKING

from benchmark.evaluation.registration import CURVE_DEG, CURVE_M, THRESHOLDS
from benchmark.records.registration import ErrorRecord
from benchmark.report.figures.style import FAINT, GRID, MOST_SERIES, Look, Margins, label_ends, looks, sheet
from benchmark.report.figures.topics import Sources, Topic, cells, chosen, names_in
from benchmark.report.registration import KEPT, registrar_name
from benchmark.report.table import Cell, Column, Table, number, text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ERRORS = {"translation error": ("m", CURVE_M), "rotation error": ("°", CURVE_DEG)}
"""Panel → its unit, and the errors at which curves are recorded."""
TICKS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
HEIGHT_IN = 1.9


def numbers(topic: Topic, sources: Sources) -> Table:
    """A line for each registrar and error."""
    first = topic.record[0].all
    rows = _lines(KEPT, first.start)
    for record in topic.record:
        rows += _lines(registrar_name(record), record.all.end)
    limits = ", ".join(threshold.name for threshold in THRESHOLDS)
    notes = [
        "Of all queries; one without a pose counts as infinitely wrong, so that a curve may end below 100 %. Dotted: "
        f"the limits of recall ({limits}), which need both errors."
    ]
    names = (Column(name="registrar"), Column(name="error"), Column(name="unit"))
    columns = [*names, Column(name="at most", digits=3), Column(name="share", unit="%")]
    return Table(title=f"Errors of registration · {topic.words}", columns=columns, rows=rows, notes=notes)


def _lines(name: str, errors: ErrorRecord) -> list[list[Cell]]:
    shares = {"translation error": errors.curve_m, "rotation error": errors.curve_deg}
    return [
        [text(name), text(error), text(unit), number(at), number(100 * share)]
        for error, (unit, limits) in ERRORS.items()
        for at, share in zip(limits, shares[error], strict=True)
    ]


def draw(table: Table, sources: Sources) -> "Figure":
    """A panel for each error, a curve a registrar, the start in grey."""
    names = [name for name in names_in(table, "registrar") if name != KEPT][:MOST_SERIES]
    of = {**looks(names), KEPT: Look(colour=FAINT, marker=".", line=(0, (1, 2)))}
    drawn = sheet(
        len(ERRORS),
        title=table.title,
        caption=table.notes,
        height_in=HEIGHT_IN,
        margins=Margins(left=0.5, right=1.05, top=0.3, bottom=0.42),
    )
    for place, (axes, (error, (unit, limits))) in enumerate(zip(drawn.panels, ERRORS.items(), strict=True)):
        part, ends = chosen(table, "error", error), {}
        for name in [*names, KEPT]:
            points = [
                (float(at), float(share)) for at, share in cells(chosen(part, "registrar", name), "at most", "share")
            ]
            at, share = zip(*points, strict=True)
            axes.plot(at, share, color=of[name].colour, linestyle=of[name].line, linewidth=1.3)
            ends[name] = share[-1]
        for threshold in THRESHOLDS:
            limit = threshold.translation_m if unit == "m" else threshold.rotation_deg
            axes.axvline(limit, color=FAINT, linewidth=0.6, linestyle=(0, (1, 2)))
        axes.set(xscale="log")
        axes.minorticks_off()
        axes.set_xticks(TICKS, labels=[f"{tick:g}" for tick in TICKS])
        axes.set(xlim=(limits[0], limits[-1]), ylim=(0, 102))
        axes.grid(axis="y", color=GRID, linewidth=0.5)
        axes.set_xlabel(f"{error}, {unit}")
        axes.set_ylabel("share of queries, %" if drawn.is_left(place) else "")
        label_ends(axes, ends, of, HEIGHT_IN)
    return drawn.figure
