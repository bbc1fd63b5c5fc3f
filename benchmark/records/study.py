"""A study as it is stored and published. Needs no torch."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from datasets.errors import CrossplaceError

STUDY = "study.json"
BASE = "unchanged"


class LineRecord(BaseModel):
    """What came out of one line, over seeds; empty with an ``error`` where a run failed."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

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


class StudyRecord(BaseModel):
    """A study as it is stored and published: what its table needs, and nothing else."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

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
        """Read a stored study."""
        try:
            return cls.model_validate_json(path.read_text())
        except (OSError, ValueError, ValidationError) as error:
            raise CrossplaceError(f"{path}: not a readable study ({error})") from error
