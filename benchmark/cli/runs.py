"""Commands that run methods: ``bench``, ``sweep``, ``study``, ``train``, ``evaluate`` and ``score``.

A command holds the groups of options that it uses. Spellings of earlier versions are hidden options that hand over to
the command that does the work now.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import OmitArgPrefixes, Positional, Suppress

from benchmark.console import say
from benchmark.request import (
    DataOptions,
    MachineOptions,
    MethodOptions,
    PerturbationOptions,
    Request,
    RunsFolder,
)

if TYPE_CHECKING:
    from benchmark.records.schema import Result
    from benchmark.runs.plan import Plan

ALL = "all"
"""Name of every method together, in the spelling of earlier versions: ``bench --method all``."""


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
    study: Suppress[str | None] = None
    seeds: Suppress[tuple[int, ...]] = ()
    lines: Suppress[tuple[str, ...]] = ()

    def __call__(self) -> None:
        """Run the whole row."""
        from datasets.errors import CrossplaceError

        if self.study is None and (self.seeds or self.lines):
            raise CrossplaceError("--seeds and --lines are of a study: crossplace study NAME --seeds 0 1 2")
        request = _request(self)
        if self.study is not None:
            if self.method.name == ALL:
                raise CrossplaceError("a study is of one method: name it with --method")
            _study(self.study, request, self.seeds, self.lines, self.dry_run)
        elif self.method.name == ALL:
            _sweep(request, (), self.dry_run, self.alone)
        elif self.dry_run:
            from benchmark.runs.plan import Plan

            print_plan(Plan(request))
        else:
            from benchmark.runs.plan import Plan

            plan = Plan(request)  # everything that can be refused is refused before torch is imported
            from benchmark.runs.run import run

            _print(run(plan), alone=self.alone)


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Run every method one after the other, each in a process of its own; a failure is a hole in the table.

    Example: crossplace sweep --methods vxp lc2 --seed 1
    """

    data: OmitArgPrefixes[DataOptions] = field(default_factory=DataOptions)
    machine: OmitArgPrefixes[MachineOptions] = field(default_factory=MachineOptions)
    perturbation: OmitArgPrefixes[PerturbationOptions] = field(default_factory=PerturbationOptions)
    methods: tuple[str, ...] = ()
    """Methods to run (crossplace list methods); default: all."""
    preset: str = "quick"
    """Configuration of every method (crossplace list presets)."""
    share: float = 1.0
    """Share of the preset's training epochs to do, above 0; tables say so where it is less than 1."""
    seed: int = 0
    """Seed of initialisation, sampling, augmentation and the random ranker."""
    dry_run: bool = False
    """Only print the plans: what is cached and what would run."""
    alone: bool = False
    """Leave out the published rows of other methods on the same data and protocol."""

    def __call__(self) -> None:
        """Run all rows."""
        method = MethodOptions(preset=self.preset, share=self.share, seed=self.seed)
        request = Request(data=self.data, method=method, machine=self.machine, perturbation=self.perturbation)
        _sweep(request, self.methods, self.dry_run, self.alone)


@dataclass(frozen=True, kw_only=True)
class Study:
    """Run a whole study: every line with every seed, and a table of differences to the unchanged method.

    Example: crossplace study ablation --seeds 0 1 2 --share 0.4
    """

    name: Positional[str]
    """Study to run: ablation (the variants of a method) or robustness (every perturbation at every severity)."""
    seeds: tuple[int, ...] = ()
    """Seeds that every line is run with; default: the one of --seed."""
    lines: tuple[str, ...] = ()
    """Names (or questions) of the lines to run; default: all that the preset can afford."""
    data: OmitArgPrefixes[DataOptions] = field(default_factory=DataOptions)
    method: OmitArgPrefixes[MethodOptions] = field(default_factory=MethodOptions)
    machine: OmitArgPrefixes[MachineOptions] = field(default_factory=MachineOptions)
    dry_run: bool = False
    """Only print the plans: what is cached and what would run."""

    def __call__(self) -> None:
        """Run the study."""
        request = Request(data=self.data, method=self.method, machine=self.machine)
        _study(self.name, request, self.seeds, self.lines, self.dry_run)


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
        from benchmark.runs.run import train

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
    descriptors: Suppress[Path | None] = None

    def __call__(self) -> None:
        """Print the table."""
        from benchmark.runs.plan import Plan

        if self.descriptors is not None:
            _refuse_given(self)
            _score(self.descriptors, self.data, self.machine.runs, self.alone)
            return
        plan = Plan(_request(self), measured=False)
        from benchmark.runs.run import run

        _print(run(plan), alone=self.alone)


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
        _score(self.descriptors, self.data, self.machine.runs, self.alone)


def print_plan(plan: "Plan") -> None:
    """Keyed steps and whether their outcome is already there."""
    for number, step in enumerate(plan.steps(), start=1):
        say(f"{number}. {step.name:<22} {step.key:<14} {'cached' if step.is_done else 'runs':<7} {step.folder}")


def _request(command: Bench | Evaluate) -> Request:
    return Request(data=command.data, method=command.method, machine=command.machine, perturbation=command.perturbation)


def _refuse_given(command: Evaluate) -> None:
    """Refuse options of a method beside descriptors, which nobody would read."""
    from datasets.errors import CrossplaceError

    groups = [asdict(group) for group in (command.method, command.perturbation, command.machine)]
    defaults = [asdict(kind()) for kind in (MethodOptions, PerturbationOptions, MachineOptions)]
    given = [
        f"--{('method' if name == 'name' else name).replace('_', '-')}"
        for group, default in zip(groups, defaults, strict=True)
        for name, value in group.items()
        if value != default[name] and name != "runs"
    ]
    if given:
        raise CrossplaceError(
            f"{', '.join(given)} cannot go with --descriptors, which were made already: no method is run. Leave the "
            "option out (crossplace score --help lists what counts), or leave --descriptors out to run a method"
        )


def _score(folder: Path, data: DataOptions, runs: Path, alone: bool) -> None:
    from benchmark.runs.rows import score

    _print(score(folder, data, runs), alone=alone)


def _sweep(request: Request, names: Sequence[str], dry_run: bool, alone: bool) -> None:
    from benchmark.registry import METHODS
    from datasets.errors import CrossplaceError

    for name in names:
        METHODS.check(name)
    if dry_run:
        from benchmark.runs.plan import Plan

        for name in names or METHODS.names():
            say(name)
            print_plan(Plan(request.changed(method=name)))
        return
    from benchmark.runs.sweep import run_sweep

    sweep = run_sweep(request, names)
    _print(sweep.results, alone=alone, holes=sweep.holes)
    if sweep.holes:
        raise CrossplaceError(f"no result of {', '.join(sweep.holes)}; the same command tries again")


def _study(name: str, request: Request, seeds: Sequence[int], lines: Sequence[str], dry_run: bool) -> None:
    from benchmark.report.studies import study_text
    from benchmark.runs.study import lines_of, plan_of, run_study

    seeds = seeds or (request.method.seed,)
    if not dry_run:
        record, path = run_study(name, request, seeds, lines)
        say(f"{study_text(record, 'screen')}{path}")
        return
    for line in lines_of(name, request, lines):
        for seed in seeds:
            say(f"{' · '.join(filter(None, [line.question, line.name]))} · seed {seed}")
            print_plan(plan_of(line, seed))


def _print(results: "Sequence[Result]", *, alone: bool, holes: dict[str, str] | None = None) -> None:
    from benchmark.report.tables import Comparison, as_text

    say(as_text(Comparison.of(results, alone=alone, holes=holes)).rstrip("\n"))
