"""What differs between results, and where a difference of recall lies, as tables."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from benchmark.records.collection import Group, Run
from benchmark.records.comparison import differences
from benchmark.records.leaderboard import Entry, merged
from benchmark.records.schema import RANKS, Result
from benchmark.records.whereabouts import Part, PlacePart, Whereabouts, whereabouts
from benchmark.report.comparison import FIRST, Comparison, arrow, judged, means_over_seeds, preset_of
from benchmark.report.table import NONE, Cell, Column, Table, number, text
from benchmark.report.tables import difference_table, recall_table
from datasets.errors import CrossplaceError, unknown

MOST = 8
"""Rows of a table that shows where a difference lies; the rest is summed up."""
CONFIG = "config."
"""Fields of a method's configuration; another method has others."""
PARTS = ("method", "config", "dataset", "protocol", "environment", "harness")
"""Parts of a result that are compared field by field."""
UNSAID = ("method.training", "dataset.counts", "dataset.conditions", "method.weights_sha256", "method.config_key")
"""Fields that follow from others, or differ between seeds."""


def compared(
    folders: Sequence[Path], against: Sequence[Path] = (), depth: int = 1, direction: str | None = None
) -> Iterator[Table]:
    """The tables of ``crossplace compare``: settings first, which results that cannot be compared have too.

    Folders of one configuration are seeds. Without ``against``, the configuration named last is the reference.

    Raises:
        CrossplaceError: fewer than two configurations; results of other data or another protocol.
    """
    if not folders:
        raise CrossplaceError("nothing to compare: name folders with result.json, such as runs/results/*")
    groups = _configurations(folders) + ([_runs(against)] if against else [])
    if len(groups) < 2:
        raise CrossplaceError(
            f"{', '.join(map(str, folders))}: seeds of one configuration; name results of another one too"
        )
    names = _names(groups)
    yield _settings_table({name: [run.result for run in group] for name, group in zip(names, groups, strict=True)})
    *others, last = [[run.folder for run in group] for group in groups]
    found = [differences(other, last, depth) for other in others]  # raises before anything else is said of them
    for name, of in zip(names, found, strict=False):
        yield difference_table(of, depth, f"{name} − {names[-1]}")
    if len(groups) > 2:
        yield _ranked([run for group in groups for run in group])
        return
    if direction is not None and direction not in found[0]:
        raise CrossplaceError(unknown("direction", direction, list(found[0])))
    if bare := [run.folder for group in groups for run in group if not (run.folder / RANKS).is_file()]:
        columns = [Column(name=f"results without {RANKS}")]
        yield Table(title="Where it lies is not known", columns=columns, rows=[[text(str(folder))] for folder in bare])
        return
    parts = whereabouts(others[0], last, f"R@{depth}")
    chosen = direction or next(iter(parts))
    yield from _whereabouts_tables(parts[chosen], arrow(chosen))


def _runs(folders: Sequence[Path]) -> list[Run]:
    return [Run(folder=folder, result=Result.read(folder)) for folder in folders]


def _configurations(folders: Sequence[Path]) -> list[list[Run]]:
    """Runs of one configuration together, in the order of their first folders."""
    runs = _runs(folders)
    for one, other in combinations(runs, 2):
        if (one.result.run_id, one.result.content()) == (other.result.run_id, other.result.content()):
            raise CrossplaceError(
                f"{one.folder} and {other.folder} hold the same result; name one of them alone, so that it counts once"
            )
    entries = [Entry.of(run.result).model_copy(update={"runs": (str(n),)}) for n, run in enumerate(runs)]
    groups = [[runs[int(number)] for number in entry.runs] for entry in merged(entries)]
    return sorted(groups, key=lambda group: min(map(runs.index, group)))


def _names(groups: Sequence[Sequence[Run]]) -> list[str]:
    """Short names that differ: the method, else with its preset, else the run."""
    entries = [Entry.of(group[0].result) for group in groups]
    for name_of in (lambda e: e.method, lambda e: f"{e.method} {preset_of(e)}", lambda e: e.runs[0]):
        names = [str(name_of(entry)) for entry in entries]
        if len(set(names)) == len(names):
            return names
    return [f"{name} ({number})" for number, name in enumerate(names, start=1)]


def _ranked(runs: Sequence[Run]) -> Table:
    group = Group(runs=runs)
    means = means_over_seeds(Comparison.of(group.results, alone=True))
    return recall_table(judged(means, group), FIRST)


# --- settings ------------------------------------------------------------------------------------


def _settings_table(named: Mapping[str, Sequence[Result]]) -> Table:
    """A row a setting that differs: configuration, data, protocol, environment, revision and seeds of each group."""
    settings = {name: _settings(results) for name, results in named.items()}
    fields = dict.fromkeys(field for of in settings.values() for field in of)
    rows, unshared = [], 0
    for field in fields:
        values = [of.get(field, NONE) for of in settings.values()]
        if NONE in values and field.startswith(CONFIG):
            unshared += 1
        elif len(set(values)) > 1:
            rows.append([text(field), *map(text, values)])
    notes = [] if rows or unshared else ["All settings are equal."]
    if unshared:
        notes.append(f"{unshared} settings that only some of the methods have are left out.")
    columns = [Column(name="setting"), *(Column(name=name) for name in named)]
    return Table(title="Settings that differ", columns=columns, rows=rows, notes=notes)


def _settings(results: Sequence[Result]) -> dict[str, str]:
    """Every field of a group of results in words; where the seeds of a group differ, their values one after another."""
    found: dict[str, list[str]] = {}
    for result in results:
        raw = result.model_dump(mode="json")
        raw.update(config=raw["method"].pop("config"))
        flat = {name: words for part in PARTS for name, words in _flat(part, raw[part]).items()}
        perturbation = Entry.of(result).perturbation or "none"
        for name, words in {**flat, "seed": str(result.seed), "perturbation": perturbation}.items():
            if not name.startswith(UNSAID):
                found.setdefault(name, []).append(words)
    return {name: ", ".join(dict.fromkeys(words)) for name, words in found.items()}


def _flat(name: str, value: Any) -> dict[str, str]:
    """Nested values by dotted names."""
    if isinstance(value, dict):
        return {key: words for part, of in value.items() for key, words in _flat(f"{name}.{part}", of).items()}
    if isinstance(value, list):
        return {name: ", ".join(map(str, value)) or "none"}
    return {name: "none" if value is None else str(value) or "none"}


# --- where a difference lies ---------------------------------------------------------------------


def _whereabouts_tables(found: Whereabouts, direction: str) -> list[Table]:
    """Pairs of traversals, conditions and places by what they add to a difference, the largest first."""
    where = "Where the difference lies"
    tables = [
        _table(f"{where}: pairs of traversals, {direction}", found.pairs, [*map(_between, found.pairs)]),
        _table(f"{where}: conditions, {direction}", found.conditions, [*map(_between, found.conditions)]),
        _table(f"{where}: places, {direction}", found.places, [*map(_place, found.places)]),
    ]
    return [table for table in tables if len(table.rows) > 1]


def _between(part: Part) -> str:
    return f"{part.query} → {part.database}"


def _place(part: PlacePart) -> str:
    half_m = part.side_m / 2
    return f"{part.world}: around east {part.east_m + half_m:.0f} m, north {part.north_m + half_m:.0f} m"


def _table(title: str, found: Sequence[Part | PlacePart], names: Sequence[str]) -> Table:
    """The parts that add most to the difference; the last row holds all others."""
    columns = [
        Column(name="part"),
        Column(name="queries", digits=0),
        Column(name="difference, points", is_signed=True),
        Column(name="adds, points", is_signed=True, digits=2),
    ]
    rows = [[text(name), *_numbers([part])] for name, part in zip(names, found[:MOST], strict=False)]
    if len(found) > MOST:
        rows.append([text(f"{len(found) - MOST} others"), *_numbers(found[MOST:])])
    return Table(title=title, columns=columns, rows=rows)


def _numbers(parts: Sequence[Part | PlacePart]) -> list[Cell]:
    """Queries, mean difference and contribution of one part, or of several together."""
    queries = sum(part.n_queries for part in parts)
    difference = sum(part.n_queries * part.difference for part in parts) / max(queries, 1)
    return [number(queries), number(100 * difference), number(100 * sum(part.contribution for part in parts))]
