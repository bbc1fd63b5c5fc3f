"""The command ``crossplace``: each subcommand is a dataclass whose fields are its options."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch: busy-waiting threads stall shared machines

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from tyro.conf import FlagCreatePairsOff, subcommand

import benchmark
import datasets
from benchmark.cli.cost import Cost
from benchmark.cli.data import Data
from benchmark.cli.fetching import offered
from benchmark.cli.figures import Figures
from benchmark.cli.methods import CheckMethod, Convert, ExportMethod, List
from benchmark.cli.protocol import OfProtocol
from benchmark.cli.records import Compare, Publish, Report, Tables
from benchmark.cli.registration import Register
from benchmark.cli.runs import Bench, Evaluate, Score, Sensitivity, Study, Train
from benchmark.cli.scale import Encode, Scale
from benchmark.cli.selftest import SelfTest
from benchmark.cli.spellings import of_today
from benchmark.cli.sweep import Sweep
from benchmark.console import configure_logging, say
from benchmark.machine import rank_and_size

Command = FlagCreatePairsOff[
    Annotated[Bench, subcommand("bench")]
    | Annotated[Sweep, subcommand("sweep")]
    | Annotated[Study, subcommand("study")]
    | Annotated[Sensitivity, subcommand("sensitivity")]
    | Annotated[Scale, subcommand("scale")]
    | Annotated[Register, subcommand("register")]
    | Annotated[Train, subcommand("train")]
    | Annotated[Encode, subcommand("encode")]
    | Annotated[Evaluate, subcommand("evaluate")]
    | Annotated[Score, subcommand("score")]
    | Annotated[Cost, subcommand("cost")]
    | Annotated[Compare, subcommand("compare")]
    | Annotated[Publish, subcommand("publish")]
    | Annotated[Tables, subcommand("tables")]
    | Annotated[Figures, subcommand("figures")]
    | Annotated[Report, subcommand("report")]
    | Annotated[List, subcommand("list")]
    | Annotated[Data, subcommand("data")]
    | Annotated[OfProtocol, subcommand("protocol")]
    | Annotated[CheckMethod, subcommand("check-method")]
    | Annotated[Convert, subcommand("convert")]
    | Annotated[ExportMethod, subcommand("export")]
    | Annotated[SelfTest, subcommand("selftest")]
]
DESCRIPTION = (
    "Benchmark of camera-LiDAR place recognition. Begin with: crossplace bench. "
    "crossplace COMMAND --help shows the options of a command, with an example; crossplace --version the version."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; a mistake that the user can mend is one sentence on standard error and exit code 1."""
    if not Path(datasets.__file__ or "").parent.samefile(Path(__file__).resolve().parents[2] / "datasets"):
        sys.stderr.write(
            f"error: another package named 'datasets' was imported from {datasets.__file__}; crossplace needs its own "
            "environment, such as the one that nox makes\n"
        )
        return 1
    from datasets.errors import CrossplaceError, NotFetched

    arguments = sys.argv[1:] if arguments is None else arguments
    if [*arguments] == ["--version"]:
        say(f"crossplace {benchmark.__version__}")
        return 0
    configure_logging()
    today = of_today(arguments)
    try:
        command: Callable[[], None] = tyro.cli(Command, prog="crossplace", description=DESCRIPTION, args=today)
        try:
            if rank_and_size()[1] > 1 and not isinstance(command, Train):
                raise CrossplaceError("torchrun is for crossplace train; give this command without it, on one process")
            command()
        except NotFetched as missing:
            if not offered(missing):
                raise
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


if __name__ == "__main__":
    entry_point()
