"""The journal of jobs: a file for each attempt, which says who did what, how long it took and how it ended.

Files of different attempts never meet, so that machines which share a folder need no agreement. The journal counts
what was done twice, and says what similar jobs will take.
"""

import json
import os
import socket
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median

from pydantic import with_config

from benchmark.request import Request
from datasets.errors import CrossplaceError
from datasets.files import STRICT, read_as, sealed, write_atomically


@with_config(STRICT)
@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt at a job."""

    step: str
    method: str
    preset: str
    dataset: str
    number: int
    """How many attempts at this job there were before."""
    host: str
    process: int
    began_s: float
    """When it began, seconds since 1970."""
    seconds: float | None = None
    """How long it took; none while it runs, or if its process was ended."""
    megabytes: float = 0.0
    """Size of what it left."""
    reason: str = ""
    """Why it failed; empty if it did not."""

    @classmethod
    def begun(cls, step: str, request: Request, n_before: int) -> "Attempt":
        """An attempt by this process that begins now."""
        method = request.method
        return cls(
            step=step,
            method=method.name,
            preset="+".join(filter(None, [method.preset, method.variant])),
            dataset=" ".join([request.data.dataset, *request.data.dataset_options]),
            number=n_before,
            host=socket.gethostname(),
            process=os.getpid(),
            began_s=time.time(),
        )

    @property
    def is_finished(self) -> bool:
        """Whether it was done to the end."""
        return self.seconds is not None and not self.reason

    def ended(self, *, reason: str = "", folder: Path | None = None) -> "Attempt":
        """The same, ended now: for a reason, or with an outcome in ``folder``."""
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) if folder else 0
        return replace(self, seconds=time.time() - self.began_s, reason=reason, megabytes=size / 1e6)

    def write(self, folder: Path) -> Path:
        """Write a new file into ``folder``; returns it."""
        path = folder / f"{self.number}-{self.host}-{self.process}.json"
        self.write_to(path)
        return path

    def write_to(self, path: Path) -> None:
        """Write the file again."""
        write_atomically(path, json.dumps(sealed(asdict(self)), indent=1).encode(), durable=False)


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What a job will take, by what similar ones took."""

    seconds: float
    megabytes: float


@dataclass(frozen=True, kw_only=True)
class Experience:
    """All finished attempts below a folder of runs."""

    attempts: Sequence[Attempt]

    @classmethod
    def of(cls, runs: Path) -> "Experience":
        """Everything that the journal of ``runs`` holds."""
        found = [attempt for folder in sorted(journal_folder(runs).glob("*")) for attempt in attempts_of(folder)]
        return cls(attempts=[attempt for attempt in found if attempt.is_finished])

    def expected(self, step: str, request: Request) -> Expected | None:
        """Medians over the most similar attempts: the same preset and data, else the same method; none without any."""
        asked = Attempt.begun(step, request, 0)
        for alike in (("step", "method", "preset", "dataset"), ("step", "method"), ("step", "dataset")):
            same = [a for a in self.attempts if all(getattr(a, name) == getattr(asked, name) for name in alike)]
            if same:
                return Expected(seconds=_median(a.seconds for a in same), megabytes=_median(a.megabytes for a in same))
        return None


def journal_folder(runs: Path) -> Path:
    """Where the journal of a folder of runs lies."""
    return runs / "jobs"


def attempts_of(folder: Path) -> list[Attempt]:
    """All attempts at one job, in order; damaged files, which tell nothing, are left out."""
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            found.append(read_as(path, Attempt, "delete it"))
        except CrossplaceError:
            continue
    return sorted(found, key=lambda attempt: attempt.began_s)


def _median(values: Iterable[float | None]) -> float:
    return median(value for value in values if value is not None)
