"""A step of a plan as a job: it can run alone, in any process on any machine that sees the same folders.

A job reads files and leaves files, whole or not at all. Whoever runs it holds its lock and looks first whether its
outcome is there, so that no job is done twice. What it needs of the plan it makes again from the request.
"""

import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.process import in_words
from benchmark.request import Request
from benchmark.runs.journal import Attempt, attempts_of, journal_folder
from datasets.files import locked

if TYPE_CHECKING:
    from benchmark.runs.plan import Plan

ALONE = "evaluate and measure"
"""The step that takes times: while it runs, nothing else may run on its machine."""
PREPARE = "prepare"
"""The step before which no key of the others is known."""
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables of the environment that fix how many threads libraries compute with."""

Environment = tuple[tuple[str, str], ...]
"""Variables by name, first where the data lies, then those that fix threads."""


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a job ended."""

    reason: str = ""
    """Why there is no outcome, in words; empty if there is one."""
    is_lost: bool = False
    """Whether its process or its machine went away, so that another try may help."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One step of a run that can be done anywhere."""

    name: str
    """The step, as a plan calls it."""
    key: str
    folder: Path
    """Where its outcome is, or will be."""
    needs: tuple[str, ...] = ()
    """Jobs by ``id`` whose outcome it reads."""
    request: Request
    measured: bool = False
    """Whether the run that it belongs to takes times."""
    where: Path = field(default_factory=Path.cwd)
    """The working directory, which relative paths of the request start from."""
    environment: Environment = ()
    """Variables that its process must find before it imports anything."""

    @property
    def id(self) -> str:
        """The name under which a sweep knows it."""
        return f"{self.name.replace(' ', '-')}-{self.key}"

    @property
    def is_alone(self) -> bool:
        """Whether it takes times, and needs a machine for itself."""
        return self.name == ALONE

    @property
    def on_gpu(self) -> bool:
        """Whether it computes on a GPU that an engine may choose, where there is one."""
        return self.request.machine.device in ("auto", "cuda") and self.name != PREPARE

    @property
    def journal(self) -> Path:
        """The folder with a file for each attempt at this job."""
        return journal_folder(self.where / self.request.machine.runs) / self.id

    @cached_property
    def plan(self) -> "Plan":
        """The plan of the run that it belongs to."""
        from benchmark.runs.plan import Plan

        return Plan(self.request, measured=self.measured)

    def is_done(self) -> bool:
        """Whether the outcome is there."""
        return any(step.is_done for step in self.plan.steps() if step.name == self.name)

    def work(self) -> None:
        """Leave the outcome."""
        from benchmark.runs.run import STEPS

        STEPS[self.name](self.plan)

    def run(self) -> None:
        """Leave the outcome if it is not there; raises what went wrong."""
        with locked(self.journal):  # another sweep may be at it
            if self.is_done():
                return
            attempt = Attempt.begun(self.name, self.request, n_before=len(attempts_of(self.journal)))
            path = attempt.write(self.journal)
            try:
                self.work()
            except Exception as error:
                attempt.ended(reason=f"{type(error).__name__}: {error}").write_to(path)
                raise
            attempt.ended(folder=self.folder).write_to(path)


def do(job: Job) -> Ending:
    """Do a job in this process, which should be a fresh one; whatever goes wrong is said in the ending."""
    os.environ.update(job.environment)
    os.chdir(job.where)
    try:
        job.run()
    except Exception as error:  # a method's own fault must not take the others with it
        return Ending(reason=in_words(error))
    return Ending()


def environment_of_jobs(threads: int, data: Path) -> Environment:
    """What every job's process finds: so many threads to compute with, and where the data lies."""
    return (("CROSSPLACE_DATA", str(data.resolve())), *((name, str(threads)) for name in THREADS))
