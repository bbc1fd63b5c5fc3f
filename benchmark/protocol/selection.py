"""Which frames of a dataset take part: traversals by name, thinned along the drive, cut out by map regions."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from datasets.base import Frames, Protocol, Region, Selection
from datasets.errors import CrossplaceError
from datasets.places import milestones


@dataclass(frozen=True, kw_only=True)
class Selected:
    """Rows of the frames that take part in a protocol, by what they are for; ascending, found when first asked for."""

    frames: Frames
    protocol: Protocol

    @cached_property
    def query(self) -> Int[ndarray, " q"]:
        """Rows of frames that ask."""
        return select(self.frames, self.protocol.query)

    @cached_property
    def database(self) -> Int[ndarray, " d"]:
        """Rows of frames that are searched."""
        return select(self.frames, self.protocol.database)

    @cached_property
    def needed(self) -> Int[ndarray, " n"]:
        """Rows of frames that ask or are searched."""
        return np.union1d(self.query, self.database)


def selected(frames: Frames, protocol: Protocol) -> Selected:
    """The frames of each part of ``protocol``."""
    return Selected(frames=frames, protocol=protocol)


def select(frames: Frames, selection: Selection) -> Int[ndarray, " k"]:
    """Rows of ``frames`` that ``selection`` or one of its further ones keeps, ascending.

    Each included traversal is cut to its range of rows and thinned as a whole, in row order, by path and then by
    count; only then do the regions cut, so that a region never changes which frames are kept elsewhere. Source: the
    KITTI sets of VXP ("every 20 m of path, then inside the boxes") and its campus sets for ViViD++ ("every
    round(n / count)-th row").

    Raises:
        CrossplaceError: regions on the Mercator map, and a frame whose place on it is not known.
    """
    return reduce(np.union1d, [_select_alone(frames, part) for part in selection.alternatives()])


def _select_alone(frames: Frames, selection: Selection) -> Int[ndarray, " k"]:
    """Rows that ``selection`` keeps by its own rules."""
    thinned = [np.empty(0, dtype=np.int64)]
    for name in frames.traversal_names():
        if selection.names(name):
            rows = np.flatnonzero(frames.traversal == name)[slice(*selection.rows)]
            if selection.spacing_m is not None and len(rows):
                rows = _thin_by_path(frames, rows, selection.spacing_m)
            if selection.count is not None:
                rows = rows[:: max(round(len(rows) / selection.count), 1)]
            thinned.append(rows)
    kept = np.sort(np.concatenate(thinned))
    in_region = ~_inside_any(frames, kept, selection.outside)
    if selection.regions:
        in_region &= _inside_any(frames, kept, selection.regions)
    return kept[in_region]


def _thin_by_path(frames: Frames, rows: Int[ndarray, " n"], spacing_m: float) -> Int[ndarray, " k"]:
    """The first row, then each row at which ``spacing_m`` of path has been driven since the last kept one."""
    steps_m = np.hypot(*np.diff(frames.position_m[rows, :2], axis=0).T)
    world = frames.world[rows]
    steps_m[world[1:] != world[:-1]] = spacing_m  # no path leads from one map into another: start afresh
    return rows[np.append(0, milestones(steps_m, spacing_m))]


def _inside_any(frames: Frames, rows: Int[ndarray, " n"], regions: Sequence[Region]) -> Bool[ndarray, " n"]:
    inside = np.zeros(len(rows), dtype=bool)
    for region in regions:
        plane_m = frames.position_m[rows, :2] if region.frame == "world" else _mercator_m(frames, rows)
        inside |= (np.abs(plane_m - (region.east_m, region.north_m)) < region.half_side_m).all(axis=1)
    return inside


def _mercator_m(frames: Frames, rows: Int[ndarray, " n"]) -> Float[ndarray, "n 2"]:
    unknown = np.full((len(rows), 2), np.nan)
    found = unknown if frames.mercator_m is None else frames.mercator_m[rows]
    lost = np.isnan(found).any(axis=1)
    if lost.any():
        first = frames.frame_id[rows[np.argmax(lost)]]
        raise CrossplaceError(
            f"the protocol has regions on the Mercator map, but {int(lost.sum())} of {len(rows)} frames have no place "
            f"on it (first: {first}); prepare the dataset with the raw drives' oxts (crossplace data check says how), "
            "or choose a protocol without regions (crossplace list protocols)"
        )
    return found
