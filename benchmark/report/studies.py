"""Tables of studies: what each change is worth, question by question."""

from collections.abc import Callable, Container, Sequence
from statistics import fmean

from benchmark.records.study import ABLATION, BASE, LEARNING_CURVE, TUNE, LineRecord, StudyRecord
from benchmark.report.comparison import arrow, crossing, stand_in_note
from benchmark.report.table import Cell, Column, Section, Table, number, text


def study_tables(record: StudyRecord) -> list[Table]:
    """A table for each question: the unchanged method and the changes that answer it."""
    directions = list(record.lines[0].recall)
    arrows = [*map(arrow, directions)]
    columns = [
        Column(name="change"),
        *map(_plain, arrows),
        Column(name=f"Δ {arrows[0]} [95 %]", is_signed=True),
        Column(name="training", unit="s", digits=0),
    ]
    questions = dict.fromkeys(line.question for line in record.lines[1:])
    return [
        Table(
            title=question,
            columns=columns,
            rows=[_cells(line, directions) for line in record.lines if line.question in ("", question)],
        )
        for question in questions
    ]


def study_section(record: StudyRecord) -> Section:
    """A study with its title and how to read it."""
    share = "" if record.share_of_schedule == 1 else f", {100 * record.share_of_schedule:.0f} % of the schedule"
    what = f"{record.study}: {record.method} ({record.preset}{share})"
    title = f"{what} · {record.dataset} · {record.protocol}{stand_in_note(record.is_real)}"
    notes = [
        f"Recall@1 in %, {_over(record.seeds)}.",
        "Δ: percentage points against the unchanged method, with the paired 95 % interval over places, which does not "
        "hold the spread between seeds.",
        f"{record.machine}.",
    ]
    notes += [note(record) for study, note in NOTES.items() if study == record.study]
    return Section(title=title, tables=study_tables(record), notes=notes)


BY_QUESTION = {ABLATION: "Ablation", TUNE: "Tuning", LEARNING_CURVE: "Learning curves"}
"""Studies whose document holds a table a question, with its title; robustness has tables of its own, by severity."""


def _over(seeds: Sequence[int]) -> str:
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    return f"mean over seeds {', '.join(map(str, seeds))} ± standard deviation between seeds"


def study_sections(records: Sequence[StudyRecord], studies: Container[str] = BY_QUESTION) -> list[Section]:
    """A section for each record of these studies."""
    return [study_section(record) for record in records if record.study in studies]


def best_trial(record: StudyRecord) -> tuple[LineRecord, float]:
    """The line with the highest recall@1, and this recall: a mean over seeds and over both cross-modal directions.

    Without a cross-modal direction all directions count. The first of equal lines is the best: it changes less.
    """
    directions = crossing(record.lines[0].recall)
    means = [(line, fmean(fmean(line.recall[d]) for d in directions)) for line in record.lines if not line.error]
    return max(means, key=lambda found: found[1])


def _tuned(record: StudyRecord) -> str:
    line, recall = best_trial(record)
    tried = sum(not line.error for line in record.lines)
    return (
        f"Best of {tried} trials by recall@1 of image→cloud and cloud→image together: {line.name} "
        f"({100 * recall:.1f} %). Only training and validation frames were read."
    )


def _curve(record: StudyRecord) -> str:
    return (
        "Parts of the training places lie together on the map, the smaller within the larger. Every line does as many "
        "steps as the whole: its epochs are more by as much as they are shorter."
    )


NOTES: dict[str, Callable[[StudyRecord], str]] = {TUNE: _tuned, LEARNING_CURVE: _curve}
"""Name of a study → what a reader of its table must know besides."""


def _plain(name: str) -> Column:
    return Column(name=name)


def _cells(line: LineRecord, directions: Sequence[str]) -> list[Cell]:
    if line.error:
        return [text(line.name), text(f"failed: {line.error}"), *[Cell()] * (len(directions) + 1)]
    recalls = [_mean(line.recall[d]) if d in line.recall else Cell() for d in directions]
    delta = Cell()
    if directions[0] in line.difference and line.name != BASE:
        change, low, high = (100 * value for value in line.difference[directions[0]])
        delta = Cell(value=change, low=low, high=high)
    return [text(line.name), *recalls, delta, number(line.training_s)]


def _mean(values: Sequence[float]) -> Cell:
    """Mean of the seeds in percent, with the standard deviation between them."""
    mean = sum(values) / len(values)
    deviation = (sum((v - mean) ** 2 for v in values) / max(len(values) - 1, 1)) ** 0.5
    return Cell(value=100 * mean, deviation=100 * deviation if len(values) > 1 else None)
