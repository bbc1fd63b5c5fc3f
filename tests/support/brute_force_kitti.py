"""KITTI's protocols counted the slow way: every pair of frames, one query at a time, from the pose files alone.

Imports nothing of the suite and says every rule again in its own words, so that it can be wrong only by itself.
``python tests/support/brute_force_kitti.py DIR`` prints the counts; DIR holds NN.txt, times_NN.txt and calib_*.txt.
"""

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np

CALIBRATION = {"00": "calib_00-02", "01": "calib_00-02", "02": "calib_00-02"}
CALIBRATION["03"] = "calib_03_derived_from_raw_2011_09_26"
SEQUENCES = [f"{n:02d}" for n in range(11)]

RULES: dict[str, dict[str, Any]] = {
    "kitti-revisit": {"metres": 10, "earlier_by_s": 30},
    "kitti-revisit-same-direction": {"metres": 10, "earlier_by_s": 30, "turn_rad": 0.5},
    "kitti-synchronous-10m": {"metres": 10, "not_itself": True},
    "kitti-00head-10m": {"metres": 10, "not_itself": True, "without": {"00": 3000}},
    "kitti-00head-10m-own-frame": {"metres": 10, "without": {"00": 3000}},
    "liploc": {"metres": 20},
    "liploc-as-published": {"metres": 20, "over": "forward and vertical"},
    "kitti-cmrnet": {"metres": 10, "apart_by_s": 2},
    # Without the squares, which need georeferenced poses.
    "kitti-vxp": {"metres": 20, "earlier_by_s": 10, "turn_rad": 0.5, "every_m": 20},
}


def read(folder: Path, sequence: str) -> list[tuple[int, float, float, float, float]]:
    """Nanoseconds, forward, left and up of the LiDAR as the first camera stood, and its heading, of each frame."""
    lines = (folder / f"{CALIBRATION.get(sequence, 'calib_04-10')}.txt").read_text().splitlines()
    tr = [float(word) for line in lines if line.startswith("Tr:") for word in line.split()[1:]]
    frames = []
    times = (folder / f"times_{sequence}.txt").read_text().split()
    for time, line in zip(times, (folder / f"{sequence}.txt").read_text().splitlines(), strict=True):
        pose = [float(word) for word in line.split()]
        right, down, ahead = (
            pose[4 * i] * tr[3] + pose[4 * i + 1] * tr[7] + pose[4 * i + 2] * tr[11] + pose[4 * i + 3] for i in range(3)
        )
        # Where the LiDAR's x axis points, in the first camera's right and ahead.
        x_right, _, x_ahead = (sum(pose[4 * i + k] * tr[4 * k] for k in range(3)) for i in range(3))
        frames.append((round(float(time) * 1e9), ahead, -right, -down, math.atan2(-x_right, x_ahead)))
    return frames


def thin(frames: list[tuple[int, float, float, float, float]], every_m: float) -> list[int]:
    """The first frame and each that comes ``every_m`` of path after the last one taken."""
    taken, path = [0], 0.0
    for i in range(1, len(frames)):
        path += math.dist(frames[i][1:3], frames[i - 1][1:3])
        if path >= every_m:
            taken.append(i)
            path = 0.0
    return taken


def count(frames: list[tuple[int, float, float, float, float]], rule: dict[str, Any], skip: int = 0) -> dict[str, int]:
    """Queries (each frame that takes part), database (the same frames), queries with a right answer, right answers."""
    rows = thin(frames, rule["every_m"]) if "every_m" in rule else list(range(skip, len(frames)))
    table = np.array([frames[row][1:] for row in rows])
    stamp = np.array([frames[row][0] for row in rows])
    answered, positives = 0, 0
    for i in range(len(rows)):
        ahead, left, up, heading = table[i]
        other = table[:, 2] - up if rule.get("over") else table[:, 1] - left
        right = np.sqrt((table[:, 0] - ahead) ** 2 + other**2) <= rule["metres"]
        if "earlier_by_s" in rule:
            right &= stamp[i] - stamp > rule["earlier_by_s"] * 1_000_000_000
        if "apart_by_s" in rule:
            right &= np.abs(stamp[i] - stamp) > rule["apart_by_s"] * 1_000_000_000
        if "turn_rad" in rule:
            turn = np.arccos(np.clip(np.cos(table[:, 3] - heading), -1, 1))
            right &= turn < rule["turn_rad"]
        if rule.get("not_itself"):
            right[i] = False
        answered += bool(right.any())
        positives += int(right.sum())
    return {"queries": len(rows), "database": len(rows), "with_positive": answered, "positives": positives}


def count_all(folder: Path) -> dict[str, dict[str, dict[str, int]]]:
    """Counts of every sequence under every rule, whether or not the protocol tests on it."""
    counts: dict[str, dict[str, dict[str, int]]] = {name: {} for name in RULES}
    for sequence in SEQUENCES:
        frames = read(folder, sequence)
        for name, rule in RULES.items():
            counts[name][sequence] = count(frames, rule, rule.get("without", {}).get(sequence, 0))
    return counts


if __name__ == "__main__":
    sys.stdout.write(json.dumps(count_all(Path(sys.argv[1])), indent=1) + "\n")
