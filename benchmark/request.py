"""What a person asks for, in four groups: the data, the method, the machine, and what is done to the frames.

A command takes the groups that it uses, so that an option which a command does not use is refused and never ignored.
"""

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

from tyro.conf import arg

from datasets.files import folder_name, name_fault

DEFAULT_DATASET, DEFAULT_METHOD, DEFAULT_REGISTRAR = "town", "vxp", "cmrnet"
TRAINED_BY_SELFTEST = ("vxp", "lc2", "range_plain", "twin_layout")
LONGEST_SHARE = 100
"""Largest share of a schedule: a hundred times its epochs."""
SMALLEST = ("preset=tiny",)
"""Options of the default dataset that make it small enough for a check of seconds."""
DEFAULT_SEVERITY: Literal[3] = 3
LONGEST_LABEL_BYTES = 140
"""Room for method, preset and variant in the name of a folder, beside protocol, perturbation, seed and key."""


@dataclass(frozen=True, kw_only=True)
class RawOptions:
    """Where raw data lies, and how it is prepared."""

    source: Path | None = None
    """Folder of the raw download; the town needs none."""
    dataset_options: tuple[str, ...] = ()
    """Options of the dataset as key=value, such as preset=tiny."""


@dataclass(frozen=True, kw_only=True)
class SourceOptions(RawOptions):
    """Which data a protocol is looked at on."""

    dataset: str | None = None
    """A folder in the prepared form, or a registered dataset; default: the dataset that the protocol is for."""


@dataclass(frozen=True, kw_only=True)
class DatasetName:
    """Which dataset."""

    dataset: str = DEFAULT_DATASET
    """Registered dataset (crossplace list datasets), or a folder in the prepared form."""


@dataclass(frozen=True, kw_only=True)
class DataOptions(RawOptions, DatasetName):
    """Which frames ask and are searched, and by which rule."""

    protocol: str | None = None
    """Protocol (crossplace list protocols); default: the protocol of the dataset."""
    accept: tuple[str, ...] = ()
    """Doubts about the data that you have looked into (crossplace list rules): they are recorded, not warned of."""


@dataclass(frozen=True, kw_only=True)
class MethodName:
    """Which method."""

    name: Annotated[str, arg(name="method")] = DEFAULT_METHOD
    """Registered method (crossplace list methods)."""


@dataclass(frozen=True, kw_only=True)
class SharedOptions:
    """How every method is configured and trained."""

    preset: str = "quick"
    """Configuration of the method (crossplace list presets)."""
    share: float = 1.0
    """Share of the preset's training epochs to do, above 0; more than 1 trains longer. Tables say so unless it is 1."""
    seed: int = 0
    """Seed of initialisation, sampling, augmentation and the random ranker."""
    weights: str | None = None
    """Pretrained backbone: none (from scratch), timm (download), package (ImageNet weights, extra pretrained) or a
    file; default: as the preset says."""
    retrain: bool = False
    """Train even if trained weights for this preset and dataset come with the suite."""
    untrained: bool = False
    """Take the network as initialised, as a control."""


@dataclass(frozen=True, kw_only=True)
class MethodOptions(SharedOptions, MethodName):
    """Which method, how it is configured, and where its weights come from."""

    variant: str = ""
    """Changes of the preset (crossplace list variants), or single settings such as recipe.epochs=4, joined by +."""
    weights_sha256: str = ""
    """Expected SHA-256 of the backbone file (hexadecimal)."""
    depth: str | None = None
    """Depth from one image, for methods that use depth: network (trained on the LiDAR), a folder with depth.json,
    module:function or an entry point; default: as the preset says. See docs/depth.md."""
    checkpoint: Path | None = None
    """Weights of the whole method, in place of training: from a training folder, or made by crossplace convert."""

    @property
    def label(self) -> str:
        """Method, preset and variant, as names of folders begin with them: short enough, and without slashes."""
        label = f"{self.name}-{self.preset}" + (f"+{self.variant}" if self.variant else "")
        return folder_name(label) if name_fault(label, LONGEST_LABEL_BYTES) else label


@dataclass(frozen=True, kw_only=True)
class RunsFolder:
    """Where the work of this machine lies."""

    runs: Path = Path("runs")
    """Folder for checkpoints, descriptors and results of this machine."""


@dataclass(frozen=True, kw_only=True)
class MachineOptions(RunsFolder):
    """On which device, how precisely, and where the work lies."""

    device: str = "auto"
    """Device of networks: auto, cpu, cuda, cuda:1 and so on; auto is CUDA where there is one."""
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = "32-true"
    """Precision of training; mixed precision pays on a GPU, and bf16-mixed on a CPU with AMX or AVX-512 BF16."""
    sparse_backend: Literal["auto", "torch", "spconv"] = "auto"
    """What computes sparse convolutions; auto is spconv on CUDA where it is installed, else torch."""
    workers: int = 0
    """Processes that load training data; 0 loads in the main process."""


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """Where the jobs of many runs work, and with what."""

    engine: str = "local"
    """Where jobs work: local (processes of this machine), ray or slurm (a cluster, extra sweep). See docs/scale.md."""
    jobs: int | None = None
    """Jobs at once; default: one on this machine, as many as there is room for on a cluster."""
    threads: int | None = None
    """Threads of each job, which are the same on every engine; default: OMP_NUM_THREADS, or this machine's cores
    shared among --jobs, and 2 on a cluster. Jobs that take times have their machine as it is."""
    memory_gib: float | None = None
    """Memory of each job in GiB: a limit on this machine, what is asked for on a cluster; default: no limit."""
    tries: int = 3
    """How often a job is begun whose process or machine is lost, before it is a hole in the tables."""
    address: str = "auto"
    """Ray cluster to work on; auto is the one of this machine."""
    slurm: tuple[str, ...] = ()
    """Options of submitit as key=value, such as slurm_partition=gpu; cluster=local tries it out on this machine."""


@dataclass(frozen=True, kw_only=True)
class PerturbationOptions:
    """What is done to the evaluated frames before they are encoded."""

    perturb: str | None = None
    """Change the evaluated frames (crossplace list perturbations); default: no change. See docs/robustness.md."""
    severity: Literal[0, 1, 2, 3, 4, 5] = DEFAULT_SEVERITY
    """How much --perturb changes, from 1 to 5; 0 changes nothing."""


@dataclass(frozen=True, kw_only=True)
class RegistrationOptions:
    """How many queries are registered, in which maps."""

    queries: int = 300
    """Most queries that are registered, evenly spread over all of the protocol; 0 registers all."""
    agreement: int = 1
    """How many other drives must have seen a part of the map; 2 takes most cars away. See docs/registration.md."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One run as a person asks for it."""

    data: DataOptions = field(default_factory=DataOptions)
    method: MethodOptions = field(default_factory=MethodOptions)
    machine: MachineOptions = field(default_factory=MachineOptions)
    perturbation: PerturbationOptions = field(default_factory=PerturbationOptions)

    @classmethod
    def of(cls, **options: Any) -> "Request":
        """A request from options as the command line calls them: ``Request.of(method="lc2", seed=1)``."""
        return cls().changed(**options)

    def changed(self, **options: Any) -> "Request":
        """The same request with some options changed, called as on the command line."""
        changed = self
        for group in fields(self):
            names = {_flag(f.name, group.name): f.name for f in fields(getattr(self, group.name))}
            own = {names[option]: options.pop(option) for option in [*options] if option in names}
            changed = replace(changed, **{group.name: replace(getattr(self, group.name), **own)})
        if options:
            raise TypeError(f"no such options: {', '.join(options)}")
        return changed


def _flag(field_name: str, group: str) -> str:
    """The name of an option on the command line: the field's own, but for the name of the method."""
    return group if field_name == "name" else field_name


def option_types() -> dict[str, Any]:
    """The type of each option of a run, by its name on the command line."""
    groups = {group: type(getattr(Request(), group)) for group in (f.name for f in fields(Request))}
    return {_flag(name, group): kind for group, of in groups.items() for name, kind in get_type_hints(of).items()}
