"""The materials of surfaces, on which a camera's texture and a LiDAR's return depend."""

from enum import IntEnum

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from datasets.town.solids import Triangles


class Material(IntEnum):
    """Kinds of surface, each with a texture and a near-infrared reflectivity."""

    PLAIN = 0
    ROAD = 1
    PAVEMENT = 2
    GRASS = 3
    FACADE = 4
    ROOF = 5
    FENCE = 6
    HEDGE = 7
    LEAVES = 8
    BARK = 9
    STEEL = 10
    PAINT = 11
    GLASS = 12
    TYRE = 13
    SIGN = 14
    PLATE = 15
    LAMP = 16
    SHOP_SIGN = 17


GROUND = (Material.ROAD, Material.PAVEMENT, Material.GRASS)
"""The materials of the ground, from the middle of the road outwards."""

NEAR_INFRARED = {
    Material.PLAIN: 0.4,
    Material.ROAD: 0.1,
    Material.PAVEMENT: 0.25,
    Material.GRASS: 0.45,
    Material.FACADE: 0.4,
    Material.ROOF: 0.25,
    Material.FENCE: 0.35,
    Material.HEDGE: 0.55,
    Material.LEAVES: 0.6,
    Material.BARK: 0.3,
    Material.STEEL: 0.3,
    Material.PAINT: 0.35,
    Material.GLASS: 0.04,
    Material.TYRE: 0.04,
    Material.SIGN: 4.0,
    Material.PLATE: 3.0,
    Material.LAMP: 0.3,
    Material.SHOP_SIGN: 0.5,
}
"""Share of a LiDAR's light that comes back, against a white diffuse surface at the same range and angle. It is above 1
for a retroreflector, which sends light back to the sensor."""

REFLECTIVITY = np.array([NEAR_INFRARED[material] for material in Material], dtype=np.float32)

LOOK = np.dtype([("material", "u1"), ("number", "u4"), ("panel", "f4", 4)], align=True)
"""Everything that a surface's texture depends on: its material, a number that varies the design, and its panel.

The panel is the upright rectangle that the texture lies on, in metres: begin and width, then bottom and height. Begin
and width are along the horizontal direction that is left of the surface's normal seen from above."""


def looks(count: int, material: Material, number: int = 0) -> ndarray:
    """The looks of ``count`` surfaces of one material, without a panel."""
    look = np.zeros(count, LOOK)
    look["material"], look["number"] = material, number
    return look


def panels(triangles_m: Triangles, normal: Float[ndarray, "n 3"]) -> Float[ndarray, "n 4"]:
    """The panel that each triangle spans. The two halves of an upright rectangle have the same panel."""
    u = across(triangles_m.swapaxes(0, 1), normal).T
    z = triangles_m[:, :, 2]
    return np.stack([u.min(1), np.ptp(u, axis=1), z.min(1), np.ptp(z, axis=1)], axis=1)


def across(position_m: ndarray, normal: ndarray) -> ndarray:
    """Coordinate along the horizontal that is left of ``normal`` seen from above, and right seen from the front."""
    level = np.maximum(np.hypot(normal[:, 0], normal[:, 1]), np.float32(1e-6))
    along: ndarray = (position_m[..., 1] * normal[:, 0] - position_m[..., 0] * normal[:, 1]) / level
    return along
