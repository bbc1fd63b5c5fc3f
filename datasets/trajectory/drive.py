"""What a person says of one drive."""

from dataclasses import dataclass
from pathlib import Path

from datasets.trajectory.times import Unit


@dataclass(frozen=True, kw_only=True)
class Drive:
    """One drive as a person has it on disk."""

    trajectory: Path
    """Poses: TUM (time x y z qx qy qz qw a line) or KITTI (12 numbers a line, with --times)."""
    calibration: Path
    """YAML file: the sensor that the trajectory is of, intrinsics, transforms (docs/your-data.md)."""
    traversal: str
    """Name of the drive."""
    world: str
    """Name of the map that the poses belong to; drives that share a map share places."""
    condition: str = "unstated"
    """Light and weather in a word: day, dusk, snow."""
    images: Path | None = None
    """Folder of undistorted images, each named by its time, or with times.txt."""
    clouds: Path | None = None
    """Folder of clouds, each named by its time, or with times.txt; there is one frame a cloud."""
    times: Path | None = None
    """Times of the poses of a KITTI trajectory, one a line."""
    time_unit: Unit | None = None
    """Unit of the times of images and clouds; default: recognised by magnitude."""
    trajectory_unit: Unit | None = None
    """Unit of the times of the trajectory; default: recognised by magnitude, else s."""
    max_apart_ms: float = 50.0
    """A cloud without an image this near in time is left out."""
    longest_gap_s: float = 1.0
    """A frame in a longer gap between two poses is left out."""
