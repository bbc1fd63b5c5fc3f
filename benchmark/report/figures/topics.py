"""What one drawing is about: a board, a direction of it, a row of it, or a study. Needs no matplotlib."""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import ndarray

from benchmark.evaluation.metrics import is_counted
from benchmark.records.collection import Collection, Group, Run
from benchmark.records.leaderboard import TRAINED, Entry
from benchmark.records.ranks import read_ranks
from benchmark.records.scale import ScaleRecord
from benchmark.records.schema import RANKS, Result
from benchmark.records.sensitivity import SensitivityRecord
from benchmark.report.comparison import arrow, clean_rows, preset_of, shared_words, stand_in_note, title
from benchmark.report.registration import registration_groups, registration_title
from benchmark.report.table import Cell, Table
from datasets.errors import CrossplaceError

if TYPE_CHECKING:
    from datasets.prepared import PreparedDataset


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What a figure may use besides results; nothing is opened before a figure asks for it."""

    dataset: "PreparedDataset | None" = None
    """The frames that the results are about, for figures that show images and clouds."""
    weights: Path | None = None
    """File of the weights of a method, for figures that show what its network sees."""


@dataclass(frozen=True, kw_only=True)
class MethodRow:
    """A method of a board with the runs of its seeds."""

    label: str
    """Name of the method, with what tells it from other rows of the same method."""
    entry: Entry
    runs: Sequence[Run]
    """Ascending by seed."""

    @property
    def results(self) -> list[Result]:
        """The results of the runs."""
        return [run.result for run in self.runs]


@dataclass(frozen=True, kw_only=True)
class Topic:
    """What one drawing is about, with its name in titles and in the names of files."""

    words: str
    parts: tuple[str, ...]
    """Words that the name of a file is made of."""
    is_real: bool
    group: Group | None = None
    direction: str = ""
    row: MethodRow | None = None
    record: Any = field(default=None)
    """A study, curves of sensitivity, sizes of a map, or registrations from the same starts."""

    @cached_property
    def rows(self) -> list[MethodRow]:
        """The methods of the board, best first; refused where there is none."""
        assert self.group is not None
        return rows_of(self.group)

    @property
    def directions(self) -> list[str]:
        """Directions of any row, in the order of the first."""
        return list(dict.fromkeys(name for row in self.rows for name in row.entry.recall))


def rows_of(group: Group) -> list[MethodRow]:
    """Methods of a board on frames as recorded, best first, each with its seeds. Rankers of the harness are left out.

    Raises:
        CrossplaceError: there is none.
    """
    entries = clean_rows(group)
    if not entries:
        raise CrossplaceError("there is no result of a method on frames as recorded; run crossplace bench first")
    found = [[group.named[name] for name in entry.runs] for entry in entries]
    named = zip(labels(entries), entries, found, strict=True)
    return [MethodRow(label=label, entry=entry, runs=of) for label, entry, of in named]


def labels(entries: Sequence[Entry]) -> list[str]:
    """A name for each row: the method, and where several rows are of one method, what tells them apart."""
    shared = shared_words(entries)
    further: Sequence[Callable[[Entry], str]] = (
        lambda entry: preset_of(entry) if preset_of(entry) not in shared else "",
        lambda entry: entry.origin if entry.origin not in TRAINED else "",
        lambda entry: f"seed {entry.seeds[0]}" if len(entry.seeds) == 1 else "",
        lambda entry: entry.config_key[:6],
        lambda entry: entry.runs[0] if entry.runs else "",
    )
    names = [entry.method for entry in entries]
    behind: list[list[str]] = [[] for _ in entries]
    for tell in further:
        written = [_written(name, words) for name, words in zip(names, behind, strict=True)]
        told = [tell(entry) for entry in entries]
        for number, name in enumerate(written):
            same = [told[other] for other, found in enumerate(written) if found == name]
            if len(same) > 1 and len(set(same)) > 1 and told[number]:
                behind[number].append(told[number])
    return [_written(name, words) for name, words in zip(names, behind, strict=True)]


def _written(name: str, words: Sequence[str]) -> str:
    return f"{name} ({', '.join(words)})" if words else name


# --- one drawing each ----------------------------------------------------------------------------


def _boards(collection: Collection) -> Iterator[Topic]:
    for group in collection.groups:
        board, protocol = group.board, str(group.board.protocol["name"])
        yield Topic(
            words=title(board),
            parts=(board.data, *([protocol] if protocol != board.dataset else [])),
            is_real=board.is_real,
            group=group,
        )


def _directions(collection: Collection) -> Iterator[Topic]:
    for board in _boards(collection):
        assert board.group is not None
        for name in dict.fromkeys(name for result in board.group.results for name in result.directions):
            yield Topic(
                words=f"{arrow(name)} · {board.words}",
                parts=(*board.parts, name.replace("->", "-to-")),
                is_real=board.is_real,
                group=board.group,
                direction=name,
            )


def _rows(collection: Collection) -> Iterator[Topic]:
    for board in _boards(collection):
        for row in board.rows:
            yield Topic(
                words=f"{row.label} · {board.words}",
                parts=(*board.parts, row.label),
                is_real=board.is_real,
                group=board.group,
                row=row,
            )


def _studies(collection: Collection) -> Iterator[Topic]:
    for record in collection.studies:
        yield Topic(
            words=f"{record.method} ({record.preset}) · {record.dataset} · {record.protocol}"
            + stand_in_note(record.is_real),
            parts=(record.study, record.method, record.preset, record.dataset, record.protocol),
            is_real=record.is_real,
            record=record,
        )


def _curves(records: Sequence[SensitivityRecord | ScaleRecord]) -> Iterator[Topic]:
    for record in records:
        method, data, protocol = record.method, record.dataset, record.protocol
        preset = preset_of(method)
        named = f"{method.name} ({preset})" if preset else method.name
        yield Topic(
            words=f"{named} · {data.name} · {protocol['name']} v{protocol['version']}" + stand_in_note(data.is_real),
            parts=(data.name, str(protocol["name"]), method.name, preset, f"s{record.seed}"),
            is_real=data.is_real,
            record=record,
        )


def _registrations(collection: Collection) -> Iterator[Topic]:
    for records in registration_groups(collection.registrations):
        first = records[0]
        _, _, words = registration_title(first).partition(" · ")
        start = (first.start.name, *first.start.method.split(" ")[:1])
        yield Topic(
            words=words,
            parts=(first.dataset.name, str(first.protocol["name"]), *start),
            is_real=first.dataset.is_real,
            record=records,
        )


EACH: Mapping[str, Callable[[Collection], Iterator[Topic]]] = {
    "board": _boards,
    "direction": _directions,
    "row": _rows,
    "study": _studies,
    "sensitivity": lambda collection: _curves(collection.sensitivities),
    "scale": lambda collection: _curves(collection.scales),
    "registration": _registrations,
}
"""What one drawing is about → all of them in a collection."""


def file_name(words: Sequence[str]) -> str:
    """A name that is safe in every file system: lower-case letters, digits, ``-`` and ``_``; at most 100 characters."""
    plain = [unicodedata.normalize("NFKD", word).encode("ascii", "ignore").decode().lower() for word in words]
    return "-".join(filter(None, (re.sub(r"[^a-z0-9_]+", "-", word).strip("-") for word in plain)))[:100].strip("-")


# --- the ranks of a run --------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class CountedQueries:
    """The counted queries of one direction of a run, with the arrays of ``ranks.npz`` that they point into."""

    ranks: Mapping[str, ndarray]
    rows: ndarray
    """Rows of the ``query_*`` arrays."""

    def __getitem__(self, name: str) -> ndarray:
        """Column ``query_<name>`` of these queries.

        Raises:
            CrossplaceError: ranks without this column.
        """
        return _column(self.ranks, f"query_{name}")[self.rows]

    @property
    def is_hit(self) -> ndarray:
        """Whether the nearest frame shows the place of each query."""
        return self["first_positive_rank"] == 1

    def of_frame(self, name: str, rows: ndarray) -> ndarray:
        """Column ``frame_<name>`` of the frames at ``rows``."""
        return _column(self.ranks, f"frame_{name}")[rows]


def _column(ranks: Mapping[str, ndarray], name: str) -> ndarray:
    if name not in ranks:
        raise CrossplaceError(f"its ranks have no {name}; run crossplace bench again")
    return ranks[name]


ALWAYS = ("directions", "query_direction", "query_first_positive_rank")
"""Arrays that tell which queries count."""


def ranks_of(run: Run, *names: str) -> dict[str, ndarray]:
    """Those of the named arrays that ``ranks.npz`` of a run has, and those of ``ALWAYS``; integers in 64 bits.

    Raises:
        CrossplaceError: the file is missing, as for published results of real data, or broken.
    """
    ranks = read_ranks(run.folder)
    if ranks is None:
        raise CrossplaceError(
            f"there is no {RANKS} beside the result, because published results of real data leave it out; draw from "
            "the folder below runs/results on the machine that has the data"
        )
    return {name: ranks[name] for name in (*ALWAYS, *names) if name in ranks}


def queries_of(run: Run, ranks: dict[str, ndarray], direction: str) -> CountedQueries:
    """The counted queries of a direction; refused where there is none."""
    names = ranks["directions"].tolist()
    if direction not in names:
        raise CrossplaceError(f"its ranks have no query of {arrow(direction)}; run crossplace bench again")
    counted = is_counted(ranks["query_first_positive_rank"], run.result.protocol["no_positive"])
    counted &= ranks["query_direction"] == names.index(direction)
    if not counted.any():
        raise CrossplaceError(f"no query of {arrow(direction)} counts; the data needs drives that meet again")
    return CountedQueries(ranks=ranks, rows=np.flatnonzero(counted))


# --- reading tables ------------------------------------------------------------------------------


def cells(table: Table, *names: str) -> list[tuple[Any, ...]]:
    """Words or values of the named columns, a tuple a row."""
    found = {column.name: number for number, column in enumerate(table.columns)}
    return [tuple(content(row[found[name]]) for name in names) for row in table.rows]


def content(cell: Cell) -> Any:
    """What a cell holds: its words, else its value."""
    return cell.words or cell.value


def chosen(table: Table, column: str, value: Any) -> Table:
    """The rows whose cell in ``column`` holds ``value``."""
    number = next(n for n, found in enumerate(table.columns) if found.name == column)
    rows = [row for row in table.rows if content(row[number]) == value]
    return Table(title=table.title, columns=table.columns, rows=rows, notes=table.notes)


def names_in(table: Table, column: str = "method") -> list[Any]:
    """Different contents of a column, in order of first appearance."""
    return list(dict.fromkeys(found for (found,) in cells(table, column)))
