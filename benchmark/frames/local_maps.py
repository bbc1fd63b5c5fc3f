"""Local maps: what other drives saw around a rough pose, as points.

Sweeps are accumulated with their poses, thinned to one point a voxel and cropped round the *rough* pose. A crop round
the true pose would show where the truth is. Which sweeps may be used is decided by
:mod:`benchmark.protocol.map_sweeps`: never that of the query itself.

Neighbouring sweeps of a drive make a chunk, which is accumulated once and kept as a file. A chunk with a sweep that a
query must not see is accumulated anew, without it: thinning could let a forbidden point take the place of another.

Moving objects: a point may be required to lie near points of several drives (:attr:`MapSettings.agreement`). One drive
alone cannot tell a moving car from a parked one, so that without this rule both are in the map.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from benchmark.keys import key_of
from datasets.files import npy, read_npy, write_atomically
from datasets.prepared import PreparedDataset, world_from_lidar

VERSION = 1
"""A number that is raised whenever the same sweeps and settings would give other points."""
CHUNK = 20
"""Sweeps that are accumulated together."""
AGREE_M = 0.5
"""Side of the voxels in which drives agree."""
MOST_BYTES = 512 * 2**20
"""Most bytes of chunks that stay in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MapSettings:
    """How local maps are made."""

    voxel_m: float = 0.1
    """One point is kept in each cube of this side, on one grid for the whole map. Source: CMRNet's maps."""
    reach_m: float = 50.0
    """Points further than this from the rough pose, in east and north, are cut off."""
    own_m: float = 3.0
    """Points less than this ahead or behind *and* beside their sensor are left out. They may be the vehicle's own."""
    far_m: float = 50.0
    """Points further than this from their sensor are left out."""
    agreement: int = 1
    """So many drives must have seen something within the same cube of half a metre."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalMap:
    """Points around a rough pose, in a frame with the axes of the world and an origin near that pose."""

    points_m: Float[ndarray, "n 3"]
    """East, north and up from ``origin_m``, float32."""
    origin_m: Float[ndarray, "3"]
    """Where the frame's origin is in the world: the rough position, rounded to whole metres."""
    sweeps: Int[ndarray, " k"]
    """Rows of the dataset whose sweeps the points were taken from, ascending."""


class LocalMaps:
    """The local maps of a dataset; chunks of sweeps are files below ``folder``."""

    def __init__(
        self, dataset: PreparedDataset, folder: Path, settings: MapSettings | None = None, most_bytes: int = MOST_BYTES
    ) -> None:
        self.dataset, self.settings, self.most_bytes = dataset, settings or MapSettings(), most_bytes
        s = self.settings
        self.folder = (
            folder / f"{dataset.name}-{key_of(VERSION, CHUNK, dataset.fingerprint, s.voxel_m, s.own_m, s.far_m)}"
        )
        self._kept: OrderedDict[int, Float[ndarray, "n 3"]] = OrderedDict()

    @cached_property
    def _poses(self) -> Float[ndarray, "n 4 4"]:
        return world_from_lidar(self.dataset.frames)

    @cached_property
    def _chunks(self) -> list[Int[ndarray, " k"]]:
        """Rows of the sweeps of each chunk: neighbours in one drive and one world."""
        frames = self.dataset.frames
        found = []
        for name in frames.traversal_names():
            of_drive = np.flatnonzero((frames.traversal == name) & (frames.cloud != ""))
            for world in dict.fromkeys(frames.world[of_drive].tolist()):
                rows = of_drive[frames.world[of_drive] == world]
                found += [rows[i : i + CHUNK] for i in range(0, len(rows), CHUNK)]
        return found

    def around(
        self,
        rough_position_m: Float[ndarray, "3"],
        sweeps: Int[ndarray, " k"],
        keep: Callable[[Float[ndarray, "n 3"]], Bool[ndarray, " n"]] | None = None,
    ) -> LocalMap:
        """The map of ``sweeps`` (rows with a cloud, in the world of the pose) around a rough position in the world.

        ``keep`` may say which points of the map are wanted. It gets them as they stand in the map.
        """
        s, origin_m = self.settings, np.round(np.asarray(rough_position_m, dtype=np.float64))
        offset_m = self.dataset.frames.position_m[sweeps, :2] - origin_m[:2]
        near = sweeps[np.hypot(*offset_m.T) <= s.reach_m + s.far_m + 1]
        parts: list[Float[ndarray, "_ 3"]] = [np.empty((0, 3), dtype=np.float32)]
        drives, used = [np.empty(0, dtype=np.int64)], [near[:0]]
        centre_m = np.asarray(rough_position_m[:2])
        for rows, points, start_m in self._parts(near, sweeps):
            cropped = _cropped(points, (centre_m - start_m[:2]).astype(np.float32), s.reach_m)
            shifted = cropped + (start_m - origin_m).astype(np.float32)
            shifted = shifted if keep is None else shifted[keep(shifted)]
            parts.append(shifted)
            drives.append(np.full(len(shifted), self._drive[rows[0]]))
            used.append(rows)
        points = thinned(np.concatenate(parts), s.voxel_m)
        if s.agreement > 1:
            points = points[seen_by_several(points, np.concatenate(parts), np.concatenate(drives), s.agreement)]
        return LocalMap(points_m=points, origin_m=origin_m, sweeps=np.unique(np.concatenate(used)))

    @cached_property
    def _drive(self) -> Int[ndarray, " n"]:
        """The number of each frame's traversal."""
        return np.unique(self.dataset.frames.traversal.astype(str), return_inverse=True)[1].reshape(-1)

    def _parts(
        self, near: Int[ndarray, " n"], allowed: Int[ndarray, " k"]
    ) -> Iterator[tuple[Int[ndarray, " c"], Float[ndarray, "m 3"], Float[ndarray, "3"]]]:
        """The chunks of ``near``: rows that take part, their points, and where these are counted from."""
        for number, chunk in enumerate(self._chunks):
            if not np.isin(chunk, near).any():
                continue
            rows = chunk[np.isin(chunk, allowed)]
            points = self._chunk(number) if len(rows) == len(chunk) else self._accumulated(rows)
            yield rows, points, self.dataset.frames.position_m[rows[0]]

    def _chunk(self, number: int) -> Float[ndarray, "n 3"]:
        """The points of a whole chunk: from memory, from its file, or accumulated now."""
        if number in self._kept:
            self._kept.move_to_end(number)
            return self._kept[number]
        rows = self._chunks[number]
        path = self.folder / f"{number}.npy"
        if path.is_file():
            points = read_npy(path)
        else:
            points = self._accumulated(rows)
            write_atomically(path, npy(points), durable=False)
        self._kept[number] = points
        while sum(kept.nbytes for kept in self._kept.values()) > self.most_bytes and len(self._kept) > 1:
            self._kept.popitem(last=False)
        return points

    def _accumulated(self, rows: Int[ndarray, " k"]) -> Float[ndarray, "n 3"]:
        """The sweeps at ``rows`` as one cloud, counted from the position of the first, in the axes of the world."""
        s, start_m = self.settings, self.dataset.frames.position_m[rows[0]]
        parts = []
        for row in rows.tolist():
            points = self.dataset.load_cloud(self.dataset.frame(row))
            own = (np.abs(points[:, :2]) <= s.own_m).all(axis=1)
            points = points[~own & (np.linalg.norm(points, axis=1) <= s.far_m)]
            pose = self._poses[row]
            parts.append((points @ pose[:3, :3].T + (pose[:3, 3] - start_m)).astype(np.float32))
        return thinned(np.concatenate(parts), s.voxel_m, start_m)


def _cropped(points_m: Float[ndarray, "n 3"], centre_m: Float[ndarray, "2"], reach_m: float) -> Float[ndarray, "m 3"]:
    """The points in a circle from above; a box around it first takes most others away, which is much faster."""
    (x, y), (east, north) = points_m[:, :2].T, centre_m
    box = points_m[(x >= east - reach_m) & (x <= east + reach_m) & (y >= north - reach_m) & (y <= north + reach_m)]
    return box[((box[:, :2] - centre_m) ** 2).sum(axis=1) <= reach_m**2]


def thinned(
    points_m: Float[ndarray, "n 3"], voxel_m: float, start_m: Float[ndarray, "3"] | None = None
) -> Float[ndarray, "m 3"]:
    """The first point of each voxel, in the order of the points; the grid goes through the origin of the world.

    ``start_m`` is where the points are counted from. The grid needs only its part beyond whole metres.
    """
    beyond = np.zeros(3) if start_m is None else start_m - np.floor(start_m)
    (numbers,), _ = _numbered(voxel_m, points_m + beyond.astype(points_m.dtype))
    return points_m[_is_first(numbers)]


def seen_by_several(
    asked_m: Float[ndarray, "k 3"], points_m: Float[ndarray, "n 3"], drive: Int[ndarray, " n"], n_drives: int
) -> Bool[ndarray, " k"]:
    """Whether at least ``n_drives`` drives have one of ``points_m`` in the voxel of an asked point or next to it.

    ``drive`` is the number of the drive of each point. A voxel is next to the 26 voxels that share a corner with it.
    """
    (asked, cells), steps = _numbered(AGREE_M, asked_m, points_m)
    seen = np.zeros(len(asked_m), dtype=np.int64)
    for number in np.unique(drive):
        own = np.unique(cells[drive == number])
        is_near = np.zeros(len(asked_m), dtype=bool)
        for shift in np.ndindex(3, 3, 3):
            is_near |= np.isin(asked + (np.array(shift) - 1) @ steps, own)
        seen += is_near
    return seen >= n_drives


def _numbered(side_m: float, *clouds_m: Float[ndarray, "_ 3"]) -> tuple[list[Int[ndarray, " _"]], Int[ndarray, "3"]]:
    """The number of the voxel of each point of each cloud, and how far numbers of neighbours are apart by axis."""
    columns = [[np.floor(column * np.float32(1 / side_m)).astype(np.int64) for column in cloud.T] for cloud in clouds_m]
    low = [min(int(cloud[axis].min(initial=0)) for cloud in columns) - 1 for axis in range(3)]
    size = [max(int(cloud[axis].max(initial=0)) for cloud in columns) + 2 - low[axis] for axis in range(3)]
    steps = np.array([size[1] * size[2], size[2], 1])
    numbers = [sum((cloud[axis] - low[axis]) * steps[axis] for axis in range(3)) for cloud in columns]
    return numbers, steps


def _is_first(keys: Int[ndarray, " n"]) -> Bool[ndarray, " n"]:
    """Whether each key has not come before."""
    import pandas as pd  # here: it takes long to import, and only local maps need it

    return ~pd.Series(keys).duplicated().to_numpy()
