"""Jobs without networks that count what is done, importable in any process."""

import logging
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from benchmark.request import Request
from benchmark.runs.jobs import Job
from benchmark.runs.journal import attempts_of
from datasets.errors import CrossplaceError


@dataclass(frozen=True, kw_only=True)
class CountedJob(Job):
    """A job whose outcome is a file with what its process found, and which may go wrong in many ways."""

    deaths: int = 0
    """How many of its attempts end by a signal that cannot be caught."""
    fault: str = ""
    """What it raises."""
    says: str = ""
    mib: int = 0
    """Memory that it allocates."""
    epochs: int = 1
    """Checkpoints that it leaves, one after another."""
    epoch_s: float = 0.0

    @property
    def outcome(self) -> Path:
        return self.folder / f"{self.key}.txt"

    @property
    def checkpoints(self) -> list[Path]:
        return sorted(self.folder.glob(f"{self.key}-epoch-*"))

    def is_done(self) -> bool:
        return self.outcome.is_file()

    def work(self) -> None:
        for need in self.needs:
            assert (self.folder / f"{need.partition('-')[2]}.txt").is_file(), f"{self.id} came before {need}"
        if len(attempts_of(self.journal)) <= self.deaths:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.says:
            logging.getLogger("benchmark").info(self.says)
        if self.fault:
            raise CrossplaceError(self.fault)
        held = [bytearray(2**20) for _ in range(self.mib)]
        for epoch in range(len(self.checkpoints), self.epochs):
            time.sleep(self.epoch_s)
            (self.folder / f"{self.key}-epoch-{epoch}").write_text(str(os.getpid()))
        assert len(held) == self.mib
        self.outcome.write_text(f"{os.environ.get('OMP_NUM_THREADS')} {os.environ.get('CUDA_VISIBLE_DEVICES', '-')}")


def counted(folder: Path, key: str, **changes: object) -> CountedJob:
    """A job in ``folder``, whose journal is there too."""
    folder.mkdir(parents=True, exist_ok=True)
    request = Request.of(runs=folder, device="cpu")
    return CountedJob(**{"name": "count", "key": key, "folder": folder, "request": request, **changes})  # type: ignore[arg-type]
