"""An engine that does each job at once in this process, which knows methods that only a test has registered."""

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from benchmark.process import in_words
from benchmark.request import EngineOptions
from benchmark.runs.jobs import Ending, Job


class HereEngine(AbstractContextManager["HereEngine"]):
    """No process, no other machine."""

    at_once, isolates, shared = 1, False, ""

    def __init__(self, options: EngineOptions, runs: Path, device: str) -> None:
        self.endings: dict[str, Ending] = {}

    def __exit__(self, *_: object) -> None:
        return None

    def start(self, jobs: Sequence[Job]) -> list[str]:
        for job in jobs:
            try:
                job.run()
                self.endings[job.id] = Ending()
            except Exception as error:
                self.endings[job.id] = Ending(reason=in_words(error))
        return [job.id for job in jobs]

    def ended(self, running: Collection[str]) -> dict[str, Ending]:
        return {handle: self.endings[handle] for handle in running}
