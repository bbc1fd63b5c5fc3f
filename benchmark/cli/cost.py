"""The command ``cost``: what methods cost on this machine."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmark.console import say
from benchmark.request import DEFAULT_DATASET

USUAL_INPUTS = ("preset=large", "every=1200")
"""Options of the town that give a few frames of 64 beams."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Measure what methods cost on this machine, all in turn (docs/cost.md).

    Example: crossplace cost --methods vxp lc2 --minutes 2
    """

    methods: tuple[str, ...] = ()
    """Methods to measure (crossplace list methods); default: all."""
    presets: tuple[str, ...] = ("quick", "paper")
    """Presets of each method; paper is the preset with the architecture of its paper, whatever its name."""
    minutes: float = 7.0
    """Time of the whole session, which all parts share. Slow methods get few samples and may take a little longer."""
    again: bool = False
    """Measure also what was measured before. Both sessions are then compared, and what disagrees is marked."""
    dataset: str = DEFAULT_DATASET
    """Dataset or prepared folder whose frames are encoded."""
    source: Path | None = None
    """Folder of the raw download."""
    dataset_options: tuple[str, ...] | None = None
    """Options of the dataset as key=value; default: a few frames of 64 beams for the town, else none."""
    device: str = "auto"
    """Device of networks: auto, cpu, cuda, cuda:1 and so on; auto is CUDA where there is one."""
    sparse_backend: Literal["auto", "torch", "spconv"] = "auto"
    """What computes sparse convolutions; auto is spconv on CUDA where it is installed, else torch."""
    output: Path = Path("runs")
    """Folder of results: files go to OUTPUT/cost/MACHINE, and tables to OUTPUT/tables."""

    def __call__(self) -> None:
        """Measure, print the tables and say where everything is."""
        from benchmark import machine
        from benchmark.frames.preparing import locate, prepare
        from benchmark.records.collection import Collection
        from benchmark.records.cost import sheets_in
        from benchmark.registry import METHODS
        from benchmark.report.cost import cost_sections
        from benchmark.report.documents import write_tables
        from benchmark.report.screen import screen_section
        from datasets.errors import CrossplaceError

        for name in self.methods:
            METHODS.check(name)
        if not self.presets:
            raise CrossplaceError("--presets needs names of presets, such as quick; leave it out for quick and paper")
        if not 0 < self.minutes < math.inf:
            raise CrossplaceError(f"--minutes: expected a finite number above 0, found {self.minutes:g}")
        device = machine.pick_device(self.device)
        usual = USUAL_INPUTS if self.dataset == DEFAULT_DATASET else ()
        options = usual if self.dataset_options is None else self.dataset_options
        from benchmark.cost.presets import chosen
        from benchmark.cost.session import Subjects, run_session
        from benchmark.device import torch_device

        choices = chosen(tuple(dict.fromkeys(self.methods)) or METHODS.names(), self.presets)
        dataset = prepare(locate(self.dataset, self.source, options))
        subjects = Subjects(
            dataset=dataset, device=torch_device(device), backend=self.sparse_backend, folder=self.output
        )
        sheets = run_session(subjects, choices, self.minutes, again=self.again)
        for section in cost_sections(sheets):
            say(screen_section(section))
        everything = Collection(groups=(), costs=sheets_in(self.output))
        written = write_tables(everything, self.output / "tables", ["cost-sessions"])
        folder = sheets[0].path_in(self.output).parent
        say(f"written: {len(sheets)} files in {folder}, {', '.join(map(str, written))}")
