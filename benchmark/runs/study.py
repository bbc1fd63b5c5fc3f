"""Studies: many runs that answer a few questions, each line a change against the unchanged method."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmark.frames.perturbations import PERTURBATIONS
from benchmark.keys import key_of
from benchmark.records.comparison import differences
from benchmark.records.schema import Result
from benchmark.records.study import BASE, STUDY, LineRecord, StudyRecord
from benchmark.registry import METHODS
from benchmark.report.comparison import marks
from benchmark.request import Request
from benchmark.runs.plan import Plan
from datasets.errors import CrossplaceError, unknown

log = logging.getLogger(__name__)

SEVERITIES: tuple[Literal[1, 2, 3, 4, 5], ...] = (1, 2, 3, 4, 5)


@dataclass(frozen=True, kw_only=True)
class Line:
    """What one line of a study runs."""

    question: str
    """Empty for the line that all others are compared with."""
    name: str
    request: Request
    """What is run."""
    by_default: bool = True
    """Whether it runs without being named."""


def ablation(request: Request) -> list[Line]:
    """The method's variants one by one, each beside the variant that is asked for, if any.

    With the preset ``quick``, those too costly for a CPU run only if they are named. Shipped weights, which may come
    from another machine, are left alone, so that all lines share their stages with the unchanged method.
    """
    if request.method.checkpoint:
        raise CrossplaceError("an ablation trains every line anew; leave --checkpoint out")
    base = Line(question="", name=BASE, request=request.changed(retrain=True))
    lines = [
        Line(
            question=variant.question,
            name=name,
            request=base.request.changed(variant="+".join(filter(None, [request.method.variant, name]))),
            by_default=variant.is_cheap or request.method.preset != "quick",
        )
        for name, variant in METHODS.get(request.method.name).variants.items()
    ]
    unchanged = Plan(base.request).declared.identity
    return [base, *(line for line in lines if Plan(line.request).declared.identity != unchanged)]


def robustness(request: Request) -> list[Line]:
    """Every perturbation at every severity, on the same weights."""
    lines = [
        Line(
            question=f"{kind.title} ({kind.unit})",
            name=f"{name} {value:g}",
            request=request.changed(perturb=name, severity=severity),
        )
        for name, kind in PERTURBATIONS.items()
        for severity, value in zip(SEVERITIES, kind.values, strict=True)
    ]
    return [Line(question="", name=BASE, request=request), *lines]


STUDIES: dict[str, Callable[[Request], list[Line]]] = {"ablation": ablation, "robustness": robustness}
"""Name → its lines, the unchanged method first."""


def lines_of(name: str, request: Request, only: Sequence[str] = ()) -> list[Line]:
    """The lines of the study called ``name``, first the one that all others are compared with.

    ``only``: names of lines to run, or questions, then those of their lines that are affordable. Empty: all
    affordable lines.
    """
    if name not in STUDIES:
        raise CrossplaceError(unknown("study", name, list(STUDIES)))
    if request.perturbation.perturb is not None:
        raise CrossplaceError("a study compares with frames as they were recorded; leave --perturb out")
    base, *others = STUDIES[name](request)
    for word in only:
        if not any(word in (line.name, line.question) for line in others):
            raise CrossplaceError(unknown(f"line of study {name}", word, [line.name for line in others]))

    def is_wanted(line: Line) -> bool:
        return line.name in only or (line.by_default and (not only or line.question in only))

    return [base, *filter(is_wanted, others)]


def run_study(name: str, request: Request, seeds: Sequence[int], only: Sequence[str] = ()) -> tuple[StudyRecord, Path]:
    """Run the lines of a study (:func:`lines_of`) with every seed; returns the stored record and its file.

    A line that fails stays in the table with its reason. Interrupted studies continue where they stopped: every run
    is cached like any other.
    """
    first_line, *others = lines_of(name, request, only)
    base = _run(first_line, seeds, None)
    if base.error:
        raise CrossplaceError(base.error)
    lines = [base, *(_run(line, seeds, base) for line in others)]
    options, runs = request.method, request.machine.runs
    preset = "+".join(filter(None, [options.preset, options.variant]))
    first = Result.read(runs / "results" / base.runs[0])
    record = StudyRecord(
        study=name,
        method=options.name,
        preset=preset,
        share_of_schedule=Plan(request).declared.planned_share,
        dataset=first.dataset.name,
        is_real=first.dataset.is_real,
        protocol=f"{first.protocol['name']} v{first.protocol['version']}{marks(first.protocol)}",
        seeds=list(seeds),
        machine=f"{first.environment['device']}, {first.environment['threads']} threads",
        revision=str(first.harness.get("git_revision", "")),
        lines=lines,
    )
    key = key_of(name, options.share, [line.runs for line in lines])
    path = runs / "studies" / f"{name}-{options.name}-{preset}-{first.dataset.name}-{key}" / STUDY
    record.write(path)
    return record, path


def plan_of(line: Line, seed: int) -> Plan:
    """The plan of one run of a study."""
    return Plan(line.request.changed(seed=seed), measured=False)


def _run(line: Line, seeds: Sequence[int], base: LineRecord | None) -> LineRecord:
    from benchmark.runs.run import run

    found = LineRecord(question=line.question, name=line.name, runs=[], recall={}, difference={}, training_s=None)
    try:
        results = []
        for seed in seeds:
            log.info("study: %s, seed %d", line.name, seed)
            results.append(run(plan_of(line, seed))[0])
    except CrossplaceError as error:
        log.warning("study: %s failed: %s", line.name, error)
        return found.model_copy(update={"error": str(error)})
    folder = line.request.machine.runs / "results"
    runs = [result.run_id for result in results]
    paths, against = [folder / run for run in runs], [folder / run for run in (base.runs if base else runs)]
    difference = {
        direction: (change.value, change.interval.low, change.interval.high)
        for direction, change in differences(paths, against).items()
    }
    times = [sum(s["seconds"] for s in r.method.training["stages"].values()) for r in results if r.method.training]
    return found.model_copy(
        update={
            "runs": runs,
            "recall": {d: [r.headline(d).recall_at[0] or 0.0 for r in results] for d in results[0].directions},
            "difference": difference,
            "training_s": sum(times) / len(times) if times else None,
        }
    )
