"""Studies: many runs that answer a few questions, each line a change against the unchanged method."""

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

from benchmark.frames.perturbations import PERTURBATIONS
from benchmark.keys import key_of
from benchmark.records.comparison import differences
from benchmark.records.schema import Result
from benchmark.records.study import ABLATION, BASE, LEARNING_CURVE, STUDY, TUNE, LineRecord, StudyRecord
from benchmark.registry import DATASETS, METHODS
from benchmark.report.comparison import marks
from benchmark.request import LONGEST_SHARE, EngineOptions, Request
from benchmark.runs.carrying import Wanted, carry_out
from benchmark.runs.plan import Plan
from datasets.derived import ON_VALIDATION, trained_on
from datasets.errors import CrossplaceError, unknown
from datasets.randomness import generator

log = logging.getLogger(__name__)

MOST_TRIALS = 12
"""Trials that every method may have, the unchanged preset among them."""
PARTS = (10, 25, 50)
"""Percent of the training places of a learning curve, besides all of them."""
WHICH_SETTINGS = "Which settings are best on the validation frames?"
HOW_MANY_PLACES = "How many places to train on are enough?"
OWN_QUESTIONS = {ABLATION: "What do further changes bring?", TUNE: WHICH_SETTINGS}
"""Studies that take further changes as lines, and the question that these answer."""
_NONE = object()
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
    base = _trained_anew(request)
    lines = [
        Line(
            question=variant.question,
            name=name,
            request=_with(base.request, name),
            by_default=variant.is_cheap or request.method.preset != "quick",
        )
        for name, variant in METHODS.get(request.method.name).variants.items()
    ]
    return [base, *_that_differ(lines, base)]


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


def tune(request: Request) -> list[Line]:
    """The preset and then settings of the method's table ``tunes``, scored on the validation frames alone.

    First come all single changes, the first value of every setting before any second one. So even few trials touch
    every setting, and each difference to the preset has one cause. Changes of several settings at once follow, drawn
    with the seed; a shorter study is the beginning of a longer one.
    """
    table = METHODS.get(request.method.name).tunes
    if not table:
        raise CrossplaceError(
            f"{request.method.name} has no settings to try; give another --method, or fill its table tunes"
        )
    base = _trained_anew(request.changed(protocol=_protocol_name(request) + ON_VALIDATION))
    names = [*_single_changes(table), *_changes_at_once(table, request)]
    lines = [Line(question=WHICH_SETTINGS, name=name, request=_with(base.request, name)) for name in names]
    return [base, *_that_differ(lines, base)][:MOST_TRIALS]


def learning_curve(request: Request) -> list[Line]:
    """Training on parts of the training places, for as many steps as on all of them.

    A part lies together on the map, and smaller parts lie within larger ones. An epoch of a part is shorter, so the
    number of epochs grows by as much.
    """
    base, name = _trained_anew(request), _protocol_name(request)
    return [base] + [
        Line(
            question=HOW_MANY_PLACES,
            name=f"places {percent} %",
            request=base.request.changed(
                protocol=trained_on(name, percent), share=min(100 * request.method.share / percent, LONGEST_SHARE)
            ),
        )
        for percent in PARTS
    ]


def _trained_anew(request: Request) -> Line:
    """The unchanged method, trained here even if weights come with the suite."""
    if request.method.checkpoint or request.method.untrained:
        raise CrossplaceError("this study trains every line anew; leave --checkpoint and --untrained out")
    return Line(question="", name=BASE, request=request.changed(retrain=True))


def _with(request: Request, change: str) -> Request:
    """The request with one more change of the preset."""
    return request.changed(variant="+".join(filter(None, [request.method.variant, change])))


def _that_differ(lines: Sequence[Line], base: Line) -> Iterator[Line]:
    """Lines whose configuration differs from that of ``base``, and from that of every line before."""
    seen = [_identity(base)]
    for line in lines:
        if (identity := _identity(line)) not in seen:
            seen.append(identity)
            yield line


def _identity(line: Line) -> str:
    """What tells the configurations of two lines apart."""
    return key_of(Plan(line.request).declared.identity)


def _protocol_name(request: Request) -> str:
    """The protocol that is asked for, or else that of the dataset."""
    name, dataset = request.data.protocol, request.data.dataset
    name = name or (DATASETS.get(dataset).default_protocol if dataset in DATASETS.names() else "")
    if not name:
        raise CrossplaceError(
            f"{dataset} has no protocol of its own, which would say what to train on; give one with --protocol "
            "(crossplace list protocols)"
        )
    return name


def _single_changes(table: Mapping[str, Sequence[Any]]) -> Iterator[str]:
    for values in zip_longest(*table.values(), fillvalue=_NONE):
        yield from (_setting(path, v) for path, v in zip(table, values, strict=True) if v is not _NONE)


def _changes_at_once(table: Mapping[str, Sequence[Any]], request: Request) -> Iterator[str]:
    """Draws of two settings or more, each equally often as in the preset and at every value of the table."""
    random = generator(request.method.seed, "tune", request.method.name)
    for _ in range(MOST_TRIALS * MOST_TRIALS):
        drawn = {path: [_NONE, *values][random.integers(len(values) + 1)] for path, values in table.items()}
        changes = [_setting(path, value) for path, value in drawn.items() if value is not _NONE]
        if len(changes) > 1:
            yield "+".join(changes)


def _setting(path: str, value: Any) -> str:
    """A setting as ``--variant`` takes it, which joins changes by a plus."""
    return f"{path}={value if isinstance(value, str) else json.dumps(value).replace('e+', 'e')}"


STUDIES: dict[str, Callable[[Request], list[Line]]] = {
    ABLATION: ablation,
    "robustness": robustness,
    TUNE: tune,
    LEARNING_CURVE: learning_curve,
}
"""Name → its lines, the unchanged method first."""


def lines_of(name: str, request: Request, only: Sequence[str] = (), trials: int | None = None) -> list[Line]:
    """The lines of the study called ``name``, first the one that all others are compared with.

    ``only``: names of lines to run, or questions, then those of their lines that are affordable. Empty: all
    affordable lines. An ablation also takes single settings and changes together, as ``--variant`` does, and ``tune``
    takes settings together.

    ``trials``: how many lines of a study ``tune`` are run, the first one included.
    """
    if name not in STUDIES:
        raise CrossplaceError(unknown("study", name, list(STUDIES)))
    if request.perturbation.perturb is not None:
        raise CrossplaceError("a study compares with frames as they were recorded; leave --perturb out")
    if trials is not None and name != TUNE:
        raise CrossplaceError(f"study {name} has no trials; leave --trials out, or choose its lines with --lines")
    if trials is not None and not 2 <= trials <= MOST_TRIALS:
        raise CrossplaceError(
            f"--trials {trials}: expected 2 to {MOST_TRIALS}, the same for every method; give a number in this range"
        )
    base, *others = STUDIES[name](request)[:trials]
    if name in OWN_QUESTIONS:
        others += _own_lines(name, only, others, base)
    for word in only:
        if not any(word in (line.name, line.question) for line in others):
            raise CrossplaceError(unknown(f"line of study {name}", word, [line.name for line in others]))

    def is_wanted(line: Line) -> bool:
        return line.name in only or (line.by_default and (not only or line.question in only))

    chosen = [base, *filter(is_wanted, others)]
    if name == TUNE and len(chosen) > MOST_TRIALS:
        raise CrossplaceError(
            f"{len(chosen)} trials: every method gets at most {MOST_TRIALS}, the unchanged preset among them; "
            "leave some of --lines out"
        )
    return chosen


def _own_lines(study: str, words: Sequence[str], known: Sequence[Line], base: Line) -> list[Line]:
    """Lines for changes that are no line yet: single settings, and several changes at once."""
    names = [line.name for line in known]
    own = [word for word in words if word not in names and _is_change(word, study)]
    lines = [Line(question=OWN_QUESTIONS[study], name=word, request=_with(base.request, word)) for word in own]
    seen = {_identity(line): line.name for line in reversed([base, *known])}
    for line in lines:
        if (name := seen.setdefault(_identity(line), line.name)) != line.name:
            cure = "it changes nothing; leave it out" if name == BASE else f"it is the line {name}; name that one"
            raise CrossplaceError(f"--lines {line.name}: {cure}")
    return lines


def _is_change(word: str, study: str) -> bool:
    """Whether ``word`` reads as settings, or in an ablation also as several changes; a trial seeks settings alone."""
    parts = word.split("+")
    return all("=" in part for part in parts) or (study != TUNE and len(parts) > 1)


def run_study(
    name: str,
    request: Request,
    seeds: Sequence[int],
    only: Sequence[str] = (),
    trials: int | None = None,
    engine: EngineOptions | None = None,
) -> tuple[StudyRecord, Path]:
    """Run the lines of a study (:func:`lines_of`) with every seed; returns the stored record and its file.

    A line that fails stays in the table with its reason. Interrupted studies continue where they stopped: every run
    is cached like any other. Without an ``engine`` all runs work one after the other in this process.
    """
    chosen, planned_share = lines_of(name, request, only, trials), Plan(request).declared.planned_share
    holes = _carried_out(chosen, seeds, engine) if engine else {}
    first_line, *others = chosen
    base = _run(first_line, seeds, None, holes)
    if base.error:
        raise CrossplaceError(base.error)
    lines = [base, *(_run(line, seeds, base, holes) for line in others)]
    options, runs = request.method, request.machine.runs
    preset = "+".join(filter(None, [options.preset, options.variant]))
    first = Result.read(runs / "results" / base.runs[0])
    record = StudyRecord(
        study=name,
        method=options.name,
        preset=preset,
        share_of_schedule=planned_share,
        dataset=first.dataset.name,
        is_real=first.dataset.is_real,
        protocol=f"{first.protocol['name']} v{first.protocol['version']}{marks(first.protocol)}",
        seeds=list(seeds),
        machine=f"{first.environment['device']}, {first.environment['threads']} threads",
        revision=str(first.harness.get("git_revision", "")),
        lines=lines,
    )
    key = key_of(name, options.share, [line.runs for line in lines])
    path = runs / "studies" / f"{name}-{options.label}-{first.dataset.name}-{key}" / STUDY
    record.write(path)
    return record, path


def plan_of(line: Line, seed: int) -> Plan:
    """The plan of one run of a study."""
    return Plan(line.request.changed(seed=seed), measured=False)


def _carried_out(lines: Sequence[Line], seeds: Sequence[int], engine: EngineOptions) -> dict[tuple[str, int], str]:
    """Let an engine do all runs; returns why some have no result, by the names of their lines and by seed."""
    places = [(line, seed) for line in lines for seed in seeds]
    wanted = [
        Wanted(label=f"{line.name} · seed {seed}", request=line.request.changed(seed=seed)) for line, seed in places
    ]
    found = zip(places, carry_out(wanted, engine), strict=True)
    return {(line.name, seed): run.reason for (line, seed), run in found if run.reason}


def _run(line: Line, seeds: Sequence[int], base: LineRecord | None, holes: Mapping[tuple[str, int], str]) -> LineRecord:
    from benchmark.runs.run import run

    found = LineRecord(question=line.question, name=line.name, runs=[], recall={}, difference={}, training_s=None)
    try:
        results = []
        for seed in seeds:
            log.info("study: %s, seed %d", line.name, seed)
            if why := holes.get((line.name, seed)):
                raise CrossplaceError(why)
            results.append(run(plan_of(line, seed))[0])
    except CrossplaceError as error:
        log.warning("study: %s failed: %s", line.name, error)
        return found.model_copy(update={"error": str(error)})
    folder = line.request.machine.runs / "results"
    runs = [result.run_id for result in results]
    paths, against = [folder / run for run in runs], [folder / run for run in (base.runs if base else runs)]
    difference = {
        direction: (change.value, change.interval.low, change.interval.high)
        for direction, change in differences(paths, against, is_same_training=False).items()
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
