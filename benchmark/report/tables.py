"""Tables of a comparison: recall by direction, and cost."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from benchmark.evaluation.metrics import METRICS
from benchmark.evaluation.significance import Difference
from benchmark.records.leaderboard import Entry
from benchmark.report.comparison import (
    BOUNDS,
    FIRST,
    Comparison,
    Shared,
    arrow,
    footnotes,
    preset_of,
    shared_words,
    title,
)
from benchmark.report.screen import paragraphs, screen
from benchmark.report.table import Cell, Column, Table, number, parts, text

DIRTY = "files of the suite were changed"
"""What a row says whose numbers were measured with files that differ from the suite's revision."""
USUAL = "quick"
"""The preset that tables leave out where methods need a name of one word."""


def recall_table(comparison: Comparison, metric: str) -> Table:
    """One metric: a row a method, a column a direction."""
    columns = [Column(name="method"), *(Column(name=arrow(d), better="higher") for d in comparison.directions)]
    shared = shared_words(comparison.entries)
    directions = comparison.directions
    rows = [
        [name_cell(entry, shared), *(_judged_cell(comparison, entry, direction, metric) for direction in directions)]
        for entry in comparison.entries
    ]
    rows += [[text(name), text("no result"), *[Cell()] * (len(columns) - 2)] for name in comparison.holes]
    notes = [_bounds(comparison, metric)] if comparison.bounds else []
    return Table(title=METRICS[metric].title, columns=columns, rows=rows, notes=notes)


def further_table(comparison: Comparison) -> Table:
    """All further metrics: a row a method, a column a direction, the values in one cell."""
    names = [name for name in METRICS if name != FIRST]
    columns = [Column(name="method"), *(Column(name=arrow(d)) for d in comparison.directions)]
    rows = []
    for entry in comparison.entries:
        values = [[_one(entry, d, name) for name in names] for d in comparison.directions]
        rows.append([text(named(entry)), *(text(" / ".join(cell)) for cell in values)])
    return Table(title=f"{' / '.join(names)}, %", columns=columns, rows=rows)


def _one(entry: Entry, direction: str, metric: str) -> str:
    return parts(recall_cell(entry, direction, metric, ends=False), Column(name=metric))[0]


def cost_tables(comparison: Comparison) -> list[Table]:
    """What each method costs: a table for each machine, because times of two machines cannot be compared."""
    machines: dict[str, list[Entry]] = {}
    for entry in comparison.entries:
        if entry.cost:
            machines.setdefault(entry.machine, []).append(entry)
    return [_cost_table(machine, measured) for machine, measured in machines.items()]


def _cost_table(machine: str, entries: Sequence[Entry]) -> Table:
    units = {name: n.unit for entry in entries for name, n in entry.cost.items()}
    columns = [Column(name="method"), *(Column(name=name, unit=unit, better="lower") for name, unit in units.items())]
    rows = [[text(named(e)), *(number(e.cost[n].value if n in e.cost else None) for n in units)] for e in entries]
    note = "Median time at batch 1, preprocessing and network, loading not counted."
    return Table(title=f"Cost on {machine}", columns=columns, rows=rows, notes=[note])


def difference_table(differences: Mapping[str, Difference], depth: int, title: str = "") -> Table:
    """Recall of some runs minus that of others, a row a direction."""
    columns = [
        Column(name="direction"),
        Column(name=f"R@{depth} difference, percentage points", is_signed=True),
        Column(name="p", digits=4),
        Column(name="over"),
    ]
    rows = [
        [
            text(arrow(direction)),
            Cell(value=100 * d.value, low=100 * d.interval.low, high=100 * d.interval.high),
            number(d.p_value),
            text(d.unit),
        ]
        for direction, d in differences.items()
    ]
    over = "traversals" if all(d.unit.endswith("traversals") for d in differences.values()) else "places"
    note = (
        f"[Paired 95 % interval over {over}]; p: chance of such a difference, or a larger one, between equal methods."
    )
    return Table(title=title, columns=columns, rows=rows, notes=[note])


def tables_of(comparison: Comparison) -> list[Table]:
    """Everything that is shown of a comparison, in order."""
    return [recall_table(comparison, FIRST), further_table(comparison), *cost_tables(comparison)]


def named(entry: Entry) -> str:
    """Method, and its preset unless it is the usual one, in one line."""
    preset = preset_of(entry)
    origin = entry.origin if entry.origin in ("untrained", "given") else ""
    return " ".join(filter(None, [entry.method, "" if preset == USUAL else preset, origin]))


def name_cell(entry: Entry, shared: Shared) -> Cell:
    """The method, and below it how it was configured and what made its weights, but for what all rows share."""
    seeds = f"{len(entry.seeds)} seeds" if len(entry.seeds) > 1 else ""
    if entry.origin in ("trained", "untrained") and not seeds:
        seeds = f"seed {entry.seeds[0]}"
    origin = entry.origin if entry.origin in ("untrained", "given", "shipped", "foreign") else ""
    published_here = "published here" if entry.is_published else ""
    dirty = DIRTY if entry.is_dirty else ""
    configured = [
        preset_of(entry),
        entry.perturbation,
        seeds,
        origin,
        *entry.learnt,
        share_words(entry),
        dirty,
        published_here,
    ]
    return text(entry.method, ", ".join(words for words in configured if words and words not in shared))


def share_words(entry: Entry) -> str:
    """Which part of the schedule was done; nothing for the whole and for what was not trained."""
    done = " to ".join(dict.fromkeys(map(str, entry.shares)))
    return f"{done} % of schedule" if done not in ("", "100") else ""


def recall_cell(entry: Entry, direction: str, metric: str, *, ends: bool = True) -> Cell:
    """A value in percent, with its interval or spread unless ``ends`` are left out."""
    found = entry.recall.get(direction, {}).get(metric)
    if found is None:
        return Cell()
    low, high = (found.low, found.high) if ends else (None, None)
    return Cell(value=found.value, low=low, high=high, deviation=found.deviation if ends else None)


def mean_cell(entry: Entry, direction: str, metric: str) -> Cell:
    """A value in percent with the spread between seeds and without an interval."""
    return replace(recall_cell(entry, direction, metric), low=None, high=None)


def _judged_cell(comparison: Comparison, entry: Entry, direction: str, metric: str) -> Cell:
    """A value with its letters and its mark, which the first metric alone has."""
    cell, verdicts = recall_cell(entry, direction, metric), comparison.verdicts.get(direction)
    if metric != FIRST or verdicts is None or cell.value is None:
        return cell
    return replace(cell, letters=verdicts.letters.get(entry.runs, ""), mark=verdicts.marks.get(entry.runs, ""))


def _bounds(comparison: Comparison, metric: str) -> str:
    """The bounds in one line; a bound that is the same in all directions is said once."""
    column, found = Column(name=metric), []
    for entry in sorted(comparison.bounds, key=lambda entry: list(BOUNDS).index(entry.method)):
        values = [column.number(v.value) for d in comparison.directions if (v := entry.recall.get(d, {}).get(metric))]
        found.append(f"{BOUNDS[entry.method]} {' / '.join(values if len(set(values)) > 1 else values[:1])}")
    return f"Bounds of {metric}: {'; '.join(found)}."


def as_text(comparison: Comparison, width: int | None = None) -> str:
    """What ``bench`` prints: a sentence, the tables, and how to read them."""
    sentence = comparison.sentence()
    above = [*([sentence, ""] if sentence else []), title(comparison.board)]
    tables = [screen(table, width) for table in tables_of(comparison)]
    return "\n".join([paragraphs(above, width), *tables, paragraphs(footnotes(comparison), width)])
