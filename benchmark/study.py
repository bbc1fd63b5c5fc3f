"""Studies: many runs that answer a few questions, each line a change against the unchanged method."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from benchmark.bench import Bench
from benchmark.comparison import recall_difference
from benchmark.configuring import planned_share
from benchmark.keys import key_of
from benchmark.perturbations import PERTURBATIONS
from benchmark.registry import METHODS, unknown
from benchmark.request import Request
from benchmark.result import Result
from benchmark.study_record import BASE, STUDY, LineRecord, StudyRecord, study_table
from datasets.errors import CrossplaceError
from datasets.files import write_atomically

log = logging.getLogger(__name__)

SEVERITIES: tuple[Literal[1, 2, 3, 4, 5], ...] = (1, 2, 3, 4, 5)


@dataclass(frozen=True, kw_only=True)
class Line:
    """What one line of a study runs."""

    question: str
    name: str
    request: Request


def ablation(request: Request) -> list[Line]:
    """The method's variants one by one; those too costly for a CPU only with other presets than ``quick``."""
    method = METHODS.get(request.method)
    base = Bench(request).config
    lines = [
        Line(question=variant.question, name=name, request=replace(request, variant=name))
        for name, variant in method.variants.items()
        if variant.is_cheap or request.preset != "quick"
    ]
    return [line for line in lines if Bench(line.request).config != base]


def robustness(request: Request) -> list[Line]:
    """Every perturbation at every severity, on the same weights."""
    return [
        Line(
            question=f"{kind.title} ({kind.unit})",
            name=f"{value:g}",
            request=replace(request, perturb=name, severity=severity),
        )
        for name, kind in PERTURBATIONS.items()
        for severity, value in zip(SEVERITIES, kind.values, strict=True)
    ]


STUDIES: dict[str, Callable[[Request], list[Line]]] = {"ablation": ablation, "robustness": robustness}


def run_study(name: str, request: Request, seeds: Sequence[int], only: Sequence[str] = ()) -> str:
    """Run the study called ``name`` with every seed, store the record; returns the table as text.

    ``only`` names lines, or their questions, to run; none: all.

    A line that fails stays in the table with its reason. Interrupted studies continue where they stopped: every run
    is cached like any other.
    """
    if name not in STUDIES:
        raise CrossplaceError(unknown("study", name, list(STUDIES)))
    chosen = STUDIES[name](request)
    for word in only:
        if not any(word in (line.name, line.question) for line in chosen):
            raise CrossplaceError(unknown(f"line of study {name}", word, [line.name for line in chosen]))
    base = _run(Line(question="", name=BASE, request=request), seeds, None)
    if base.error:
        raise CrossplaceError(base.error)
    wanted = [line for line in chosen if not only or {line.name, line.question} & set(only)]
    lines = [base, *(_run(line, seeds, base) for line in wanted)]
    first = Result.read(request.runs / "results" / base.runs[0])
    record = StudyRecord(
        study=name,
        method=request.method,
        preset=request.preset,
        share_of_schedule=planned_share(METHODS.get(request.method), request),
        dataset=first.dataset.name,
        is_real=first.dataset.is_real,
        protocol=f"{first.protocol['name']} v{first.protocol['version']}",
        seeds=list(seeds),
        machine=f"{first.environment['device']}, {first.environment['threads']} threads",
        revision=str(first.harness.get("git_revision", "")),
        lines=lines,
    )
    key = key_of(name, request.share, [line.runs for line in lines])
    folder = request.runs / "studies" / f"{name}-{request.method}-{request.preset}-{first.dataset.name}-{key}"
    write_atomically(folder / STUDY, (record.model_dump_json(indent=1) + "\n").encode())
    return f"{study_table(record)}\n{folder / STUDY}"


def _run(line: Line, seeds: Sequence[int], base: LineRecord | None) -> LineRecord:
    found = LineRecord(question=line.question, name=line.name, runs=[], recall={}, difference={}, training_s=None)
    try:
        results = []
        for seed in seeds:
            log.info("study: %s, seed %d", line.name, seed)
            results.append(Bench(replace(line.request, seed=seed), measured=False).run()[0])
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
    record = result.directions[direction]
    chosen = record.mean if result.protocol["averaging"] == "pairs" else record.pooled
    return chosen.recall_at[0] or 0.0
