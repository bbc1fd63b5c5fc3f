"""All results and studies below a folder, checked against each other: no duplicate and no contradiction."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

from benchmark.evaluation.metrics import METRICS
from benchmark.records.comparison import Standing, ranking
from benchmark.records.cost import CostSheet, sheets_in
from benchmark.records.leaderboard import Board
from benchmark.records.published import PUBLISHED, PublishedRow, published_in
from benchmark.records.registration import REGISTRATION, RegistrationRecord
from benchmark.records.scale import SCALE, ScaleRecord
from benchmark.records.schema import RESULT, Result
from benchmark.records.sensitivity import SENSITIVITY, SensitivityRecord
from benchmark.records.study import STUDY, StudyRecord
from datasets.errors import CrossplaceError

SLACK = 0.01
"""Recall of the same weights on another processor may differ by this much: rounding turns near ties."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A result and the folder that it was read from."""

    folder: Path
    result: Result


@dataclass(frozen=True, kw_only=True)
class Group:
    """All results under one protocol on the same data: what may stand in one table."""

    runs: Sequence[Run]
    _standings: dict[tuple[tuple[str, ...], ...], dict[str, Standing]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def results(self) -> list[Result]:
        """The results, in the order of the runs."""
        return [run.result for run in self.runs]

    @property
    def board(self) -> Board:
        """What all have in common."""
        return Board.of(self.runs[0].result)

    @property
    def named(self) -> dict[str, Run]:
        """Runs by their names, which entries of tables hold."""
        return {run.result.run_id: run for run in self.runs}

    @property
    def folders(self) -> dict[str, Path]:
        """Folders by the names of runs."""
        return {name: run.folder for name, run in self.named.items()}

    def standings(self, rows: Sequence[Sequence[str]]) -> dict[str, Standing]:
        """:func:`ranking` of rows, each the names of runs that are seeds of each other. The files are read once."""
        key, folders = tuple(map(tuple, rows)), self.folders
        if key not in self._standings:
            self._standings[key] = ranking([[folders[name] for name in row] for row in key])
        return self._standings[key]


@dataclass(frozen=True, kw_only=True)
class Collection:
    """Results by data and protocol, studies, curves, registrations, costs, and what papers print."""

    groups: Sequence[Group]
    studies: Sequence[StudyRecord] = ()
    sensitivities: Sequence[SensitivityRecord] = ()
    scales: Sequence[ScaleRecord] = ()
    registrations: Sequence[RegistrationRecord] = ()
    costs: Sequence[CostSheet] = ()
    published: Mapping[str, Sequence[PublishedRow]] = field(default_factory=dict)
    """What papers print, by the name of its file."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing of the suite's own to show; costs and printed numbers stand beside something."""
        return not (self.groups or self.studies or self.sensitivities or self.scales or self.registrations)


def collect(*folders: Path) -> Collection:
    """Everything below ``folders``; raises :class:`CrossplaceError` where two results are one or contradict.

    A result counts once if a later folder holds the run that was published into an earlier one.
    """
    runs: list[Run] = []
    for folder in folders:
        there = {_made(run.result) for run in runs}
        read = [Run(folder=path.parent, result=Result.read(path.parent)) for path in sorted(folder.rglob(RESULT))]
        runs += [run for run in read if _made(run.result) not in there]
    studies, curves, scales, registrations = (
        sorted({path for folder in folders for path in folder.rglob(name)})
        for name in (STUDY, SENSITIVITY, SCALE, REGISTRATION)
    )
    return Collection(
        groups=grouped(runs),
        studies=[*map(StudyRecord.read, studies)],
        sensitivities=[*map(SensitivityRecord.read, curves)],
        scales=[*map(ScaleRecord.read, scales)],
        registrations=[*{record.run_id: record for record in map(RegistrationRecord.read, registrations)}.values()],
        costs=[*{sheet.path_in(Path()): sheet for folder in folders for sheet in sheets_in(folder)}.values()],
        published={name: rows for folder in folders for name, rows in published_in(folder / PUBLISHED).items()},
    )


def _made(result: Result) -> tuple[str, str, str]:
    """What a run and its published copy have in common, and no two runs."""
    return result.run_id, result.key, result.created


def grouped(runs: Iterable[Run]) -> list[Group]:
    """Runs of one board together: boards by data and protocol, runs by method and variant, clean before perturbed.

    Duplicates are refused.
    """
    groups: dict[tuple[str, str, str], list[Run]] = {}
    for run in sorted(runs, key=lambda run: _order(run.result)):
        result = run.result
        shared = (result.dataset.name, result.dataset.fingerprint, str(result.protocol))
        groups.setdefault(shared, []).append(run)
    found = [Group(runs=_distinct(group)) for group in groups.values()]
    return sorted(found, key=lambda group: _place(group.board))


def _place(board: Board) -> tuple[str, str, int, str]:
    """Where a board stands among others."""
    return board.data, board.protocol["name"], board.protocol["version"], board.fingerprint


def _order(result: Result) -> tuple[str, str, str, str, str, int, int]:
    method, found = result.method, result.perturbation
    name, severity = (found.name, found.severity) if found else ("", 0)
    return method.name, method.preset, method.variant, method.weights, name, severity, result.seed


def _distinct(runs: Sequence[Run]) -> list[Run]:
    """The runs of a board, but for those that another repeats with its cost; any other repetition is refused."""
    same: dict[tuple[Any, ...], list[Run]] = {}
    for run in runs:
        same.setdefault(_identity(run.result), []).append(run)
    repeated = {other.folder for group in same.values() for pair in combinations(group, 2) for other in _checked(*pair)}
    return [run for run in runs if run.folder not in repeated]


def _identity(result: Result) -> tuple[Any, ...]:
    """What numbers follow from, but for the machine: the same weights on the same frames."""
    method, found = result.method, result.perturbation
    perturbation = (found.name, found.version, found.severity) if found else ()
    made = (method.name, method.preset, method.variant, method.config_key, method.origin, method.weights_sha256)
    return (*made, result.seed, *perturbation, *([result.key] if method.origin == "foreign" else []))


def _checked(one: Run, other: Run) -> list[Run]:
    """The one of two equal runs that says nothing more than the other, if any; raises where they contradict."""
    is_same_machine = _machine(one.result) == _machine(other.result)
    worst, where = _largest_difference(one.result, other.result)
    if worst > (1e-9 if is_same_machine else SLACK):
        raise CrossplaceError(
            f"{one.folder} and {other.folder} contradict each other: the same weights and frames, but {where} differs "
            f"by {100 * worst:.2f} percentage points; take away the one that you do not trust, or run both again"
        )
    without_cost = [run for run in (one, other) if run.result.cost is None]
    if not is_same_machine or len(without_cost) == 1:
        return without_cost[:1]
    raise CrossplaceError(
        f"{one.folder} and {other.folder} hold the same result, measured on the same machine; take one away, so that "
        "it does not count twice"
    )


def _machine(result: Result) -> tuple[Any, ...]:
    return tuple(result.environment.get(name) for name in ("device", "threads", "sparse_backend"))


def _largest_difference(one: Result, other: Result) -> tuple[float, str]:
    """The largest difference of a headline value, and which it is; a direction that one lacks differs by nothing."""
    found = [(0.0, "nothing")]
    for direction in one.directions.keys() & other.directions.keys():
        a, b = one.headline(direction).values, other.headline(direction).values
        for name in METRICS:
            if (mine := a.get(name)) is not None and (theirs := b.get(name)) is not None:
                found.append((abs(mine - theirs), f"{name} of {direction}"))
    return max(found)
