"""Commands that run methods: ``bench``, ``study``, ``sensitivity``, ``train``, ``evaluate`` and ``score``.

A command holds the groups of options that it uses, so that any other option is refused and never ignored.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import OmitArgPrefixes, Positional

from benchmark.console import say
from benchmark.request import (
    DataOptions,
    EngineOptions,
    MachineOptions,
    MethodOptions,
    PerturbationOptions,
    RegistrationOptions,
    Request,
    RunsFolder,
)

log = logging.getLogger(__name__)
REPORT = "report.html"
"""The page beside a new result."""

if TYPE_CHECKING:
    from benchmark.records.schema import Result
    from benchmark.runs.plan import Plan


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Run one method from data to table: prepare, train or load, encode, evaluate, measure, and compare with others.

    Example: crossplace bench --method lc2 --seed 1
    """

    data: OmitArgPrefixes[DataOptions] = field(default_factory=DataOptions)
    method: OmitArgPrefixes[MethodOptions] = field(default_factory=MethodOptions)
    machine: OmitArgPrefixes[MachineOptions] = field(default_factory=MachineOptions)
    perturbation: OmitArgPrefixes[PerturbationOptions] = field(default_factory=PerturbationOptions)
    dry_run: bool = False
    """Only print the plan: what is cached and what would run."""
    alone: bool = False
    """Leave out the published rows of other methods on the same data and protocol."""
    register: str | None = None
    """Registrar that then finds poses of images from the frames that were retrieved (crossplace list registrars)."""
    registration: OmitArgPrefixes[RegistrationOptions] = field(default_factory=RegistrationOptions)

    def __call__(self) -> None:
        """Run the whole row."""
        from benchmark.cli.registration import check_after, register_after
        from benchmark.runs.plan import Plan

        check_after(self.register)
        plan = Plan(_request(self))  # everything that can be refused is refused before torch is imported
        if self.dry_run:
            print_plan(plan)
            return
        from benchmark.runs.run import run

        results = run(plan)
        print_tables(results, alone=self.alone)
        write_page(results, plan.runs, results[0].run_id, alone=self.alone)
        if self.register is not None:
            register_after(plan, self.register, self.registration)


@dataclass(frozen=True, kw_only=True)
class Study:
    """Run a whole study: every line with every seed, and a table of differences to the unchanged method.

    Example: crossplace study ablation --seeds 0 1 2 --share 0.4
    """

    name: Positional[str]
    """Study to run: ablation (the variants of a method), robustness (every perturbation at every severity), tune
    (settings, scored on validation frames) or learning-curve (parts of the training places)."""
    seeds: tuple[int, ...] = ()
    """Seeds that every line is run with; default: the one of --seed."""
    lines: tuple[str, ...] = ()
    """Names (or questions) of the lines to run; default: all that the preset can afford. An ablation also takes
    settings such as local_stage.epochs=4, and changes joined by +; tune also takes settings joined by +."""
    trials: int | None = None
    """How many settings the study tune tries, from 2 to 12 (default), the unchanged preset among them."""
    data: OmitArgPrefixes[DataOptions] = field(default_factory=DataOptions)
    method: OmitArgPrefixes[MethodOptions] = field(default_factory=MethodOptions)
    machine: OmitArgPrefixes[MachineOptions] = field(default_factory=MachineOptions)
    engine: OmitArgPrefixes[EngineOptions] = field(default_factory=EngineOptions)
    dry_run: bool = False
    """Only print the plans: what is cached and what would run."""

    def __call__(self) -> None:
        """Run the study."""
        from benchmark.report.screen import screen_section
        from benchmark.report.studies import study_section
        from benchmark.runs.study import lines_of, plan_of, run_study

        request = Request(data=self.data, method=self.method, machine=self.machine)
        seeds = self.seeds or (self.method.seed,)
        if not self.dry_run:
            engine = None if self.engine == EngineOptions() else self.engine
            record, path = run_study(self.name, request, seeds, self.lines, self.trials, engine)
            say(f"{screen_section(study_section(record))}{path}")
            return
        for line in lines_of(self.name, request, self.lines, self.trials):
            for seed in seeds:
                say(f"{' · '.join(filter(None, [line.question, line.name]))} · seed {seed}")
                print_plan(plan_of(line, seed))


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """Recall against place radius, map spacing, heading limit and foreign places, from descriptors that are cached.

    Example: crossplace sensitivity --method vxp --axes radius distractors
    """

    axes: tuple[str, ...] = ()
    """What recall is counted against: radius, spacing, heading, distractors; default: all of them."""
    distractors: str | None = None
    """Prepared dataset (name or folder) whose frames are put into the map too, encoded by the same weights."""
    data: OmitArgPrefixes[DataOptions] = field(default_factory=DataOptions)
    method: OmitArgPrefixes[MethodOptions] = field(default_factory=MethodOptions)
    machine: OmitArgPrefixes[MachineOptions] = field(default_factory=MachineOptions)

    def __call__(self) -> None:
        """Print a table for each axis."""
        from benchmark.report.screen import screen_section
        from benchmark.report.sensitivity import sensitivity_section
        from benchmark.runs.sensitivity import run_sensitivity

        request = Request(data=self.data, method=self.method, machine=self.machine)
        record, path = run_sensitivity(request, self.axes, self.distractors)
        say(f"{screen_section(sensitivity_section(record))}{path}")


@dataclass(frozen=True, kw_only=True)
class Train:
    """Prepare the data if needed and train, without evaluating.

    Example: crossplace train --method vxp --preset gpu --device cuda
    """

    data: OmitArgPrefixes[DataOptions] = field(default_factory=DataOptions)
    method: OmitArgPrefixes[MethodOptions] = field(default_factory=MethodOptions)
    machine: OmitArgPrefixes[MachineOptions] = field(default_factory=MachineOptions)

    def __call__(self) -> None:
        """Leave trained weights."""
        from benchmark.runs.plan import Plan

        plan = Plan(Request(data=self.data, method=self.method, machine=self.machine))
        for warning in plan.warnings:
            log.warning(warning)
        from benchmark.runs.run import say_blind, train

        say_blind(plan)
        train(plan)
        say(f"weights: {plan.weights_file or 'as initialised'}")


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Like bench, without measuring cost.

    Example: crossplace evaluate --method lc2 --protocol town-night
    """

    data: OmitArgPrefixes[DataOptions] = field(default_factory=DataOptions)
    method: OmitArgPrefixes[MethodOptions] = field(default_factory=MethodOptions)
    machine: OmitArgPrefixes[MachineOptions] = field(default_factory=MachineOptions)
    perturbation: OmitArgPrefixes[PerturbationOptions] = field(default_factory=PerturbationOptions)
    alone: bool = False
    """Leave out the published rows of other methods on the same data and protocol."""

    def __call__(self) -> None:
        """Print the table."""
        from benchmark.runs.plan import Plan

        plan = Plan(_request(self), measured=False)
        from benchmark.runs.run import run

        results = run(plan)
        print_tables(results, alone=self.alone)
        write_page(results, plan.runs, results[0].run_id, alone=self.alone)


@dataclass(frozen=True, kw_only=True)
class Score:
    """Score descriptors that anyone made (docs/descriptors.md); no method is run.

    Example: crossplace score my-descriptors --dataset town --protocol town-night
    """

    descriptors: Positional[Path]
    """Folder with frame_ids.txt and images.npy and/or clouds.npy, there or in subfolders."""
    data: OmitArgPrefixes[DataOptions] = field(default_factory=DataOptions)
    machine: OmitArgPrefixes[RunsFolder] = field(default_factory=RunsFolder)
    alone: bool = False
    """Leave out the published rows of methods on the same data and protocol."""

    def __call__(self) -> None:
        """Print the table."""
        from benchmark.runs.rows import score

        results = score(self.descriptors, self.data, self.machine.runs)
        print_tables(results, alone=self.alone)
        write_page(results, self.machine.runs, results[0].run_id, alone=self.alone)


def print_plan(plan: "Plan") -> None:
    """Keyed steps and whether their outcome is already there."""
    for number, step in enumerate(plan.steps(), start=1):
        say(f"{number}. {step.name:<22} {step.key:<14} {'cached' if step.is_done else 'runs':<7} {step.folder}")


def _request(command: Bench | Evaluate) -> Request:
    return Request(data=command.data, method=command.method, machine=command.machine, perturbation=command.perturbation)


def print_tables(results: "Sequence[Result]", *, alone: bool, holes: dict[str, str] | None = None) -> None:
    """The tables of results on one dataset under one protocol, with the numbers of papers beside them."""
    from benchmark.records.environment import REPOSITORY
    from benchmark.records.published import PUBLISHED, published_in
    from benchmark.report.comparison import Comparison, means_over_seeds
    from benchmark.report.printed import printed_by_papers
    from benchmark.report.screen import screen
    from benchmark.report.tables import as_text

    comparison = Comparison.of(results, alone=alone, holes=holes)
    if len({result.seed for result in results}) > 1:
        comparison = means_over_seeds(comparison)
    say(as_text(comparison).rstrip("\n"))
    files = published_in(REPOSITORY / "results" / PUBLISHED) if comparison.board.is_real and not alone else {}
    if beside := printed_by_papers(comparison.board, [row for rows in files.values() for row in rows]):
        say(f"\n{screen(beside)}".rstrip("\n"))


def write_page(
    results: "Sequence[Result]", runs: Path, beside: str, *, alone: bool, holes: dict[str, str] | None = None
) -> None:
    """Write the page of ``results`` into the result folder ``beside``, or into ``runs``; a failure is a warning."""
    from benchmark.records.collection import Collection, Run, grouped
    from benchmark.report.page.drawings import drawings
    from benchmark.report.page.page import write_report
    from datasets.errors import CrossplaceError

    stored = runs / "results"
    path = stored / beside / REPORT if beside else runs / REPORT
    again = f"the result is stored, and crossplace report {stored / beside} tries again"
    try:
        found = grouped(Run(folder=stored / result.run_id, result=result) for result in results)
        collection = Collection(groups=found)
        write_report(collection, path, alone=alone, holes=holes, drawings=drawings(collection))
    except CrossplaceError as error:
        log.warning("no report: %s; %s", error, again)
    except Exception:  # a page must never cost a run
        log.debug("the report failed", exc_info=True)
        log.warning("no report, because of a fault of the suite; %s", again)
    else:
        say(f"report: {path}")
