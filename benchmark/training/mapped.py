"""A dataset whose clouds are local maps: what registrars are trained on, through the loop that trains all methods.

The map of a frame is made of the sweeps of other drives of the same part of the split, never of its own.
"""

import logging
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from benchmark.frames.local_maps import LocalMaps, thinned
from benchmark.protocol.map_sweeps import MapSweeps
from benchmark.protocol.selection import select
from datasets.base import Frame, Protocol, Selection
from datasets.derived import pairs_elsewhere
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset, world_from_lidar

log = logging.getLogger(__name__)

BEHIND_M = 4.0
"""The cone that is kept begins so far behind the true camera, metres."""
SLOPE = 1.5
"""Half of the cone's width and height over its length. Cameras with a wider view need a wider cone."""

RINGS = ((12.0, 0.0), (24.0, 0.2), (np.inf, 0.4))
"""Distance up to which points are kept with a spacing, both in metres. A spacing of 0 keeps all points."""


@dataclass(frozen=True, kw_only=True)
class MappedDataset(PreparedDataset):
    """The frames of a dataset, where the cloud of each is its local map.

    ``camera_from_lidar`` of a frame leads from the map, whose axes are those of the world, to the camera. Of a map only
    a cone before the camera is kept, wide enough for every start that training draws.
    """

    protocol: Protocol
    """The rules of training: without validation frames where none has a local map."""
    maps: LocalMaps
    sweeps: tuple[MapSweeps, ...]
    """Rules of the parts of the split: which sweeps make the maps of their frames."""

    @classmethod
    def of(cls, dataset: PreparedDataset, protocol: Protocol, folder: Path) -> "MappedDataset":
        """The frames of ``dataset``; parts of maps are kept below ``folder``.

        Raises:
            CrossplaceError: no training frame has a local map.
        """
        parts = [select(dataset.frames, s) for s in (protocol.split.train, protocol.split.validation)]
        trained = replace(protocol, pairs=(pairs := pairs_elsewhere(protocol)))
        rules = [
            MapSweeps(frames=dataset.frames, protocol=trained, query_rows=rows, database_rows=rows) for rows in parts
        ]
        mapped = [any(len(rule.of(row)) for row in rule.query_rows.tolist()) for rule in rules]
        of_what = {"across": "another {} drive of its world", "within": "its own {} drive at other times"}[pairs]
        if len(parts[0]) and not mapped[0]:
            raise CrossplaceError(
                f"protocol {protocol.name}: no training frame of {dataset.folder} has a local map, which is made of "
                f"sweeps of {of_what.format('training')}; prepare more of the data, choose another --protocol, or give "
                "trained weights with --checkpoint"
            )
        if len(parts[1]) and not mapped[1]:
            log.warning("no validation frame has a local map: there is no sweep of %s", of_what.format("validation"))
            protocol = replace(protocol, split=replace(protocol.split, validation=Selection(traversals=())))
        known = {f.name: getattr(dataset, f.name) for f in fields(PreparedDataset)}
        return cls(**known, protocol=protocol, maps=LocalMaps(dataset, folder), sweeps=tuple(rules))

    def frame(self, row: int) -> Frame:
        """The frame at ``row``, calibrated to its map."""
        frame = super().frame(row)
        if frame.camera_from_lidar is None:
            raise CrossplaceError(
                f"frame {frame.frame_id}: registration needs camera_from_lidar, but traversal {frame.traversal!r} has "
                "none in dataset.json; add it"
            )
        lidar_from_map = np.linalg.inv(self._map_from_lidar(row))
        return replace(frame, camera_from_lidar=frame.camera_from_lidar @ lidar_from_map)

    def _map_from_lidar(self, row: int) -> Float[ndarray, "4 4"]:
        """The pose of the LiDAR counted from its position in whole metres, as maps are."""
        pose: Float[ndarray, "4 4"] = world_from_lidar(self.frames.take(np.array([row])))[0].copy()
        pose[:3, 3] -= np.round(pose[:3, 3])
        return pose

    def load_cloud(self, frame: Frame) -> Float[ndarray, "n 3"]:
        """The local map of ``frame``, float32 metres, as far as it can come into view."""
        row = int(np.flatnonzero(self.frames.frame_id == frame.frame_id)[0])
        rule = next(rule for rule in self.sweeps if row in rule.query_rows)
        pose = frame.camera_from_lidar
        assert pose is not None

        def in_cone(points_m: Float[ndarray, "n 3"]) -> Bool[ndarray, " n"]:
            right, down, forward = (
                points_m @ pose[i, :3].astype(np.float32) + np.float32(pose[i, 3]) for i in range(3)
            )
            limit_m = SLOPE * (forward + BEHIND_M)
            return (np.abs(right) < limit_m) & (np.abs(down) < limit_m)

        found = self.maps.around(self.frames.position_m[row], rule.of(row), in_cone)
        rule.check(row, found.sweeps)
        distance_m = np.linalg.norm(found.points_m + pose[:3, :3].T @ pose[:3, 3], axis=1)
        return np.ascontiguousarray(_thinner_far_away(found.points_m, distance_m))


def _thinner_far_away(points_m: Float[ndarray, "n 3"], distance_m: Float[ndarray, " n"]) -> Float[ndarray, "m 3"]:
    """Points with a spacing that grows with distance: no more than a camera can tell apart."""
    parts, lower_m = [], 0.0
    for upper_m, voxel_m in RINGS:
        some = points_m[(distance_m >= lower_m) & (distance_m < upper_m)]
        parts.append(thinned(some, voxel_m) if voxel_m else some)
        lower_m = upper_m
    return np.concatenate(parts)
