"""Which clouds of a run become frames: those with a position, an image, and the wanted distance."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from datasets.interpolation import nearest_in
from datasets.places import milestones
from datasets.vivid.bags import Place
from datasets.vivid.survey import Survey
from datasets.vivid.track import REACH_M, Track, east_north_up_m


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The rules by which a cloud becomes a frame; the options of ``Vivid`` explain them."""

    lidar_offset_ns: int
    image_within_s: float
    gps_gap_s: float
    heading_over_m: float | None
    """Length of the chord that gives the direction of travel; without a value, every heading is 0."""
    every: int
    spacing_m: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The frames of one run in order of time; row ``i`` of every column is one frame."""

    time_ns: Int[ndarray, " n"]
    image_ns: Int[ndarray, " n"]
    cloud_places: list[Place]
    image_places: list[Place]
    position_m: Float[ndarray, "n 3"]
    yaw_rad: Float[ndarray, " n"]
    image_type: str
    """The type of the messages with images."""
    counts: dict[str, int]
    """How many clouds were dropped for each reason, and how many other things were left out."""


def choose(found: Survey, rules: Rules) -> Chosen:
    """The frames made of clouds with a position and an image; other clouds are counted by the first reason."""
    counts: Counter[str] = Counter(gps_without_fix=len(found.without_fix))
    image_ns, image_places = _in_order(found.images)
    cloud_ns, cloud_places = _in_order(found.clouds)
    cloud_ns = cloud_ns + rules.lidar_offset_ns
    counts["dropped_repeated_time"] = len(found.clouds) - len(cloud_ns)
    track = _track(found, counts)

    gap_s = track.gap_s(cloud_ns)
    nearest, distance_ns = nearest_in(image_ns, cloud_ns)
    reasons = {
        "dropped_outside_gps": np.isinf(gap_s),
        "dropped_gps_gap": gap_s > rules.gps_gap_s,
        "dropped_no_image": distance_ns > rules.image_within_s * 1e9,
    }
    kept = np.ones(len(cloud_ns), dtype=bool)
    for reason, applies in reasons.items():
        counts[reason] = int((kept & applies).sum())
        kept &= ~applies
    rows = np.flatnonzero(kept)
    position_m = track.position_at(cloud_ns[rows]) if len(rows) else np.empty((0, 3))
    thin = np.arange(0, len(rows), rules.every)
    thin = thin[spaced(position_m[thin], rules.spacing_m)]
    counts["thinned"] = len(rows) - len(thin)
    rows, position_m = rows[thin], position_m[thin]

    yaw = np.zeros(len(rows))
    if rules.heading_over_m is not None and len(rows):
        yaw, is_known = track.heading_at(cloud_ns[rows], rules.heading_over_m)
        counts["heading_unknown"] = int((~is_known).sum())
    return Chosen(
        time_ns=cloud_ns[rows],
        image_ns=image_ns[nearest[rows]],
        cloud_places=[cloud_places[row] for row in rows],
        image_places=[image_places[row] for row in nearest[rows]],
        position_m=position_m,
        yaw_rad=yaw,
        image_type=found.image_type,
        counts=dict(counts),
    )


def _in_order(stamped: list[tuple[int, Place]]) -> tuple[Int[ndarray, " n"], list[Place]]:
    """Times in ascending order, and their places; of equal times, the one that was recorded first is kept."""
    once: dict[int, Place] = {}
    for time, place in stamped:
        once.setdefault(time, place)
    times = sorted(once)
    return np.array(times, dtype=np.int64), [once[time] for time in times]


def _track(found: Survey, counts: Counter[str]) -> Track:
    fixes = np.array([fix[1:] for fix in found.fixes], dtype=np.float64).reshape(-1, 3)
    times, first = np.unique(np.array([fix[0] for fix in found.fixes], dtype=np.int64), return_index=True)
    position_m = east_north_up_m(fixes[first])
    is_near = np.linalg.norm(position_m, axis=1) < REACH_M
    counts["gps_far_away"] = int((~is_near).sum())
    return Track(time_ns=times[is_near], position_m=position_m[is_near])


def spaced(position_m: Float[ndarray, "n 3"], spacing_m: float) -> Int[ndarray, " k"]:
    """The rows to keep: the first, and each at which ``spacing_m`` of path was driven since the row kept before.

    Path is measured in the plane.
    """
    if spacing_m <= 0 or len(position_m) == 0:
        return np.arange(len(position_m))
    return np.append(0, milestones(np.hypot(*np.diff(position_m[:, :2], axis=0).T), spacing_m))
