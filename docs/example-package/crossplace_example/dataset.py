"""A dataset in one file: a corridor with coloured doors, generated; a reader of files would look the same."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy import ndarray

from datasets.base import Dataset, DatasetCard, Finding, Frames, Intrinsics, Lidar, Traversal
from datasets.errors import CrossplaceError
from datasets.files import npy, write_atomically
from datasets.pixels import png
from datasets.prepared import make_fingerprint, write_prepared

STEP_M = 5.0
WALKS = {"morning": "day", "evening": "dusk"}
CAMERA = Intrinsics(fx=20.0, fy=20.0, cx=16.0, cy=12.0, width=32, height=24)
CAMERA_FROM_LIDAR = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])


@dataclass(frozen=True, kw_only=True)
class Corridor(Dataset):
    """Two walks along one corridor. The fields are the options: ``--dataset-options steps=40``."""

    card: ClassVar[DatasetCard] = DatasetCard(
        name="corridor",
        title="Corridor (worked example)",
        paper="none",
        year=2026,
        licence="MIT",
        modalities="camera, LiDAR",
        is_real=False,
        source="generated; nothing to download",
        layout="",
    )
    version: ClassVar[int] = 1
    default_protocol: ClassVar[str] = ""  # none of its own: everything against everything, within 20 m
    steps: int = 24

    def check(self, source: Path | None) -> Sequence[Finding]:
        """Everything found or missing at once; ``prepare`` works if all is ok."""
        return [Finding(ok=self.steps > 0, what=f"corridor of {self.steps} steps")]

    def fingerprint(self, source: Path | None) -> str:
        """A reader of files would list them here, with their sizes."""
        return make_fingerprint(self.card.name, self.version, self.options(), [])

    def prepare(
        self, source: Path | None, destination: Path, *, workers: int | None = None
    ) -> Iterator[tuple[int, int]]:
        """Write images and clouds, then ``write_prepared`` last: a folder with dataset.json is complete."""
        if self.steps < 1:
            raise CrossplaceError(f"corridor: steps must be 1 or more, found {self.steps}")
        done = 0
        for walk in WALKS:
            for step in range(self.steps):
                image, points = _seen(walk, step)
                write_atomically(destination / f"images/{walk}-{step}.png", png(image))
                write_atomically(destination / f"clouds/{walk}-{step}.npy", npy(points))
                yield (done := done + 1), len(WALKS) * self.steps
        write_prepared(
            destination,
            name=self.card.name,
            version=self.version,
            options=self.options(),
            fingerprint=self.fingerprint(source),
            traversals=[
                Traversal(
                    name=walk,
                    condition=condition,
                    georeferenced=False,
                    intrinsics=CAMERA,
                    camera_from_lidar=CAMERA_FROM_LIDAR,
                    lidar=Lidar(beams=16, vertical_fov_deg=(-15.0, 15.0), max_range_m=40.0, form="scan"),
                )
                for walk, condition in WALKS.items()
            ],
            frames=self._frames(),
            counts={"kept": len(WALKS) * self.steps},
        )

    def _frames(self) -> Frames:
        names = [f"{walk}-{step}" for walk in WALKS for step in range(self.steps)]
        number, day = np.tile(np.arange(self.steps), len(WALKS)), np.repeat(np.arange(len(WALKS)), self.steps)
        zero = np.zeros(len(names))
        return Frames(
            frame_id=np.array(names, dtype=object),
            traversal=np.repeat(np.array(list(WALKS), dtype=object), self.steps),
            world=np.full(len(names), "corridor", dtype=object),
            timestamp_ns=(day * 86_400 + number) * 1_000_000_000,
            position_m=np.column_stack([number * STEP_M, day * 0.5, zero]),
            quaternion_wxyz=np.tile([1.0, 0, 0, 0], (len(names), 1)),
            yaw_rad=zero,
            image=np.array([f"images/{name}.png" for name in names], dtype=object),
            cloud=np.array([f"clouds/{name}.npy" for name in names], dtype=object),
        )


def _seen(walk: str, step: int) -> tuple[ndarray, ndarray]:
    """Doors of the place, in a colour and at a distance of their own, with the noise of the walk."""
    place = np.random.default_rng([0, step])
    noise = np.random.default_rng([1 + list(WALKS).index(walk), step])
    colours, distances = place.integers(0, 200, (8, 3)), place.uniform(3, 30, 8)
    image = np.repeat(np.repeat(colours[None], CAMERA.height, 0), CAMERA.width // 8, 1)
    image = (image + noise.integers(0, 40, image.shape)).astype(np.uint8)
    angle = np.linspace(0.6, -0.6, 400)
    reach = distances[np.minimum((np.arange(400) // 50), 7)] + noise.normal(0, 0.05, 400)
    points = np.column_stack([reach * np.cos(angle), reach * np.sin(angle), noise.uniform(-0.8, 1.5, 400)])
    return image, points.astype(np.float32)
