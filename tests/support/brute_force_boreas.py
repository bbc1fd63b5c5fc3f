"""Counts of the protocols on Boreas from trajectory files, by loops that share no code with the suite."""

import math
from itertools import pairwise, product
from pathlib import Path

import numpy as np

SOUTH = [((-500, 300), (-200, 700))]
RECTANGLES = [
    ((-150, -50), (0, 100)),
    ((-420, -380), (950, 1100)),
    ((-1200, -1100), (950, 1050)),
    ((-950, -830), (1950, 2100)),
]
NEAR, FAR = ["boreas-2020-11-26-13-58"], ["boreas-2021-01-26-11-22", "boreas-2021-04-29-15-55"]
ALL = NEAR + FAR
# name: queries' files, database's files, regions of the queries, regions of the database, spacing, radius, within
RULES = {
    "boreas-5m": (ALL, ALL, SOUTH, [], 5.0, 5.0, False),
    "boreas-5m-whole-route": (ALL, ALL, [], [], 5.0, 5.0, False),
    "boreas-5m-within": (ALL, ALL, SOUTH, [], 5.0, 5.0, True),
    "boreas-rangebev": (ALL, ALL, RECTANGLES, RECTANGLES, 10.0, 25.0, False),
    "boreas-unimpr": (FAR, NEAR, SOUTH, [], 0.2, 9.0, False),
    "boreas-unimpr-whole-route": (FAR, NEAR, [], [], 0.2, 9.0, False),
}


def rows_of(path: Path) -> list[tuple[float, float, float]]:
    """East, north and the yaw of the LiDAR of each sweep."""
    found = []
    for line in path.read_text().splitlines():
        words = [float(word) for word in line.split()]
        found.append((words[4], words[8], math.atan2(words[5], words[1])))
    return found


def thinned(rows: list[tuple[float, float, float]], spacing: float) -> list[tuple[float, float, float]]:
    """The first row, then each one after so much way since the last; way is summed from row to row."""
    kept, way = [rows[0]], 0.0
    for before, row in pairwise(rows):
        way += math.hypot(row[0] - before[0], row[1] - before[1])
        if way >= spacing:
            kept.append(row)
            way = 0.0
    return kept


def cut(rows: list[tuple[float, float, float]], regions: list) -> np.ndarray:
    inside = [
        row for row in rows if not regions or any(w < row[0] < e and s < row[1] < n for (w, e), (s, n) in regions)
    ]
    return np.array(inside).reshape(-1, 3)


def count(folder: Path, name: str, limit_deg: float | None) -> dict[tuple[str, str], tuple[int, int, int, int]]:
    """Of each pair of files: queries, database, queries with a right answer, right answers."""
    asked, searched, query_regions, database_regions, spacing, radius, within = RULES[name]
    drives = {file: thinned(rows_of(folder / f"{file}.txt"), spacing) for file in ALL}
    found = {}
    for a, b in product(asked, searched):
        if (a == b) != within:
            continue
        queries, database = cut(drives[a], query_regions), cut(drives[b], database_regions)
        per_query = []
        for east, north, yaw in queries:
            near = (database[:, 0] - east) ** 2 + (database[:, 1] - north) ** 2 <= radius**2
            if limit_deg is not None:
                turn = np.abs(np.degrees(database[:, 2] - yaw)) % 360
                near &= np.minimum(turn, 360 - turn) < limit_deg
            per_query.append(int(near.sum()))
        answered = sum(n > 0 for n in per_query)
        found[a, b] = (len(queries), len(database), answered, sum(per_query))
    return found
