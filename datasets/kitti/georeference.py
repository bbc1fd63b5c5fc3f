"""From latitude and longitude to metres on a plane: the Mercator map of KITTI's authors, and UTM."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from datasets.errors import CrossplaceError

EARTH_RADIUS_M = 6_378_137.0
UTM_32N = "EPSG:32632"
"""WGS 84, 6° to 12° east, central meridian 9°."""


def mercator_scale(latitude_deg: float) -> float:
    """The scale of a map on which a metre at this latitude is a metre (of a sphere)."""
    return float(np.cos(np.deg2rad(latitude_deg)))


def mercator(
    latitude_deg: Float[ndarray, " n"], longitude_deg: Float[ndarray, " n"], scale: float
) -> Float[ndarray, "n 2"]:
    """East and north on the scaled spherical Mercator map, from the equator and Greenwich.

    Source: as published (development kit of the raw data; VXP's regions are on it, with the scale of each drive's first
    packet): ``x = s R lon``, ``y = s R ln tan(45° + lat / 2)``.
    """
    latitude, longitude = np.deg2rad(latitude_deg), np.deg2rad(longitude_deg)
    return scale * EARTH_RADIUS_M * np.stack([longitude, np.log(np.tan(np.pi / 4 + latitude / 2))], axis=1)


def check_pyproj() -> None:
    """Refuse to go on without the library that knows UTM."""
    try:
        import pyproj  # noqa: F401
    except ImportError:
        raise CrossplaceError(
            'georeferenced poses need pyproj, which is not installed: python -m pip install ".[georef]"'
        ) from None


def utm(
    latitude_deg: Float[ndarray, " n"], longitude_deg: Float[ndarray, " n"]
) -> tuple[Float[ndarray, "n 2"], Float[ndarray, " n"]]:
    """East and north in UTM zone 32 north, and the convergence of its grid, in radians.

    Grid north lies so far clockwise of true north (Karlsruhe: -0.43°), so a counter-clockwise angle from true east plus
    the convergence is one from the grid's east.
    """
    check_pyproj()
    from pyproj import Proj

    grid, at = Proj(UTM_32N), (longitude_deg.tolist(), latitude_deg.tolist())  # an array of one would become a scalar
    east_north = np.array(grid(*at)).T.reshape(-1, 2)
    return east_north, np.deg2rad(np.array(grid.get_factors(*at).meridian_convergence).reshape(-1))
