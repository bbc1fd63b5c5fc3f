"""A sequence of the odometry download, or of SemanticKITTI, which keeps poses beside each sequence."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from datasets.errors import CrossplaceError
from datasets.kitti.calibration import FROM, RAW_FILES, Calibration, odometry_calibration
from datasets.kitti.layout import DRIVES, N_FRAMES
from datasets.kitti.oxts import Oxts
from datasets.kitti.recording import Recording
from datasets.kitti.texts import check_rising, read_table, transforms

LONGEST_S = 1e5


@dataclass(frozen=True, kw_only=True)
class OdometrySequence(Recording):
    """``sequences/SS`` below ``source``. Frames are known by their stem: the line of ``times.txt`` and the poses."""

    drives: Path
    """Where raw drives are looked for."""

    @property
    def folder(self) -> Path:
        """Of the sequence."""
        return self.source / "sequences" / self.name

    @property
    def image_folder(self) -> Path:
        """Where the chosen camera's images lie."""
        return self.folder / f"image_{self.camera}"

    @property
    def cloud_folder(self) -> Path:
        """Where the clouds lie."""
        return self.folder / "velodyne"

    @property
    def poses_path(self) -> Path:
        """The odometry download's poses, or else those beside the sequence (which may be missing too)."""
        ground_truth = self.source / "poses" / f"{self.name}.txt"
        return ground_truth if ground_truth.is_file() else self.folder / "poses.txt"

    @property
    def day(self) -> Path:
        """Folder of the raw calibration that goes with ``oxts``."""
        return self.drives / DRIVES[self.name][0].date

    @property
    def first_packet(self) -> int:
        """Number of the packet that belongs to frame 0."""
        return DRIVES[self.name][1]

    @cached_property
    def oxts(self) -> Oxts | None:
        """The GPS/IMU unit of the drive that the sequence was cut from, if it is there."""
        if self.name not in DRIVES:
            return None
        folder = DRIVES[self.name][0].below(self.drives) / "oxts"
        return Oxts(folder=folder) if folder.is_dir() else None

    @property
    def texts(self) -> list[Path]:
        """All text files that are read, packets apart."""
        own = [self.folder / "calib.txt", self.folder / "times.txt", self.poses_path]
        if not (self.oxts and self.is_in_utm):
            return own
        return [*own, self.oxts.folder / "timestamps.txt", self.day / RAW_FILES[2]]

    @property
    def expected(self) -> int | None:
        """How many frames there are in the complete download."""
        return N_FRAMES.get(self.name)

    @cached_property
    def calibration(self) -> Calibration:
        """Of camera and LiDAR."""
        return odometry_calibration(self.folder / "calib.txt", self.camera)

    @cached_property
    def trajectory(self) -> tuple[Int[ndarray, " n"], Float[ndarray, "n 4 4"]]:
        """Time in nanoseconds and ``first_camera_from_camera`` of camera 0 by frame number.

        Time starts at 0 with each sequence, but at the drive's local time where sequences share a world.
        """
        times_path, poses_path = self.folder / "times.txt", self.poses_path
        times, rows = read_table(times_path, 1, FROM)[:, 0], read_table(poses_path, 12, FROM)
        if len(times) != len(rows):
            raise CrossplaceError(
                f"{poses_path}: {len(rows)} poses for the {len(times)} times in {times_path}; expected as many: "
                "fetch both again"
            )
        check_rising(times.round(9), np.arange(len(times)), times_path)
        if len(times) and not 0 <= times[0] <= times[-1] < LONGEST_S:
            raise CrossplaceError(f"{times_path}: {times[-1]:g} is no time in seconds since the start; fetch it again")
        if self.pairs and int(self.pairs[-1]) >= len(times):
            raise CrossplaceError(
                f"{times_path} and {poses_path}: {len(times)} lines, but there is a frame {self.pairs[-1]} "
                "(frame number = line, from 0)"
            )
        start_ns = self.oxts.start_ns(self.first_packet) if self.oxts and self.is_in_utm else 0
        return start_ns + np.round(times * 1e9).astype(np.int64), transforms(
            rows, lambda row: f"{poses_path}: line {row + 1}"
        )

    def disagreement_m(self) -> float:
        """By how much distances to the first frame differ at most between poses and OXTS; 0 without OXTS.

        Both are of one drive, on maps of nearly one scale: metres apart over kilometres.
        """
        if self.mercator is None:
            return 0.0
        has_packet = np.isfinite(self.mercator[:, 0])
        on_map, own = self.mercator[has_packet], self.trajectory[1][self.numbers[has_packet], :3, 3]
        distances = (np.linalg.norm(track - track[:1], axis=1) for track in (on_map, own))
        return float(np.abs(np.subtract(*distances)).max(initial=0.0))

    def inventory(self) -> str:
        """Say what is there, and what of it is missing."""
        said = f"sequence {self.name}: {super().inventory()}, {'poses' if self.poses_path.is_file() else 'no poses'}"
        return f"{said}, {len(self.oxts.packets)} OXTS packets of {self.oxts.folder.parent.name}" if self.oxts else said
