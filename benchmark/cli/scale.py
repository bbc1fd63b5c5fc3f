"""Commands for what is too large for one go: ``encode`` by several workers, and ``scale`` in maps of any size."""

from dataclasses import dataclass, field
from typing import Literal

from tyro.conf import OmitArgPrefixes

from benchmark.console import say
from benchmark.request import DataOptions, MachineOptions, MethodOptions, Request


@dataclass(frozen=True, kw_only=True)
class Encode:
    """Encode the frames that take part, alone or as one of several workers; bench then finds them (docs/map-scale.md).

    Example: crossplace encode --method vxp --shard 2/4
    """

    shard: str = "1/1"
    """Which of n equal parts to encode, such as 2/4; the worker that finds all parts joins them."""
    data: OmitArgPrefixes[DataOptions] = field(default_factory=DataOptions)
    method: OmitArgPrefixes[MethodOptions] = field(default_factory=MethodOptions)
    machine: OmitArgPrefixes[MachineOptions] = field(default_factory=MachineOptions)

    def __call__(self) -> None:
        """Encode, and say what is still missing."""
        from benchmark.runs.plan import Plan

        plan = Plan(Request(data=self.data, method=self.method, machine=self.machine), measured=False)
        from benchmark.descriptors.sharding import Shard
        from benchmark.runs.extraction import encode_part

        shard = Shard.parse(self.shard)
        missing = encode_part(plan, shard)
        if missing:
            others = ", ".join(f"{other.number}/{other.of}" for other in missing)
            say(f"shard {self.shard} is there; missing: {others}")
        else:
            say(f"descriptors: {plan.encodings[0].folder}")


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Recall@1 and latency in maps of up to millions of places, exactly, in bounded memory (docs/map-scale.md).

    Example: crossplace scale --method vxp --places 1000 10000 100000
    """

    places: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    """Places of the map: those of the test, then foreign frames, then synthetic descriptors."""
    map: Literal["cloud", "image"] = "cloud"
    """What the map is made of; whatever the method encodes is searched in it."""
    distractors: tuple[str, ...] = ()
    """Prepared datasets (names or folders) whose frames are put into the map before anything synthetic."""
    index: tuple[str, ...] = ()
    """Approximate indexes to judge beside exact search: ivf-pq, hnsw (extra compare); default: none."""
    keep_map: bool = False
    """Leave the map below RUNS/maps; by default it is removed when it has been searched."""
    data: OmitArgPrefixes[DataOptions] = field(default_factory=DataOptions)
    method: OmitArgPrefixes[MethodOptions] = field(default_factory=MethodOptions)
    machine: OmitArgPrefixes[MachineOptions] = field(default_factory=MachineOptions)

    def __call__(self) -> None:
        """Print the table."""
        from benchmark.report.scale import scale_section
        from benchmark.report.screen import screen_section
        from benchmark.runs.scale import run_scale

        request = Request(data=self.data, method=self.method, machine=self.machine)
        record, path = run_scale(request, self.places, self.map, self.distractors, self.index, keep_map=self.keep_map)
        say(f"{screen_section(scale_section(record))}{path}")
