"""Commands for what is too large for one go: ``encode`` by several workers."""

from dataclasses import dataclass, field

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
