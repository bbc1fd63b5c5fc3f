"""The command ``crossplace``: each subcommand is a dataclass whose fields are its options."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch: busy-waiting threads stall shared machines

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from rich.console import Console
from tyro.conf import Fixed, Positional, Suppress, subcommand

import datasets
from benchmark.cli.data import Data
from benchmark.cli.protocol import OfProtocol
from benchmark.console import configure_logging, say
from benchmark.request import DEFAULT_SEVERITY, Request

if TYPE_CHECKING:
    from benchmark.runs.bench import Step


@dataclass(frozen=True, kw_only=True)
class Bench(Request):
    """Prepare if needed, train or load, encode, evaluate, measure, write the result and print the table."""

    dry_run: bool = False
    """Only print the plan: what is cached and what would run."""
    study: str | None = None
    """Run a whole study instead (ablation, robustness): every line with every seed, and a table of differences."""
    seeds: tuple[int, ...] = ()
    """Of a study; default: the one seed."""
    lines: tuple[str, ...] = ()
    """Of a study: names (or questions) of the lines to run; default: all that the preset can afford."""

    def __call__(self) -> None:
        """Run the whole row, or the study."""
        from benchmark.report.tables import print_table
        from benchmark.runs.bench import Bench as Job
        from benchmark.runs.sweep import ALL
        from datasets.errors import CrossplaceError

        if self.study is None and (self.seeds or self.lines):
            raise CrossplaceError("--seeds and --lines are of a study: add --study ablation or --study robustness")
        if self.method == ALL:
            self._all()
        elif self.study is not None:
            self._study(self.study)
        elif self.dry_run:
            print_plan(Job(self).steps())
        else:
            print_table(Job(self).run())

    def _all(self) -> None:
        from benchmark.registry import METHODS
        from benchmark.report.tables import print_table
        from benchmark.runs.bench import Bench as Job
        from benchmark.runs.sweep import run_sweep
        from datasets.errors import CrossplaceError

        if self.study is not None:
            raise CrossplaceError("a study is of one method: name it with --method")
        if self.dry_run:
            for name in METHODS.names():
                say(name)
                print_plan(Job(replace(self, method=name)).steps())
            return
        sweep = run_sweep(self)
        print_table(sweep.results, sweep.holes)
        if sweep.holes:
            raise CrossplaceError(f"no result of {', '.join(sweep.holes)}; the same command tries again")

    def _study(self, name: str) -> None:
        from benchmark.runs.study import job, lines_of, run_study

        seeds = self.seeds or (self.seed,)
        if not self.dry_run:
            say(run_study(name, self, seeds, self.lines))
            return
        for line in lines_of(name, self, self.lines):
            for seed in seeds:
                say(f"{' · '.join(filter(None, [line.question, line.name]))} · seed {seed}")
                print_plan(job(line, seed).steps())


@dataclass(frozen=True, kw_only=True)
class Train(Request):
    """Prepare if needed and train, without evaluating."""

    # Perturbations are of evaluated frames: no options of this command.
    perturb: Suppress[Fixed[None]] = None
    severity: Suppress[Fixed[Literal[3]]] = DEFAULT_SEVERITY

    def __call__(self) -> None:
        """Leave trained weights."""
        from benchmark.runs.bench import Bench as Job

        job = Job(self)
        job.train()
        say(f"weights: {job.weights_file or 'as initialised'}")


@dataclass(frozen=True, kw_only=True)
class Evaluate(Request):
    """Like bench without measuring cost; with --descriptors, score files that anyone made (docs/descriptors.md)."""

    descriptors: Path | None = None
    """Folder with frame_ids.txt and images.npy and/or clouds.npy, there or in subfolders; no method is run then."""

    def __call__(self) -> None:
        """Print the table."""
        from benchmark.report.tables import print_table
        from benchmark.runs.bench import Bench as Job
        from benchmark.runs.scoring import evaluate_files

        results = evaluate_files(self, self.descriptors) if self.descriptors else Job(self, measured=False).run()
        print_table(results)


@dataclass(frozen=True, kw_only=True)
class List:
    """Show methods, their presets and variants, datasets, protocols or perturbations."""

    what: Positional[Literal["methods", "presets", "variants", "datasets", "protocols", "perturbations"]] = "methods"
    """What to list."""

    def __call__(self) -> None:
        """Print the list."""
        from benchmark.cli.listing import LISTINGS

        say(LISTINGS[self.what]())


@dataclass(frozen=True, kw_only=True)
class Convert:
    """Turn weights that the authors' code saved into a file for --checkpoint (docs/official-weights.md)."""

    kind: Positional[Literal["vxp-official"]]
    """Whose format."""
    source: Positional[Path]
    """State dict saved by torch.save; read without running code in it."""
    target: Positional[Path]
    """Safetensors file to write."""
    teacher: Path | None = None
    """The image teacher's file, where the method saves it apart."""

    def __call__(self) -> None:
        """Convert and say where the result is."""
        from benchmark.training.convert import convert
        from datasets.files import sha256_of

        convert(self.kind, self.source, self.target, self.teacher)
        say(f"written: {self.target} (SHA-256 {sha256_of(self.target)})")


@dataclass(frozen=True, kw_only=True)
class CheckMethod:
    """Try a registered method (of another package, too) on everything that the benchmark asks of any method."""

    name: Positional[str]
    """Registered method (crossplace list methods)."""
    dataset: str = "town"
    """Dataset or prepared folder whose frames it is tried on."""
    source: Path | None = None
    """Folder of the raw download."""
    dataset_options: tuple[str, ...] | None = None
    """Options of the dataset as key=value; default: preset=tiny for the town, else none."""
    by_heart: bool = False
    """Also train the quick preset until it knows 16 places by heart: up to five minutes, on the town's usual preset."""

    def __call__(self) -> None:
        """Print one line a check."""
        from benchmark.contract.checks import run_checks
        from benchmark.frames.preparing import locate, prepare
        from benchmark.registry import METHODS
        from datasets.errors import CrossplaceError

        METHODS.get(self.name)  # an unknown name is said before anything is prepared
        usual = ("preset=tiny",) if self.dataset == "town" and not self.by_heart else ()
        options = usual if self.dataset_options is None else self.dataset_options
        frames = prepare(locate(self.dataset, self.source, options))
        broken = 0
        for verdict in run_checks(self.name, frames, by_heart=self.by_heart):
            say(f"{verdict.outcome:<8} {verdict.what}" + (f" ({verdict.reason})" if verdict.reason else ""))
            broken += verdict.outcome == "BROKEN"
        if broken:
            raise CrossplaceError(
                f"method {self.name} breaks {broken} rule(s) of the contract (benchmark/contract/checks.py)"
            )


@dataclass(frozen=True, kw_only=True)
class Compare:
    """Recall of one run, or the mean of several seeds, minus that of others, with a paired 95 % interval."""

    runs: Positional[tuple[Path, ...]]
    """Folders with result.json and ranks.npz: one, or one a seed."""
    against: tuple[Path, ...]
    """The folder to compare with, or one a seed, of the same dataset and protocol."""
    depth: int = 1
    """The N of recall@N."""

    def __call__(self) -> None:
        """Print one line a direction."""
        from benchmark.records.comparison import recall_difference
        from benchmark.records.schema import Result
        from datasets.errors import CrossplaceError

        found = [Result.read(run) for run in (*self.against, *self.runs)]
        shared = [d for d in found[0].directions if all(d in result.directions for result in found)]
        if not shared:
            raise CrossplaceError(f"{self.against[0]} and the runs to compare with it have no direction in common")
        for direction in shared:
            difference, interval = recall_difference(self.runs, self.against, direction, self.depth)
            ends = f"[{100 * interval.low:+.1f}, {100 * interval.high:+.1f}]"
            say(f"{direction:<14} R@{self.depth} {100 * difference:+.1f} {ends} percentage points")


@dataclass(frozen=True, kw_only=True)
class Publish:
    """Copy results of runs and studies into the committed results (aggregates only for real data)."""

    runs: Positional[tuple[Path, ...]]
    """Folders with result.json, such as runs/results/*."""
    results: Path = Path("results")
    """Folder of committed results."""

    def __call__(self) -> None:
        """Copy each run."""
        from benchmark.records.publish import publish
        from datasets.errors import CrossplaceError

        if not self.runs:
            raise CrossplaceError("nothing to publish: name folders with result.json, such as runs/results/*")
        for run in self.runs:
            say(f"published {publish(run, self.results)}")


@dataclass(frozen=True, kw_only=True)
class Tables:
    """Write RESULTS/tables/recall.md and studies.md from all committed results and print them."""

    results: Path = Path("results")
    """Folder of committed results."""

    def __call__(self) -> None:
        """Write and print."""
        from benchmark.records.study import write_study_tables
        from benchmark.report.tables import print_table, write_tables

        path, groups = write_tables(self.results)
        for group in groups:
            print_table(group)
        for section in write_study_tables(self.results):
            say(section)
        say(f"written: {path}")


Command = (
    Annotated[Bench, subcommand("bench")]
    | Annotated[List, subcommand("list")]
    | Annotated[Data, subcommand("data")]
    | Annotated[OfProtocol, subcommand("protocol")]
    | Annotated[Train, subcommand("train")]
    | Annotated[Evaluate, subcommand("evaluate")]
    | Annotated[CheckMethod, subcommand("check-method")]
    | Annotated[Convert, subcommand("convert")]
    | Annotated[Compare, subcommand("compare")]
    | Annotated[Publish, subcommand("publish")]
    | Annotated[Tables, subcommand("tables")]
)


def print_plan(steps: "Sequence[Step]") -> None:
    """Keyed steps and whether their outcome is already there."""
    for number, step in enumerate(steps, start=1):
        say(f"{number}. {step.name:<22} {step.key:<14} {'cached' if step.is_done else 'runs':<7} {step.folder}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; a mistake that the user can mend is one sentence on standard error and exit code 1."""
    if not Path(datasets.__file__ or "").parent.samefile(Path(__file__).resolve().parents[2] / "datasets"):
        sys.stderr.write(
            f"error: another package named 'datasets' was imported from {datasets.__file__}; crossplace needs its own "
            "environment, such as the one that nox makes\n"
        )
        return 1
    from datasets.errors import CrossplaceError

    configure_logging()
    command: Callable[[], None] = tyro.cli(
        Command,
        prog="crossplace",
        description="Benchmark of camera-LiDAR place recognition.",
        args=arguments,
    )
    try:
        command()
    except CrossplaceError as error:
        Console(stderr=True, soft_wrap=True).print(f"error: {error}", style="red", markup=False, highlight=False)
        return 1
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; the same command continues where it stopped\n")
        return 130
    return 0


def entry_point() -> None:
    """The installed command."""
    sys.exit(main())
