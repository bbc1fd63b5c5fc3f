"""The town as a dataset: presets and prepared form."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from datasets.base import Dataset, DatasetCard, Finding, Frames, Traversal
from datasets.errors import CrossplaceError, unknown
from datasets.prepared import make_fingerprint, quaternion_wxyz, write_prepared
from datasets.town.drives import Drive
from datasets.town.lidar import LIDARS
from datasets.town.streets import DistrictPlan
from datasets.town.writing import cloud_path, frame_id, image_path, write_drives
from datasets.transforms import angle_rad

FIRST_START_NS = 1_767_261_600_000_000_000
"""Start of the first drive, 2026-01-01 10:00 UTC; each further drive starts a day and an hour later."""
BETWEEN_STARTS_NS = 25 * 3600 * 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """The size of a town: districts, lights, frames and sensors."""

    districts: tuple[DistrictPlan, ...]
    lights: tuple[str, ...]
    """Lights under which every district is driven, each on another day; a repeated light is a further day."""
    unseen_lights: tuple[str, ...] = ()
    """Lights under which only the test district is driven, so that nothing is trained under these lights."""
    spacing_m: float
    """Path length between frames."""
    image_size: tuple[int, int] = (160, 120)
    """Width and height of images."""
    lidar: str = "town-32"
    """Name of the LiDAR in ``LIDARS``."""


PRESETS = {
    "small": Preset(
        districts=(
            DistrictPlan(name="train", columns=5, rows=4, missing=6, centre_m=(0.0, 0.0), pitch_m=(45.0, 70.0)),
            DistrictPlan(name="validation", columns=3, rows=2, centre_m=(1000.0, 200.0), pitch_m=(45.0, 60.0)),
            DistrictPlan(name="test", columns=3, rows=3, centre_m=(200.0, 1000.0), pitch_m=(50.0, 80.0)),
        ),
        lights=("day", "overcast", "evening"),
        unseen_lights=("night", "winter"),
        spacing_m=5.0,
    ),
    "tiny": Preset(
        districts=tuple(
            DistrictPlan(name=name, columns=3, rows=2, centre_m=centre, pitch_m=(45.0, 55.0))
            for name, centre in (("train", (0.0, 0.0)), ("validation", (800.0, 0.0)), ("test", (0.0, 800.0)))
        ),
        lights=("day", "evening"),
        unseen_lights=("night",),
        spacing_m=10.0,
    ),
    "large": Preset(
        districts=(
            DistrictPlan(name="train", columns=9, rows=9, missing=14, centre_m=(0.0, 0.0), pitch_m=(50.0, 80.0)),
            DistrictPlan(name="validation", columns=3, rows=3, centre_m=(1300.0, 0.0), pitch_m=(50.0, 80.0)),
            DistrictPlan(name="test", columns=6, rows=4, missing=5, centre_m=(0.0, 1300.0), pitch_m=(50.0, 80.0)),
        ),
        lights=("day", "overcast", "evening", "dusk", "night", "wet", "winter", "day"),
        spacing_m=12.0,
        image_size=(320, 240),
        lidar="os1-64",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Town(Dataset):
    """A procedural town with three separate districts: to train, to validate and to test."""

    card: ClassVar[DatasetCard] = DatasetCard(
        name="town",
        title="Procedural town",
        paper="none (procedural)",
        year=2026,
        licence="MIT",
        modalities="camera, LiDAR",
        is_real=False,
        source="generated from a seed; nothing to download",
        layout="",
        notes=(
            "A stand-in for real recordings: its numbers must never be mixed with those of real data. Flat ground; "
            "other parked and moving cars on every traversal; the LiDAR has range noise, dropout and intensity (the "
            "clouds' fourth column), but each scan and image is taken at one instant."
        ),
    )
    version: ClassVar[int] = 2
    default_protocol: ClassVar[str] = "town"
    resumable: ClassVar[bool] = True

    preset: Literal["large", "small", "tiny"] = "small"
    """Size of the town."""
    seed: int = 0
    """Seed of everything random in the town."""
    every: int = 1
    """Keep every n-th frame of the preset; the noise in these frames differs from that in the whole preset."""

    def __post_init__(self) -> None:
        """Refuse options that no town can be made of."""
        if self.preset not in PRESETS:
            raise CrossplaceError(unknown("preset of the town", self.preset, list(PRESETS)))
        if self.seed < 0:
            raise CrossplaceError(f"town: seed must be 0 or more, found {self.seed}")
        if self.every < 1:
            raise CrossplaceError(f"town: every must be 1 or more, found {self.every}")

    def check(self, source: Path | None) -> Sequence[Finding]:
        """One finding: nothing is needed."""
        return [Finding(ok=True, what="the town is generated: nothing to download")]

    def fingerprint(self, source: Path | None) -> str:
        """Hash of version and options; the town has no source."""
        return make_fingerprint(self.card.name, self.version, self.options(), [])

    def drives(self) -> list[Drive]:
        """The drives of all traversals, in the order of their dates."""
        preset = PRESETS[self.preset]
        return [
            Drive(
                plan=plan,
                light=light,
                occasion=lights[: i + 1].count(light),
                spacing_m=preset.spacing_m * self.every,
                seed=self.seed,
                image_size=preset.image_size,
                lidar=LIDARS[preset.lidar],
            )
            for plan in preset.districts
            for lights in [preset.lights + (preset.unseen_lights if plan.name == "test" else ())]
            for i, light in enumerate(lights)
        ]

    def prepare(
        self, source: Path | None, destination: Path, *, workers: int | None = None
    ) -> Iterator[tuple[int, int]]:
        """Write the town into ``destination``; yields (frames done, frames in all).

        Frames that an interrupted run has written are kept.
        """
        drives = self.drives()
        frames = frames_of(drives)
        done = 0
        for more in write_drives(drives, destination, workers):
            done += more
            yield done, len(frames)
        os.sync()  # images and clouds must be on the disk before dataset.json, which says that all is complete
        write_prepared(
            destination,
            name=self.card.name,
            version=self.version,
            options=self.options(),
            fingerprint=self.fingerprint(source),
            traversals=[_traversal(drive) for drive in drives],
            frames=frames,
            counts={"kept": len(frames)},
        )


def _traversal(drive: Drive) -> Traversal:
    return Traversal(
        name=drive.name,
        condition=drive.light,
        georeferenced=True,
        intrinsics=drive.camera.intrinsics,
        camera_from_lidar=drive.camera.camera_from_lidar,
        lidar=drive.lidar.block(),
    )


def frames_of(drives: Sequence[Drive]) -> Frames:
    """All frames of some drives as columns of ``frames.csv``, one drive after the other."""
    times = [drive.frame_times_s() for drive in drives]
    poses = np.concatenate([drive.pose_at(time) for drive, time in zip(drives, times, strict=True)])
    starts_ns = [FIRST_START_NS + day * BETWEEN_STARTS_NS for day in range(len(drives))]
    timestamps = [start + np.rint(time * 1e9).astype(np.int64) for start, time in zip(starts_ns, times, strict=True)]
    numbered = [(drive, i) for drive, time in zip(drives, times, strict=True) for i in range(len(time))]
    return Frames(
        frame_id=np.array([frame_id(drive, i) for drive, i in numbered], dtype=object),
        traversal=np.array([drive.name for drive, _ in numbered], dtype=object),
        world=np.full(len(numbered), "town", dtype=object),
        timestamp_ns=np.concatenate(timestamps),
        position_m=poses[:, :3, 3],
        quaternion_wxyz=quaternion_wxyz(poses[:, :3, :3]),
        yaw_rad=angle_rad(poses[:, 1, 0], poses[:, 0, 0]),
        image=np.array([image_path(drive, i) for drive, i in numbered], dtype=object),
        cloud=np.array([cloud_path(drive, i) for drive, i in numbered], dtype=object),
    )
