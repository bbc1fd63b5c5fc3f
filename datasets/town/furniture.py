"""What stands along streets: buildings, fences, trees, lamps and cars, each made of a few solids."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from datasets.town.materials import Material, looks
from datasets.town.scene import Mesh
from datasets.town.solids import Triangles, boulder, box, column, gable, placed

Palette = Float[ndarray, "k 3"]

WALLS: Palette = np.array(
    [
        *((0.55, 0.50, 0.42), (0.45, 0.42, 0.38), (0.40, 0.24, 0.18)),
        *((0.62, 0.60, 0.55), (0.48, 0.40, 0.28), (0.34, 0.35, 0.36)),
    ]
)
ROOFS: Palette = np.array([(0.28, 0.12, 0.08), (0.16, 0.15, 0.15), (0.22, 0.17, 0.14)])
FENCES: Palette = np.array([(0.10, 0.18, 0.06), (0.36, 0.22, 0.16), (0.40, 0.38, 0.34)])
LEAVES: Palette = np.array([(0.10, 0.20, 0.05), (0.14, 0.20, 0.06), (0.07, 0.14, 0.06)])
PAINTS: Palette = np.array(
    [
        *((0.50, 0.50, 0.50), (0.04, 0.04, 0.05), (0.60, 0.60, 0.60)),
        *((0.30, 0.05, 0.04), (0.06, 0.10, 0.25), (0.20, 0.20, 0.20)),
    ]
)
BARK = np.array((0.14, 0.10, 0.07))
STEEL = np.array((0.20, 0.21, 0.22))
TYRES = np.array((0.03, 0.03, 0.03))
CAR_GLASS = np.array((0.05, 0.06, 0.07))


@dataclass(frozen=True, slots=True)
class Spot:
    """A place on the ground with a heading. Local x runs along the heading, y to its left."""

    position_m: Float[ndarray, "2"]
    yaw_rad: float

    def moved(self, x_m: float, y_m: float) -> "Spot":
        """The spot at the given local offset, with the same heading."""
        cos, sin = np.cos(self.yaw_rad), np.sin(self.yaw_rad)
        return Spot(self.position_m + np.array([cos * x_m - sin * y_m, sin * x_m + cos * y_m]), self.yaw_rad)

    def turned(self, angle_rad: float) -> "Spot":
        """The same position with another heading."""
        return Spot(self.position_m, self.yaw_rad + angle_rad)


def tinted(palette: Palette, random: np.random.Generator) -> Float[ndarray, "3"]:
    """One of the palette's colours, a little lighter or darker."""
    return random.choice(palette) * random.uniform(0.8, 1.2)


def solid(triangles: Triangles, spot: Spot, bottom_m: float, albedo: Float[ndarray, "3"], material: Material) -> Mesh:
    """A solid of one colour and material at ``spot``, ``bottom_m`` above the ground."""
    east, north = spot.position_m
    return Mesh(
        triangles_m=placed(triangles, (east, north, bottom_m), spot.yaw_rad),
        albedo=np.tile(albedo, (len(triangles), 1)),
        look=looks(len(triangles), material),
    )


def building(spot: Spot, size_m: tuple[float, float, float], is_gabled: bool, random: np.random.Generator) -> Mesh:
    """A house of width (local x), depth and height to the eaves, with a gable roof or a flat one."""
    width, depth, height = size_m
    wall, roof = tinted(WALLS, random), tinted(ROOFS, random)
    body = solid(box(width, depth, height), spot, 0.0, wall, Material.FACADE)
    if not is_gabled:
        shed = box(width * random.uniform(0.2, 0.5), depth * random.uniform(0.2, 0.5), random.uniform(1.0, 3.0))
        off_middle = spot.moved(width * random.uniform(-0.2, 0.2), depth * random.uniform(-0.2, 0.2))
        return Mesh.joined([body, solid(shed, off_middle, height, roof, Material.ROOF)])
    along_street = random.random() < 0.5
    ridge, span = (width, depth) if along_street else (depth, width)
    rise = span * random.uniform(0.25, 0.6)
    turned = spot if along_street else spot.turned(np.pi / 2)
    chimney = turned.moved(ridge * random.uniform(-0.4, 0.4), span * random.uniform(-0.1, 0.1))
    return Mesh.joined(
        [
            body,
            solid(gable(ridge + 0.4, span + 0.6, rise), turned, height, roof, Material.ROOF),
            solid(box(0.7, 0.7, rise + 0.9), chimney, height, wall, Material.FACADE),
        ]
    )


def annex(spot: Spot, size_m: tuple[float, float, float], random: np.random.Generator) -> Mesh:
    """A porch, bay or garage: a plain box."""
    return solid(box(*size_m), spot, 0.0, tinted(WALLS, random), Material.FACADE)


def fence(spot: Spot, size_m: tuple[float, float, float], albedo: Float[ndarray, "3"]) -> Mesh:
    """A piece of wall or hedge."""
    return solid(box(*size_m), spot, 0.0, albedo, Material.FENCE)


def tree(spot: Spot, radius_m: float, random: np.random.Generator) -> Mesh:
    """A trunk with a round crown, or a conifer; crowns begin above a car's roof."""
    trunk, leaves = random.uniform(2.4, 4.0), tinted(LEAVES, random)
    stem = solid(column(random.uniform(0.12, 0.25), trunk + 0.8, 0.1), spot, 0.0, BARK, Material.BARK)
    if random.random() < 0.25:
        cone = column(radius_m, random.uniform(4, 8), 0.1, sides=8)
        return Mesh.joined([stem, solid(cone, spot, trunk - 0.4, leaves, Material.LEAVES)])
    half_height = radius_m * random.uniform(0.8, 1.7)
    crown = boulder((radius_m, radius_m, half_height), 0.18, random)
    return Mesh.joined([stem, solid(crown, spot, trunk + 0.85 * half_height, leaves, Material.LEAVES)])


def lamp(spot: Spot) -> Mesh:
    """A street lamp whose arm reaches forward."""
    return Mesh.joined(
        [
            solid(column(0.10, 6.0, 0.06), spot, 0.0, STEEL, Material.STEEL),
            solid(box(1.8, 0.12, 0.12), spot.moved(0.8, 0.0), 5.9, STEEL, Material.STEEL),
            solid(box(0.7, 0.3, 0.15), spot.moved(1.6, 0.0), 5.8, STEEL, Material.STEEL),
        ]
    )


def car(spot: Spot, random: np.random.Generator) -> Mesh:
    """A parked car or, one time in eight, a van: wheels, body and cabin as stacked boxes."""
    length, width, waist = random.uniform(3.7, 4.8), random.uniform(1.65, 1.85), random.uniform(0.85, 1.0)
    paint, is_van = tinted(PAINTS, random), random.random() < 0.125
    share, inset, height_m = (0.75, 0.05, (1.0, 1.4)) if is_van else (0.5, 0.2, (0.5, 0.6))
    cabin = box(share * length, width - inset, random.uniform(*height_m))
    return Mesh.joined(
        [
            solid(box(length - 0.7, width - 0.1, 0.3), spot, 0.0, TYRES, Material.TYRE),
            solid(box(length, width, waist - 0.3), spot, 0.3, paint, Material.PAINT),
            solid(
                cabin,
                spot.moved(-0.1 * length, 0.0),
                waist,
                paint if is_van else CAR_GLASS,
                Material.PAINT if is_van else Material.GLASS,
            ),
        ]
    )
