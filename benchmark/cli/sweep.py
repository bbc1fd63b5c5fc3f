"""The command ``sweep``: many runs at once, here or on a cluster."""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import OmitArgPrefixes, Positional

from benchmark.cli.runs import print_plan, print_tables, write_page
from benchmark.console import say
from benchmark.request import (
    DataOptions,
    EngineOptions,
    MachineOptions,
    MethodOptions,
    PerturbationOptions,
    Request,
    SharedOptions,
)

if TYPE_CHECKING:
    from benchmark.runs.carrying import Wanted
    from benchmark.runs.sweep import SweepOutcome


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Run many rows, each step in a process of its own, here or on a cluster; a failure is a hole in the table.

    Example: crossplace sweep --methods vxp lc2 --seed 1
    """

    file: Positional[Path | None] = None
    """Study file with lists of methods, datasets, protocols, seeds and so on (docs/scale.md); default: every method."""
    data: OmitArgPrefixes[DataOptions] = field(default_factory=DataOptions)
    method: OmitArgPrefixes[SharedOptions] = field(default_factory=SharedOptions)
    machine: OmitArgPrefixes[MachineOptions] = field(default_factory=MachineOptions)
    perturbation: OmitArgPrefixes[PerturbationOptions] = field(default_factory=PerturbationOptions)
    engine: OmitArgPrefixes[EngineOptions] = field(default_factory=EngineOptions)
    methods: tuple[str, ...] = ()
    """Methods to run (crossplace list methods); default: those of the file, else all."""
    without_cost: bool = False
    """Take no times and no memory, so that several jobs may share a machine."""
    dry_run: bool = False
    """Only print the plans: what is cached, what would run, and what that will take."""
    alone: bool = False
    """Leave out the published rows of other methods on the same data and protocol."""

    def __call__(self) -> None:
        """Run all rows."""
        from benchmark.runs.sweep import run_sweep, say_expected

        wanted = self._wanted()
        if self.dry_run:
            from benchmark.runs.carrying import undertaken

            undertakings = undertaken(wanted, self.engine)
            for undertaking in undertakings:
                say(undertaking.wanted.label)
                if undertaking.plan and not undertaking.reason:
                    print_plan(undertaking.plan)
                else:
                    say(f"0. no result: {undertaking.reason}")
            say_expected(undertakings)
            return
        self._show(run_sweep(wanted, self.engine))

    def _wanted(self) -> "list[Wanted]":
        from benchmark.registry import METHODS
        from benchmark.runs.study_file import StudyFile

        for name in self.methods:
            METHODS.check(name)
        method = MethodOptions(**asdict(self.method))
        request = Request(data=self.data, method=method, machine=self.machine, perturbation=self.perturbation)
        study = StudyFile.read(self.file) if self.file else StudyFile(methods=tuple(METHODS.names()))
        study = replace(study, methods=self.methods) if self.methods else study
        return study.wanted(request, measured=not self.without_cost)

    def _show(self, outcomes: "list[SweepOutcome]") -> None:
        """Print the tables of every board, write one page, and end with what failed."""
        from datasets.errors import CrossplaceError

        holes: dict[str, str] = {}
        for outcome in outcomes:
            if outcome.results:
                print_tables(outcome.results, alone=self.alone, holes=outcome.holes)
            holes |= outcome.holes
        results = [result for outcome in outcomes for result in outcome.results]
        write_page(results, self.machine.runs, "", alone=self.alone, holes=holes)
        if holes:
            reasons = "; ".join(f"{label}: {why}" for label, why in holes.items())
            raise CrossplaceError(f"no result of {', '.join(holes)}; the same command tries again ({reasons})")
