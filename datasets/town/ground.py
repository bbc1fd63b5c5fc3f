"""The ground of a district as a map: the places of roads, pavements and grass, and the spots that are still free."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from datasets.town.streets import StreetGraph

PAVEMENT_M = 2.0
"""Width of the pavement beside every road."""
CELL_M = 0.25
MARGIN_M = 60.0
"""Width of the map beyond the outermost junctions, which leaves room for buildings behind the last street."""
KERB_REACH_M = 5.0
"""Distances from kerbs are right at least up to this distance; farther away the map may say ``FAR_M``."""
FAR_M = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lanes:
    """Where each spot of the roads lies along its street; the cells are those of ``GroundMap``."""

    left_m: Float[ndarray, "rows columns"]
    """Offset from the nearest street's centreline, positive on its left, to millimetres on a road (half precision)."""
    to_end_m: Float[ndarray, "rows columns"]
    """Distance along the street to its nearer end, which is the middle of a junction."""
    street: Int[ndarray, "rows columns"]
    """Number of the nearest street."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoadSpots:
    """Spots of the ground in the coordinates of the nearest street; see ``GroundMap`` and ``Lanes``."""

    clearance_m: Float[ndarray, " n"]
    left_m: Float[ndarray, " n"]
    to_end_m: Float[ndarray, " n"]
    street: Int[ndarray, " n"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundMap:
    """How far each spot of the ground lies from the nearest kerb."""

    south_west_m: Float[ndarray, "2"]
    clearance_m: Float[ndarray, "rows columns"]
    """Distance from the kerb of the nearest road at the middle of each cell of ``CELL_M``, negative on the road.
    Rows run north and columns east; beyond the map, the values of the outermost cells hold."""
    lanes: Lanes | None = None
    """Coordinates along the streets, which markings need; without them, roads have no markings."""

    @property
    def size_m(self) -> Float[ndarray, "2"]:
        """Extent of the map in east and north."""
        return CELL_M * np.array(self.clearance_m.shape[::-1])

    def at(self, position_m: Float[ndarray, "n 2"]) -> Float[ndarray, " n"]:
        """Clearance at positions in east and north, interpolated between cells so that kerbs are smooth."""
        first, shares = self._cells(position_m)
        return _interpolated(self.clearance_m, first, shares)

    def along_streets(self, position_m: Float[ndarray, "n 2"]) -> RoadSpots:
        """Coordinates of spots along their street, interpolated within a street so that markings are straight."""
        first, shares = self._cells(position_m)
        clearance = _interpolated(self.clearance_m, first, shares)
        if self.lanes is None:
            far, none = np.full(len(first), FAR_M, dtype=np.float32), np.zeros(len(first), np.int16)
            return RoadSpots(clearance_m=clearance, left_m=far, to_end_m=0 * far, street=none)
        return RoadSpots(
            clearance_m=clearance,
            left_m=_interpolated(self.lanes.left_m, first, shares),
            to_end_m=_interpolated(self.lanes.to_end_m, first, shares),
            street=self.lanes.street.ravel().take(first),
        )

    def _cells(self, position_m: Float[ndarray, "n 2"]) -> tuple[Int[ndarray, " n"], Float[ndarray, "2 2 n"]]:
        """The flat index of the south-western of the four cells around each spot, and the shares of the four cells."""
        rows, columns = self.clearance_m.shape
        offset = ((position_m - self.south_west_m) / CELL_M - 0.5).astype(np.float32)
        x, y = np.clip(offset[:, 0], 0, columns - 1.01), np.clip(offset[:, 1], 0, rows - 1.01)
        column, row = x.astype(np.int32), y.astype(np.int32)
        east, north = x - column, y - row
        shares = [[(1 - north) * (1 - east), (1 - north) * east], [north * (1 - east), north * east]]
        return row * np.int32(columns) + column, np.array(shares, dtype=np.float32)


def _interpolated(
    grid: Float[ndarray, "rows columns"], first: Int[ndarray, " n"], shares: Float[ndarray, "2 2 n"]
) -> Float[ndarray, " n"]:
    flat, total = grid.ravel(), np.zeros(len(first), np.float32)
    for north in range(2):
        for east in range(2):
            total += shares[north, east] * flat.take(first + (north * grid.shape[1] + east))
    return total


def map_ground(graph: StreetGraph) -> GroundMap:
    """The ground map of the street graph ``graph``."""
    south_west = graph.junctions_m.min(0) - MARGIN_M
    columns, rows = np.ceil((graph.junctions_m.max(0) + MARGIN_M - south_west) / CELL_M).astype(int)
    clearance = np.full((rows, columns), FAR_M, dtype=np.float32)
    left, to_end = (np.full((rows, columns), FAR_M, dtype=np.float16) for _ in range(2))
    nearest = np.zeros((rows, columns), dtype=np.int16)
    east = south_west[0] + (np.arange(columns) + 0.5) * CELL_M
    north = south_west[1] + (np.arange(rows) + 0.5) * CELL_M
    for number, street in enumerate(graph.streets):
        line, reach = street.centreline_m, street.half_width_m + KERB_REACH_M
        low, high = line.min(0) - reach, line.max(0) + reach
        window = (slice(*np.searchsorted(north, (low[1], high[1]))), slice(*np.searchsorted(east, (low[0], high[0]))))
        spots = np.stack(np.meshgrid(east[window[1]], north[window[0]]), axis=-1)
        beside, along = (part.reshape(spots.shape[:2]) for part in _beside_line(spots.reshape(-1, 2), line))
        outside = np.abs(beside) - street.half_width_m
        nearer = outside < clearance[window]
        clearance[window][nearer] = outside[nearer]
        left[window][nearer] = beside[nearer]
        to_end[window][nearer] = np.minimum(along, street.length_m - along)[nearer]
        nearest[window][nearer] = number
    lanes = Lanes(left_m=left, to_end_m=to_end, street=nearest)
    return GroundMap(south_west_m=south_west, clearance_m=clearance, lanes=lanes)


def _beside_line(
    spots: Float[ndarray, "n 2"], line: Float[ndarray, "k 2"]
) -> tuple[Float[ndarray, " n"], Float[ndarray, " n"]]:
    """Distance from ``line``, negative on its right, and the path length along the line to its nearest point."""
    distance, along_line = np.full(len(spots), np.inf), np.zeros(len(spots))
    passed = 0.0
    for start, end in pairwise(line):
        step = end - start
        length = np.hypot(*step)
        along = np.clip(np.einsum("ni,i->n", spots - start, step) / length**2, 0, 1)
        off = spots - start - along[:, None] * step
        reach = np.hypot(*off.T)
        side = np.where(step[0] * off[:, 1] - step[1] * off[:, 0] < 0, -1, 1)
        nearer = reach < np.abs(distance)
        distance = np.where(nearer, side * reach, distance)
        along_line = np.where(nearer, passed + along * length, along_line)
        passed += length
    return distance, along_line


class Plots:
    """A record of the cells that are taken, which keeps buildings off the roads and apart from each other."""

    def __init__(self, ground: GroundMap) -> None:
        """A record for ``ground`` without any cell taken."""
        self._ground = ground
        self._taken: Bool[ndarray, "rows columns"] = np.zeros_like(ground.clearance_m, dtype=bool)

    def claim(
        self, middle_m: Float[ndarray, "2"], size_m: tuple[float, float], yaw_rad: float, clearance_m: float
    ) -> bool:
        """Take a turned rectangle if all of it is on the map, free, and at least ``clearance_m`` from every kerb."""
        along, across = (np.linspace(-size / 2, size / 2, int(np.ceil(size / CELL_M)) + 1) for size in size_m)
        u, v = (grid.ravel() for grid in np.meshgrid(along, across))
        cos, sin = np.cos(yaw_rad), np.sin(yaw_rad)
        spots = middle_m + np.stack([cos * u - sin * v, sin * u + cos * v], axis=1)
        column, row = np.floor((spots - self._ground.south_west_m) / CELL_M).astype(np.int64).T
        rows, columns = self._taken.shape
        if min(row.min(), column.min()) < 0 or row.max() >= rows or column.max() >= columns:
            return False
        if self._taken[row, column].any() or (self._ground.clearance_m[row, column] < clearance_m).any():
            return False
        self._taken[row, column] = True
        return True
