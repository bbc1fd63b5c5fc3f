"""A Ray cluster of two nodes on this machine, one of which can be killed; for processes of their own.

Ray's warnings, threads and signal handlers stay out of the process of the tests.
"""

import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

from counted_jobs import counted

from benchmark.request import EngineOptions, Request
from benchmark.runs.carrying import Wanted, carry_out, run_jobs
from benchmark.runs.engines import engine_of
from benchmark.runs.jobs import environment_of_jobs
from benchmark.runs.journal import attempts_of
from benchmark.runs.study_file import named
from benchmark.runs.watching import Watch

OBJECT_STORE = 80 * 2**20


@contextmanager
def two_nodes() -> Iterator[tuple[str, Callable[[], None]]]:
    """The address of the cluster, and what kills its second node."""
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": OBJECT_STORE, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    try:
        second = cluster.add_node(num_cpus=1, object_store_memory=OBJECT_STORE)
        yield cluster.address, lambda: cluster.remove_node(second, allow_graceful=False)
    finally:
        cluster.shutdown()


def when(is_so: Callable[[], bool], do: Callable[[], None]) -> Thread:
    """A thread that does something once something is so."""

    def watch() -> None:
        while not is_so():
            time.sleep(0.1)
        do()

    thread = Thread(target=watch, daemon=True)
    thread.start()
    return thread


def lose_a_node(address: str, kill: Callable[[], None], folder: Path) -> dict[str, object]:
    """Two long jobs, one on each node, and others; the second node is killed while both work."""
    environment = environment_of_jobs(1, folder)
    long = [counted(folder, key, epochs=12, epoch_s=0.5, environment=environment) for key in ("one", "two")]
    others = [
        counted(folder, "weak", deaths=1, environment=environment),
        counted(folder, "poisoned", deaths=9, environment=environment),
        counted(folder, "wrong", fault="no frames; add some"),
    ]
    options = EngineOptions(engine="ray", address=address, threads=1, tries=3)
    with engine_of(options, folder, "cpu") as engine:
        killing = when(lambda: all(len(job.checkpoints) >= 2 for job in long), kill)
        reasons = run_jobs([*long, *others], engine, options.tries, Watch())
        killing.join()
    return {job.key: {"reason": reasons[job.id], "attempts": len(attempts_of(job.journal))} for job in [*long, *others]}


def study(address: str, folder: Path, wanted: Sequence[Wanted], kill: Callable[[], None] | None = None) -> list[str]:
    """Why runs have no result; with ``kill``, after the first checkpoint of a training."""
    options = EngineOptions(engine="ray", address=address, threads=1)
    if kill is not None:
        when(lambda: any((folder / "runs" / "stages").rglob("checkpoint*")), kill)
    return [undertaking.reason for undertaking in carry_out(wanted, options)]


def main(arguments: Sequence[str]) -> None:
    """A study on the dataset in a folder, then the loss of a node; what came out is the last line."""
    warnings.simplefilter("ignore")
    folder, dataset = map(Path, arguments)
    request = Request.of(method="height_histogram", dataset=str(dataset), device="cpu", runs=folder / "ray")
    with two_nodes() as (address, kill):
        reasons = study(address, folder, named([request], measured=False))
        jobs = lose_a_node(address, kill, folder / "counted")
    sys.stdout.write(f"\n{json.dumps({'study': reasons, 'jobs': jobs})}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
