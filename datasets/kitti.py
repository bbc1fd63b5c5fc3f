"""KITTI odometry: a car with a colour camera and a 64-beam LiDAR in and around Karlsruhe.

Reads the layout of the odometry download and that of SemanticKITTI, which keeps poses beside each sequence.
Frames are known by their file stem, which is also the line of ``times.txt`` and of the poses, so frame numbers
may have gaps. Images and clouds are referenced where they lie, not copied.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from datasets.base import Dataset, DatasetCard, Finding, Frames, Intrinsics, Lidar, Traversal
from datasets.errors import CrossplaceError
from datasets.files import npy, read_text, sha256_of, write_atomically
from datasets.prepared import make_fingerprint, quaternion_wxyz, write_prepared
from datasets.readers import check_image, image_size, read_points

LAYOUT = "sequences/SS/{calib.txt, times.txt, image_2/*.png, velodyne/*.bin}; poses/SS.txt or sequences/SS/poses.txt"
SOURCE = "https://www.cvlibs.net/datasets/kitti/eval_odometry.php"
HDL_64E = Lidar(beams=64, vertical_fov_deg=(-24.9, 2.0), max_range_m=120.0, form="scan")
POINT_BYTES = 16
"""float32 x, y, z, intensity."""

WORLD_FROM_FIRST_CAMERA = np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
"""The first camera turned to x forward: east is its z axis, north its -x axis, up its -y axis."""


@dataclass(frozen=True, kw_only=True)
class Kitti(Dataset):
    """Preparer of the KITTI odometry layout, any sequence names.

    Every sequence is a world of its own: its first camera, turned to x forward (the axes are called east, north
    and up for the harness' sake only). Needs image, cloud, pose and time of a frame; frames without image or
    without cloud are dropped and counted. A cloud with non-finite points gets a clean ``.npy`` copy in the
    prepared folder, named by its absolute path because everything else is relative to the source.

    Deviation: VXP takes poses from the raw drives' OXTS and one calibration for all sequences; the poses here are
    the odometry ground truth (no raw drives needed, all frames present) and each sequence has its own ``calib.txt``.
    """

    sequences: tuple[str, ...] = ()
    """Sequences to prepare, such as 00 05; none given: all that have poses."""

    card = DatasetCard(
        name="kitti",
        title="KITTI odometry",
        paper="Geiger, Lenz, Urtasun: Are we ready for Autonomous Driving? The KITTI Vision Benchmark Suite, CVPR 2012",
        year=2012,
        licence="CC BY-NC-SA 3.0",
        modalities="rectified left colour camera (image_2), Velodyne HDL-64E scans",
        is_real=True,
        source=f"{SOURCE}: colour images, Velodyne data, calibration files and ground truth poses (free, by request)",
        layout=LAYOUT,
        notes="Sequences are not georeferenced; each is a world of its own.",
    )
    version = 1
    default_protocol = "kitti-synchronous-10m"

    def check(self, source: Path | None) -> Sequence[Finding]:
        """One line a sequence with what is there, and one for every fault."""
        try:
            wanted, without_poses = self._select(source)
        except CrossplaceError as error:
            return [Finding(ok=False, what=str(error))]
        findings = []
        for drive in wanted:
            faults = drive.faults()
            findings.append(Finding(ok=not faults, what=drive.inventory()))
            findings += [Finding(ok=False, what=fault) for fault in faults]
        return findings + [Finding(ok=True, what=f"{drive.inventory()}; left out") for drive in without_poses]

    def fingerprint(self, source: Path | None) -> str:
        """Hash of version, options, the sizes of images and clouds and the content of the text files."""
        listing = [line for drive in self._select(source)[0] for line in drive.listing()]
        return make_fingerprint(self.card.name, self.version, self.options(), listing)

    def prepare(
        self, source: Path | None, destination: Path, *, workers: int | None = None
    ) -> Iterator[tuple[int, int]]:
        """Read every image and cloud once and write the prepared form; yields (frames done, frames in all)."""
        wanted, _ = self._select(source)
        faults = [fault for drive in wanted for fault in drive.faults()]
        if faults:
            more = f" ({len(faults) - 1} more: see `crossplace data check kitti`)" if len(faults) > 1 else ""
            raise CrossplaceError(faults[0] + more)
        done, total = 0, sum(len(drive.stems) for drive in wanted)
        counts = Counter(kept=0, dropped_no_image=0, dropped_no_cloud=0, dropped_no_points=0)
        counts.update(points_not_finite=0, frame_number_gaps=0)
        parts = []
        for drive in wanted:
            clouds = {}
            for stem in drive.stems:
                check_image(drive.images[stem])
                clouds[stem], n_broken = drive.clean_cloud(stem, destination)
                counts["points_not_finite"] += n_broken
                yield (done := done + 1), total
            parts.append(drive.frames({stem: cloud for stem, cloud in clouds.items() if cloud is not None}))
            if not len(parts[-1]):
                raise CrossplaceError(f"{drive.folder / 'velodyne'}: no cloud has any finite point; fetch them again")
            counts["kept"] += len(parts[-1])
            counts["dropped_no_points"] += len(clouds) - len(parts[-1])
            counts["dropped_no_image"] += len(drive.clouds.keys() - drive.images.keys())
            counts["dropped_no_cloud"] += len(drive.images.keys() - drive.clouds.keys())
            counts["frame_number_gaps"] += drive.gaps()
        write_prepared(
            destination,
            name=self.card.name,
            version=self.version,
            options=self.options(),
            fingerprint=self.fingerprint(source),
            traversals=[drive.traversal() for drive in wanted],
            frames=Frames.concatenate(parts),
            counts=dict(counts),
            root=wanted[0].source.resolve(),
        )

    def _select(self, source: Path | None) -> tuple[list["_Drive"], list["_Drive"]]:
        """Tell the sequences to prepare from those left out because nobody named them and they have no poses."""
        if source is None:
            raise CrossplaceError(f"kitti: --source is needed: the folder with {LAYOUT}; from {SOURCE}")
        found = sorted(path.name for path in (source / "sequences").glob("*") if path.is_dir())
        if not found:
            raise CrossplaceError(f"{source}: no folder sequences/ with sequences; expected {LAYOUT}; from {SOURCE}")
        drives = [_Drive(source=source, name=name) for name in dict.fromkeys(self.sequences or found)]
        wanted = [drive for drive in drives if self.sequences or drive.poses_path.is_file()]
        if not wanted:
            raise CrossplaceError(f"{source}: none of {', '.join(found)} has poses; expected {LAYOUT}; from {SOURCE}")
        return wanted, [drive for drive in drives if drive not in wanted]


@dataclass(frozen=True, kw_only=True)
class _Drive:
    """One sequence below ``source``. What reads a file raises CrossplaceError naming the file and the fault."""

    source: Path
    name: str

    @property
    def folder(self) -> Path:
        return self.source / "sequences" / self.name

    @property
    def poses_path(self) -> Path:
        """The odometry download's poses, or else those beside the sequence (which may be missing too)."""
        ground_truth = self.source / "poses" / f"{self.name}.txt"
        return ground_truth if ground_truth.is_file() else self.folder / "poses.txt"

    @cached_property
    def images(self) -> dict[str, Path]:
        return _numbered(self.folder / "image_2", ".png")

    @cached_property
    def clouds(self) -> dict[str, Path]:
        return _numbered(self.folder / "velodyne", ".bin")

    @cached_property
    def stems(self) -> list[str]:
        """Frames with image and cloud, by number."""
        return [stem for stem in self.images if stem in self.clouds]

    @cached_property
    def calibration(self) -> tuple[Float[ndarray, "3 3"], Float[ndarray, "4 4"], Float[ndarray, "4 4"]]:
        """Camera matrix of camera 2 as published, ``camera2_from_lidar``, ``camera0_from_lidar``.

        ``P2 = K [I | camera2_from_camera0]`` for rectified cameras; ``Tr`` is ``camera0_from_lidar``.
        """
        path = self.folder / "calib.txt"
        entries = dict(line.split(":", 1) for line in _read_text(path).splitlines() if ":" in line)
        rows = {}
        for key in ("P2", "Tr"):
            if key not in entries:
                raise CrossplaceError(
                    f"{path}: {key} is missing; the calibration files of {SOURCE} have P0 to P3 and Tr"
                )
            rows[key] = _numbers(entries[key], 12, f"{path}: {key}")
        projection = rows["P2"].reshape(3, 4)
        k = projection[:, :3]
        pinhole = [[k[0, 0], 0, k[0, 2]], [0, k[1, 1], k[1, 2]], [0, 0, 1]]
        if min(k[0, 0], k[1, 1]) <= 0 or not np.array_equal(k, pinhole):
            raise CrossplaceError(f"{path}: P2 is no projection of a rectified camera, K [I | t] without skew")
        camera0_from_lidar = _transforms(rows["Tr"][None], lambda _: f"{path}: Tr")[0]
        camera2_from_camera0 = np.eye(4)
        camera2_from_camera0[:3, 3] = np.linalg.solve(k, projection[:, 3])
        return k, camera2_from_camera0 @ camera0_from_lidar, camera0_from_lidar

    @cached_property
    def trajectory(self) -> tuple[Int[ndarray, " n"], Float[ndarray, "n 4 4"]]:
        """Time in nanoseconds and ``first_camera_from_camera`` of camera 0 per frame number."""
        times_path, poses_path = self.folder / "times.txt", self.poses_path
        times, rows = _read_table(times_path, 1)[:, 0], _read_table(poses_path, 12)
        if len(times) != len(rows):
            raise CrossplaceError(
                f"{poses_path}: {len(rows)} poses for the {len(times)} times in {times_path}; expected as many: "
                "fetch both again"
            )
        steps = np.diff(np.round(times * 1e9))
        if (steps <= 0).any():
            row = int(np.argmax(steps <= 0))
            fault = "the same time as the line before" if steps[row] == 0 else "time runs backwards"
            raise CrossplaceError(
                f"{times_path}: line {row + 2}: {fault}; expected one later time a line: fetch the file again"
            )
        if self.stems and int(self.stems[-1]) >= len(times):
            raise CrossplaceError(
                f"{times_path} and {poses_path}: {len(times)} lines, but there is a frame {self.stems[-1]} "
                "(frame number = line, from 0)"
            )
        return np.round(times * 1e9).astype(np.int64), _transforms(rows, lambda row: f"{poses_path}: line {row + 1}")

    @cached_property
    def image_size(self) -> tuple[int, int]:
        """Width and height, the same for every frame."""
        if not self.stems:
            raise CrossplaceError(
                f"{self.folder}: no frame with image and cloud; expected numbered files such as "
                "image_2/000000.png and velodyne/000000.bin"
            )
        sizes = {path: image_size(path) for path in (self.images[stem] for stem in self.stems)}
        (first, expected), *rest = sizes.items()
        for path, size in rest:
            if size != expected:
                raise CrossplaceError(
                    f"{path}: {size[0]}×{size[1]} pixels, but {first.name} has {expected[0]}×{expected[1]}; "
                    "the images of a sequence share one calibration and must have one size"
                )
        return expected

    @cached_property
    def n_points(self) -> int:
        """Points in all clouds, by file size."""
        sizes = {path: path.stat().st_size for path in self.clouds.values()}
        cut = [path for path, size in sizes.items() if size % POINT_BYTES]
        if cut:
            raise CrossplaceError(
                f"{cut[0]}: {sizes[cut[0]]} bytes are no whole number of points of {POINT_BYTES} bytes; "
                f"{len(cut)} of {len(sizes)} clouds of this sequence are cut off: fetch them again"
            )
        return sum(sizes.values()) // POINT_BYTES

    def faults(self) -> list[str]:
        """Say what keeps this sequence from being prepared, one sentence each."""
        faults = []
        for needed in ("calibration", "trajectory", "image_size", "n_points"):
            try:
                getattr(self, needed)
            except CrossplaceError as error:
                faults.append(str(error))
        return faults

    def inventory(self) -> str:
        return (
            f"sequence {self.name}: {len(self.images)} images, {len(self.clouds)} clouds, "
            f"{len(self.stems)} frames with both, {'poses' if self.poses_path.is_file() else 'no poses'}"
        )

    def gaps(self) -> int:
        """How often the frame number jumps by more than one."""
        return int((np.diff([int(stem) for stem in self.stems]) > 1).sum())

    def listing(self) -> list[str]:
        """List each file: its path and its content's hash (text) or size (images and clouds)."""
        texts = [self.folder / "calib.txt", self.folder / "times.txt", self.poses_path]
        sensors = [*self.images.values(), *self.clouds.values()]
        return [
            *(f"{self.relative(path)} {sha256_of(path)}" for path in texts if path.is_file()),
            *(f"{self.relative(path)} {path.stat().st_size}" for path in sensors),
        ]

    def relative(self, path: Path) -> str:
        return path.relative_to(self.source).as_posix()

    def clean_cloud(self, stem: str, destination: Path) -> tuple[str | None, int]:
        """Path of a cloud without non-finite points (none if nothing is left), and how many points were dropped."""
        points = read_points(self.clouds[stem])
        if len(points) and np.isfinite(points).all():  # nearly always; 40 times faster than point by point
            return self.relative(self.clouds[stem]), 0
        finite = points[np.isfinite(points[:, :3]).all(axis=1)]
        if len(finite) == 0:
            return None, len(points)
        copy = destination.resolve() / "clouds" / self.name / f"{stem}.npy"
        write_atomically(copy, npy(finite))
        return str(copy), len(points) - len(finite)

    def frames(self, clouds: dict[str, str]) -> Frames:
        """Make columns of the frames with these cloud paths by stem."""
        numbers = np.array([int(stem) for stem in clouds], dtype=np.int64)
        timestamp_ns, first_camera_from_camera = self.trajectory
        camera0_from_lidar = self.calibration[2]
        world_from_lidar = WORLD_FROM_FIRST_CAMERA @ first_camera_from_camera[numbers] @ camera0_from_lidar

        def column(values: list[str]) -> ndarray:
            return np.array(values, dtype=object)

        return Frames(
            frame_id=column([f"{self.name}/{stem}" for stem in clouds]),
            traversal=column([self.name] * len(clouds)),
            world=column([f"kitti-{self.name}"] * len(clouds)),
            timestamp_ns=timestamp_ns[numbers],
            position_m=world_from_lidar[:, :3, 3],
            quaternion_wxyz=quaternion_wxyz(world_from_lidar[:, :3, :3]),
            yaw_rad=np.arctan2(world_from_lidar[:, 1, 0], world_from_lidar[:, 0, 0]),
            image=column([self.relative(self.images[stem]) for stem in clouds]),
            cloud=column(list(clouds.values())),
        )

    def traversal(self) -> Traversal:
        k, camera_from_lidar, _ = self.calibration
        width, height = self.image_size
        fx, fy, cx, cy = k[[0, 1, 0, 1], [0, 1, 2, 2]].tolist()
        return Traversal(
            name=self.name,
            condition="day",
            georeferenced=False,
            # KITTI puts 0 at the centre of the first pixel, Intrinsics at its edge.
            intrinsics=Intrinsics(fx=fx, fy=fy, cx=cx + 0.5, cy=cy + 0.5, width=width, height=height),
            camera_from_lidar=camera_from_lidar,
            lidar=HDL_64E,
        )


def _numbered(folder: Path, suffix: str) -> dict[str, Path]:
    """Files named by a frame number, by stem in the order of the numbers; other files are no frames."""
    paths = [path for path in folder.glob(f"*{suffix}") if path.stem.isdecimal()]
    return {path.stem: path for path in sorted(paths, key=lambda path: int(path.stem))}


def _read_text(path: Path) -> str:
    if not path.is_file():
        raise CrossplaceError(f"{path}: no such file; expected {LAYOUT}; from {SOURCE}")
    return read_text(path)


def _numbers(text: str, count: int, where: str) -> Float[ndarray, " count"]:
    try:
        values = [float(word) for word in text.split()]
    except ValueError:
        values = []
    if len(values) != count or not all(map(math.isfinite, values)):
        raise CrossplaceError(f"{where}: expected {count} finite number(s), found {text.strip()[:60]!r}")
    return np.array(values)


def _read_table(path: Path, columns: int) -> Float[ndarray, "n columns"]:
    """One row a line. A blank line before the last is a fault: skipping it would shift all later frames."""
    lines = _read_text(path).rstrip().splitlines()
    rows = [_numbers(line, columns, f"{path}: line {number}") for number, line in enumerate(lines, start=1)]
    return np.array(rows).reshape(-1, columns)


def _transforms(rows: Float[ndarray, "n 12"], where: Callable[[int], str]) -> Float[ndarray, "n 4 4"]:
    """Rows of row-major 3×4 rigid transforms as 4×4 matrices."""
    matrices = np.tile(np.eye(4), (len(rows), 1, 1))
    matrices[:, :3] = rows.reshape(-1, 3, 4)
    rotations = matrices[:, :3, :3]
    deviation = np.abs(rotations @ rotations.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2), initial=0.0)
    wrong = (deviation > 1e-3) | (np.linalg.det(rotations) < 0)
    if wrong.any():
        raise CrossplaceError(
            f"{where(int(np.argmax(wrong)))}: the left 3×3 part of the transform is no rotation; fetch the file again"
        )
    return matrices
