"""Studies: many runs that answer a few questions, each line a change against the unchanged method."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from tabulate import tabulate

from benchmark.bench import Bench
from benchmark.comparison import recall_difference
from benchmark.keys import key_of
from benchmark.perturbations import PERTURBATIONS
from benchmark.registry import METHODS, unknown
from benchmark.request import Request
from benchmark.result import Result
from benchmark.tables import NONE, Row
from datasets.errors import CrossplaceError
from datasets.files import write_atomically

log = logging.getLogger(__name__)

STUDY = "study.json"
SEVERITIES: tuple[Literal[1, 2, 3, 4, 5], ...] = (1, 2, 3, 4, 5)
BASE = "unchanged"


@dataclass(frozen=True, kw_only=True)
class Line:
    """What one line of a study runs."""

    question: str
    """Empty for the line that all others are compared with."""
    name: str
    request: Request
    by_default: bool = True
    """Whether it runs without being named."""


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
        """Read a stored study."""
        try:
            return cls.model_validate_json(path.read_text())
        except (OSError, ValueError, ValidationError) as error:
            raise CrossplaceError(f"{path}: not a readable study ({error})") from error


def ablation(request: Request) -> list[Line]:
    """The method's variants one by one, each beside the variant that is asked for, if any.

    With the preset ``quick``, those too costly for a CPU run only if they are named. Shipped weights, which may come
    from another machine, are left alone, so that all lines share their stages with the unchanged method.
    """
    if request.checkpoint:
        raise CrossplaceError("an ablation trains every line anew; leave --checkpoint out")
    base = Line(question="", name=BASE, request=replace(request, retrain=True))
    lines = [
        Line(
            question=variant.question,
            name=name,
            request=replace(base.request, variant="+".join(filter(None, [request.variant, name]))),
            by_default=variant.is_cheap or request.preset != "quick",
        )
        for name, variant in METHODS.get(request.method).variants.items()
    ]
    unchanged = Bench(base.request).config
    return [base, *(line for line in lines if Bench(line.request).config != unchanged)]


def robustness(request: Request) -> list[Line]:
    """Every perturbation at every severity, on the same weights."""
    lines = [
        Line(
            question=f"{kind.title} ({kind.unit})",
            name=f"{value:g}",
            request=replace(request, perturb=name, severity=severity),
        )
        for name, kind in PERTURBATIONS.items()
        for severity, value in zip(SEVERITIES, kind.values, strict=True)
    ]
    return [Line(question="", name=BASE, request=request), *lines]


STUDIES: dict[str, Callable[[Request], list[Line]]] = {"ablation": ablation, "robustness": robustness}
"""Name → its lines, the unchanged method first."""


def lines_of(name: str, request: Request, only: Sequence[str] = ()) -> list[Line]:
    """The lines of the study called ``name``, first the one that all others are compared with.

    ``only`` names lines, or questions whose affordable lines, to run; none: all that are affordable.
    """
    if name not in STUDIES:
        raise CrossplaceError(unknown("study", name, list(STUDIES)))
    if request.perturb is not None:
        raise CrossplaceError("a study compares with frames as they were recorded; leave --perturb out")
    base, *others = STUDIES[name](request)
    for word in only:
        if not any(word in (line.name, line.question) for line in others):
            raise CrossplaceError(unknown(f"line of study {name}", word, [line.name for line in others]))

    def is_wanted(line: Line) -> bool:
        return line.name in only or (line.by_default and (not only or line.question in only))

    return [base, *filter(is_wanted, others)]


def run_study(name: str, request: Request, seeds: Sequence[int], only: Sequence[str] = ()) -> str:
    """Run the lines of a study (:func:`lines_of`) with every seed, store the record; returns the table as text.

    A line that fails stays in the table with its reason. Interrupted studies continue where they stopped: every run
    is cached like any other.
    """
    first_line, *others = lines_of(name, request, only)
    base = _run(first_line, seeds, None)
    if base.error:
        raise CrossplaceError(base.error)
    lines = [base, *(_run(line, seeds, base) for line in others)]
    preset = "+".join(filter(None, [request.preset, request.variant]))
    first = Result.read(request.runs / "results" / base.runs[0])
    record = StudyRecord(
        study=name,
        method=request.method,
        preset=preset,
        share_of_schedule=request.share,
        dataset=first.dataset.name,
        is_real=first.dataset.is_real,
        protocol=f"{first.protocol['name']} v{first.protocol['version']}",
        seeds=list(seeds),
        machine=f"{first.environment['device']}, {first.environment['threads']} threads",
        revision=str(first.harness.get("git_revision", "")),
        lines=lines,
    )
    key = key_of(name, request.share, [line.runs for line in lines])
    folder = request.runs / "studies" / f"{name}-{request.method}-{preset}-{first.dataset.name}-{key}"
    write_atomically(folder / STUDY, (record.model_dump_json(indent=1) + "\n").encode())
    return f"{study_table(record)}\n{folder / STUDY}"


def job(line: Line, seed: int) -> Bench:
    """One run of a study."""
    return Bench(replace(line.request, seed=seed), measured=False)


def _run(line: Line, seeds: Sequence[int], base: LineRecord | None) -> LineRecord:
    found = LineRecord(question=line.question, name=line.name, runs=[], recall={}, difference={}, training_s=None)
    try:
        results = []
        for seed in seeds:
            log.info("study: %s, seed %d", line.name, seed)
            results.append(job(line, seed).run()[0])
    except CrossplaceError as error:
        log.warning("study: %s failed: %s", line.name, error)
        return found.model_copy(update={"error": str(error)})
    folder = line.request.runs / "results"
    runs = [result.run_id for result in results]
    paths, against = [folder / run for run in runs], [folder / run for run in (base.runs if base else runs)]
    difference = {}
    for direction in results[0].directions:
        change, interval = recall_difference(paths, against, direction)
        difference[direction] = (change, interval.low, interval.high)
    times = [sum(s["seconds"] for s in r.method.training["stages"].values()) for r in results if r.method.training]
    return found.model_copy(
        update={
            "runs": runs,
            "recall": {d: [_headline(r, d) for r in results] for d in results[0].directions},
            "difference": difference,
            "training_s": sum(times) / len(times) if times else None,
        }
    )


def _headline(result: Result, direction: str) -> float:
    row = Row(result=result, direction=direction, record=result.directions[direction])
    return row.headline.recall_at[0] or 0.0


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
    stand_in = "" if record.is_real else " · procedural stand-in, never to be compared with real data"
    title = (
        f"## {record.study}: {record.method} ({record.preset}{share}) · {record.dataset} · {record.protocol}{stand_in}"
    )
    notes = (
        f"Recall@1 in %, mean over seeds {', '.join(map(str, record.seeds))} ± standard deviation between seeds; Δ: "
        "percentage points against the unchanged method, with the paired 95 % interval over map blocks of 50 m "
        f"(which does not hold the spread between seeds). {record.machine}."
    )
    return "\n\n".join([title, *sections, notes]) + "\n"


def _cells(line: LineRecord, directions: Sequence[str]) -> list[str]:
    if line.error:
        return [line.name, f"failed: {line.error}"]
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
