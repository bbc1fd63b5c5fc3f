"""What a prepared dataset holds, traversal by traversal, in a few numbers."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from datasets.base import Frames
from datasets.places import neighbours
from datasets.prepared import PreparedDataset

REVISIT_RADIUS_M = 10.0
REVISIT_GAP_S = 30.0
CLOUD_SAMPLE = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class TraversalSummary:
    """One row of ``crossplace data stats``."""

    traversal: str
    condition: str
    frames: int
    length_m: float
    """Length of the path from frame to frame, in the east-north plane."""
    minutes: float
    revisits: int
    """How many frames are within 10 m of a frame of the same traversal that is at least 30 s older, in any heading."""
    points_per_cloud: int | None
    """Mean number of points in ten clouds spread evenly along the traversal; None without clouds."""
    image_size: str
    """Width × height in pixels of the first image; empty without images."""


def summarise(dataset: PreparedDataset) -> list[TraversalSummary]:
    """One summary a traversal, in the order of the frames; traversals without frames are left out."""
    return [_summary(dataset, name) for name in dataset.frames.traversal_names()]


def in_a_line(dataset: PreparedDataset) -> str:
    """A line of text: frames kept, metres and minutes over all traversals, and every other count that is not zero."""
    drives = [dataset.frames.take(dataset.frames.traversal == name) for name in dataset.frames.traversal_names()]
    metres, minutes = sum(map(_length_m, drives)), sum(map(_minutes, drives))
    frames, traversals = _many(len(dataset.frames), "frame"), _many(len(drives), "traversal")
    kept = f"{frames} kept, {traversals}, {metres:,.0f} m, {minutes:,.0f} min"
    others = [f"{name.replace('_', ' ')} {n:,}" for name, n in dataset.counts.items() if n and name != "kept"]
    return "; ".join([kept, *others])


def _many(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'s' * (number != 1)}"


def spread(rows: Int[ndarray, " n"], count: int) -> Int[ndarray, " k"]:
    """About ``count`` of ``rows``, evenly spread and clear of both ends: the middles of ``count`` equal parts."""
    count = min(count, len(rows))
    return rows[((np.arange(count) + 0.5) * len(rows) / max(count, 1)).astype(np.int64)]


def _summary(dataset: PreparedDataset, name: str) -> TraversalSummary:
    rows = np.flatnonzero(dataset.frames.traversal == name)
    frames = dataset.frames.take(rows)
    sampled = [dataset.frame(int(row)) for row in spread(rows[frames.cloud != ""], CLOUD_SAMPLE)]
    with_image = rows[frames.image != ""]
    image = dataset.load_image(dataset.frame(int(with_image[0]))) if len(with_image) else None
    return TraversalSummary(
        traversal=name,
        condition=dataset.traversals[name].condition,
        frames=len(frames),
        length_m=_length_m(frames),
        minutes=_minutes(frames),
        revisits=_count_revisits(frames),
        points_per_cloud=round(np.mean([len(dataset.load_cloud(frame)) for frame in sampled])) if sampled else None,
        image_size="" if image is None else f"{image.shape[1]}×{image.shape[0]}",
    )


def _length_m(frames: Frames) -> float:
    return float(np.hypot(*np.diff(frames.position_m[:, :2], axis=0).T).sum())


def _minutes(frames: Frames) -> float:
    return float(np.ptp(frames.timestamp_ns) / 60e9)


def _count_revisits(frames: Frames) -> int:
    time_s = frames.timestamp_ns / 1e9
    near = neighbours(frames, REVISIT_RADIUS_M, heading_limit_rad=None)
    return sum(bool((time_s[i] - time_s[rows] >= REVISIT_GAP_S).any()) for i, rows in enumerate(near))
