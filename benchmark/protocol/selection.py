"""Which frames of a dataset take part: traversals by name, thinned along the drive, cut out by map regions."""

import math
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
    spacing_m: float | None = None
    """Thin the database further, to frames that are this far apart along the drive; without a value, keep all."""

    @cached_property
    def query(self) -> Int[ndarray, " q"]:
        """Rows of frames that ask."""
        return select(self.frames, self.protocol.query)

    @cached_property
    def database(self) -> Int[ndarray, " d"]:
        """Rows of frames that are searched."""
        rows = select(self.frames, self.protocol.database)
        if self.spacing_m is None:
            return rows
        return thinned(self.frames, rows, self.spacing_m)

    @cached_property
    def needed(self) -> Int[ndarray, " n"]:
        """Rows of frames that ask or are searched."""
        return np.union1d(self.query, self.database)


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
    return _in_the_middle(frames, kept[in_region], selection.middle_share)


def _thin_by_path(frames: Frames, rows: Int[ndarray, " n"], spacing_m: float) -> Int[ndarray, " k"]:
    """The first row, then each row at which ``spacing_m`` of path has been driven since the last kept one."""
    return rows[np.append(0, milestones(_steps_m(frames, rows), spacing_m))]


def _steps_m(frames: Frames, rows: Int[ndarray, " n"]) -> Float[ndarray, " _"]:
    """Path from each row to the next; infinite from one map into another, where every count starts afresh."""
    steps_m = np.hypot(*np.diff(frames.position_m[rows, :2], axis=0).T)
    world = frames.world[rows]
    steps_m[world[1:] != world[:-1]] = np.inf
    return steps_m


def thinned(frames: Frames, rows: Int[ndarray, " n"], spacing_m: float) -> Int[ndarray, " k"]:
    """Those of ``rows`` that are about ``spacing_m`` of path apart, in each traversal by itself; ascending.

    The frame nearest to the next mark is kept: half of the usual step may be missing. A protocol's own spacing never
    stops short of the mark, and is up to a whole step longer.
    """
    slack_m = (median_spacing_m(frames, rows) or 0.0) / 2
    drives = by_traversal(frames, rows).values()
    return np.sort(np.concatenate([rows[:0], *(_thin_by_path(frames, d, spacing_m - slack_m) for d in drives)]))


def median_spacing_m(frames: Frames, rows: Int[ndarray, " n"]) -> float | None:
    """Median path between neighbouring frames of a traversal; None where no traversal has two of ``rows``."""
    steps_m = np.concatenate([np.empty(0), *(_steps_m(frames, d) for d in by_traversal(frames, rows).values())])
    steps_m = steps_m[np.isfinite(steps_m)]
    return float(np.median(steps_m)) if len(steps_m) else None


def by_traversal(frames: Frames, rows: Int[ndarray, " n"]) -> dict[str, Int[ndarray, " _"]]:
    """``rows`` apart by traversal, in the order of first appearance."""
    names = frames.traversal[rows]
    return {name: rows[names == name] for name in dict.fromkeys(names.tolist())}


def _in_the_middle(frames: Frames, rows: Int[ndarray, " n"], share: float) -> Int[ndarray, " k"]:
    """A share (rounded up) of ``rows`` in each world: the nearest to its median place, by the larger of both axes.

    So they lie in one square, and those of a smaller share lie in the square of a larger one.
    """
    kept = [rows[:0]]
    for world in dict.fromkeys(frames.world[rows].tolist()) if share < 1 else ():
        here = rows[frames.world[rows] == world]
        plane_m = frames.position_m[here, :2]
        offset_m = np.abs(plane_m - np.median(plane_m, axis=0)).max(axis=1)
        kept.append(here[np.argsort(offset_m, kind="stable")[: math.ceil(share * len(here))]])
    return np.sort(np.concatenate(kept)) if share < 1 else rows


def _inside_any(frames: Frames, rows: Int[ndarray, " n"], regions: Sequence[Region]) -> Bool[ndarray, " n"]:
    inside = np.zeros(len(rows), dtype=bool)
    for region in regions:
        plane_m = frames.position_m[rows, :2] if region.frame == "world" else _mercator_m(frames, rows)
        inside |= (np.abs(plane_m - (region.east_m, region.north_m)) < region.half_sides_m()).all(axis=1)
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
