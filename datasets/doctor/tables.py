"""What the table of frames says about itself: headings, speeds, places. No file but the table is read."""

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from datasets.base import Frames
from datasets.places import heading_difference_rad, wrapped_rad
from datasets.transforms import angle_rad

Facts = dict[str, float | None]
"""Measured values by the name of their rule; None where there is nothing to measure."""

MOVED_M = 1.0
"""A vehicle that went this far has a direction of travel."""
CHORD_M, FEWEST_CHORDS = 20.0, 4
"""Longer ways between two frames may lead round a corner; fewer ways say nothing."""
CLIMB_M = 5.0
"""Slopes are measured between frames this far apart, so that the noise of a satellite receiver is no slope."""
SAME_PLACE_M = 20.0
MANY = 2000
"""At most this many frames are compared with all others."""


def of_table(frames: Frames) -> Facts:
    """Facts of the frames of one traversal, in their order."""
    steps_m = np.linalg.norm(np.diff(frames.position_m, axis=0), axis=1)
    steps_s = np.diff(frames.timestamp_ns) / 1e9
    return {
        "yaw-and-quaternion": _yaw_error_deg(frames),
        **_of_headings(frames),
        "speed": float(np.quantile(steps_m / steps_s, 0.9)) if len(steps_m) else None,
        "jump": float((steps_m / steps_s).max()) if len(steps_m) else None,
        "pace": float(steps_m.sum() / steps_s.sum()) if len(steps_m) else None,
        "climb": _climb(frames.position_m),
        "resolution": float((frames.position_m[:, :2] * 8 % 1 == 0).mean(0).max()) if len(frames) > 1 else None,
        "coverage": float(np.mean((frames.image != "") & (frames.cloud != ""))),
        "shared-images": _shared(frames.image),
        "shared-clouds": _shared(frames.cloud),
        "still": _still(frames.position_m),
    }


def of_places(frames: Frames) -> Facts:
    """Facts of all frames together: how many frames of the same world are at the same place."""
    starts = [frames.position_m[frames.traversal == name][0] for name in frames.traversal_names()]
    worlds = [frames.world[frames.traversal == name][0] for name in frames.traversal_names()]
    at_origin = [world for world, start in zip(worlds, starts, strict=True) if np.abs(start).max() < 1e-3]
    return {
        "same-place": _same_place(frames),
        "origins": float(max(map(at_origin.count, at_origin), default=0)) if len(starts) > 1 else None,
    }


def yaw_of(quaternion_wxyz: Float[ndarray, "n 4"]) -> Float[ndarray, " n"]:
    """Headings of rotations ``world_from_lidar``: the direction of the x axis in the plane, from east."""
    w, x, y, z = quaternion_wxyz.T
    return angle_rad(2 * (x * y + w * z), 1 - 2 * (y * y + z * z))


def _yaw_error_deg(frames: Frames) -> float:
    error = heading_difference_rad(frames.yaw_rad, yaw_of(frames.quaternion_wxyz))
    return float(np.degrees(np.quantile(error, 0.9)))


def _of_headings(frames: Frames) -> Facts:
    """How headings lie to the direction of travel: the usual angle, and how far they stray from it."""
    rows = apart(frames.position_m[:, :2], MOVED_M)
    chords_m = np.diff(frames.position_m[rows, :2], axis=0)
    # The chord over a bend has the heading of its middle.
    before, after = frames.yaw_rad[rows[:-1]], frames.yaw_rad[rows[1:]]
    offset = before + wrapped_rad(after - before) / 2 - angle_rad(chords_m[:, 1], chords_m[:, 0])
    offset = offset[np.linalg.norm(chords_m, axis=1) < CHORD_M]
    if len(offset) < FEWEST_CHORDS:
        return {"heading-offset": None, "heading-and-track": None}
    usual = np.arctan2(np.sin(offset).mean(), np.cos(offset).mean())
    strayed = np.abs(wrapped_rad(offset - usual))
    return {"heading-offset": abs(float(np.degrees(usual))), "heading-and-track": float(np.degrees(np.median(strayed)))}


def apart(position_m: Float[ndarray, "n d"], spacing_m: float) -> Int[ndarray, " k"]:
    """Rows, the first one included, of which each is at least ``spacing_m`` from the one before."""
    rows = [0]
    for row in range(1, len(position_m)):
        if np.linalg.norm(position_m[row] - position_m[rows[-1]]) >= spacing_m:
            rows.append(row)
    return np.array(rows)


def _climb(position_m: Float[ndarray, "n 3"]) -> float | None:
    steps_m = np.diff(position_m[apart(position_m, CLIMB_M)], axis=0)
    if len(steps_m) < 2:
        return None
    return float(np.abs(steps_m[:, 2]).sum() / np.linalg.norm(steps_m, axis=1).sum())


def _still(position_m: Float[ndarray, "n 3"]) -> float | None:
    if len(position_m) < 2:
        return None
    return float(1 - len(np.unique(position_m, axis=0)) / len(position_m))


def _shared(paths: ndarray) -> float | None:
    names = [path for path in paths.tolist() if path]
    return 1 - len(set(names)) / len(names) if names else None


def _same_place(frames: Frames) -> float | None:
    """Mean share of the frames of a world that are within 20 m of a frame, over evenly chosen frames."""
    shares = []
    for world in dict.fromkeys(frames.world.tolist()):
        plane = frames.position_m[frames.world == world][:, :2]
        chosen = plane[np.linspace(0, len(plane) - 1, min(len(plane), MANY)).astype(np.int64)]
        for start in range(0, len(chosen), 256):
            away_m = np.linalg.norm(chosen[start : start + 256, None] - chosen[None], axis=2)
            shares.extend((away_m <= SAME_PLACE_M).mean(1).tolist())
    return float(np.mean(shares)) if len(frames) > 1 else None
