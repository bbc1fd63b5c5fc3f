"""A study as it is stored and published, and the table made of it. Needs no torch."""

import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict
from tabulate import tabulate

from benchmark.report.tables import NONE, stand_in_note
from datasets.files import read_as, sealed, write_atomically

STUDY = "study.json"
BASE = "unchanged"


class LineRecord(BaseModel):
    """What came out of one line, over seeds; empty with an ``error`` where a run failed."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    question: str
    name: str
    runs: list[str]
    """Run ids, one a seed."""
    recall: dict[str, list[float]]
    """Direction → headline recall@1 of each seed, fractions."""
    difference: dict[str, tuple[float, float, float]]
    """Direction → mean of seeds minus that of the unchanged method, and the ends of its paired 95 % interval."""
    training_s: float | None
    """Mean over seeds of the time that training took, stages shared with other lines included."""
    error: str = ""


class StudyRecord(BaseModel):
    """A study as it is stored and published: what its table needs, and nothing else."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    schema_version: int = 1
    study: str
    method: str
    preset: str
    """With the variants that every line has, joined by +."""
    share_of_schedule: float
    dataset: str
    is_real: bool
    protocol: str
    seeds: list[int]
    machine: str
    revision: str
    lines: list[LineRecord]

    @classmethod
    def read(cls, path: Path) -> "StudyRecord":
        """Read a stored study; fields that later versions add are ignored, and so is that older files have no seal."""
        return read_as(path, cls, f"take {path.parent} away and run the study again")

    def content(self) -> bytes:
        """The study as the content of its file, sealed."""
        return (json.dumps(sealed(self.model_dump(mode="json")), indent=1, ensure_ascii=False) + "\n").encode()


def study_table(record: StudyRecord) -> str:
    """The study as a Markdown section."""
    directions = list(record.lines[0].recall)
    headers = ["change", *(d.replace("->", "→") for d in directions), f"Δ {directions[0].replace('->', '→')} [95 %]"]
    sections = []
    for question in dict.fromkeys(line.question for line in record.lines[1:]):
        rows = [_cells(line, directions) for line in record.lines if line.question in ("", question)]
        table = tabulate(rows, headers=[*headers, "training s"], tablefmt="github", disable_numparse=True)
        sections.append(f"**{question}**\n\n{table}")
    share = "" if record.share_of_schedule >= 1 else f", {100 * record.share_of_schedule:.0f} % of the schedule"
    what = f"{record.study}: {record.method} ({record.preset}{share})"
    title = f"## {what} · {record.dataset} · {record.protocol}{stand_in_note(record.is_real)}"
    notes = (
        f"Recall@1 in %, mean over seeds {', '.join(map(str, record.seeds))} ± standard deviation between seeds; Δ: "
        "percentage points against the unchanged method, with the paired 95 % interval over map blocks of 50 m "
        f"(which does not hold the spread between seeds). {record.machine}."
    )
    return "\n\n".join([title, *sections, notes]) + "\n"


def _cells(line: LineRecord, directions: Sequence[str]) -> list[str]:
    if line.error:
        return [line.name, "failed: " + line.error.replace("|", "¦")]  # a bar would end the cell
    recalls = [_spread(line.recall[d]) if d in line.recall else NONE for d in directions]
    delta = NONE
    if directions[0] in line.difference and line.name != BASE:
        change, low, high = (100 * value for value in line.difference[directions[0]])
        delta = f"{change:+.1f} [{low:+.1f}, {high:+.1f}]"
    return [line.name, *recalls, delta, NONE if line.training_s is None else f"{line.training_s:.0f}"]


def _spread(values: Sequence[float]) -> str:
    mean = sum(values) / len(values)
    deviation = (sum((v - mean) ** 2 for v in values) / max(len(values) - 1, 1)) ** 0.5
    return f"{100 * mean:.1f}" + (f" ± {100 * deviation:.1f}" if len(values) > 1 else "")


def write_study_tables(results_folder: Path) -> list[str]:
    """Write ``tables/studies.md`` from every published study; returns its sections."""
    records = [StudyRecord.read(path) for path in sorted(results_folder.rglob(STUDY))]
    sections = [study_table(record) for record in records]
    header = "# Studies\n\nWritten by `crossplace tables` from the studies beside it; do not edit.\n\n"
    text = header + ("\n".join(sections) or "No studies yet.\n")
    write_atomically(results_folder / "tables" / "studies.md", text.encode())
    return sections
