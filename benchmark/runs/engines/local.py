"""The engine ``local``: each job in a fresh process of this machine, some at once, each with a GPU of its own."""

import os
import sys
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from benchmark import machine
from benchmark.console import configure_logging, console
from benchmark.process import Started, ended, start
from benchmark.request import EngineOptions
from benchmark.runs.jobs import Ending, Job, do

GPU = "CUDA_VISIBLE_DEVICES"
LOG = "output.log"
"""What a job said while a table filled the terminal."""


class LocalEngine(AbstractContextManager["LocalEngine"]):
    """Fresh processes: memory is clean, and a job that dies takes nothing with it."""

    isolates = False
    shared = ""

    def __init__(self, options: EngineOptions, runs: Path, device: str) -> None:
        self.memory_gib = options.memory_gib
        self.at_once: int | None = options.jobs or 1
        self.free_gpus = _visible_gpus() if device == "cuda" else []
        if self.free_gpus:
            self.at_once = min(self.at_once, len(self.free_gpus))
        self.gpu_of: dict[Started[Ending], str] = {}
        self.running: set[Started[Ending]] = set()

    def __exit__(self, *_: object) -> None:
        for work in self.running:
            work.end()

    def start(self, jobs: Sequence[Job]) -> list[Started[Ending]]:
        """Start a process for each."""
        return [self._start(job) for job in jobs]

    def _start(self, job: Job) -> Started[Ending]:
        environment = dict(job.environment)
        may_choose = job.on_gpu and not job.is_alone  # times are those of the device that the plan names
        gpu = self.free_gpus.pop(0) if may_choose and self.free_gpus else None
        if gpu is not None:
            environment[GPU] = gpu
        work = start(_do, job, self.memory_gib, console.is_terminal, environment=environment)
        self.running.add(work)
        if gpu is not None:
            self.gpu_of[work] = gpu
        return work

    def ended(self, running: Collection[Any]) -> Mapping[Any, Ending]:
        """Those that answered or died."""
        return {work: self._ending(work) for work in ended([*running])}

    def _ending(self, work: Started[Ending]) -> Ending:
        self.running.discard(work)
        if work in self.gpu_of:
            self.free_gpus.append(self.gpu_of.pop(work))
        answer = work.answer()
        return Ending(reason=answer, is_lost=True) if isinstance(answer, str) else answer


def _visible_gpus() -> list[str]:
    """The GPUs that this process may use, as the variable calls them."""
    named, numbers = os.environ.get(GPU), map(str, range(len(machine.cuda_names())))
    names = named.split(",") if named else numbers
    return [name for name, _ in zip(names, machine.cuda_names(), strict=False)]


def _do(job: Job, memory_gib: float | None, is_quiet: bool) -> Ending:
    """Do a job within so much memory; if it is to be quiet, what it says goes into a file of its journal."""
    if is_quiet:
        job.journal.mkdir(parents=True, exist_ok=True)
        with (job.journal / LOG).open("a") as log:
            os.dup2(log.fileno(), sys.stdout.fileno())
            os.dup2(log.fileno(), sys.stderr.fileno())
        configure_logging()  # for a file, not for a terminal
    if memory_gib is not None:
        import resource  # not on every platform

        limit = int(memory_gib * 2**30)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    return do(job)
