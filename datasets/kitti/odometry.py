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
    """``sequences/SS`` below ``source``. A frame is known by its stem, its line in ``times.txt`` and in the poses."""

    drives: Path
    """The folder in which raw drives are looked for."""

    @property
    def folder(self) -> Path:
        """The folder of the sequence."""
        return self.source / "sequences" / self.name

    @property
    def image_folder(self) -> Path:
        """The folder of the chosen camera's images."""
        return self.folder / f"image_{self.camera}"

    @property
    def cloud_folder(self) -> Path:
        """The folder of the clouds."""
        return self.folder / "velodyne"

    @property
    def poses_path(self) -> Path:
        """The file of poses: that of the odometry download, or else the one beside the sequence, if it is there."""
        ground_truth = self.source / "poses" / f"{self.name}.txt"
        return ground_truth if ground_truth.is_file() else self.folder / "poses.txt"

    @property
    def day(self) -> Path:
        """The folder of the raw calibration that goes with ``oxts``."""
        return self.drives / DRIVES[self.name][0].date

    @property
    def first_packet(self) -> int:
        """The number of the packet that belongs to frame 0."""
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
        """All text files that are read, except packets."""
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
        """The calibration of camera and LiDAR."""
        return odometry_calibration(self.folder / "calib.txt", self.camera)

    @cached_property
    def trajectory(self) -> tuple[Int[ndarray, " n"], Float[ndarray, "n 4 4"]]:
        """Time in nanoseconds and ``first_camera_from_camera`` of camera 0 by frame number.

        Each sequence starts at time 0. Where sequences share a world, each starts at the local time of its drive.
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
        """The largest difference, between poses and OXTS, of a frame's distance to the first frame; 0 without OXTS.

        If both are of one drive, they are on maps of nearly the same scale, and differ by metres over kilometres.
        """
        if self.mercator is None:
            return 0.0
        has_packet = np.isfinite(self.mercator[:, 0])
        on_map, own = self.mercator[has_packet], self.trajectory[1][self.numbers[has_packet], :3, 3]
        distances = (np.linalg.norm(track - track[:1], axis=1) for track in (on_map, own))
        return float(np.abs(np.subtract(*distances)).max(initial=0.0))

    def inventory(self) -> str:
        """A line of text about what is there and what is missing."""
        said = f"sequence {self.name}: {super().inventory()}, {'poses' if self.poses_path.is_file() else 'no poses'}"
        return f"{said}, {len(self.oxts.packets)} OXTS packets of {self.oxts.folder.parent.name}" if self.oxts else said
