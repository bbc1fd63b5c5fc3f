"""A study as it is stored and published. Needs no torch."""

from pathlib import Path

from benchmark.records.stored import Model, sealed_json
from datasets.files import read_as, write_atomically

STUDY = "study.json"
BASE = "unchanged"
ABLATION, ROBUSTNESS, TUNE, LEARNING_CURVE = "ablation", "robustness", "tune", "learning-curve"
"""Names of studies whose records are shown in a way of their own."""


class LineRecord(Model):
    """What came out of one line, over seeds; empty with an ``error`` where a run failed."""

    question: str
    name: str
    runs: list[str]
    """Run ids, one a seed."""
    recall: dict[str, list[float]]
    """Direction → headline recall@1 of each seed, fractions."""
    difference: dict[str, tuple[float, float, float]]
    """Direction → mean of seeds minus that of the unchanged method, and the ends of its paired 95 % interval."""
    training_s: float | None
    """Mean over seeds of the time that training took, stages shared with other lines included."""
    error: str = ""


class StudyRecord(Model):
    """A study as it is stored and published: what its table needs, and nothing else."""

    schema_version: int = 1
    study: str
    method: str
    preset: str
    """With the variants that every line has, joined by +."""
    share_of_schedule: float
    dataset: str
    is_real: bool
    protocol: str
    seeds: list[int]
    machine: str
    revision: str
    lines: list[LineRecord]

    @classmethod
    def read(cls, path: Path) -> "StudyRecord":
        """Read a stored study; fields that later versions add are ignored, and older files have no seal."""
        return read_as(path, cls, f"take {path.parent} away and run the study again")

    def write(self, path: Path) -> None:
        """Write the study, sealed."""
        write_atomically(path, sealed_json(self))
