"""Commands about what is registered: ``list``, ``check-method``, ``convert`` and ``export``."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tyro.conf import OmitArgPrefixes, Positional

from benchmark.console import say
from benchmark.request import DEFAULT_DATASET, SMALLEST, DataOptions, MachineOptions, MethodOptions, Request


@dataclass(frozen=True, kw_only=True)
class List:
    """Show all of a kind, such as methods, registrars, protocols or figures; with a NAME, all about one.

    Example: crossplace list methods vxp
    """

    what: Positional[
        Literal[
            "methods",
            "presets",
            "variants",
            "registrars",
            "starts",
            "datasets",
            "protocols",
            "perturbations",
            "figures",
            "rules",
        ]
    ] = "methods"
    """What to list."""
    name: Positional[str | None] = None
    """One entry, of which everything is shown: a method or a dataset with its card, a protocol with its choices."""

    def __call__(self) -> None:
        """Print the list."""
        from benchmark.cli.listing import listing

        say(listing(self.what, self.name).rstrip("\n"))


@dataclass(frozen=True, kw_only=True)
class CheckMethod:
    """Try a registered method (of another package, too) on everything that the benchmark asks of any method.

    Example: crossplace check-method lc2 --by-heart
    """

    name: Positional[str]
    """Registered method or registrar (crossplace list methods)."""
    dataset: str = DEFAULT_DATASET
    """Dataset or prepared folder whose frames the method is tried on."""
    source: Path | None = None
    """Folder of the raw download."""
    dataset_options: tuple[str, ...] | None = None
    """Options of the dataset as key=value; default: preset=tiny for the town, else none."""
    by_heart: bool = False
    """Also train the quick preset until it knows 16 places by heart: up to five minutes, on the town's usual preset."""

    def __call__(self) -> None:
        """Print one line a check."""
        from benchmark.frames.preparing import locate, prepare
        from benchmark.registry import METHODS, REGISTRARS
        from datasets.errors import CrossplaceError

        is_registrar = self.name in REGISTRARS.entries
        if not is_registrar:
            METHODS.check(self.name)  # an unknown name is said before anything is prepared
        usual = SMALLEST if self.dataset == DEFAULT_DATASET and not self.by_heart else ()
        options = usual if self.dataset_options is None else self.dataset_options
        frames = prepare(locate(self.dataset, self.source, options))
        if is_registrar:
            from benchmark.contract.registrar_checks import run_registrar_checks as run_checks
        else:
            from benchmark.contract.checks import run_checks

        broken = 0
        for verdict in run_checks(self.name, frames, by_heart=self.by_heart):
            say(f"{verdict.outcome:<8} {verdict.what}" + (f" ({verdict.reason})" if verdict.reason else ""))
            broken += verdict.outcome == "BROKEN"
        if broken:
            raise CrossplaceError(
                f"method {self.name} breaks {broken} rule(s) of the contract (benchmark/contract/checks.py)"
            )


@dataclass(frozen=True, kw_only=True)
class Convert:
    """Turn weights that the authors' code saved into a file for --checkpoint (docs/official-weights.md).

    Example: crossplace convert vxp-official student.pth vxp.safetensors --teacher teacher.pth
    """

    kind: Positional[str]
    """Whose format: vxp-official."""
    source: Positional[Path]
    """State dict saved by torch.save; read without running code in it."""
    target: Positional[Path]
    """Safetensors file to write."""
    teacher: Path | None = None
    """File of the image teacher, where the method saves it apart."""

    def __call__(self) -> None:
        """Convert and say where the result is."""
        from benchmark.training.convert import convert
        from datasets.files import sha256_of

        convert(self.kind, self.source, self.target, self.teacher)
        say(f"written: {self.target} (SHA-256 {sha256_of(self.target)})")


@dataclass(frozen=True, kw_only=True)
class ExportMethod:
    """Write a method's networks for other runtimes, and compare each file with the network (docs/robot.md).

    Example: crossplace export --method twin_layout --to robot
    """

    data: OmitArgPrefixes[DataOptions] = field(default_factory=DataOptions)
    method: OmitArgPrefixes[MethodOptions] = field(default_factory=MethodOptions)
    machine: OmitArgPrefixes[MachineOptions] = field(default_factory=MachineOptions)
    to: Path = Path("exports")
    """Folder of the files."""
    results: Path | None = None
    """Folder of results where sizes and times are kept, so that the tables of costs show them; default: nowhere."""

    def __call__(self) -> None:
        """Print one line a file."""
        from benchmark.report.screen import screen
        from benchmark.runs.plan import Plan

        plan = Plan(Request(data=self.data, method=self.method, machine=self.machine))
        from benchmark.deploy.export import export_of, export_table, exports

        found = list(exports(export_of(plan, self.to)))
        say(screen(export_table(f"{self.method.name}, {self.method.preset}, in {self.to}", found)).rstrip("\n"))
        if self.results:
            from benchmark.deploy.export_cost import cost_of_exports

            sheet = cost_of_exports(plan, found)
            sheet.write(path := sheet.path_in(self.results))
            say(f"written: {path}")
