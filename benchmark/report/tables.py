"""Which tables there are: recall by direction, cost, and what stands around them. ``formats`` says how they look."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmark.evaluation.metrics import METRICS
from benchmark.evaluation.significance import Difference
from benchmark.records.leaderboard import Board, Entry, merged, published
from benchmark.records.schema import RESULT, Result
from benchmark.report.formats import markdown, paragraphs, screen
from benchmark.report.table import Cell, Column, Table, number, parts, text
from datasets.files import write_atomically

FIRST = "R@1"
"""The metric that rows are sorted by, and that the first table shows."""
BOUNDS = {"random": "by chance (exact expectation)", "constant": "constant descriptors", "oracle": "oracle"}
"""Rankers of the harness, as the line below a table calls them."""
FOUND = {"image": "the place of {value} % of the images", "cloud": "the place of {value} % of the clouds"}


SCRATCH = "scratch"
"""Word for training without a pretrained backbone."""
Shared = Mapping[str, str]
"""Words that all rows have in common, and the notes that say them once."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Rows under one protocol on one dataset, with what bounds them."""

    board: Board
    entries: Sequence[Entry]
    """Rows of methods, best first."""
    bounds: Sequence[Entry]
    warnings: Sequence[str] = ()
    holes: Mapping[str, str] = field(default_factory=dict)
    """Methods without a result, with the reason."""

    @classmethod
    def of(
        cls, results: Sequence[Result], *, alone: bool = False, holes: Mapping[str, str] | None = None
    ) -> "Comparison":
        """The rows of ``results`` and, unless ``alone``, the published rows of other methods on the same board."""
        board = Board.of(results[0])
        entries = [Entry.of(result) for result in results]
        own = [entry for entry in entries if entry.origin != "ranker"]
        names = {(entry.method, entry.preset, entry.variant) for entry in own}
        others = [] if alone or any(entry.perturbation for entry in own) else published(board)
        own += [entry for entry in others if (entry.method, entry.preset, entry.variant) not in names]
        first = next(iter(entries[0].recall))
        return cls(
            board=board,
            entries=sorted(own, key=lambda entry: -entry.percent(first, FIRST)),
            bounds=[entry for entry in entries if entry.origin == "ranker"],
            warnings=list(dict.fromkeys(warning for result in results for warning in result.warnings)),
            holes=holes or {},
        )

    @property
    def directions(self) -> list[str]:
        """Directions of any row, in the order of the first."""
        return list(dict.fromkeys(direction for entry in self.entries for direction in entry.recall))

    def sentence(self) -> str:
        """What the first row of this machine found, in words."""
        own = next((entry for entry in self.entries if not entry.is_published), None)
        if own is None:
            return ""
        direction = self.directions[0]
        value = own.percent(direction, FIRST)
        if value < 0:
            return ""
        what = FOUND[direction.split("->")[0]].format(value=f"{value:.1f}")
        chance = next((entry for entry in self.bounds if entry.method == "random"), None)
        beside = f"; by chance {chance.percent(direction, FIRST):.1f} %" if chance else ""
        return f"{own.method} finds {what} at first try{beside}."


def means_over_seeds(comparison: Comparison) -> Comparison:
    """The same comparison with a row for each configuration: means over seeds, best first."""
    first = comparison.directions[0]
    entries = sorted(merged(comparison.entries), key=lambda entry: -entry.percent(first, FIRST))
    return replace(comparison, entries=entries)


# --- tables --------------------------------------------------------------------------------------


def recall_table(comparison: Comparison, metric: str) -> Table:
    """One metric: a row a method, a column a direction."""
    columns = [Column(name="method"), *(Column(name=_arrow(d)) for d in comparison.directions)]
    shared = _shared(comparison.entries)
    rows = [[_name(e, shared), *(recall_cell(e, d, metric) for d in comparison.directions)] for e in comparison.entries]
    rows += [[text(name), text("no result"), *[Cell()] * (len(columns) - 2)] for name in comparison.holes]
    notes = [_bounds(comparison, metric)] if comparison.bounds else []
    return Table(title=METRICS[metric].title, columns=columns, rows=rows, notes=notes)


def further_table(comparison: Comparison) -> Table:
    """All further metrics: a row a method, a column a direction, the values in one cell."""
    names = [name for name in METRICS if name != FIRST]
    columns = [Column(name="method"), *(Column(name=_arrow(d)) for d in comparison.directions)]
    rows = []
    for entry in comparison.entries:
        values = [[_one(entry, d, name) for name in names] for d in comparison.directions]
        rows.append([text(entry.method), *(text(" / ".join(cell)) for cell in values)])
    return Table(title=f"{' / '.join(names)}, %", columns=columns, rows=rows)


def _one(entry: Entry, direction: str, metric: str) -> str:
    return parts(recall_cell(entry, direction, metric, ends=False), Column(name=metric))[0]


def cost_table(comparison: Comparison) -> Table | None:
    """What each method costs; none if nothing was measured."""
    measured = [entry for entry in comparison.entries if entry.cost]
    if not measured:
        return None
    units = {name: n.unit for entry in measured for name, n in entry.cost.items()}
    columns = [Column(name="method"), *(Column(name=name, unit=unit) for name, unit in units.items())]
    rows = [[text(e.method), *(number(e.cost[n].value if n in e.cost else None) for n in units)] for e in measured]
    machines = "; ".join(dict.fromkeys(entry.machine for entry in measured))
    note = f"Cost: median time at batch 1, preprocessing and network, loading not counted. Measured on {machines}."
    return Table(title="Cost", columns=columns, rows=rows, notes=[note])


def difference_table(differences: Mapping[str, Difference], depth: int) -> Table:
    """Recall of some runs minus that of others, a row a direction."""
    columns = [Column(name="direction"), Column(name=f"R@{depth} difference, percentage points", is_signed=True)]
    rows = [
        [text(_arrow(direction)), Cell(value=100 * d.value, low=100 * d.interval.low, high=100 * d.interval.high)]
        for direction, d in differences.items()
    ]
    note = (
        "[Paired 95 % interval over map blocks of 50 m]; an interval without 0 says that one is better than the other."
    )
    return Table(columns=columns, rows=rows, notes=[note])


def tables_of(comparison: Comparison) -> list[Table]:
    """Everything that is shown of a comparison, in order."""
    cost = cost_table(comparison)
    return [recall_table(comparison, FIRST), further_table(comparison), *([cost] if cost else [])]


def _arrow(direction: str) -> str:
    return direction.replace("->", "→")


def _name(entry: Entry, shared: Shared) -> Cell:
    """The method, and below it how it was configured and what made its weights, but for what all rows share."""
    seeds = f"{len(entry.seeds)} seeds" if len(entry.seeds) > 1 else ""
    if entry.origin in ("trained", "untrained") and not seeds:
        seeds = f"seed {entry.seeds[0]}"
    origin = entry.origin if entry.origin in ("untrained", "given", "shipped", "foreign") else ""
    published_here = "published here" if entry.is_published else ""
    done = " to ".join(dict.fromkeys(map(str, entry.shares)))
    share = f"{done} % of schedule" if done not in ("", "100") else ""
    configured = [_preset(entry), entry.perturbation, seeds, origin, *entry.learnt, share, published_here]
    return text(entry.method, ", ".join(words for words in configured if words and words not in shared))


def _preset(entry: Entry) -> str:
    return "+".join(filter(None, [entry.preset, entry.variant]))


def _shared(entries: Sequence[Entry]) -> Shared:
    """What stands in a note instead of in every row: the preset, and that no training began with other weights."""
    found = {}
    presets = {_preset(entry) for entry in entries if entry.preset}
    if len(presets) == 1:
        (preset,) = presets
        found[preset] = f"All methods with the preset {preset}"
    trained = [entry.learnt for entry in entries if entry.shares]
    if trained and all(SCRATCH in learnt for learnt in trained):
        found[SCRATCH] = "trained from scratch: no pretrained backbone"
    return found


def recall_cell(entry: Entry, direction: str, metric: str, *, ends: bool = True) -> Cell:
    """A value in percent, with its interval or spread unless ``ends`` are left out."""
    found = entry.recall.get(direction, {}).get(metric)
    if found is None:
        return Cell()
    low, high = (found.low, found.high) if ends else (None, None)
    return Cell(value=found.value, low=low, high=high, is_spread=len(entry.seeds) > 1)


def _bounds(comparison: Comparison, metric: str) -> str:
    """The bounds in one line; a bound that is the same in all directions is said once."""
    column, found = Column(name=metric), []
    for entry in sorted(comparison.bounds, key=lambda entry: list(BOUNDS).index(entry.method)):
        values = [column.number(v.value) for d in comparison.directions if (v := entry.recall.get(d, {}).get(metric))]
        found.append(f"{BOUNDS[entry.method]} {' / '.join(values if len(set(values)) > 1 else values[:1])}")
    return f"Bounds of {metric}: {'; '.join(found)}."


# --- what stands around them ---------------------------------------------------------------------


def stand_in_note(is_real: bool) -> str:
    """What the title of a table on generated data must say."""
    return "" if is_real else " · procedural stand-in, never to be compared with real data"


def marks(protocol: Mapping[str, object]) -> str:
    """What keeps numbers under ``protocol`` from being what its name promises."""
    absent = protocol["absent"]
    assert isinstance(absent, list | tuple)
    found = []
    if protocol["smoke"]:
        found.append("SMOKE RUN: recall means nothing")
    if absent:
        found.append(f"PARTIAL: {len(absent)} test traversals are absent")
    if not protocol["is_ranked"]:
        found.append("NOT RANKED: too few queries")
    return "".join(f" · {mark}" for mark in found)


def title(board: Board) -> str:
    """What every number of a comparison shares."""
    protocol = board.protocol
    named = f"{board.dataset} · {protocol['name']} v{protocol['version']}"
    return named + stand_in_note(board.is_real) + marks(protocol)


def footnotes(comparison: Comparison) -> list[str]:
    """How to read the numbers, and every warning of the results."""
    protocol, entries = comparison.board.protocol, comparison.entries
    headline = "mean over ordered traversal pairs" if protocol["averaging"] == "pairs" else "all queries pooled"
    counted = "; ".join(dict.fromkeys(f"{e.n_counted} of {e.n_queries}" for e in entries))
    left_out = "count as misses" if protocol["no_positive"] == "miss" else "are left out"
    notes = [
        f"Recall in %: {headline}. [95 % interval over map blocks of 50 m]; (least to greatest of several seeds).",
        f"Queries: {counted} counted; queries without a right answer in the database {left_out}.",
    ]
    if any(entry.perturbation for entry in entries):
        notes.append(
            "Perturbation: frames of its modality are changed, on whichever side they are. Among frames of one "
            "modality the queries alone are changed (docs/robustness.md)."
        )
    if not protocol["is_ranked"]:
        n = max((entry.n_counted for entry in entries), default=0)
        notes.append(
            f"One query of the {n} is {100 / max(n, 1):.1f} percentage points: this table must not rank methods."
        )
    if shared := _shared(entries):
        notes.append(f"{'; '.join(shared.values())}.")
    notes += [f"No result of {name}: {reason}" for name, reason in comparison.holes.items()]
    return [*notes, *comparison.warnings]


def as_text(comparison: Comparison, width: int | None = None) -> str:
    """What ``bench`` prints: a sentence, the tables, and how to read them."""
    sentence = comparison.sentence()
    above = [*([sentence, ""] if sentence else []), title(comparison.board)]
    tables = [screen(table, width) for table in tables_of(comparison)]
    return "\n".join([paragraphs(above, width), *tables, paragraphs(footnotes(comparison), width)])


# --- committed results ---------------------------------------------------------------------------


def grouped(results_folder: Path) -> list[list[Result]]:
    """Every result below a folder, those of one board together; by method and variant, clean before perturbed."""
    results = [Result.read(path.parent) for path in sorted(results_folder.rglob(RESULT))]
    groups: dict[tuple[str, str, str], list[Result]] = {}
    for result in sorted(results, key=_order):
        shared = (result.dataset.name, result.dataset.fingerprint, str(result.protocol))
        groups.setdefault(shared, []).append(result)
    return list(groups.values())


def _order(result: Result) -> tuple[str, str, str, str, str, int, int]:
    method, found = result.method, result.perturbation
    name, severity = (found.name, found.severity) if found else ("", 0)
    return method.name, method.preset, method.variant, method.weights, name, severity, result.seed


def document(groups: Sequence[Sequence[Result]]) -> str:
    """``recall.md``: each board with means over seeds, every run by metric, and cost."""
    sections = []
    for group in groups:
        every = Comparison.of(group, alone=True)
        means = means_over_seeds(every)
        tables = [recall_table(means, FIRST)] if len(means.entries) < len(every.entries) else []
        tables += [recall_table(every, metric) for metric in METRICS]
        cost = cost_table(every)
        tables += [cost] if cost else []
        notes = "\n".join(f"- {note}" for note in footnotes(every))
        sections.append("\n".join([f"## {title(every.board)}\n", *map(markdown, tables), f"{notes}\n"]))
    header = "# Recall and cost\n\nWritten by `crossplace tables` from the results beside it; do not edit.\n\n"
    return header + ("\n".join(sections) or "No results yet.\n")


def write_tables(results_folder: Path) -> tuple[Path, list[list[Result]]]:
    """Write ``tables/recall.md`` from every result below ``results_folder``; returns it and the grouped results."""
    groups, path = grouped(results_folder), results_folder / "tables" / "recall.md"
    write_atomically(path, document(groups).encode())
    return path, groups
