"""Which frames of a dataset take part: traversals by name, thinned along the drive, cut out by map regions."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from datasets.base import Frames, Region, Selection


def select(frames: Frames, selection: Selection) -> Int[ndarray, " k"]:
    """Rows of ``frames`` that ``selection`` keeps, ascending.

    Each included traversal is thinned as a whole, in row order, by path and then by count; only then do the regions
    cut, so that a region never changes which frames are kept elsewhere. Source: the KITTI sets of VXP ("every 20 m of
    path, then inside the boxes") and its campus sets for ViViD++ ("every round(n / count)-th row").
    """
    position_m = frames.position_m
    in_region = ~_inside_any(position_m, selection.outside)
    if selection.regions:
        in_region &= _inside_any(position_m, selection.regions)
    kept = np.zeros(len(frames), dtype=bool)
    for name in frames.traversal_names():
        if selection.includes(name):
            rows = np.flatnonzero(frames.traversal == name)
            if selection.spacing_m is not None:
                rows = _thin_by_path(frames, rows, selection.spacing_m)
            if selection.count is not None:
                rows = rows[:: max(round(len(rows) / selection.count), 1)]
            kept[rows] = True
    return np.flatnonzero(kept & in_region)


def _thin_by_path(frames: Frames, rows: Int[ndarray, " n"], spacing_m: float) -> Int[ndarray, " k"]:
    """The first row, then each row at which ``spacing_m`` of path has been driven since the last kept one."""
    steps_m = np.hypot(*np.diff(frames.position_m[rows, :2], axis=0).T)
    world = frames.world[rows]
    steps_m[world[1:] != world[:-1]] = spacing_m  # no path leads from one map into another: start afresh
    kept, driven_m = [0], 0.0
    for i, step_m in enumerate(steps_m.tolist(), start=1):
        driven_m += step_m
        if driven_m >= spacing_m:
            kept.append(i)
            driven_m = 0.0
    return rows[kept]


def _inside_any(position_m: Float[ndarray, "n 3"], regions: Sequence[Region]) -> Bool[ndarray, " n"]:
    inside = np.zeros(len(position_m), dtype=bool)
    for region in regions:
        offset_m = np.abs(position_m[:, :2] - (region.east_m, region.north_m))
        inside |= (offset_m < region.half_side_m).all(axis=1)
    return inside
