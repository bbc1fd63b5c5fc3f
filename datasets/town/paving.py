"""The ground's texture: asphalt with lane markings, kerbs, slabs and grass, dry, wet or under snow."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from datasets.town.ground import GroundMap, RoadSpots
from datasets.town.materials import Material
from datasets.town.noise import clouds, grain

ASPHALT = np.array((0.085, 0.085, 0.092), dtype=np.float32)
MARKING = np.array((0.55, 0.55, 0.53), dtype=np.float32)
KERB = np.array((0.36, 0.35, 0.33), dtype=np.float32)
SLABS = np.array([(0.26, 0.25, 0.24), (0.22, 0.19, 0.17), (0.30, 0.17, 0.13)], dtype=np.float32)
GRASS = np.array((0.10, 0.17, 0.045), dtype=np.float32)
SOIL = np.array((0.17, 0.14, 0.08), dtype=np.float32)
SNOW = np.array((0.80, 0.82, 0.86), dtype=np.float32)

STOP_M = (7.6, 8.0)
"""Begin and end of the stop line, measured from the middle of the junction."""
ZEBRA_M = (8.6, 11.6)
KERB_M = 0.18
"""Width of the kerb stones."""


def paint_ground(
    position_m: Float[ndarray, "n 3"],
    material: ndarray,
    distance_m: Float[ndarray, " n"],
    ground: GroundMap,
    snow: float,
    wet: float,
) -> tuple[Float[ndarray, "n 3"], Float[ndarray, " n"]]:
    """Colour of spots on the ground, and the share of light that they mirror."""
    x, y = position_m[:, 0], position_m[:, 1]
    fine = np.exp(-distance_m / 12).astype(np.float32)
    uneven, speckle = clouds(x * 5, y * 5), fine * (grain(x * 30, y * 30) - np.float32(0.5))
    is_road, is_pavement = material == Material.ROAD, material == Material.PAVEMENT
    albedo = np.empty((len(x), 3), np.float32)
    grass, paved = np.flatnonzero(~is_road & ~is_pavement), np.flatnonzero(is_road | is_pavement)
    soil = np.clip((clouds(x[grass] * 3 + 77, y[grass] * 3) - 0.62) * 4, 0, 1)[:, None]
    blades = 0.55 + 0.7 * uneven[grass] + 0.9 * speckle[grass]
    albedo[grass] = (GRASS + soil * (SOIL - GRASS)) * blades[:, None]
    spots = ground.along_streets(position_m[paved, :2])
    tone = 0.72 + 0.5 * uneven[paved] + 0.6 * speckle[paved]
    albedo[paved] = _paved(x[paved], y[paved], spots, fine[paved], is_road[paved]) * tone[:, None]
    if snow:
        share = np.ones(len(x), np.float32)
        share[paved] = _left_lying(x[paved], y[paved], spots, is_road[paved])
        white = SNOW * (0.88 + 0.15 * uneven)[:, None]
        albedo += np.float32(snow) * share[:, None] * (white - albedo)
    mirror = np.zeros(len(x), np.float32)
    if wet:
        puddle = np.clip((clouds(x * 2.5, y * 2.5 + 40) - 0.45) * 4, 0.15, 1)
        mirror[paved] = (np.float32(wet) * puddle)[paved]
        albedo[paved] *= (1 - np.float32(wet) * (0.35 + 0.25 * puddle[paved]))[:, None]
        albedo[grass] *= 1 - 0.25 * np.float32(wet)
    return albedo, mirror


def _paved(x: ndarray, y: ndarray, spots: RoadSpots, fine: ndarray, is_road: ndarray) -> Float[ndarray, "n 3"]:
    clearance = spots.clearance_m
    patch = np.where(grain(x / 3.1, y / 2.3) < 0.06, np.float32(0.72), np.float32(1))
    worn = 1 + np.float32(0.18) * np.exp(-(((np.abs(spots.left_m) - np.float32(1.7)) / np.float32(0.9)) ** 2))
    tone = patch * worn * (0.8 + 0.1 * (spots.street % 5)).astype(np.float32)
    colour = ASPHALT * tone[:, None]
    walk = np.flatnonzero(~is_road)
    joint = ((spots.left_m[walk] * 2) % 1 < 0.06) | ((spots.to_end_m[walk] * 2) % 1 < 0.06)
    colour[walk] = SLABS[spots.street[walk] % len(SLABS)] * (1 - 0.5 * fine[walk] * joint)[:, None]
    colour[(clearance < 0) & (clearance > -0.12)] *= np.float32(0.6)  # the gutter
    colour[(clearance >= 0) & (clearance < KERB_M)] = KERB
    marked = np.flatnonzero(is_road & markings(spots))
    colour[marked] = MARKING * (0.6 + 0.4 * clouds(x[marked] * 12, y[marked] * 12))[:, None]
    return colour


def markings(spots: RoadSpots) -> ndarray:
    """Which spots on roads are painted white: dashes along the middle, parking bays, stop lines and zebra crossings.

    Each street has its own set: three streets in four have dashes, one in three has zebra crossings at its ends.
    """
    clearance_m = spots.clearance_m
    beside, along, number = np.abs(spots.left_m), spots.to_end_m, spots.street
    is_open = along > STOP_M[1] + 1.5
    has_zebra = number % 3 == 0
    is_dashed = (beside < 0.07) & is_open & ~(has_zebra & (along < ZEBRA_M[1])) & (along % 6 < 3) & (number % 4 != 3)
    edge = (clearance_m < -0.25) & (clearance_m > -0.37) & is_open & (number % 4 == 1)
    stop = (along > STOP_M[0]) & (along < STOP_M[1]) & (clearance_m < -0.3)
    zebra = has_zebra & (along > ZEBRA_M[0]) & (along < ZEBRA_M[1]) & (spots.left_m % 1.0 < 0.5) & (clearance_m < -0.2)
    is_marked: ndarray = is_dashed | edge | stop | zebra
    return is_marked


def _left_lying(x: ndarray, y: ndarray, spots: RoadSpots, is_road: ndarray) -> Float[ndarray, " n"]:
    """Share of snow that is left on paved ground: it is trodden on pavements, and thin in the tracks of tyres."""
    lumps = clouds(x * 6 + 31, y * 6)
    from_wheel = (np.abs(np.abs(np.abs(spots.left_m) - np.float32(1.7)) - np.float32(0.75))) / np.float32(0.3)
    on_street = np.clip((spots.to_end_m - 7) / 5, 0, 1)  # in a junction all ways meet, so tracks are everywhere
    track = on_street * np.exp(-from_wheel * from_wheel) + (1 - on_street) * np.float32(0.3)
    road = np.clip(0.72 + 0.4 * (lumps - 0.5) - 0.7 * track, 0.05, 1)
    share: ndarray = np.where(is_road, road, np.clip(0.35 + 1.2 * lumps, 0, 1))
    return share
