"""Positions and headings of the car: GPS fixes as a track, in one local plane for all runs."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from datasets.errors import CrossplaceError
from datasets.vivid.bags import NEEDED

ORIGIN_UTM_K_M = (988118.672713562, 1818806.4875518726)
"""Origin of the plane, a point of the campus: east and north in EPSG:5178. Source: process_rosbag_vxp.py of VXP."""
REACH_M = 100_000.0
"""A fix further from the origin belongs to none of the runs, which are all in the city and on its campus."""


@cache
def _plane_from_degrees() -> Any:
    """The transformer from longitude, latitude (degrees) and height to metres east, north and up of the origin."""
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

    As published, the plane touches the ellipsoid (WGS84) at the origin. Up is the height above this plane, from which
    the earth bends away by 2 m at a distance of 5 km.
    """
    latitude, longitude, altitude = fixes.T.tolist()  # pyproj treats an array of one element as a number
    return np.stack(_plane_from_degrees().transform(longitude, latitude, altitude), axis=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """GPS fixes of one run in order of time; all times differ."""

    time_ns: Int[ndarray, " n"]
    position_m: Float[ndarray, "n 3"]

    def gap_s(self, at_ns: Int[ndarray, " m"]) -> Float[ndarray, " m"]:
        """Time between the fix before and the fix after; 0 at a fix, infinite before the first and after the last."""
        if len(self.time_ns) == 0:
            return np.full(len(at_ns), np.inf)
        after = np.searchsorted(self.time_ns, at_ns, side="left")
        before = np.searchsorted(self.time_ns, at_ns, side="right") - 1
        is_between = (before >= 0) & (after < len(self.time_ns))
        last = len(self.time_ns) - 1
        gap = (self.time_ns[np.minimum(after, last)] - self.time_ns[np.maximum(before, 0)]) / 1e9
        return np.where(is_between, np.maximum(gap, 0), np.inf)

    def position_at(self, at_ns: Int[ndarray, " m"]) -> Float[ndarray, "m 3"]:
        """Positions at times between the first and the last fix, interpolated linearly."""
        start = self.time_ns[0]
        known, wanted = (self.time_ns - start) / 1e9, (at_ns - start) / 1e9
        return np.stack([np.interp(wanted, known, self.position_m[:, axis]) for axis in range(3)], axis=1)

    def heading_at(self, at_ns: Int[ndarray, " m"], over_m: float) -> tuple[Float[ndarray, " m"], Bool[ndarray, " m"]]:
        """Directions of travel, counter-clockwise from east, and whether each is known.

        The direction is that from the point where the track enters the circle of diameter ``over_m`` around the
        position to the point where the track leaves the circle. The fixes of a standing car scatter inside the circle,
        so the heading stays the same from its arrival to its departure. At the ends of a track, the position itself
        replaces the missing point. If the car never leaves the circle, its heading is unknown (0).
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
    """The first of ``points`` at least ``radius_m`` from ``centre``; it is searched in blocks of growing size."""
    start, n = 0, 64
    while start < len(points):
        away = np.hypot(*(points[start : start + n] - centre).T) >= radius_m
        if away.any():
            return points[start + int(np.argmax(away))]
        start, n = start + n, 4 * n
    return None
