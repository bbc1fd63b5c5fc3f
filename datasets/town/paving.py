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
SLUSH = np.array((0.30, 0.30, 0.31), dtype=np.float32)

STOP_M = (7.6, 8.0)
"""Where the stop line lies, from the middle of the junction."""
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
    """Colour and share of mirroring of spots on the ground."""
    x, y = position_m[:, 0], position_m[:, 1]
    fine = np.exp(-distance_m / 12).astype(np.float32)
    uneven, speckle = clouds(x * 5, y * 5), fine * (grain(x * 30, y * 30) - np.float32(0.5))
    is_road, is_pavement = material == Material.ROAD, material == Material.PAVEMENT
    albedo = np.empty((len(x), 3), np.float32)
    grass = ~is_road & ~is_pavement
    soil = np.clip((clouds(x * 3 + 77, y * 3) - 0.62) * 4, 0, 1)[grass, None]
    blades = 0.55 + 0.7 * uneven[grass] + 0.9 * speckle[grass]
    albedo[grass] = (GRASS + soil * (SOIL - GRASS)) * blades[:, None]
    paved = ~grass
    if paved.any():
        spots = ground.along_streets(position_m[paved, :2])
        clearance = ground.at(position_m[paved, :2]).astype(np.float32)
        tone = (0.72 + 0.5 * uneven + 0.6 * speckle)[paved, None]
        albedo[paved] = _paved(position_m[paved], clearance, spots, fine[paved], is_road[paved]) * tone
    if snow:
        _cover(albedo, x, y, is_road, is_pavement, ground, position_m, snow)
    mirror = np.zeros(len(x), np.float32)
    if wet:
        puddle = np.clip((clouds(x * 2.5, y * 2.5 + 40) - 0.45) * 4, 0.15, 1)
        mirror[paved] = (np.float32(wet) * puddle)[paved]
        albedo[paved] *= (1 - np.float32(wet) * (0.35 + 0.25 * puddle[paved]))[:, None]
        albedo[grass] *= 1 - 0.25 * np.float32(wet)
    return albedo, mirror


def _paved(
    position_m: ndarray, clearance_m: ndarray, spots: RoadSpots, fine: ndarray, is_road: ndarray
) -> Float[ndarray, "n 3"]:
    x, y = position_m[:, 0], position_m[:, 1]
    joint = ((spots.left_m / 0.5) % 1 < 0.06) | ((spots.to_end_m / 0.5) % 1 < 0.06)
    slab = SLABS[spots.street % len(SLABS)] * (1 - 0.5 * fine * joint)[:, None]
    patch = np.where(grain(np.floor(x / 3.1), np.floor(y / 2.3)) < 0.06, 0.72, 1.0)
    worn = 1 + 0.18 * np.exp(-(((np.abs(spots.left_m) - 1.7) / 0.9) ** 2))
    asphalt = ASPHALT * (patch * worn * (0.8 + 0.1 * (spots.street % 5))).astype(np.float32)[:, None]
    colour = np.where(is_road[:, None], asphalt, slab)
    gutter = (clearance_m < 0) & (clearance_m > -0.12)
    colour[gutter] *= np.float32(0.6)
    colour[(clearance_m >= 0) & (clearance_m < KERB_M)] = KERB
    marked = is_road & markings(spots, clearance_m)
    wear = 0.6 + 0.4 * clouds(x * 12, y * 12)
    colour[marked] = MARKING * wear[marked, None]
    return colour


def markings(spots: RoadSpots, clearance_m: Float[ndarray, " n"]) -> ndarray:
    """Which spots on roads are painted white: dashes along the middle, parking bays, stop lines and zebra crossings.

    Each street has its own set: three in four have dashes, one in three zebra crossings at its ends.
    """
    beside, along, number = np.abs(spots.left_m), spots.to_end_m, spots.street
    is_open = along > STOP_M[1] + 1.5
    has_zebra = number % 3 == 0
    is_dashed = (beside < 0.07) & is_open & ~(has_zebra & (along < ZEBRA_M[1])) & (along % 6 < 3) & (number % 4 != 3)
    edge = (clearance_m < -0.25) & (clearance_m > -0.37) & is_open & (number % 4 == 1)
    stop = (along > STOP_M[0]) & (along < STOP_M[1]) & (clearance_m < -0.3)
    zebra = has_zebra & (along > ZEBRA_M[0]) & (along < ZEBRA_M[1]) & (spots.left_m % 1.0 < 0.5) & (clearance_m < -0.2)
    is_marked: ndarray = is_dashed | edge | stop | zebra
    return is_marked


def _cover(
    albedo: ndarray,
    x: ndarray,
    y: ndarray,
    is_road: ndarray,
    is_pavement: ndarray,
    ground: GroundMap,
    position_m: ndarray,
    snow: float,
) -> None:
    """Snow: whole on grass, trodden on pavements, gone in the tyres' tracks."""
    lumps = clouds(x * 6 + 31, y * 6)
    share = np.where(is_pavement, np.clip(0.35 + 1.2 * lumps, 0, 1), 1.0).astype(np.float32)
    road = np.flatnonzero(is_road)
    lanes = ground.along_streets(position_m[road, :2])
    from_wheel = np.abs(np.abs(np.abs(lanes.left_m) - 1.7) - 0.75)
    track = np.exp(-((from_wheel / 0.3) ** 2)) * (lanes.to_end_m > 5) + 0.45 * (lanes.to_end_m <= 5)
    share[road] = np.clip(0.72 + 0.4 * (lumps[road] - 0.5) - 0.75 * track, 0.05, 1)
    white = np.where(is_road[:, None], SNOW * np.float32(0.85), SNOW) * (0.9 + 0.15 * lumps)[:, None]
    albedo += np.float32(snow) * share[:, None] * (white - albedo)
    albedo[road] += (0.25 * track * np.float32(snow))[:, None] * (SLUSH - albedo[road])
