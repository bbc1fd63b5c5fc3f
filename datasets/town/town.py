"""The town as a dataset: presets, and the drives written out in the prepared form."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from PIL import Image

from datasets.base import Dataset, DatasetCard, Finding, Frames, Traversal
from datasets.prepared import make_fingerprint, quaternion_wxyz, write_prepared
from datasets.town.camera import forward_camera
from datasets.town.district import District, build_district
from datasets.town.lidar import HEIGHT_M, SpinningLidar
from datasets.town.light import LIGHTS
from datasets.town.route import Route, drive
from datasets.town.scene import Scene
from datasets.town.seeding import generator_for
from datasets.town.streets import DistrictPlan

SPEED_M_S = 8.0
FIRST_START_NS = 1_767_261_600_000_000_000
"""2026-01-01 10:00 UTC; each further drive starts a day and an hour later."""
BETWEEN_STARTS_NS = 25 * 3600 * 1_000_000_000
FRAMES_PER_JOB = 80
JPEG_QUALITY = 92
"""A quarter of a PNG's size and a tenth of its encoding time; no fingerprint depends on the bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """How much town there is."""

    districts: tuple[DistrictPlan, ...]
    lights: tuple[str, ...]
    """Every district is driven once under each."""
    spacing_m: float
    """Path length between frames."""


PRESETS = {
    "small": Preset(
        districts=(
            DistrictPlan(name="train", columns=5, rows=4, missing=6, centre_m=(0, 0)),
            DistrictPlan(name="validation", columns=3, rows=2, missing=0, centre_m=(1000, 200), pitch_m=(45, 60)),
            DistrictPlan(name="test", columns=3, rows=3, missing=0, centre_m=(200, 1000)),
        ),
        lights=("day", "overcast", "evening", "dusk"),
        spacing_m=5.0,
    ),
    "tiny": Preset(
        districts=tuple(
            DistrictPlan(name=name, columns=3, rows=2, missing=0, centre_m=centre, pitch_m=(45, 55))
            for name, centre in (("train", (0, 0)), ("validation", (800, 0)), ("test", (0, 800)))
        ),
        lights=("day", "dusk"),
        spacing_m=10.0,
    ),
}
CAMERA = forward_camera(width=160, height=120, horizontal_fov_deg=78)
LIDAR = SpinningLidar()


@dataclass(frozen=True, slots=True, kw_only=True)
class Drive:
    """One traversal: a district under one light."""

    district: str
    light: str
    preset: str
    seed: int

    @property
    def name(self) -> str:
        """The traversal's name."""
        return f"{self.district}-{self.light}"


@dataclass(frozen=True, kw_only=True)
class Town(Dataset):
    """A procedural town with three districts apart: to train, to validate, to test."""

    card: ClassVar[DatasetCard] = DatasetCard(
        name="town",
        title="Procedural town (plain)",
        paper="none (procedural)",
        year=2026,
        licence="MIT",
        modalities="camera, LiDAR",
        is_real=False,
        source="generated on this machine from a seed; nothing to download",
        layout="",
        notes=(
            "A stand-in for real recordings: its numbers must never be mixed or compared with those on real data. "
            "Flat ground, no windows, shadows, moving traffic or sensor noise in the clouds."
        ),
    )
    version: ClassVar[int] = 1
    default_protocol: ClassVar[str] = "town"

    preset: Literal["small", "tiny"] = "small"
    seed: int = 0

    def check(self, source: Path | None) -> Sequence[Finding]:
        """Nothing is needed."""
        return [Finding(ok=True, what="the town is generated; no download is needed")]

    def fingerprint(self, source: Path | None) -> str:
        """Depends on preset and seed alone."""
        return make_fingerprint("town", self.version, self.options(), [])

    @cached_property
    def drives(self) -> tuple[Drive, ...]:
        """All traversals in the order of their dates."""
        preset = PRESETS[self.preset]
        return tuple(
            Drive(district=plan.name, light=light, preset=self.preset, seed=self.seed)
            for plan in preset.districts
            for light in preset.lights
        )

    def prepare(
        self, source: Path | None, destination: Path, *, workers: int | None = None
    ) -> Iterator[tuple[int, int]]:
        """Generate all drives into ``destination`` with ``workers`` processes (default: one per usable core).

        The files do not depend on ``workers``.
        """
        counts = [len(frame_distances_m(drive)) for drive in self.drives]
        jobs = [
            (drive, start, min(start + FRAMES_PER_JOB, count), destination)
            for drive, count in zip(self.drives, counts, strict=True)
            for start in range(0, count, FRAMES_PER_JOB)
        ]
        for drive in self.drives:
            for kind in ("images", "clouds"):
                (destination / kind / drive.name).mkdir(parents=True, exist_ok=True)
        done = 0
        for written in _run(jobs, workers or len(os.sched_getaffinity(0))):
            done += written
            yield done, sum(counts)
        write_prepared(
            destination,
            name="town",
            version=self.version,
            options=self.options(),
            fingerprint=self.fingerprint(source),
            traversals=[_traversal(drive) for drive in self.drives],
            frames=_frames(self.drives),
            counts={"kept": sum(counts), "dropped: empty cloud": 0},
        )


Job = tuple[Drive, int, int, Path]


def _run(jobs: list[Job], workers: int) -> Iterator[int]:
    if workers == 1:
        yield from map(_write_frames, jobs)
        return
    # Forked children of a process that has started threads (torch) can hang; fresh ones cannot.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for finished in as_completed([pool.submit(_write_frames, job) for job in jobs]):
            yield finished.result()


def _write_frames(job: Job) -> int:
    """Write image and cloud of some frames of one drive; returns their number."""
    drive, start, stop, destination = job
    scene = scene_of(drive)
    poses = world_from_lidar(*_route(drive).pose_at(frame_distances_m(drive)[start:stop]))
    for number, pose in enumerate(poses, start):
        image, cloud = _paths(drive, number)
        random = generator_for(drive.seed, drive.name, "sensor noise", number)
        pixels = CAMERA.image(scene, pose, LIGHTS[drive.light], random)
        Image.fromarray(pixels).save(destination / image, quality=JPEG_QUALITY)
        np.save(destination / cloud, LIDAR.scan(scene, pose))
    return stop - start


@lru_cache(maxsize=1)
def _district(preset: str, name: str, seed: int) -> District:
    plan = next(plan for plan in PRESETS[preset].districts if plan.name == name)
    return build_district(plan, seed)


@lru_cache(maxsize=1)
def scene_of(drive: Drive) -> Scene:
    """The streets of a drive as they are on its day."""
    return _district(drive.preset, drive.district, drive.seed).on_day(drive.seed, drive.light)


@cache
def _route(drive_: Drive) -> Route:
    graph = _district(drive_.preset, drive_.district, drive_.seed).graph
    return drive(graph, generator_for(drive_.seed, drive_.name, "drive"))


def frame_distances_m(drive: Drive) -> Float[ndarray, "n"]:
    """Path lengths at which frames are taken: one lap."""
    return np.arange(0.0, _route(drive).length_m, PRESETS[drive.preset].spacing_m)


def world_from_lidar(position_m: Float[ndarray, "n 2"], yaw_rad: Float[ndarray, "n"]) -> Float[ndarray, "n 4 4"]:
    """LiDAR poses of a vehicle on flat ground."""
    poses = np.tile(np.eye(4), (len(yaw_rad), 1, 1))
    cos, sin = np.cos(yaw_rad), np.sin(yaw_rad)
    poses[:, :2, :2] = np.moveaxis(np.array([[cos, -sin], [sin, cos]]), 2, 0)
    poses[:, :2, 3] = position_m
    poses[:, 2, 3] = HEIGHT_M
    return poses


def _paths(drive: Drive, number: int) -> tuple[str, str]:
    return f"images/{drive.name}/{number:04d}.jpg", f"clouds/{drive.name}/{number:04d}.npy"


def _traversal(drive: Drive) -> Traversal:
    return Traversal(
        name=drive.name,
        condition=drive.light,
        georeferenced=True,
        intrinsics=CAMERA.intrinsics,
        camera_from_lidar=CAMERA.camera_from_lidar,
        lidar=LIDAR.block(),
    )


def _frames(drives: Sequence[Drive]) -> Frames:
    distances = [frame_distances_m(drive) for drive in drives]
    poses = [_route(drive).pose_at(distance) for drive, distance in zip(drives, distances, strict=True)]
    matrices = np.concatenate([world_from_lidar(*pose) for pose in poses])
    numbered = [(drive, number) for drive, d in zip(drives, distances, strict=True) for number in range(len(d))]
    paths = [_paths(drive, number) for drive, number in numbered]
    timestamps = [
        FIRST_START_NS + day * BETWEEN_STARTS_NS + np.rint(distance / SPEED_M_S * 1e9).astype(np.int64)
        for day, distance in enumerate(distances)
    ]
    return Frames(
        frame_id=np.array([f"{drive.name}-{number:04d}" for drive, number in numbered], dtype=object),
        traversal=np.array([drive.name for drive, _ in numbered], dtype=object),
        world=np.full(len(numbered), "town", dtype=object),
        timestamp_ns=np.concatenate(timestamps),
        position_m=matrices[:, :3, 3],
        quaternion_wxyz=quaternion_wxyz(matrices[:, :3, :3]),
        yaw_rad=np.concatenate([yaw for _, yaw in poses]),
        image=np.array([image for image, _ in paths], dtype=object),
        cloud=np.array([cloud for _, cloud in paths], dtype=object),
    )
