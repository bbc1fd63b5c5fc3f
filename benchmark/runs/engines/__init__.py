"""Engines: what lets jobs work somewhere. None of them decides what is to be done, or in which order."""

import importlib
import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from benchmark.request import EngineOptions
from benchmark.runs.jobs import Ending, Job
from datasets.errors import CrossplaceError, install, unknown

ENGINES = {
    "local": "benchmark.runs.engines.local:LocalEngine",
    "ray": "benchmark.runs.engines.on_ray:RayEngine",
    "slurm": "benchmark.runs.engines.on_slurm:SlurmEngine",
}
"""Name → class."""


@runtime_checkable
class Engine(AbstractContextManager["Engine"], Protocol):
    """Somewhere to work; entered before the first job and left after the last one, which ends jobs that still run.

    What :meth:`start` returns is known to the engine alone, and stands for a job in :meth:`ended`.
    """

    at_once: int | None
    """How many jobs it is given at a time; none if it queues by itself."""
    isolates: bool
    """Whether it gives a job that needs a machine alone one, whatever else runs elsewhere."""
    shared: str
    """Why nothing can be timed here, in words; empty if a job that is given alone has its machine alone."""

    def start(self, jobs: Sequence[Job]) -> Sequence[Any]:
        """Let these jobs work; returns a hashable handle for each."""

    def ended(self, running: Collection[Any]) -> Mapping[Any, Ending]:
        """The handles of jobs that have ended, and how; waits until there is one."""


def engine_of(options: EngineOptions, runs: Path, device: str) -> Engine:
    """The engine that ``options`` name, for jobs that compute on ``device``; ``runs`` is the folder of their work.

    Raises:
        CrossplaceError: no such engine, an option that it does not take, or a package that it needs is not there.
    """
    check_engine(options)
    module, _, name = ENGINES[options.engine].partition(":")
    engine: Engine = getattr(importlib.import_module(module), name)(options, runs, device)
    return engine


def check_engine(options: EngineOptions) -> None:
    """Raise :class:`CrossplaceError` if there is no such engine, or if a number is no number of jobs."""
    if options.engine not in ENGINES:
        raise CrossplaceError(unknown("engine", options.engine, list(ENGINES)))
    for name in ("jobs", "threads", "tries"):
        if (value := getattr(options, name)) is not None and value < 1:
            raise CrossplaceError(f"--{name} {value}: expected at least 1")


def threads_of(options: EngineOptions) -> int:
    """Threads that each job computes with, which the plan fixes so that any machine gives the same numbers."""
    if options.threads is not None:
        return options.threads
    if options.engine != "local":
        return 2
    return int(os.environ.get("OMP_NUM_THREADS") or max(1, (os.cpu_count() or 1) // (options.jobs or 1)))


def needs_package(package: str, engine: str) -> CrossplaceError:
    """The sentence for an engine whose package is not installed."""
    return CrossplaceError(f"--engine {engine} needs the package {package}; install it: {install('sweep')}")
