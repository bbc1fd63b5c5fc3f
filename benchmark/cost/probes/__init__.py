"""What is read of a method: each probe a file in this folder with a function ``read``, and a line in ``PROBES``."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmark.cost.parts import Specimen
    from benchmark.cost.readings import Reading


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One kind of measurement."""

    title: str
    module: str
    """The file in this folder that reads it, imported when it is needed."""
    weight: float = 0.0
    """Share of the time, beside the weights of the others. At 0 the probe reads once and takes the time it needs."""
    is_apart: bool = False
    """Whether it reads in a process of its own, so that some rows can be read at once. It then has no weight."""

    @property
    def read(self) -> "Callable[[Specimen, float], Sequence[Reading]]":
        """Read a specimen in so many seconds, as far as a time can be kept to."""
        found: Callable[[Specimen, float], Sequence[Reading]] = import_module(f"{__name__}.{self.module}").read
        return found


PROBES: dict[str, Probe] = {
    "latency": Probe(title="time of each part at batch 1", module="latency", weight=0.6),
    "throughput": Probe(title="frames in a second at the best batch", module="throughput", weight=0.3),
    "flops": Probe(title="floating-point operations of one frame", module="flops"),
    "memory": Probe(title="most memory held, in a process of its own", module="memory", is_apart=True),
    "size": Probe(title="parameters, bytes of weights, bytes of a place", module="size"),
    "energy": Probe(title="energy of one frame at batch 1", module="energy", weight=0.1),
}
"""Name → what is read. A new probe is a file and a line; files and tables show whatever it reads."""
