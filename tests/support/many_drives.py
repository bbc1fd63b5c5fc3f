"""Drives over one loop with descriptors that look like their places, in memory: what evaluation is timed on."""

from pathlib import Path

import numpy as np

from benchmark.descriptors.files import Descriptors
from datasets.base import Frames, Modality, Protocol, Selection, Split, Traversal
from datasets.prepared import PreparedDataset

RADIUS_M = 25.0
LOOP_M = 8_500.0


def looks(place: np.ndarray, noise: float, seed: int, size: int = 256) -> np.ndarray:
    """Unit vectors of places on a loop (0 to 1): near places look alike, and ``noise`` hides it."""
    random = np.random.default_rng(seed)
    corners = np.random.default_rng(99).normal(size=(400, size))
    at = place * len(corners)
    low, share = at.astype(int) % len(corners), (at % 1)[:, None]
    found = (1 - share) * corners[low] + share * corners[(low + 1) % len(corners)]
    found = found / np.linalg.norm(found, axis=1, keepdims=True)
    found += noise * random.normal(size=found.shape) / np.sqrt(size)
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def is_near(query: np.ndarray, database: np.ndarray) -> np.ndarray:
    """Which places on the loop are within the radius of each other, along the loop."""
    apart = np.abs(query[:, None] - database[None, :])
    return np.minimum(apart, 1 - apart) * LOOP_M <= RADIUS_M


def many_drives(folder: Path, n_drives: int, n_frames: int, n_queries: int) -> tuple[PreparedDataset, Protocol]:
    """Every drive has ``n_frames``, of which ``n_queries`` ask in all other drives."""
    names = [f"drive-{number:02}" for number in range(n_drives)]
    place, drive = np.tile(np.arange(n_frames) / n_frames, n_drives), np.repeat(np.arange(n_drives), n_frames)
    angle, n = 2 * np.pi * place, len(place)
    ids = np.array([f"{names[d]}-{i % n_frames:05}" for i, d in enumerate(drive.tolist())], dtype=object)
    radius_m = LOOP_M / (2 * np.pi) + 0.2 * drive
    frames = Frames(
        frame_id=ids,
        traversal=np.array(names, dtype=object)[drive],
        world=np.full(n, "loop", dtype=object),
        timestamp_ns=(drive * 86_400 + np.tile(np.arange(n_frames), n_drives)) * 1_000_000_000,
        position_m=np.column_stack([radius_m * np.cos(angle), radius_m * np.sin(angle), np.zeros(n)]),
        quaternion_wxyz=np.tile([1.0, 0.0, 0.0, 0.0], (n, 1)),
        yaw_rad=(angle + np.pi) % (2 * np.pi) - np.pi,
        image=ids + ".png",
        cloud=ids + ".npy",
    )
    unknown = {"intrinsics": None, "camera_from_lidar": None, "lidar": None}
    traversals = {name: Traversal(name=name, condition="day", georeferenced=False, **unknown) for name in names}
    dataset = PreparedDataset(
        name="loop",
        version=1,
        options={},
        folder=folder,
        root=folder,
        fingerprint="loop",
        traversals=traversals,
        counts={"kept": n},
        frames=frames,
    )
    protocol = Protocol(
        name="loop",
        version=1,
        title="Drives over one loop",
        dataset="loop",
        split=Split(train=Selection(traversals=()), validation=Selection(traversals=())),
        query=Selection(count=n_queries),
        database=Selection(),
        pairs="across",
        radius_m=RADIUS_M,
    )
    return dataset, protocol


def descriptors_of(dataset: PreparedDataset, noise: float) -> Descriptors:
    """Descriptors of every image and cloud of :func:`many_drives`."""
    frames, n = dataset.frames, len(dataset.frames)
    rows = {frame_id: row for row, frame_id in enumerate(frames.frame_id.tolist())}
    place = np.arange(n) % (n // len(dataset.traversals)) / (n // len(dataset.traversals))
    modalities: tuple[Modality, ...] = ("image", "cloud")
    arrays = {m: looks(place, noise, seed)[:, None] for seed, m in enumerate(modalities)}
    return Descriptors(rows=dict.fromkeys(modalities, rows), arrays=arrays, distance="l2", method="loop")
