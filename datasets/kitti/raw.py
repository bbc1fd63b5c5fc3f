"""A raw drive ("synced+rectified data") as a sequence of its own."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from datasets.errors import CrossplaceError
from datasets.kitti.calibration import FROM_RAW, RAW_FILES, Calibration, lidar_from_imu, raw_calibration
from datasets.kitti.layout import Drive
from datasets.kitti.oxts import Oxts
from datasets.kitti.recording import Recording
from datasets.kitti.texts import BLANK_NS, read_stamps


@dataclass(frozen=True, kw_only=True)
class RawDrive(Recording):
    """``DATE/DATE_drive_NNNN_sync`` below ``source``. A frame is known by its stem, its line in the time stamps.

    Poses are those of OXTS. The time of a frame is that of its image, as in the odometry sequences.
    """

    needs_packets: ClassVar[bool] = True
    digits: ClassVar[int] = 10
    all_that_is_read: ClassVar[tuple[str, ...]] = (*Recording.all_that_is_read, "never_scanned")

    @property
    def folder(self) -> Path:
        """The folder of the drive."""
        return Drive.named(self.name).below(self.source)

    @property
    def image_folder(self) -> Path:
        """The folder of the chosen camera's images."""
        return self.folder / f"image_0{self.camera}" / "data"

    @property
    def cloud_folder(self) -> Path:
        """The folder of the clouds."""
        return self.folder / "velodyne_points" / "data"

    @property
    def day(self) -> Path:
        """The folder of the calibration."""
        return self.folder.parent

    @cached_property
    def oxts(self) -> Oxts:
        """The GPS/IMU unit."""
        return Oxts(folder=self.folder / "oxts")

    @property
    def texts(self) -> list[Path]:
        """All text files that are read, except packets."""
        return [*(self.day / name for name in RAW_FILES), *self._stamps]

    @property
    def _stamps(self) -> tuple[Path, Path]:
        return self.image_folder.parent / "timestamps.txt", self.cloud_folder.parent / "timestamps.txt"

    @property
    def expected(self) -> int | None:
        """How many frames were recorded: one for each line of the images' time stamps."""
        path = self._stamps[0]
        return len(path.read_bytes().splitlines()) if path.is_file() else None

    @cached_property
    def calibration(self) -> Calibration:
        """The calibration of camera and LiDAR."""
        return raw_calibration(self.day, self.camera)

    @cached_property
    def never_scanned(self) -> list[int]:
        """Numbers of frames without a scan: blank lines in the scans' time stamps, such as 177 to 180 of drive 0009."""
        stamps = read_stamps(self._stamps[1], FROM_RAW)
        blank = np.flatnonzero(stamps == BLANK_NS).tolist()
        phantoms = [stem for stem in self.clouds if int(stem) >= len(stamps) or int(stem) in blank]
        if phantoms:
            name, line = self.clouds[phantoms[0]].name, int(phantoms[0]) + 1
            raise CrossplaceError(
                f"{self._stamps[1]}: no time on line {line}, but there is a scan {name}; fetch both again"
            )
        return blank

    @cached_property
    def trajectory(self) -> tuple[Int[ndarray, " n"], Float[ndarray, "n 4 4"]]:
        """Time in nanoseconds (local, since 1970) and ``first_camera_from_camera`` of camera 0 by frame number.

        Poses are made like those of the odometry benchmark: on the drive's Mercator map, relative to the first frame.
        """
        path = self._stamps[0]
        times_ns = read_stamps(path, FROM_RAW)
        timeless = [stem for stem in self.stems if int(stem) >= len(times_ns) or times_ns[int(stem)] == BLANK_NS]
        if timeless:
            raise CrossplaceError(
                f"{path}: no time on line {int(timeless[0]) + 1}, but there is a frame {timeless[0]}; fetch it again"
            )
        imu_from_camera = np.linalg.inv(self.calibration.camera0_from_lidar @ lidar_from_imu(self.day))
        world_from_camera = self.oxts.mercator_from_imu(np.arange(len(times_ns))) @ imu_from_camera
        return times_ns, np.linalg.inv(world_from_camera[0]) @ world_from_camera

    def inventory(self) -> str:
        """A line of text about what is there and what is missing."""
        said = f"drive {self.name}: {super().inventory()}, {len(self.oxts.packets)} OXTS packets"
        try:
            blank = self.never_scanned
        except CrossplaceError:  # ``faults`` reports it
            return said
        return f"{said}, {len(blank)} scans never taken (blank time stamps)" if blank else said

    def counts(self) -> dict[str, int]:
        """The counts of every recording, and the number of scans that were never taken."""
        return super().counts() | {"scans_never_taken": len(self.never_scanned)}
