"""Tables of studies: what each change is worth, question by question."""

from collections.abc import Sequence

from benchmark.records.study import BASE, LineRecord, StudyRecord
from benchmark.report.comparison import arrow, stand_in_note
from benchmark.report.table import Cell, Column, Section, Table, number, text

ROBUSTNESS = "robustness"
"""The study whose lines are severities of perturbations."""


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
    share = "" if record.share_of_schedule >= 1 else f", {100 * record.share_of_schedule:.0f} % of the schedule"
    what = f"{record.study}: {record.method} ({record.preset}{share})"
    title = f"{what} · {record.dataset} · {record.protocol}{stand_in_note(record.is_real)}"
    notes = [
        f"Recall@1 in %, mean over seeds {', '.join(map(str, record.seeds))} ± standard deviation between seeds.",
        "Δ: percentage points against the unchanged method, with the paired 95 % interval over places, which does not "
        "hold the spread between seeds.",
        f"{record.machine}.",
    ]
    return Section(title=title, tables=study_tables(record), notes=notes)


def study_sections(records: Sequence[StudyRecord]) -> list[Section]:
    """A section for each study of changes; robustness has tables of its own, by severity."""
    return [study_section(record) for record in records if record.study != ROBUSTNESS]


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
