"""The engine ``local``: each job in a fresh process of this machine, some at once, each with a GPU of its own."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from benchmark import machine
from benchmark.process import Started, ended, start
from benchmark.request import EngineOptions
from benchmark.runs.jobs import Ending, Job, do

GPU = "CUDA_VISIBLE_DEVICES"


class LocalEngine(AbstractContextManager["LocalEngine"]):
    """Fresh processes: memory is clean, and a job that dies takes nothing with it."""

    isolates = False
    shared = ""

    def __init__(self, options: EngineOptions, runs: Path, device: str) -> None:
        self.memory_gib = options.memory_gib
        self.at_once: int | None = options.jobs or 1
        self.free_gpus = [str(number) for number in range(len(machine.cuda_names()))] if device == "cuda" else []
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
        gpu = self.free_gpus.pop(0) if job.on_gpu and self.free_gpus else None
        if gpu is not None:
            environment[GPU] = gpu
        work = start(do, job, self.memory_gib, environment=environment)
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
