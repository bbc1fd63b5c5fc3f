"""What odometry sequences and raw drives have in common: images and clouds with equal numbers are one frame."""

import errno
import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from datasets.base import Frames, Lidar, Traversal
from datasets.errors import CrossplaceError
from datasets.files import sha256_of, unreadable
from datasets.kitti.calibration import Calibration, lidar_from_imu
from datasets.kitti.images import SUFFIXES, size_of_whole
from datasets.kitti.layout import of_all
from datasets.kitti.oxts import Oxts
from datasets.kitti.texts import numbered, whats_in
from datasets.prepared import frames_at
from datasets.transforms import WORLD_FROM_FIRST_CAMERA

Poses = Literal["odometry", "oxts", "oxts-mercator"]

HDL_64E = Lidar(beams=64, vertical_fov_deg=(-24.9, 2.0), max_range_m=120.0, form="scan")
POINT_BYTES = 16
"""Bytes of a point in a cloud: float32 x, y, z, intensity."""


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One sequence or drive. Everything that reads a file raises CrossplaceError naming the file and the fault.

    Subclasses know where the files lie, and read calibration, times and the recording's own poses.
    """

    name: str
    source: Path
    camera: int = 2
    poses: Poses = "odometry"

    needs_packets: ClassVar[bool] = False
    """Whether a frame without an OXTS packet is left out."""
    all_that_is_read: ClassVar[tuple[str, ...]] = (
        "calibration",
        "trajectory",
        "image_size",
        "n_points",
        "timed_poses",
        "mercator",
    )
    """Names of the properties that read files, and raise what is wrong with them."""
    digits: ClassVar[int] = 6
    """Digits of a frame number in the published names of files, and in frame ids."""

    # --- what subclasses say -----------------------------------------------------------------------

    @property
    def folder(self) -> Path:
        """The folder of the recording."""
        raise NotImplementedError

    @property
    def image_folder(self) -> Path:
        """The folder of the chosen camera's images."""
        raise NotImplementedError

    @property
    def cloud_folder(self) -> Path:
        """The folder of the clouds."""
        raise NotImplementedError

    @property
    def day(self) -> Path:
        """The folder of the raw calibration that goes with ``oxts``."""
        raise NotImplementedError

    @property
    def first_packet(self) -> int:
        """The number of the packet that belongs to frame 0."""
        return 0

    @cached_property
    def oxts(self) -> Oxts | None:
        """The GPS/IMU unit of the drive, if the drive is there."""
        raise NotImplementedError

    @property
    def texts(self) -> list[Path]:
        """All text files that are read, except packets."""
        raise NotImplementedError

    @property
    def expected(self) -> int | None:
        """How many frames there are in the complete download."""
        raise NotImplementedError

    @cached_property
    def calibration(self) -> Calibration:
        """The calibration of camera and LiDAR."""
        raise NotImplementedError

    @cached_property
    def trajectory(self) -> tuple[Int[ndarray, " n"], Float[ndarray, "n 4 4"]]:
        """Time in nanoseconds by frame number, and the recording's own ``first_camera_from_camera`` of camera 0."""
        raise NotImplementedError

    # --- frames ------------------------------------------------------------------------------------

    @cached_property
    def images(self) -> dict[str, Path]:
        """The image files by stem: the frame number with ``digits``, however the files are named."""
        return self._by_stem(numbered(self.image_folder, *SUFFIXES))

    @cached_property
    def clouds(self) -> dict[str, Path]:
        """The cloud files by stem."""
        return self._by_stem(numbered(self.cloud_folder, ".bin"))

    def _by_stem(self, files: dict[int, Path]) -> dict[str, Path]:
        return {f"{number:0{self.digits}d}": path for number, path in files.items()}

    @cached_property
    def pairs(self) -> list[str]:
        """Stems of the frames with image and cloud, ordered by number."""
        return [stem for stem in self.images if stem in self.clouds]

    @cached_property
    def stems(self) -> list[str]:
        """Stems of the frames that have everything that is needed, ordered by number."""
        if self.oxts is None or not (self.needs_packets or self.poses != "odometry"):
            return self.pairs
        return [stem for stem in self.pairs if int(stem) + self.first_packet in self.oxts.packets]

    @cached_property
    def numbers(self) -> Int[ndarray, " n"]:
        """Numbers of the frames ``stems``."""
        return np.array([int(stem) for stem in self._some_stems()], dtype=np.int64)

    def _some_stems(self) -> list[str]:
        if not self.stems:
            what = "image, cloud and OXTS packet" if self.pairs else "image and cloud"
            raise CrossplaceError(f"{self.folder}: no frame with {what}: {self._what_lacks()}")
        return self.stems

    def _what_lacks(self) -> str:
        """Why no frame has everything, and what is there instead."""
        parts = ((self.images, self.image_folder, ".png or .jpg"), (self.clouds, self.cloud_folder, ".bin"))
        lacking = [
            f"no numbered files in {folder}, such as {'0' * self.digits} with {suffix}: {whats_in(folder)}"
            for files, folder, suffix in parts
            if not files
        ]
        if lacking:
            return "; ".join(lacking) + self._other_cameras()
        spans = [f"{min(files)} to {max(files)}" for files in (self.images, self.clouds)]
        if not self.pairs:
            return f"images are numbered {spans[0]}, clouds {spans[1]}; fetch both of one sequence"
        drive = self.oxts.folder.parent.name if self.oxts else self.name
        return f"no packet has the number of a frame from {self.pairs[0]} on; fetch the whole drive {drive}"

    def _other_cameras(self) -> str:
        """The option that takes images of a camera that is there, if those of the chosen one are not."""
        others = [i for i in range(4) if i != self.camera and replace(self, camera=i).images] if not self.images else []
        return f"; images of other cameras are there: camera={' or camera='.join(map(str, others))}" if others else ""

    @cached_property
    def image_size(self) -> tuple[int, int]:
        """Width and height of the images, which every frame shares."""
        first, *rest = (self.images[stem] for stem in self._some_stems())
        expected = size_of_whole(first)
        for path, size in zip(rest, map(size_of_whole, rest), strict=True):
            if size != expected:
                raise CrossplaceError(
                    f"{path}: {size[0]}×{size[1]} pixels, but {first.name} has {expected[0]}×{expected[1]}; "
                    "the images of a sequence share one calibration and must have one size"
                )
        published = self.calibration.image_size or expected
        if published != expected:
            raise CrossplaceError(
                f"{first}: {expected[0]}×{expected[1]} pixels, but the calibration in {self.day} is for "
                f"{published[0]}×{published[1]}; fetch the rectified images and the calibration of that day"
            )
        return expected

    @cached_property
    def n_points(self) -> int:
        """Number of points in all clouds, from the sizes of their files."""
        sizes = {path: path.stat().st_size for path in self.clouds.values()}
        closed = next((path for path in sizes if not os.access(path, os.R_OK)), None)
        if closed:
            raise unreadable(closed, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))
        cut = [path for path, size in sizes.items() if size % POINT_BYTES]
        if cut:
            raise CrossplaceError(
                f"{cut[0]}: {sizes[cut[0]]} bytes are no whole number of points of {POINT_BYTES} bytes; "
                f"{len(cut)} of {len(sizes)} clouds of this sequence are cut off: fetch them again"
            )
        return sum(sizes.values()) // POINT_BYTES

    @property
    def is_in_utm(self) -> bool:
        """Whether poses are in UTM, the world that all drives share."""
        return self.oxts is not None and self.poses == "oxts"

    @property
    def is_on_a_map(self) -> bool:
        """Whether east and north are those of the earth: on UTM, or on the drive's own Mercator map."""
        return self.oxts is not None and self.poses != "odometry"

    @cached_property
    def timed_poses(self) -> tuple[Int[ndarray, " n"], Float[ndarray, "n 4 4"]]:
        """Time in nanoseconds and ``world_from_lidar`` of the frames ``stems``; for ``oxts-mercator`` of the IMU."""
        times_ns, first_camera_from_camera = (column[self.numbers] for column in self.trajectory)
        if self.oxts is None or not self.is_on_a_map:
            world_from_camera = WORLD_FROM_FIRST_CAMERA @ first_camera_from_camera
            return times_ns, world_from_camera @ self.calibration.camera0_from_lidar
        packets = self.numbers + self.first_packet
        if self.poses == "oxts-mercator":
            return times_ns, self.oxts.mercator_from_imu(packets)
        return times_ns, self.oxts.utm_from_imu(packets) @ np.linalg.inv(lidar_from_imu(self.day))

    # --- what there is to say ----------------------------------------------------------------------

    def faults(self) -> list[str]:
        """Reasons why this recording cannot be prepared, one sentence each."""
        faults = []
        for needed in self.all_that_is_read:
            try:
                getattr(self, needed)
            except CrossplaceError as error:
                faults.append(str(error))
        return list(dict.fromkeys(faults))

    def inventory(self) -> str:
        """A line of text about what is there and what is missing."""
        has_all = len(self.pairs) == self.expected
        found = [
            f"{of_all(len(self.images), self.expected)} images",
            f"{of_all(len(self.clouds), self.expected)} clouds",
            f"{len(self.pairs)} frames with both" + (" (all)" if has_all else ""),
        ]
        return ", ".join(found)

    def counts(self) -> dict[str, int]:
        """Numbers of frames that are not taken, by reason, and of jumps of the frame number by more than one."""
        return {
            "dropped_no_image": len(self.clouds.keys() - self.images.keys()),
            "dropped_no_cloud": len(self.images.keys() - self.clouds.keys()),
            "dropped_no_oxts": len(self.pairs) - len(self.stems),
            "frame_number_gaps": int((np.diff(self.numbers) > 1).sum()),
        }

    def listing(self) -> list[str]:
        """One line per file: its path with the hash of its content (texts), or with its size (images and clouds)."""
        sensors = [*self.images.values(), *self.clouds.values()]
        return [
            *(f"{self.name} {path.parent.name}/{path.name} {sha256_of(path)}" for path in self.texts if path.is_file()),
            *(f"{self.name} {path.parent.name}/{path.name} {path.stat().st_size}" for path in sensors),
            *([f"{self.name} oxts {self.oxts.digest()}"] if self.oxts else []),
        ]

    # --- the prepared form -------------------------------------------------------------------------

    @cached_property
    def mercator(self) -> Float[ndarray, "n 2"] | None:
        """Positions of the frames ``stems`` on the drive's Mercator map; nan where there is no packet."""
        return None if self.oxts is None else self.oxts.mercator_m(self.numbers + self.first_packet)

    def frames(self, clouds: dict[str, str]) -> Frames:
        """The frames whose stems are keys of ``clouds`` as columns; the values are the paths of their clouds."""
        rows = np.flatnonzero([stem in clouds for stem in self.stems])
        times_ns, world_from_lidar = (column[rows] for column in self.timed_poses)
        return frames_at(
            world_from_lidar,
            times_ns,
            traversal=self.name,
            world="karlsruhe" if self.is_in_utm else f"kitti-{self.name}",
            frame_id=[f"{self.name}/{stem}" for stem in clouds],
            image=[self.original(self.images[stem]) for stem in clouds],
            cloud=list(clouds.values()),
            mercator_m=None if self.mercator is None else self.mercator[rows],
        )

    def original(self, path: Path) -> str:
        """The absolute path of a file of the source, which holds wherever the prepared folder is moved."""
        return (self._absolute_source / path.relative_to(self.source)).as_posix()

    @cached_property
    def _absolute_source(self) -> Path:
        return self.source.resolve()

    def traversal(self) -> Traversal:
        """The recording as a traversal: what all its frames share."""
        return Traversal(
            name=self.name,
            condition="day",
            georeferenced=self.is_on_a_map,
            intrinsics=self.calibration.intrinsics(*self.image_size),
            camera_from_lidar=self.calibration.camera_from_lidar,
            lidar=HDL_64E,
            mercator_scale=None if self.oxts is None else self.oxts.mercator_scale,
        )
