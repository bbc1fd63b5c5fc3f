"""From latitude and longitude to metres on a plane: the Mercator map of KITTI's authors, and UTM."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from datasets.errors import CrossplaceError, install

EARTH_RADIUS_M = 6_378_137.0
UTM_32N = "EPSG:32632"
"""UTM zone 32 north on WGS 84: 6° to 12° east, central meridian 9°."""


def mercator_scale(latitude_deg: float) -> float:
    """The scale of a Mercator map of a sphere whose metres are true at this latitude."""
    return float(np.cos(np.deg2rad(latitude_deg)))


def mercator(
    latitude_deg: Float[ndarray, " n"], longitude_deg: Float[ndarray, " n"], scale: float
) -> Float[ndarray, "n 2"]:
    """East and north on the scaled spherical Mercator map, measured from Greenwich and the equator.

    Source: as published in the development kit of the raw data, ``x = s R lon``, ``y = s R ln tan(45° + lat / 2)``.
    VXP's regions are on this map, with the scale of each drive's first packet.
    """
    latitude, longitude = np.deg2rad(latitude_deg), np.deg2rad(longitude_deg)
    return scale * EARTH_RADIUS_M * np.stack([longitude, np.log(np.tan(np.pi / 4 + latitude / 2))], axis=1)


def check_pyproj() -> None:
    """Refuse to go on without pyproj, the library that knows UTM."""
    try:
        import pyproj  # noqa: F401
    except ImportError:
        raise CrossplaceError(f"georeferenced poses need pyproj, which is not installed: {install('georef')}") from None


def utm(
    latitude_deg: Float[ndarray, " n"], longitude_deg: Float[ndarray, " n"]
) -> tuple[Float[ndarray, "n 2"], Float[ndarray, " n"]]:
    """East and north in UTM zone 32 north, and the convergence of its grid, in radians.

    The convergence is the clockwise angle from true north to grid north: -0.43° at Karlsruhe. A counter-clockwise angle
    from true east, plus the convergence, is the angle from the grid's east.
    """
    check_pyproj()
    from pyproj import Proj

    grid, at = Proj(UTM_32N), (longitude_deg.tolist(), latitude_deg.tolist())  # pyproj returns a scalar for one element
    east_north = np.array(grid(*at)).T.reshape(-1, 2)
    return east_north, np.deg2rad(np.array(grid.get_factors(*at).meridian_convergence).reshape(-1))
