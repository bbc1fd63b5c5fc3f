"""What a person says of one drive."""

from dataclasses import dataclass
from pathlib import Path

from datasets.trajectory.times import Unit


@dataclass(frozen=True, kw_only=True)
class Drive:
    """One drive as a person has it on disk; ``crossplace data from-trajectory --help`` explains each field."""

    trajectory: Path
    calibration: Path
    traversal: str
    world: str = ""
    condition: str = "unstated"
    images: Path | None = None
    clouds: Path | None = None
    times: Path | None = None
    time_unit: Unit | None = None
    trajectory_unit: Unit | None = None
    max_apart_ms: float = 50.0
    longest_gap_s: float = 1.0
