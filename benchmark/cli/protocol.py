"""``crossplace protocol``: look at a protocol on the data it is for."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import OmitArgPrefixes, Positional, subcommand

from benchmark.console import say

if TYPE_CHECKING:
    from datasets.base import Protocol
    from datasets.prepared import PreparedDataset


@dataclass(frozen=True, kw_only=True)
class _OnData:
    """Which protocol, on which data."""

    name: Positional[str]
    """Protocol (crossplace list protocols)."""
    dataset: str | None = None
    """A folder in the prepared form, or a registered dataset; default: the one that the protocol is for."""
    source: Path | None = None
    """Folder of the raw download; the town needs none."""
    dataset_options: tuple[str, ...] = ()
    """Options of the dataset as key=value, such as preset=tiny."""

    def _open(self) -> "tuple[PreparedDataset, Protocol, str]":
        """The dataset, prepared if need be, the protocol as it applies to it, and what to say of it first."""
        from benchmark.frames.preparing import check_protocol_name, find_protocol, locate, prepare
        from datasets.protocols import PROTOCOLS

        check_protocol_name(self.name)
        name = self.dataset or PROTOCOLS[self.name].dataset
        dataset = prepare(locate(name, self.source, self.dataset_options))
        protocol, warnings = find_protocol(self.name, dataset)
        return dataset, protocol, "\n".join([f"{protocol.name} v{protocol.version}: {protocol.title}", *warnings])


@dataclass(frozen=True, kw_only=True)
class Leaks(_OnData):
    """Show how far test places are from places that are trained on."""

    def __call__(self) -> None:
        """Print the table."""
        from benchmark.protocol.leaks import describe, find_leaks

        dataset, protocol, heading = self._open()
        say(f"{heading}\n{describe(find_leaks(dataset.frames, protocol), protocol)}")
        say("Distances in the plane, within one world, whatever the heading: to the nearest frame of the other part.")


@dataclass(frozen=True, kw_only=True)
class Export(_OnData):
    """Write the lists of queries, database and positives, with SHA-256 sums (docs/protocols.md)."""

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
