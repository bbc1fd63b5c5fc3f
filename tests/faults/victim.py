"""A process that runs one row of the benchmark and dies, by SIGKILL, at the event it is told to.

Events are every batch of training, validation and encoding, and the moments before and after every file is moved to
its place. Imported by forked children as a plain module; importing it changes nothing.
"""

import importlib.util
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from benchmark.descriptors import encoding
from benchmark.registry import METHODS
from benchmark.request import Request
from benchmark.runs import plan as planning
from benchmark.runs import run as running
from benchmark.runs.plan import Plan
from benchmark.training import loop as training
from methods.base import ImageInput
from methods.layers.voxels import VoxelGrid
from methods.recipe import Recipe
from methods.vxp import Vxp


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run of one row."""

    dataset: Path
    """Folder of the small world."""
    runs: Path
    method: str = "toy"
    preset: str = "quick"
    dies_at: str | None = None
    """The event at whose first occurrence the process dies."""
    pauses_at: str | None = None
    """The event before which the process sleeps for a second."""
    events: Path | None = None
    """Where to write the list of all events, if nothing kills the process."""


def register() -> None:
    """Make the toy of the tests and a very small VXP known as methods, and the small world's protocol its default."""
    path = Path(__file__).parents[1] / "benchmark" / "conftest.py"
    spec = importlib.util.spec_from_file_location("toy", path)
    assert spec is not None
    assert spec.loader is not None
    sys.modules["toy"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["toy"])
    METHODS.entries["toy"] = "toy:Toy"
    short = Recipe(epochs=2, batch_size=6, learning_rate=7e-4, learning_rate_floor=1e-5, decay=0.5, decay_every=1)
    Vxp.presets["tiny"] = replace(
        Vxp.presets["quick"],
        image=ImageInput(height=32, width=32, per_image=True),
        grid=VoxelGrid(size_m=(1.6, 1.6, 0.8)),
        growth_threshold=1.0,
        teacher=replace(short, epochs=3),
        local_stage=short,
        global_stage=short,
    )
    planning.find_protocol = lambda name, dataset: (sys.modules["toy"].PROTOCOL, [])  # type: ignore[assignment]


def run(job: Job) -> None:
    """Run the row in this process."""
    torch.set_num_threads(1)
    register()
    events: list[str] = []

    def happened(event: str) -> None:
        events.append(event)
        if event == job.pauses_at:
            time.sleep(1)
        if event == job.dies_at:
            os.kill(os.getpid(), signal.SIGKILL)

    _watch(happened)
    request = Request.of(
        method=job.method, preset=job.preset, dataset=str(job.dataset), device="cpu", runs=job.runs, retrain=True
    )
    running.run(Plan(request, measured=False))
    if job.events:
        job.events.write_text(json.dumps(list(dict.fromkeys(events))))


def _watch(happened: Callable[[str], None]) -> None:
    def track(items: Iterable[Any], what: str, total: int) -> Iterator[Any]:
        for number, item in enumerate(items):
            happened(f"batch {what} {number}")
            yield item

    move = Path.replace

    def watched(self: Path, target: Path) -> Path:
        place = f"{target.parent.name}/{target.name}"
        happened(f"before {place}")
        moved = move(self, target)
        happened(f"after {place}")
        return moved

    training.track = encoding.track = track  # type: ignore[assignment]
    Path.replace = watched  # type: ignore[assignment, method-assign]


if __name__ == "__main__":  # the real command line, with the methods above
    register()
    from benchmark.cli.main import entry_point

    entry_point()
