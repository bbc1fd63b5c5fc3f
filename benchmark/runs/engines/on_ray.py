"""The engine ``ray``: jobs as tasks of a Ray cluster, each in a worker process of its own.

Ray chooses nodes by the resources that a job asks for. When a worker or a node is lost, the job starts again elsewhere
and goes on from its last checkpoint, which lies in the shared folder of runs.
"""

import logging
import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from benchmark.process import in_words
from benchmark.request import EngineOptions
from benchmark.runs.engines import needs_package, threads_of
from benchmark.runs.jobs import Ending, Job, do
from datasets.errors import CrossplaceError

log = logging.getLogger(__name__)


class RayEngine(AbstractContextManager["RayEngine"]):
    """Tasks of a cluster; in all its nodes the folders of data and runs are the same."""

    isolates = False
    shared = "other tasks and Ray's own processes share the machine"

    def __init__(self, options: EngineOptions, runs: Path, device: str) -> None:
        try:
            import ray
        except ImportError as error:
            raise needs_package("ray", "ray") from error
        self.ray: Any = ray
        self.at_once = options.jobs
        try:
            ray.init(address=options.address, log_to_driver=False, configure_logging=False, include_dashboard=False)
        except (ConnectionError, ValueError, RuntimeError) as error:
            words = " ".join(str(error).split())
            raise CrossplaceError(
                f"--engine ray: no cluster at {options.address} ({words}); start one with ray start --head, and give "
                "its --address"
            ) from error
        self.resources: dict[str, Any] = {"num_cpus": threads_of(options)}
        if options.memory_gib is not None:
            self.resources["memory"] = int(options.memory_gib * 2**30)
        self.n_gpus = 1 if device.startswith("cuda") else 0
        if lacks := lacking(ray.nodes(), {"CPU": self.resources["num_cpus"], "GPU": self.n_gpus}):
            log.warning("no node of the Ray cluster has %s now; jobs wait until one joins (--threads, --device)", lacks)

    def __exit__(self, *_: object) -> None:
        self.ray.shutdown()  # which ends the tasks of this driver

    def start(self, jobs: Sequence[Job]) -> list[Any]:
        """A task for each; a worker does one job and ends, so that the next one finds clean memory."""
        task = self.ray.remote(max_calls=1, max_retries=0, **self.resources)(do)
        return [
            task.options(
                num_gpus=self.n_gpus if job.on_gpu else 0,
                name=job.id,
                runtime_env={"env_vars": {**_paths(), **dict(job.environment)}},
            ).remote(job)
            for job in jobs
        ]

    def ended(self, running: Collection[Any]) -> Mapping[Any, Ending]:
        """Those that answered, and those whose worker or node is gone."""
        done, _ = self.ray.wait([*running], num_returns=1)
        return {handle: self._ending(handle) for handle in done}

    def _ending(self, handle: Any) -> Ending:
        errors = self.ray.exceptions
        try:
            found: Ending = self.ray.get(handle)
        except errors.RayTaskError as error:
            return Ending(reason=in_words(error.cause if isinstance(error.cause, Exception) else error))
        except errors.RayError as error:
            return Ending(reason=f"its worker was lost: {str(error).strip().splitlines()[0]}", is_lost=True)
        return found


def lacking(nodes: Sequence[Mapping[str, Any]], needed: Mapping[str, int]) -> str:
    """What no living node of a cluster has, in words; empty if some node has all that a job asks for."""
    there = [node["Resources"] for node in nodes if node["Alive"]]
    if any(all(node.get(kind, 0) >= amount for kind, amount in needed.items()) for node in there):
        return ""
    return " and ".join(f"{amount} {kind}" for kind, amount in needed.items() if amount)


def _paths() -> dict[str, str]:
    """Where Python finds modules, if this process was told."""
    return {"PYTHONPATH": os.environ["PYTHONPATH"]} if os.environ.get("PYTHONPATH") else {}
