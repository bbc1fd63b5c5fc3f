"""``crossplace register``, and what ``crossplace bench --register`` does after the row."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import OmitArgPrefixes, arg

from benchmark.console import say
from benchmark.request import (
    DEFAULT_REGISTRAR,
    DataOptions,
    MachineOptions,
    MethodOptions,
    RegistrationOptions,
    SharedOptions,
)

if TYPE_CHECKING:
    from benchmark.runs.plan import Plan
    from benchmark.runs.registration import Registration


@dataclass(frozen=True, kw_only=True)
class RegistrarOptions(SharedOptions):
    """Which registrar, how it is configured, and where its weights come from."""

    name: Annotated[str, arg(name="method")] = DEFAULT_REGISTRAR
    """Registrar (crossplace list registrars)."""
    variant: str = ""
    """Changes of the preset, or single settings such as recipe.epochs=4, joined by +."""
    checkpoint: Path | None = None
    """Weights of the registrar, in place of those that come with the suite."""

    def as_method(self) -> MethodOptions:
        """The same options as those of a method."""
        return MethodOptions(**asdict(self))


@dataclass(frozen=True, kw_only=True)
class Register:
    """Find the poses of a protocol's images in local maps of other drives, from rough poses, and say how near they are.

    Example: crossplace register --method cmrnet --dataset town --start published
    """

    start: str = "published"
    """Rough poses (crossplace list starts): drawn around the true ones, or retrieved, which needs --result."""
    result: Path | None = None
    """Folder of the result whose retrieved frames are the starts, such as runs/results/lc2-quick-town-s0-…"""
    picture: Path | None = None
    """File (PNG or JPEG) for a picture of three queries: the map on the image from the start, as found, and as true."""
    data: OmitArgPrefixes[DataOptions] = field(default_factory=DataOptions)
    method: OmitArgPrefixes[RegistrarOptions] = field(default_factory=RegistrarOptions)
    machine: OmitArgPrefixes[MachineOptions] = field(default_factory=MachineOptions)
    how: OmitArgPrefixes[RegistrationOptions] = field(default_factory=RegistrationOptions)

    def __call__(self) -> None:
        """Register and print the tables."""
        from benchmark.report.figures.saving import check_ending
        from benchmark.runs.registration import Registration

        if self.picture is not None:
            check_ending(self.picture)
        asked = Registration(
            data=self.data,
            method=self.method.as_method(),
            device=self.machine,
            how=self.how,
            start=self.start,
            result=self.result,
        )
        say_registered(asked)
        if self.picture is not None:
            from benchmark.report.figures.registered import draw

            draw(asked.folder, self.method.name, asked.dataset, asked.sweeps, asked.maps, self.picture)
            say(f"picture: {self.picture}")


def check_after(register: str | None) -> None:
    """Refuse an unknown registrar before a row is run; without a name there is nothing to check."""
    from benchmark.registry import REGISTRARS

    if register is not None:
        REGISTRARS.check(register)


def register_after(plan: "Plan", name: str, how: RegistrationOptions) -> None:
    """Register the queries of a finished row from the frames that it retrieved, and print the tables."""
    from benchmark.frames.starts import RETRIEVED
    from benchmark.runs.registration import Registration

    say_registered(
        Registration(
            data=plan.request.data,
            method=MethodOptions(name=name),
            device=plan.request.machine,
            how=how,
            start=RETRIEVED,
            result=plan.result_folder,
        )
    )


def say_registered(asked: "Registration") -> None:
    """Do what is asked and print its tables."""
    from benchmark.report.registration import registration_section
    from benchmark.report.screen import screen_section
    from benchmark.runs.registration import run_registration

    record, path = run_registration(asked)
    say(f"{screen_section(registration_section([record]))}{path}")
