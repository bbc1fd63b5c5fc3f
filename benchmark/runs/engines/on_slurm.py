"""The engine ``slurm``: jobs in arrays of a SLURM cluster, through submitit. Its local executor is for trials.

A job that is preempted, or runs out of its time, is put into the queue again by submitit and goes on from its last
checkpoint. A job whose process vanishes is submitted again by whoever waits for it.
"""

import math
import re
import shlex
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.request import EngineOptions
from benchmark.runs.engines import needs_package, threads_of
from benchmark.runs.jobs import Ending, Environment, Job, do
from datasets.errors import CrossplaceError

if TYPE_CHECKING:
    import submitit

POLL_S = {"local": 0.1, "slurm": 15.0}
"""How often it is looked whether jobs have ended."""


@dataclass(frozen=True)
class Submitted:
    """A job as submitit runs it."""

    job: Job

    def __call__(self) -> Ending:
        """Do it."""
        return do(self.job)

    def checkpoint(self) -> "submitit.helpers.DelayedSubmission":
        """What is put into the queue again: the same job, which finds its own checkpoints."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)


class SlurmEngine(AbstractContextManager["SlurmEngine"]):
    """Jobs of a cluster; what SLURM does with them is said by options such as ``partition=gpu``."""

    def __init__(self, options: EngineOptions, runs: Path, device: str) -> None:
        try:
            import submitit
        except ImportError as error:
            raise needs_package("submitit", "slurm") from error
        asked = _parsed(options.slurm)
        self.cluster = asked.pop("cluster", "slurm")
        if self.cluster not in POLL_S:
            raise CrossplaceError(f"--slurm cluster={self.cluster}: choose slurm or local (a trial on this machine)")
        self.isolates = self.cluster == "slurm"
        self.shared = "" if self.cluster == "slurm" else "the jobs of a trial share this machine"
        self.at_once = options.jobs or (1 if self.cluster == "local" else None)
        self.running: dict[str, submitit.Job[Ending]] = {}
        self.parameters = _usual(options, device, self.cluster) | asked
        self.options, self.folder = options, runs.resolve() / "jobs" / "slurm" / "%j"
        self._executor((), alone=False)  # what keeps jobs from being submitted is said at once

    def _executor(self, environment: Environment, *, alone: bool) -> "submitit.AutoExecutor":
        """What submits jobs with this environment, which must be there before Python starts."""
        import submitit

        python = shlex.join(["env", *(f"{name}={value}" for name, value in environment), sys.executable])
        same = {"python": python, "max_num_timeout": self.options.tries - 1}
        try:
            executor = submitit.AutoExecutor(
                folder=self.folder,
                cluster=self.cluster,
                **{f"{cluster}_{name}": value for cluster in POLL_S for name, value in same.items()},
            )
            executor.update_parameters(**self.parameters, **({"slurm_exclusive": True} if alone else {}))
        except (AssertionError, RuntimeError, ValueError, NameError, TypeError) as error:
            words = " ".join(str(error).split())
            raise CrossplaceError(
                f"--engine slurm: {words}; run on a machine with sbatch and srun, or try with --slurm cluster=local"
            ) from error
        return executor

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self.cluster == "local" or kind is not None:
            for job in self.running.values():
                job.cancel(check=False)

    def start(self, jobs: Sequence[Job]) -> list[str]:
        """Submit them in an array; those that need a machine alone are another one."""
        handles = {}
        for environment, alone in dict.fromkeys((job.environment, job.is_alone) for job in jobs):
            some = [job for job in jobs if (job.environment, job.is_alone) == (environment, alone)]
            submitted = self._executor(environment, alone=alone).submit_array([Submitted(job) for job in some])
            handles.update({job.id: one.job_id for job, one in zip(some, submitted, strict=True)})
            self.running.update({one.job_id: one for one in submitted})
        return [handles[job.id] for job in jobs]

    def ended(self, running: Collection[Any]) -> Mapping[Any, Ending]:
        """Those that left an answer, or that the cluster does not know as running any more."""
        while True:
            done = [handle for handle in running if self.running[handle].done()]
            if done:
                return {handle: self._ending(handle) for handle in done}
            time.sleep(POLL_S[self.cluster])

    def _ending(self, handle: str) -> Ending:
        import submitit

        job = self.running.pop(handle)
        try:
            return job.result()
        except submitit.core.utils.FailedJobError as error:  # it said itself why it ends
            return Ending(reason=_last_line(str(error)))
        except submitit.core.utils.UncompletedJobError as error:
            return Ending(reason=f"its process left no answer: {_last_line(str(error))}", is_lost=True)


def _usual(options: EngineOptions, device: str, cluster: str) -> dict[str, Any]:
    """What submitit is asked for, unless the command line says otherwise."""
    found: dict[str, Any] = {"name": "crossplace", "cpus_per_task": threads_of(options), "timeout_min": 24 * 60}
    found |= {"mem_gb": math.ceil(options.memory_gib)} if options.memory_gib is not None else {}
    found |= {"gpus_per_node": 1} if device.startswith("cuda") else {}
    return found | ({"slurm_array_parallelism": options.jobs} if options.jobs and cluster == "slurm" else {})


def _parsed(words: Sequence[str]) -> dict[str, Any]:
    """Options of submitit from ``key=value``; whole numbers become numbers."""
    found: dict[str, Any] = {}
    for word in words:
        key, separator, value = word.partition("=")
        if not separator:
            raise CrossplaceError(f"--slurm {word}: expected key=value, such as slurm_partition=gpu or timeout_min=600")
        found[key] = int(value) if re.fullmatch(r"-?\d+", value) else value
    return found


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip().strip("-")]
    return lines[-1] if lines else "no word of it"
