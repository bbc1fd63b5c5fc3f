"""How far test places are from the places that were trained on: what a recall number may owe to memory."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from benchmark.protocol.selection import select
from datasets.base import Frames, Protocol

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """Test frames of one kind (queries, database) beside the frames of one other part (training, validation)."""

    test: str
    other: str
    n_test: int
    n_other: int
    n_shared: int
    """Test frames that are themselves in the other part."""
    n_within_positive: int
    """Test frames at most ``Split.positive_m`` from a frame of the other part, shared ones too; heading is ignored."""
    n_within_negative: int
    """Test frames at most ``Split.negative_m`` from one, counted in the same way."""
    n_elsewhere: int
    """Test frames in whose world the other part has no frame. Worlds may well overlap: nobody knows."""
    quantiles_m: tuple[float, ...]
    """Quantiles of the distance to the nearest frame of the other part, at ``QUANTILES``; nan if there are none."""


def find_leaks(frames: Frames, protocol: Protocol) -> list[Leak]:
    """Queries and database beside training and validation frames, in the plane and within one world."""
    split = protocol.split
    tests = {"queries": select(frames, protocol.query), "database frames": select(frames, protocol.database)}
    others = {"training": select(frames, split.train), "validation": select(frames, split.validation)}
    leaks = []
    for other, other_rows in others.items():
        for test, test_rows in tests.items():
            nearest_m = nearest_distances_m(frames, test_rows, other_rows)
            known = nearest_m[np.isfinite(nearest_m)]
            leaks.append(
                Leak(
                    test=test,
                    other=other,
                    n_test=len(test_rows),
                    n_other=len(other_rows),
                    n_shared=len(np.intersect1d(test_rows, other_rows)),
                    n_within_positive=int((nearest_m <= split.positive_m).sum()),
                    n_within_negative=int((nearest_m <= split.negative_m).sum()),
                    n_elsewhere=len(nearest_m) - len(known),
                    quantiles_m=tuple(float(np.quantile(known, q)) if len(known) else float("nan") for q in QUANTILES),
                )
            )
    return leaks


def nearest_distances_m(frames: Frames, rows: Int[ndarray, " n"], others: Int[ndarray, " m"]) -> Float[ndarray, " n"]:
    """Distance in the plane from each frame to the nearest of ``others`` in its world; inf where there is none."""
    from scipy.spatial import cKDTree  # here: a plan needs none of it

    nearest = np.full(len(rows), np.inf)
    for world in dict.fromkeys(frames.world[rows].tolist()):
        here, there = np.flatnonzero(frames.world[rows] == world), others[frames.world[others] == world]
        if len(there):
            tree = cKDTree(frames.position_m[there, :2])
            nearest[here] = tree.query(frames.position_m[rows[here], :2])[0]
    return nearest


def leak_warnings(frames: Frames, protocol: Protocol) -> list[str]:
    """One sentence if test frames were trained on, or lie as near to training places as positives do; or nothing.

    A smoke run trains on what it tests, and says so.
    """
    found = [leak for leak in find_leaks(frames, protocol) if leak.other == "training" and leak.n_within_positive]
    if protocol.smoke or not found:
        return []
    parts = [
        f"{leak.n_within_positive} of {leak.n_test} {leak.test} ({leak.n_shared} trained on themselves)"
        for leak in found
    ]
    return [
        f"leak: within {protocol.split.positive_m:g} m of a place that the protocol trains on are {' and '.join(parts)}"
        f" (crossplace protocol leaks {protocol.name})"
    ]
