"""Results of the suite in the shape of a paper's row: which they are, what they are worth, what marks them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median, stdev
from typing import Any

from pydantic import TypeAdapter

from benchmark.records.collection import Collection, Group, Run
from benchmark.records.leaderboard import IMAGENET, SCRATCH, TRAINED, Board, Entry, merged
from benchmark.records.part import of_pairs
from benchmark.records.published import training_words
from benchmark.records.schema import CostRecord, Result
from benchmark.records.study import ABLATION, BASE, StudyRecord
from benchmark.report.comparison import FIRST, marks, stand_in_note
from benchmark.report.papers import PaperColumn, PaperLine, PaperPart
from benchmark.report.table import Cell, number
from benchmark.report.tables import name_cell, recall_cell, share_words
from benchmark.request import SharedOptions
from datasets.base import Selection

UNLIKE = ("untrained", "ranker", "foreign")
"""Origins of results that no paper prints."""
SMALL = (SharedOptions().preset, "pretrained")
"""The presets whose networks are smaller than the papers'."""
NO_NUMBER = "this result does not hold this number"
PARTIAL_TRAINING = "partial: training"
"""Beginning of the warning of a result whose training data was not whole (``datasets.resolving``)."""
_SELECTION = TypeAdapter(Selection)


def _frames_per_s(cost: CostRecord) -> float | None:
    return 1000 / cost.numbers["image"].value if "image" in cost.numbers else None


COST: dict[str, Callable[[CostRecord], float | None]] = {
    "image": lambda cost: cost.numbers["image"].value if "image" in cost.numbers else None,
    "cloud": lambda cost: cost.numbers["cloud"].value if "cloud" in cost.numbers else None,
    "frames/s": _frames_per_s,
    "parameters": lambda cost: cost.parameters / 1e6,
}
"""What papers print of the cost, from what a result holds, in the units of ``QUANTITIES``."""


@dataclass(frozen=True, kw_only=True)
class HereLine:
    """A configured method of the suite, over its seeds, in the columns of a paper's table."""

    words: str
    """Preset, seeds and origin."""
    marks: tuple[str, ...]
    """What keeps it from standing beside printed numbers."""
    board: Board | None
    """What its results have in common; nothing where a study made them."""
    cells: Sequence[Cell]


@dataclass(kw_only=True)
class _Growing:
    """A line whose cells are found column by column."""

    words: str
    marks: tuple[str, ...]
    board: Board | None
    cells: dict[int, Cell] = field(default_factory=dict)


def here_lines(
    line: PaperLine,
    columns: Sequence[PaperColumn],
    collection: Collection,
    protocol_of: Callable[[PaperColumn], str],
    *,
    with_studies: bool = False,
) -> list[HereLine]:
    """A line for each configuration of the method that has a result under the protocols of the columns."""
    found: dict[tuple[Any, ...], _Growing] = {}
    for place, column in enumerate(columns):
        protocol = protocol_of(column)
        for key, fresh, cell in _of_groups(line, column, collection.groups, protocol):
            found.setdefault(key, fresh).cells.setdefault(place, cell)
        for key, fresh, cell in _of_studies(line, column, collection.studies if with_studies else (), protocol):
            found.setdefault(key, fresh).cells.setdefault(place, cell)
    return [
        HereLine(
            words=grown.words,
            marks=grown.marks,
            board=grown.board,
            cells=[grown.cells.get(place, Cell(reason=NO_NUMBER)) for place in range(len(columns))],
        )
        for grown in found.values()
    ]


Found = Iterator[tuple[tuple[Any, ...], _Growing, Cell]]
"""The key of a configuration, its line without cells, and a cell."""


def _of_groups(line: PaperLine, column: PaperColumn, groups: Sequence[Group], protocol: str) -> Found:
    for group in groups:
        board = group.board
        trained_on = trained_here(board)
        if board.protocol["name"] != protocol or line.train_split not in ("", trained_on):
            continue
        chosen = [run for run in group.runs if _is_of(run.result, line)]
        by_run = {run.result.run_id: run.result for run in chosen}
        for entry in merged(Entry.of(_restricted(run, column.part)) for run in chosen):
            origin = TRAINED[0] if entry.origin in TRAINED else entry.origin
            key = (board.fingerprint, entry.preset, entry.config_key, origin, trained_on, str(board.protocol["absent"]))
            words = name_cell(entry, {}).under
            made = [by_run[run] for run in entry.runs]
            cell = _cell(entry, [result.cost for result in made if result.cost], column)
            if cell.value is not None:
                yield key, _Growing(words=words, marks=_marks_of(entry, made, board), board=board), cell


def _is_of(result: Result, line: PaperLine) -> bool:
    method = result.method
    is_like = method.origin not in UNLIKE and not result.perturbation
    return is_like and (method.name, method.variant) == (line.method, line.variant)


def _restricted(run: Run, part: PaperPart) -> Result:
    """The result as if only the pairs of ``part`` had been asked."""
    return of_pairs(run.result, run.folder, part.pairs) if part.pairs else run.result


def _cell(entry: Entry, costs: Sequence[CostRecord], column: PaperColumn) -> Cell:
    if column.direction:
        return recall_cell(entry, column.direction, column.metric)
    values = [value for cost in costs if (value := COST[column.metric](cost)) is not None]
    return number(median(values) if values else None)


def _marks_of(entry: Entry, results: Sequence[Result], board: Board) -> tuple[str, ...]:
    """What keeps a row from standing beside printed numbers."""
    whole_board = f"{stand_in_note(board.is_real)}{marks({**board.protocol, 'is_ranked': True})}"
    found = [mark for mark in whole_board.split(" · ") if mark]
    found += [w for result in results for w in result.warnings if w.startswith(PARTIAL_TRAINING)]
    found += [entry.preset] if entry.preset in SMALL else []
    found += [word for word in (SCRATCH, IMAGENET) if word in entry.learnt]
    found += [share] if (share := share_words(entry)) else []
    return tuple(dict.fromkeys(found))


def trained_here(board: Board) -> str:
    """What results of a board were trained on, in the words of the published files."""
    return training_words(_SELECTION.validate_python(board.protocol["split"]["train"]))


# --- studies -------------------------------------------------------------------------------------


def _of_studies(line: PaperLine, column: PaperColumn, studies: Sequence[StudyRecord], protocol: str) -> Found:
    """Lines of ablations; a study holds recall@1 alone."""
    for record in studies:
        name, _, _ = record.protocol.rpartition(" v")
        if (record.study, record.method, name) != (ABLATION, line.method, protocol):
            continue
        if "+" in record.preset or column.metric != FIRST or column.part.pairs:
            continue
        for change in record.lines:
            values = change.recall.get(column.direction, [])
            if change.name == (line.variant or BASE) and values:
                share = "" if record.share_of_schedule == 1 else f", {100 * record.share_of_schedule:.0f} % of schedule"
                seeds = f"{len(values)} seeds" if len(values) > 1 else f"seed {record.seeds[0]}"
                words = f"study {record.study}, {record.preset}, {seeds}{share}"
                fresh = _Growing(words=words, marks=_study_marks(record), board=None)
                deviation = 100 * stdev(values) if len(values) > 1 else None
                yield (id(record),), fresh, Cell(value=100 * fmean(values), deviation=deviation)


def _study_marks(record: StudyRecord) -> tuple[str, ...]:
    found = {
        "procedural stand-in": not record.is_real,
        record.preset: record.preset in SMALL,
        "part of the schedule": record.share_of_schedule < 1,
    }
    return tuple(words for words, holds in found.items() if holds)
