"""``crossplace protocol``: look at a protocol on the data it is for."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import OmitArgPrefixes, Positional, subcommand

from benchmark.console import say
from benchmark.request import SourceOptions

if TYPE_CHECKING:
    from datasets.base import Protocol
    from datasets.prepared import PreparedDataset


@dataclass(frozen=True, kw_only=True)
class _OnData:
    """Which protocol, on which data."""

    name: Positional[str]
    """Protocol (crossplace list protocols)."""
    data: OmitArgPrefixes[SourceOptions] = field(default_factory=SourceOptions)

    def _open(self) -> "tuple[PreparedDataset, Protocol, str]":
        """The dataset, prepared if need be, the protocol as it applies to it, and what to say of it first."""
        from benchmark.frames.preparing import check_protocol_name, find_protocol, locate, prepare
        from datasets.derived import base_and_change
        from datasets.protocols import PROTOCOLS

        check_protocol_name(self.name)
        name = self.data.dataset or PROTOCOLS[base_and_change(self.name)[0]].dataset
        dataset = prepare(locate(name, self.data.source, self.data.dataset_options))
        protocol, warnings = find_protocol(self.name, dataset)
        return dataset, protocol, "\n".join([f"{protocol.name} v{protocol.version}: {protocol.title}", *warnings])


@dataclass(frozen=True, kw_only=True)
class Leaks(_OnData):
    """Show how far test places are from places that are trained on.

    Example: crossplace protocol leaks kitti-vxp --source DIR
    """

    def __call__(self) -> None:
        """Print the table."""
        from benchmark.protocol.leaks import find_leaks
        from benchmark.report.data import leak_table
        from benchmark.report.screen import screen

        dataset, protocol, heading = self._open()
        say(f"{heading}\n{screen(leak_table(find_leaks(dataset.frames, protocol), protocol))}".rstrip("\n"))


@dataclass(frozen=True, kw_only=True)
class Export(_OnData):
    """Write the lists of queries, database and positives, with SHA-256 sums (docs/protocols.md).

    Example: crossplace protocol export town --output lists
    """

    output: Path
    """A new or empty folder."""

    def __call__(self) -> None:
        """Write and say what is there."""
        from benchmark.protocol.lists import export

        dataset, protocol, heading = self._open()
        counts = export(dataset, protocol, self.output)
        found = ", ".join(f"{number} {what.replace('_', ' ')}" for what, number in counts.items())
        say(f"{heading}\nwritten: {self.output} ({found})")


@dataclass(frozen=True, kw_only=True)
class OfProtocol:
    """Check a protocol for leaks, or write its lists."""

    command: OmitArgPrefixes[
        Annotated[Leaks, subcommand("leaks", prefix_name=False)]
        | Annotated[Export, subcommand("export", prefix_name=False)]
    ]

    def __call__(self) -> None:
        """Run the subcommand."""
        self.command()
