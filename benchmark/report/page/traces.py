"""Where every number comes from: runs with their files, commands, machines and configurations."""

from collections.abc import Iterator, Sequence
from itertools import combinations
from shlex import quote, split
from typing import Any

from markupsafe import Markup

from benchmark.records.collection import Group, Run
from benchmark.records.leaderboard import start_words
from benchmark.records.schema import MethodRecord, Result
from benchmark.report.html import html
from benchmark.report.page.commands import command_of, conditions_of
from benchmark.report.page.failures import heading
from benchmark.report.page.protocols import in_full
from benchmark.report.table import NONE, Cell, Column, Table, number, text

MINUTES = len("2026-01-31T23:59")
REVISION_LETTERS = 10
"""Letters of a revision that tell it from all others."""


def run_marks(result: Result) -> list[str]:
    """What a reader must know before trusting a run, in a few words each."""
    method, found = result.method, []
    if result.harness.get("dirty"):
        found.append("dirty: files of the suite differed from its revision")
    if result.protocol["smoke"]:
        found.append("smoke run: recall means nothing")
    if absent := result.protocol["absent"]:
        found.append(f"partial: {len(absent)} test traversals absent")
    if method.origin == "untrained":
        found.append("untrained")
    if start := start_words(method):
        found.append(start)
    if method.share_of_schedule is not None and method.share_of_schedule != 1:
        found.append(f"{100 * method.share_of_schedule:.0f} % of the schedule")
    if result.perturbation:
        found.append(f"perturbed: {result.perturbation.name} {result.perturbation.severity}")
    return found


def runs_table(group: Group) -> Table:
    """A row a run: its files, how many queries counted, when and from which code it was made."""
    columns = [
        Column(name="run"),
        Column(name="seed", digits=0),
        Column(name="queries that count", digits=0),
        Column(name="made (UTC)"),
        Column(name="version"),
        Column(name="revision"),
        Column(name="marks"),
        Column(name="folder"),
    ]
    notes = [
        "The folder of a run holds result.json, and ranks.npz with the rank of every query where it may be kept.",
        "Query counts are those of the first direction; result.json holds them for each pair of traversals.",
    ]
    return Table(columns=columns, rows=[_run(run) for run in group.runs], notes=notes)


def _run(run: Run) -> list[Cell]:
    result, harness = run.result, run.result.harness
    first = result.headline(next(iter(result.directions)))
    return [
        text(result.run_id),
        number(result.seed),
        Cell(value=first.n_counted, under=f"of {first.n_queries:,}"),
        text(result.created[:MINUTES].replace("T", " ")),
        text(str(harness.get("version") or NONE)),
        text(str(harness.get("git_revision") or NONE)[:REVISION_LETTERS]),
        text("; ".join(run_marks(result)) or NONE),
        text(str(run.folder)),
    ]


def commands(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """Commands by board: runs that one command makes, its words, and what the reader must bring."""
    found = []
    for group in groups:
        runs = [
            {"id": result.run_id, "command": [*map(quote, split(command))], "conditions": conditions_of(result)}
            for result in group.results
            if (command := command_of(result))
        ]
        found.append({"title": heading(group.board), "runs": runs})
    return found


def machines(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """Every environment that a result was made in, once, with the names of its runs."""
    found: dict[str, tuple[Result, list[str]]] = {}
    for result in _results(groups):
        found.setdefault(repr(sorted(result.environment.items())), (result, []))[1].append(result.run_id)
    several = _varying([result.environment for result, _ in found.values()])
    return [
        {
            "title": ", ".join([_machine(result.environment), *_told(result.environment, several)]),
            "table": Markup(html(in_full(result.environment, "setting"))),
            "runs": names,
        }
        for result, names in found.values()
    ]


def _varying(environments: Sequence[dict[str, Any]]) -> list[str]:
    """Settings that differ between environments whose titles are equal."""
    found = []
    for one, other in combinations(environments, 2):
        if _machine(one) == _machine(other):
            found += [name for name in {**one, **other} if one.get(name) != other.get(name)]
    return list(dict.fromkeys(found))


def _told(environment: dict[str, Any], names: Sequence[str]) -> list[str]:
    return [f"{name} {environment.get(name) or NONE}" for name in names]


def _machine(environment: dict[str, Any]) -> str:
    threads, torch = environment.get("threads"), environment.get("torch")
    parts = [str(environment.get("device", "unknown machine"))]
    parts += [f"{threads} threads"] if threads else ["no network was run"]
    return ", ".join([*parts, *([f"torch {torch}"] if torch else [])])


def methods(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """Every configuration, once, with what made the weights of each run."""
    found: dict[tuple[str, ...], list[Result]] = {}
    for result in _results(groups):
        method = result.method
        if method.config:
            found.setdefault((method.name, method.preset, method.variant, method.config_key), []).append(result)
    return [
        {
            "title": " ".join(filter(None, [method.name, method.preset, method.variant])),
            "key": method.config_key,
            "weights": list(dict.fromkeys(_weights(result) for result in results)),
            "table": Markup(html(in_full(method.config, "option"))),
        }
        for results in found.values()
        for method in [results[0].method]
    ]


def _weights(result: Result) -> str:
    """What made the weights of a run, in one sentence."""
    method = result.method
    sha256 = f" SHA-256 {method.weights_sha256}." if method.weights_sha256 else ""
    return f"Seed {result.seed}: {method.weights or method.origin}{_schedule(method)}.{sha256}"


def _schedule(method: MethodRecord) -> str:
    stages = method.training.get("stages", {})
    said = [
        f"{name} {stage['epochs_done']} of {stage['epochs_planned']} epochs, {stage['seconds']:,.0f} s"
        for name, stage in stages.items()
    ]
    return f" ({'; '.join(said)})" if said else ""


def _results(groups: Sequence[Group]) -> Iterator[Result]:
    return (run.result for group in groups for run in group.runs)
