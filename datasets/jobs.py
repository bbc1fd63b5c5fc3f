"""Work on many frames by several processes; after an interruption it goes on where it stopped."""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

from datasets.errors import CrossplaceError
from datasets.files import read_json, write_atomically

MOST_WORKERS = 16
"""The largest number of workers by default: each has to import and build everything itself, so more gain little."""
DONE = ".done"
"""Name of the folder, inside the folder that is worked on, with the outcome of every finished job."""

Job = TypeVar("Job")
Outcome = TypeVar("Outcome")


def run_jobs(
    function: Callable[[Job], Any], jobs: Sequence[Job], folder: Path, *, workers: int | None = None
) -> Iterator[Any]:
    """The outcome of ``function(job)`` for each job, in order; jobs that an interrupted run finished do not run again.

    ``function`` is defined in a module, leaves whole files below ``folder`` and returns plain data (JSON). An outcome
    is on the disk before it is yielded. The list of jobs must be the same whenever the folder is worked on, because a
    job is known by its place in the list.

    A job should take a few seconds. Starting a shorter one takes longer than its work, and an interruption loses more
    of a longer one.

    Raises:
        CrossplaceError: ``function`` raised it, or a worker was ended from outside.
    """
    found = {int(path.stem): read_json(path) for path in (folder / DONE).glob("*.json")}
    missing = [(function, job, folder / DONE / f"{i}.json") for i, job in enumerate(jobs) if i not in found]
    fresh = map_in_processes(_finish, missing, workers)
    for i in range(len(jobs)):
        yield found[i] if i in found else next(fresh)


def clear_jobs(folder: Path) -> None:
    """Remove the outcomes, which only a resumed run needs, and files that killed processes had begun to write."""
    shutil.rmtree(folder / DONE, ignore_errors=True)
    for part in folder.rglob(".*"):
        part.unlink(missing_ok=True)


def _finish(task: tuple[Callable[[Any], Any], Any, Path]) -> Any:
    function, job, path = task
    outcome = json.loads(json.dumps(function(job)))  # exactly as a resumed run will read it
    os.sync()  # the files of the job must be on the disk before its outcome is
    write_atomically(path, json.dumps(outcome).encode())
    return outcome


def map_in_processes(
    function: Callable[[Job], Outcome], jobs: Sequence[Job], workers: int | None = None
) -> Iterator[Outcome]:
    """``map`` by ``workers`` fresh processes of one thread each; outcomes come in the order of ``jobs``.

    By default there is one worker per processor, at most 16. For one worker, or one job, no process is started. The
    workers end with this process, however it ends.
    """
    workers = workers or min(os.cpu_count() or 1, MOST_WORKERS)
    if workers == 1 or len(jobs) < 2:
        yield from map(function, jobs)
        return
    # A forked child of a process that has started threads, as torch does, can hang. A fresh process cannot.
    pool = ProcessPoolExecutor(min(workers, len(jobs)), mp_context=get_context("spawn"), initializer=end_with_parent)
    try:
        with _one_thread_each(), pool:
            yield from pool.map(function, jobs)
    except BrokenProcessPool as error:
        raise CrossplaceError(
            f"one of {workers} worker processes was ended from outside, most often for lack of memory; give the same "
            "command again, with fewer --workers: what is finished stays"
        ) from error


def end_with_parent() -> None:
    """Let this process end when the one that started it is killed; else a worker would wait for work for ever."""
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    Thread(target=watch, daemon=True).start()


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let processes that are started meanwhile compute with one thread each, since several of them work at once."""
    before = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    os.environ.update(dict.fromkeys(before, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
