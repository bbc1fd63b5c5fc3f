"""Textures: the colour of every spot that a camera sees, which depends on the material and the weather."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from datasets.town.facades import paint_facade, wall_of
from datasets.town.ground import GroundMap
from datasets.town.materials import Material, across
from datasets.town.noise import clouds, grain
from datasets.town.paving import paint_ground
from datasets.town.signs import paint_shop_sign, paint_sign

TYRE = np.array((0.02, 0.02, 0.022), dtype=np.float32)
CAR_GLASS = np.array((0.03, 0.035, 0.04), dtype=np.float32)
SNOW = np.array((0.80, 0.83, 0.88), dtype=np.float32)


@dataclass(slots=True)
class Spots:
    """The spots that rays have hit; textures write to ``albedo``, ``normal``, ``glow`` and ``mirror`` in place."""

    position_m: Float[ndarray, "n 3"]
    distance_m: Float[ndarray, " n"]
    look: ndarray
    """Rows of ``materials.LOOK``."""
    albedo: Float[ndarray, "n 3"]
    normal: Float[ndarray, "n 3"]
    glow: Float[ndarray, "n 3"]
    """Light that a spot gives off itself if lamps are on."""
    mirror: Float[ndarray, " n"]
    """Share of light that a spot mirrors, seen straight on."""

    def of(self, part: slice) -> "Spots":
        """The spots in the slice ``part``, as views."""
        return Spots(*(getattr(self, field)[part] for field in self.__slots__))

    def on_panel(self) -> tuple[Float[ndarray, " n"], Float[ndarray, " n"]]:
        """Coordinates to the right and up from the lower left corner of each spot's panel, in metres."""
        panel = self.look["panel"]
        return across(self.position_m, self.normal) - panel[:, 0], self.position_m[:, 2] - panel[:, 2]


def paint(spots: Spots, ground: GroundMap, day: int, snow: float, wet: float) -> None:
    """Give each spot the texture of its material; the spots must be in the order of their materials.

    ``snow`` and ``wet`` are shares from 0 to 1.
    """
    material = spots.look["material"]
    bounds = np.searchsorted(material, np.arange(len(Material) + 1, dtype=np.uint8))
    begin, end = bounds[Material.ROAD], bounds[Material.GRASS + 1]
    if begin < end:
        part = spots.of(slice(begin, end))
        kinds = material[begin:end]
        part.albedo[:], part.mirror[:] = paint_ground(part.position_m, kinds, part.distance_m, ground, snow, wet)
    for kind, texture in TEXTURES.items():
        first, last = bounds[kind], bounds[kind + 1]
        if first < last:
            texture(spots.of(slice(first, last)), day)
    for solid in (spots.of(slice(0, begin)), spots.of(slice(end, None))):
        if snow:
            _snow_on(solid, snow)
        else:
            solid.albedo *= 1 - np.float32(0.2 * wet)


def _snow_on(spots: Spots, snow: float) -> None:
    rows = np.flatnonzero(spots.normal[:, 2] > 0.25)
    x, y, _ = spots.position_m[rows].T
    steep = spots.normal[rows, 2] - 0.35 * clouds(x * 8, y * 8)
    share = np.float32(snow) * np.clip((steep - 0.25) * 5, 0, 1)[:, None]
    spots.albedo[rows] += share * (SNOW - spots.albedo[rows])


def _facade(spots: Spots, day: int) -> None:
    u, v = spots.on_panel()
    wall = wall_of(spots.look["number"], u, v, spots.look["panel"])
    spots.albedo[:], spots.glow[:], spots.mirror[:] = paint_facade(wall, spots.albedo, spots.distance_m, day)


def _roof(spots: Spots, day: int) -> None:
    x, y, z = spots.position_m.T
    is_steep = spots.normal[:, 2] < 0.95
    row = z / 0.22
    tiles = -0.35 * (row % 1 < 0.25) * np.exp(-spots.distance_m / 20) + 0.3 * (grain(3 * (x + y), row) - 0.5)
    tone = 0.85 + 0.3 * clouds(x * 4 + z, y * 4) + np.where(is_steep, tiles, 0.1 * grain(x * 4, y * 4))
    spots.albedo *= tone.astype(np.float32)[:, None]


def _leaves(spots: Spots, day: int) -> None:
    """Clumps of leaves, uneven in tone and turned in all directions, with dark gaps between the clumps."""
    x, y, z = spots.position_m.T
    a, b = (x + np.float32(0.4) * z) * 7, (y - np.float32(0.5) * z + np.float32(0.3) * x) * 7
    coarse, clump = clouds(1.3 * a, 1.3 * b), grain(a, b)
    fine = np.exp(-spots.distance_m / 40)
    gap = (grain(1.7 * a, 1.7 * b + 31) < 0.22) * fine
    spots.albedo *= ((0.35 + 1.2 * coarse + 0.9 * fine * (clump - 0.5)) * (1 - 0.6 * gap))[:, None]
    tilt = np.stack([clump, grain(a + 91, b + 57), coarse], axis=1) - np.float32(0.5)
    turned = spots.normal + (0.5 + 0.9 * fine[:, None]) * tilt
    spots.normal[:] = turned / np.linalg.norm(turned, axis=1, keepdims=True)


def _bark(spots: Spots, day: int) -> None:
    x, y, z = spots.position_m.T
    spots.albedo *= (0.6 + 0.8 * grain((x + y) * 25, z * 6))[:, None]


def _fence(spots: Spots, day: int) -> None:
    """Bricks, planks or render under a coping; the number of a fence decides which."""
    u, v = spots.on_panel()
    number, fine = spots.look["number"], np.exp(-spots.distance_m / 15)
    course = np.floor(v / 0.1)
    brick = 0.7 * (grain(u / 0.25 + 0.5 * (course % 2), course) - 0.5)
    plank = 0.4 * (grain(np.floor(u / 0.12), number) - 0.5) - 0.5 * ((u / 0.12) % 1 < 0.12)
    tone = 1 + fine * np.select([number % 3 == 0, number % 3 == 1], [brick, plank], 0.2 * (grain(u * 9, v * 9) - 0.5))
    tone += 0.3 * (clouds(u * 8, v * 8) - 0.5)
    is_coping = v > spots.look["panel"][:, 3] - 0.07
    spots.albedo *= np.where(is_coping, 0.7, tone).astype(np.float32)[:, None]


def _paint(spots: Spots, day: int) -> None:
    """Car bodies: wheels and door lines on the long sides, lamps and grille on the short sides."""
    u, v = spots.on_panel()
    width, height = spots.look["panel"][:, 1], spots.look["panel"][:, 3]
    is_upright, number = np.abs(spots.normal[:, 2]) < 0.3, spots.look["number"]
    z = spots.position_m[:, 2]
    is_body = is_upright & (z - v < 0.5)
    is_side, is_end = is_body & (width > 2.6), is_body & (width <= 2.6)
    axle = np.minimum(np.abs(u - 0.19 * width), np.abs(u - 0.81 * width))
    wheel = np.hypot(axle, z - 0.33)
    seam = is_side & (np.abs(u - 0.52 * width) < 0.02) & (z > 0.4)
    spots.albedo[seam] *= np.float32(0.4)
    spots.albedo[is_side & (wheel < 0.38)] = TYRE
    spots.albedo[is_side & (wheel < 0.2)] = 0.3
    from_edge, from_top = np.minimum(u, width - u), height - v
    is_lamp = is_end & (from_edge < 0.38) & (from_top > 0.08) & (from_top < 0.25)
    is_front = (number & 1) == 1
    spots.albedo[is_end & ~is_lamp & (z < 0.42)] *= np.float32(0.3)
    spots.albedo[is_end & is_front & (from_edge > 0.45) & (from_top > 0.12) & (from_top < 0.3)] = 0.03
    spots.albedo[is_lamp & is_front], spots.albedo[is_lamp & ~is_front] = 0.75, (0.5, 0.02, 0.01)
    is_on = (number & 2) == 2
    spots.glow[is_lamp & is_on & is_front], spots.glow[is_lamp & is_on & ~is_front] = (4.0, 3.8, 3.2), (1.2, 0.05, 0.02)
    spots.mirror[:] = np.where(is_side & (wheel < 0.38), 0, 0.06)


def _glass(spots: Spots, day: int) -> None:
    """The cabin of a car: glass between pillars in the colour of the car, which is the albedo of the surface."""
    u, v = spots.on_panel()
    width, height = spots.look["panel"][:, 1], spots.look["panel"][:, 3]
    from_edge = np.minimum(u, width - u)
    is_pillar = (from_edge < 0.09) | ((width > 1.75) & (np.abs(u - 0.5 * width) < 0.05)) | (height - v < 0.06)
    spots.albedo[:] = np.where(is_pillar[:, None], spots.albedo, CAR_GLASS)
    spots.mirror[:] = np.where(is_pillar, 0.06, 0.45)


def _sign(spots: Spots, day: int) -> None:
    u, v = spots.on_panel()
    spots.albedo[:] = paint_sign(spots.look["number"], u, v, spots.look["panel"])


def _shop_sign(spots: Spots, day: int) -> None:
    u, v = spots.on_panel()
    is_upright = np.abs(spots.normal[:, 2]) < 0.3
    painted = paint_shop_sign(spots.look["number"], u, v, spots.look["panel"], spots.albedo)
    spots.albedo[:] = np.where(is_upright[:, None], painted, spots.albedo)
    spots.glow[:] = np.where(is_upright[:, None], painted, 0)


def _lamp(spots: Spots, day: int) -> None:
    spots.glow[spots.normal[:, 2] < 0.5] = (6.0, 4.6, 2.6)


TEXTURES: dict[Material, Callable[[Spots, int], None]] = {
    Material.FACADE: _facade,
    Material.ROOF: _roof,
    Material.FENCE: _fence,
    Material.HEDGE: _leaves,
    Material.LEAVES: _leaves,
    Material.BARK: _bark,
    Material.PAINT: _paint,
    Material.GLASS: _glass,
    Material.SIGN: _sign,
    Material.SHOP_SIGN: _shop_sign,
    Material.LAMP: _lamp,
}
"""Textures by material. Other materials have the plain colour of their surface; ``paving`` has those of the ground."""
