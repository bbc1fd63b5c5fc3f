"""Where the car was, and where it was heading: GPS fixes as a track in one local plane for all runs."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from datasets.errors import CrossplaceError
from datasets.vivid.bags import NEEDED

ORIGIN_UTM_K_M = (988118.672713562, 1818806.4875518726)
"""East and north in EPSG:5178, a point of the campus. Source: process_rosbag_vxp.py of VXP."""
REACH_M = 100_000.0
"""A fix further from the origin is none of these runs: the plane is meant for the city and its campus."""


@cache
def _plane_from_degrees() -> Any:
    """Longitude and latitude in degrees and height in metres to metres east, north and up of the origin at height 0."""
    try:
        from pyproj import Transformer
    except ImportError as error:
        raise CrossplaceError(NEEDED) from error
    to_degrees = Transformer.from_crs("EPSG:5178", "EPSG:4326", always_xy=True)
    longitude, latitude = to_degrees.transform(*ORIGIN_UTM_K_M)
    return Transformer.from_pipeline(
        "+proj=pipeline +step +proj=unitconvert +xy_in=deg +xy_out=rad +step +proj=cart +ellps=WGS84 "
        f"+step +proj=topocentric +ellps=WGS84 +lon_0={longitude!r} +lat_0={latitude!r} +h_0=0"
    )


def east_north_up_m(fixes: Float[ndarray, "n 3"]) -> Float[ndarray, "n 3"]:
    """Latitude and longitude in degrees and altitude in metres as metres east, north and up of ``ORIGIN_UTM_K_M``.

    As published: a plane that touches the ellipsoid (WGS84) at the origin; up is the height above that plane, from
    which the earth bends away (2 m at 5 km).
    """
    latitude, longitude, altitude = fixes.T.tolist()  # pyproj mistakes an array of one for a number
    return np.stack(_plane_from_degrees().transform(longitude, latitude, altitude), axis=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """GPS fixes of one run in order of time, each time once."""

    time_ns: Int[ndarray, " n"]
    position_m: Float[ndarray, "n 3"]

    def gap_s(self, at_ns: Int[ndarray, " m"]) -> Float[ndarray, " m"]:
        """Time between the fixes before and after; 0 at a fix, infinite before the first and after the last."""
        if len(self.time_ns) == 0:
            return np.full(len(at_ns), np.inf)
        after = np.searchsorted(self.time_ns, at_ns, side="left")
        before = np.searchsorted(self.time_ns, at_ns, side="right") - 1
        is_between = (before >= 0) & (after < len(self.time_ns))
        last = len(self.time_ns) - 1
        gap = (self.time_ns[np.minimum(after, last)] - self.time_ns[np.maximum(before, 0)]) / 1e9
        return np.where(is_between, np.maximum(gap, 0), np.inf)

    def position_at(self, at_ns: Int[ndarray, " m"]) -> Float[ndarray, "m 3"]:
        """Interpolated linearly; times are within those of the fixes."""
        start = self.time_ns[0]
        known, wanted = (self.time_ns - start) / 1e9, (at_ns - start) / 1e9
        return np.stack([np.interp(wanted, known, self.position_m[:, axis]) for axis in range(3)], axis=1)

    def heading_at(self, at_ns: Int[ndarray, " m"], over_m: float) -> tuple[Float[ndarray, " m"], Bool[ndarray, " m"]]:
        """Direction of travel, counter-clockwise from east, and where it is known.

        From the point where the track enters the circle of diameter ``over_m`` around the position to the one where it
        leaves it. A car that stands stays in its circle, however its fixes scatter in it, and so keeps one heading from
        its arrival to its departure. At the ends of a track the position itself stands in for what is missing; the
        heading of a car that never leaves the circle is unknown (0).
        """
        plane, here = self.position_m[:, :2], self.position_at(at_ns)[:, :2]
        heading, is_known = np.zeros(len(at_ns)), np.zeros(len(at_ns), dtype=bool)
        nexts = np.searchsorted(self.time_ns, at_ns, side="right")
        for i, (position, after) in enumerate(zip(here, nexts, strict=True)):
            left = _first_outside(plane[after:], position, over_m / 2)
            entered = _first_outside(plane[:after][::-1], position, over_m / 2)
            if left is None and entered is None:
                continue
            step = (position if left is None else left) - (position if entered is None else entered)
            if not step.any():
                continue
            heading[i], is_known[i] = np.arctan2(step[1], step[0]), True
        return heading, is_known


def _first_outside(
    points: Float[ndarray, "n 2"], centre: Float[ndarray, "2"], radius_m: float
) -> Float[ndarray, "2"] | None:
    """The first of ``points`` at least ``radius_m`` from ``centre``; looks at ever more of them."""
    start, n = 0, 64
    while start < len(points):
        away = np.hypot(*(points[start : start + n] - centre).T) >= radius_m
        if away.any():
            return points[start + int(np.argmax(away))]
        start, n = start + n, 4 * n
    return None
