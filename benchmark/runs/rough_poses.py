"""What is registered: queries with the rough poses that they start from. Needs no torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from benchmark.frames.starts import draw_start
from benchmark.protocol.directions import Direction
from benchmark.protocol.ground_truth import facing_rad
from benchmark.protocol.map_sweeps import MapSweeps
from benchmark.records.queries import Queries
from benchmark.records.ranks import read_ranks
from benchmark.records.schema import RANKS, Result, protocol_of
from datasets.base import Protocol
from datasets.errors import CrossplaceError
from datasets.places import Poses, same_place
from datasets.prepared import PreparedDataset, world_from_lidar
from datasets.summary import spread

TOP = 5
"""Retrieved frames that are registered, nearest first. Published ranks hold as many."""
ASKED = Direction.IMAGE_TO_CLOUD.label
"""The direction whose results give starts: an image is looked for in a map of clouds."""


@dataclass(frozen=True, kw_only=True)
class RoughPoses:
    """Queries and where each starts: n queries with up to k starts."""

    query_row: Int[ndarray, " n"]
    """Rows of the dataset. A query that was searched in several drives stands here several times."""
    truth: Float[ndarray, "n 4 4"]
    """``world_from_camera`` of each query."""
    rough: Float[ndarray, "n k 4 4"]
    """``world_from_camera`` of each start, nearest frame first; nan where fewer frames were found."""
    is_right: Bool[ndarray, "n k"]
    """Whether the frame behind a start shows the query's place; true where starts are drawn."""
    n_available: int
    """Queries of which those here are evenly spread."""


def drawn_poses(dataset: PreparedDataset, sweeps: MapSweeps, start: str, seed: int, most: int = 0) -> RoughPoses:
    """A start drawn around the true pose of each query, or of at most ``most`` of them."""
    usable = usable_rows(dataset, sweeps)
    rows = spread(usable, most or len(usable))
    truth = camera_poses(dataset, rows, rows)
    frame_ids = dataset.frames.frame_id[rows]
    drawn = np.array([draw_start(start, seed, frame_id) for frame_id in frame_ids]).reshape(-1, 4, 4)
    return RoughPoses(
        query_row=rows,
        truth=truth,
        rough=(truth @ drawn)[:, None],
        is_right=np.ones((len(rows), 1), dtype=bool),
        n_available=len(usable),
    )


def retrieved_poses(
    dataset: PreparedDataset, protocol: Protocol, sweeps: MapSweeps, folder: Path, most: int = 0
) -> RoughPoses:
    """The poses of the ``TOP`` frames that each counted query of the result in ``folder`` found.

    The camera is taken to stand in the found frame as the query's own camera does in its vehicle.

    Raises:
        CrossplaceError: a result of other data or another protocol, or one without ranks.
    """
    queries = _queries(dataset, protocol, folder)
    row_of = {name: row for row, name in enumerate(dataset.frames.frame_id)}
    to_row = np.array([*(row_of[name] for name in queries.ranks["frame_id"].tolist()), -1])
    asking, found = to_row[queries.column("frame")], to_row[queries.column("top_frame")[:, :TOP]]
    is_usable = np.isin(asking, usable_rows(dataset, sweeps))
    numbers = np.flatnonzero(is_usable)
    chosen = spread(numbers, most or len(numbers))
    asking, found = asking[chosen], found[chosen]
    rough = np.full((*found.shape, 4, 4), np.nan)
    query, place = np.nonzero(found >= 0)
    rough[query, place] = camera_poses(dataset, found[query, place], asking[query])
    return RoughPoses(
        query_row=asking,
        truth=camera_poses(dataset, asking, asking),
        rough=rough,
        is_right=_are_right(dataset, protocol, asking, found),
        n_available=len(numbers),
    )


def usable_rows(dataset: PreparedDataset, sweeps: MapSweeps) -> Int[ndarray, " n"]:
    """Queries with an image, calibration and at least one sweep that their map may be made of.

    Raises:
        CrossplaceError: there is none.
    """
    frames = dataset.frames
    calibrated = [n for n, t in dataset.traversals.items() if t.intrinsics and t.camera_from_lidar is not None]
    rows = sweeps.query_rows
    rows = rows[(frames.image[rows] != "") & np.isin(frames.traversal[rows].astype(str), np.array(calibrated))]
    rows = np.array([row for row in rows.tolist() if len(sweeps.of(row))], dtype=np.int64)
    if not len(rows):
        raise CrossplaceError(
            f"{dataset.folder}: no query has an image, calibration and another drive with clouds, so that nothing can "
            "be registered; choose another protocol (crossplace list protocols) or prepare more drives"
        )
    return rows


def camera_poses(
    dataset: PreparedDataset, at: Int[ndarray, " n"], camera_of: Int[ndarray, " n"]
) -> Float[ndarray, "n 4 4"]:
    """``world_from_camera`` if the vehicle stands as at rows ``at`` and carries the camera of rows ``camera_of``."""
    names = dataset.frames.traversal[camera_of]
    mounted = {name: np.linalg.inv(_mount(dataset, name)) for name in dict.fromkeys(names.tolist())}
    lidar_from_camera = np.array([mounted[name] for name in names]).reshape(-1, 4, 4)
    return world_from_lidar(dataset.frames.take(at)) @ lidar_from_camera


def _mount(dataset: PreparedDataset, traversal: str) -> Float[ndarray, "4 4"]:
    matrix = dataset.traversals[traversal].camera_from_lidar
    assert matrix is not None, "only calibrated frames are registered"
    return matrix


def _queries(dataset: PreparedDataset, protocol: Protocol, folder: Path) -> Queries:
    """The counted queries of a stored result, which must be of this data and protocol."""
    result = Result.read(folder)
    wrong = {
        f"is of other data than {dataset.folder}": result.dataset.fingerprint != dataset.fingerprint,
        f"is of protocol {result.protocol['name']}, not {protocol.name}": protocol_of(result.protocol) != protocol,
        f"has no direction {ASKED}": ASKED not in result.directions,
    }
    for what, is_so in wrong.items():
        if is_so:
            raise CrossplaceError(f"{folder}: the result {what}; name a result of crossplace bench on the same data")
    ranks = read_ranks(folder)
    if ranks is None or not {"frame_id", "query_top_frame"} <= ranks.keys():
        raise CrossplaceError(
            f"{folder}: no {RANKS} with the frames that were found; name the folder below runs/results of a method "
            "that crossplace bench ran on this machine"
        )
    return Queries.of(ranks, ASKED, protocol.no_positive)


def _are_right(
    dataset: PreparedDataset, protocol: Protocol, asking: Sequence[int] | ndarray, found: Int[ndarray, "n k"]
) -> Bool[ndarray, "n k"]:
    frames, right = dataset.frames, np.zeros(found.shape, dtype=bool)
    limit_rad, axes = protocol.heading_limit_rad, protocol.distance_axes
    for number, (row, places) in enumerate(zip(asking, found, strict=True)):
        known = places[places >= 0]
        query, there = frames.take(np.array([row])), frames.take(known)
        facing = Poses(there.position_m, facing_rad(protocol, there.yaw_rad), there.world)
        right[number, places >= 0] = same_place(query, facing, protocol.radius_m, limit_rad, axes)[0]
    return right
