"""Things that stand along streets: buildings, fences, trees, lamps and cars, each made of a few solids."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from datasets.town.facades import SHOP_COLOURS
from datasets.town.materials import Material, looks, panels
from datasets.town.scene import Mesh
from datasets.town.signs import Sign
from datasets.town.solids import Triangles, boulder, box, column, frustum, gable, normals, placed, rod, upright

Palette = Float[ndarray, "k 3"]

WALLS: Palette = np.array(
    [
        (0.55, 0.50, 0.42), (0.45, 0.42, 0.38), (0.36, 0.18, 0.13), (0.30, 0.13, 0.09),
        (0.62, 0.60, 0.55), (0.55, 0.42, 0.22), (0.34, 0.35, 0.36), (0.60, 0.38, 0.28),
        (0.38, 0.46, 0.40), (0.36, 0.42, 0.52), (0.62, 0.54, 0.40), (0.42, 0.30, 0.20),
    ]
)  # fmt: skip
ROOFS: Palette = np.array([(0.28, 0.12, 0.08), (0.16, 0.15, 0.15), (0.22, 0.17, 0.14)])
FENCES: Palette = np.array([(0.10, 0.18, 0.06), (0.36, 0.22, 0.16), (0.40, 0.38, 0.34)])
LEAVES: Palette = np.array([(0.11, 0.23, 0.05), (0.17, 0.23, 0.06), (0.08, 0.17, 0.06), (0.20, 0.19, 0.05)])
PAINTS: Palette = np.array(
    [
        (0.50, 0.50, 0.50), (0.03, 0.03, 0.035), (0.65, 0.65, 0.65), (0.20, 0.20, 0.20),
        (0.42, 0.03, 0.02), (0.04, 0.09, 0.30), (0.03, 0.16, 0.09), (0.10, 0.11, 0.13),
    ]
)  # fmt: skip
BARK = np.array((0.14, 0.10, 0.07))
STEEL = np.array((0.20, 0.21, 0.22))
TYRES = np.array((0.03, 0.03, 0.03))
PLATE = np.array((0.6, 0.58, 0.45))
SQUARE = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)])
_ROUND = 0.5 * np.stack([np.cos(np.pi * np.arange(10) / 5), np.sin(np.pi * np.arange(10) / 5)], axis=1)
SIGN_OUTLINES = {
    Sign.PROHIBITION: _ROUND,
    Sign.WARNING: np.array([(-0.55, -0.5), (0.55, -0.5), (0.0, 0.5)]),
    Sign.MANDATORY: _ROUND,
    Sign.DIRECTIONS: SQUARE * np.array([1.3, 0.6]),
}
"""Outlines of signs of size 1 m, as coordinates sideways and up."""


@dataclass(frozen=True, slots=True)
class Spot:
    """A place on the ground with a heading. Local x points along the heading, and y to the left."""

    position_m: Float[ndarray, "2"]
    yaw_rad: float

    def moved(self, x_m: float, y_m: float) -> "Spot":
        """The spot at the local offset (``x_m``, ``y_m``), with the same heading."""
        cos, sin = np.cos(self.yaw_rad), np.sin(self.yaw_rad)
        return Spot(self.position_m + np.array([cos * x_m - sin * y_m, sin * x_m + cos * y_m]), self.yaw_rad)

    def turned(self, angle_rad: float) -> "Spot":
        """The spot at the same position, turned by ``angle_rad``."""
        return Spot(self.position_m, self.yaw_rad + angle_rad)


def tinted(palette: Palette, random: np.random.Generator) -> Float[ndarray, "3"]:
    """A random colour of the palette, a little lighter or darker."""
    return random.choice(palette) * random.uniform(0.8, 1.2)


def solid(
    triangles: Triangles,
    spot: Spot,
    bottom_m: float,
    albedo: Float[ndarray, "3"],
    material: Material,
    number: int = 0,
) -> Mesh:
    """A solid of one colour and material at ``spot``, ``bottom_m`` above the ground; ``number`` varies the texture."""
    east, north = spot.position_m
    there = placed(triangles, (east, north, bottom_m), spot.yaw_rad)
    look = looks(len(triangles), material, number)
    look["panel"] = panels(there, normals(there))
    return Mesh(triangles_m=there, albedo=np.tile(albedo, (len(triangles), 1)), look=look)


def any_number(random: np.random.Generator) -> int:
    """A random number that varies a texture; a look has room for numbers four times as large."""
    return int(random.integers(1 << 30))


def walls(size_m: tuple[float, float, float], spot: Spot, albedo: Float[ndarray, "3"], number: int) -> Mesh:
    """A body of facades whose front is towards local -y. Each side's look has the house's number and the side's own."""
    body = solid(box(*size_m), spot, 0.0, albedo, Material.FACADE)
    sides = np.array([0, 1, 2, 3, 0, 1, 2, 3, 2, 2, 2, 2])
    body.looks()["number"][:] = number << 2 | sides
    return body


def building(spot: Spot, size_m: tuple[float, float, float], is_gabled: bool, random: np.random.Generator) -> Mesh:
    """A house with a gable roof or a flat roof; its size is width (local x), depth, and height of the eaves."""
    width, depth, height = size_m
    wall, roof, number = tinted(WALLS, random), tinted(ROOFS, random), any_number(random)
    body = walls(size_m, spot, wall, number)
    if not is_gabled:
        shed = box(width * random.uniform(0.2, 0.5), depth * random.uniform(0.2, 0.5), random.uniform(1.0, 3.0))
        off_middle = spot.moved(width * random.uniform(-0.2, 0.2), depth * random.uniform(-0.2, 0.2))
        ledge = solid(box(width + 0.2, depth + 0.2, 0.25), spot, height, 0.7 * wall, Material.ROOF)
        return Mesh.joined([body, ledge, solid(shed, off_middle, height + 0.25, roof, Material.ROOF)])
    along_street = random.random() < 0.5
    ridge, span = (width, depth) if along_street else (depth, width)
    rise = span * random.uniform(0.25, 0.6)
    turned = spot if along_street else spot.turned(np.pi / 2)
    chimney = turned.moved(ridge * random.uniform(-0.4, 0.4), span * random.uniform(-0.1, 0.1))
    top = solid(gable(ridge + 0.4, span + 0.6, rise), turned, height, roof, Material.ROOF)
    top.albedo[-2:], top.looks()["material"][-2:], top.looks()["number"][-2:] = wall, Material.FACADE, number << 2 | 2
    stack = solid(box(0.7, 0.7, rise + 0.9), chimney, height, wall, Material.FACADE, number << 2 | 2)
    return Mesh.joined([body, top, stack])


def annex(spot: Spot, size_m: tuple[float, float, float], random: np.random.Generator) -> Mesh:
    """A porch, bay or garage: a flat-topped box of facades."""
    return walls(size_m, spot, tinted(WALLS, random), any_number(random))


def fence(
    spot: Spot, size_m: tuple[float, float, float], albedo: Float[ndarray, "3"], number: int, material: Material
) -> Mesh:
    """A piece of wall or hedge."""
    return solid(box(*size_m), spot, 0.0, albedo, material, number)


@dataclass(frozen=True, slots=True)
class Tree:
    """A tree in leaf and bare; the two are alike for a conifer."""

    in_leaf: Mesh
    bare: Mesh


def tree(spot: Spot, radius_m: float, random: np.random.Generator) -> Tree:
    """A trunk with a crown of a few lumps, or a conifer; crowns begin above the roof of a car."""
    trunk, leaves, girth = random.uniform(2.4, 4.0), tinted(LEAVES, random), random.uniform(0.12, 0.25)
    stem = solid(column(girth, trunk + 0.8, 0.1), spot, 0.0, BARK, Material.BARK)
    if random.random() < 0.25:
        height = random.uniform(4, 8)
        tiers = [
            solid(column(share * radius_m, 0.55 * height, 0.05, sides=7), spot, bottom, leaves, Material.LEAVES)
            for share, bottom in (
                (1.0, trunk - 1.4),
                (0.78, trunk - 1.4 + 0.28 * height),
                (0.55, trunk - 1.4 + 0.55 * height),
            )
        ]
        conifer = Mesh.joined([stem, *tiers])
        return Tree(conifer, conifer)
    half_height = radius_m * random.uniform(0.8, 1.5)
    middle = trunk + 0.85 * half_height
    parts = [
        solid(
            boulder((0.7 * radius_m, 0.7 * radius_m, 0.9 * half_height), 0.22, random),
            spot,
            middle,
            leaves,
            Material.LEAVES,
        )
    ]
    for angle in random.uniform(0, 2 * np.pi) + np.arange(5) * 2 * np.pi / 5:
        lump, reach = radius_m * random.uniform(0.4, 0.6), radius_m * random.uniform(0.45, 0.65)
        there = spot.moved(float(reach * np.cos(angle)), float(reach * np.sin(angle)))
        up = middle + half_height * random.uniform(-0.5, 0.6)
        shape = boulder((lump, lump, 0.85 * lump), 0.25, random, is_coarse=True)
        parts.append(solid(shape, there, up, leaves * random.uniform(0.8, 1.2), Material.LEAVES))
    return Tree(
        Mesh.joined([stem, *parts]), Mesh.joined([stem, *_branches(spot, trunk, radius_m, half_height, girth, random)])
    )


def _branches(
    spot: Spot, trunk_m: float, radius_m: float, half_height_m: float, girth_m: float, random: np.random.Generator
) -> list[Mesh]:
    """Boughs from the top of the trunk outwards, each with a few twigs."""
    rods = [rod((0.0, 0.0, trunk_m), (0.0, 0.0, trunk_m + 1.8 * half_height_m), 0.7 * girth_m)]
    for angle in random.uniform(0, 2 * np.pi) + np.arange(5) * 2 * np.pi / 5:
        out, up = radius_m * random.uniform(0.6, 0.95), half_height_m * random.uniform(0.5, 1.5)
        start = (0.0, 0.0, trunk_m + random.uniform(-0.2, 0.6))
        end = (float(out * np.cos(angle)), float(out * np.sin(angle)), trunk_m + up)
        rods.append(rod(start, end, 0.5 * girth_m))
        for share in (0.45, 0.7):
            x, y, z = np.array(start) + share * np.subtract(end, start)
            aside = random.uniform(-0.45, 0.45, 3) * radius_m
            twig = (x + aside[0], y + aside[1], z + aside[2] + 0.3 * half_height_m)
            rods.append(rod((x, y, z), twig, 0.2 * girth_m))
    return [solid(np.concatenate(rods), spot, 0.0, BARK, Material.BARK)]


def lamp(spot: Spot) -> Mesh:
    """A street lamp whose arm reaches forward."""
    return Mesh.joined(
        [
            solid(column(0.10, 6.0, 0.06), spot, 0.0, STEEL, Material.STEEL),
            solid(box(1.8, 0.12, 0.12), spot.moved(0.8, 0.0), 5.9, STEEL, Material.STEEL),
            solid(box(0.7, 0.3, 0.15), spot.moved(1.6, 0.0), 5.75, STEEL, Material.LAMP),
        ]
    )


def _plate(outline: Float[ndarray, "k 2"], spot: Spot, bottom_m: float, number: int) -> Mesh:
    """The plate of a sign, on the side of its post towards local x; its face looks there."""
    plate = solid(upright(frustum(outline, outline, 0.04)), spot.moved(0.06, 0.0), bottom_m, STEEL, Material.STEEL)
    look, count = plate.looks(), len(outline) - 2
    face = slice(-count, None)
    left, bottom = look["panel"][face, 0].min(), look["panel"][face, 2].min()
    look["material"][face], look["number"][face] = Material.SIGN, number
    look["panel"][face] = (left, *np.ptp(outline, axis=0)[:1], bottom, np.ptp(outline[:, 1]))
    return plate


def traffic_sign(spot: Spot, random: np.random.Generator) -> Mesh:
    """A round, triangular or rectangular plate on a post, facing local x; one post in four has two plates."""
    post = solid(column(0.04, 2.9, 0.04), spot, 0.0, STEEL, Material.STEEL)
    count, parts, bottom = (2 if random.random() < 0.25 else 1), [post], 2.1
    for _ in range(count):
        number, size = any_number(random), random.uniform(0.6, 0.8)
        outline = SIGN_OUTLINES[Sign(number & 3)] * size
        parts.append(_plate(outline, spot, bottom + 0.5 * float(np.ptp(outline[:, 1])), number))
        bottom += float(np.ptp(outline[:, 1])) + 0.05
    return Mesh.joined(parts)


def direction_board(spot: Spot, random: np.random.Generator) -> Mesh:
    """A large board on two posts, facing local x."""
    width, height = random.uniform(1.6, 2.4), random.uniform(0.9, 1.5)
    number = any_number(random) | Sign.DIRECTIONS
    posts = [
        solid(column(0.05, 2.2 + height, 0.05), spot.moved(0.0, y * width), 0.0, STEEL, Material.STEEL)
        for y in (-0.35, 0.35)
    ]
    outline = SQUARE * np.array([width, height])
    return Mesh.joined([*posts, _plate(outline, spot, 2.2 + height / 2, number)])


def shop_sign(spot: Spot, size_m: tuple[float, float, float], bottom_m: float, random: np.random.Generator) -> Mesh:
    """A box whose sides have a design in strong colours."""
    colour = SHOP_COLOURS[random.integers(len(SHOP_COLOURS))]
    return solid(box(*size_m), spot, bottom_m, colour, Material.SHOP_SIGN, any_number(random))


def pylon(spot: Spot, random: np.random.Generator) -> Mesh:
    """A tall mast with a shop's sign on it, which is seen from far away."""
    height, side = random.uniform(4.0, 7.0), random.uniform(1.4, 2.2)
    mast = solid(column(0.15, height, 0.12), spot, 0.0, STEEL, Material.STEEL)
    return Mesh.joined([mast, shop_sign(spot, (side, 0.35, random.uniform(0.8, 1.6)), height, random)])


def car(spot: Spot, random: np.random.Generator, is_lit: bool = False) -> Mesh:
    """A car, or one time in eight a van, that heads along local x; its lamps are on if ``is_lit``."""
    length, width, waist = random.uniform(3.7, 4.8), random.uniform(1.65, 1.85), random.uniform(0.85, 1.0)
    paint, is_van = tinted(PAINTS, random), random.random() < 0.125
    share, back, inset = (0.78, -0.09, 0.06) if is_van else (random.uniform(0.5, 0.68), -0.08, 0.22)
    height = random.uniform(1.0, 1.4) if is_van else random.uniform(0.48, 0.6)
    body = solid(box(length, width, waist - 0.22), spot, 0.22, paint, Material.PAINT, 2 * is_lit)
    body.looks()["number"][[1, 5]] |= 1  # marks the front
    foot = 0.5 * SQUARE * 2 * np.array([share * length, width - 0.06])
    top = SQUARE * np.array([(share - (0.1 if is_van else 0.24)) * length, width - 0.06 - inset])
    cabin = solid(frustum(foot, top, height), spot.moved(back * length, 0.0), waist, paint, Material.GLASS)
    if is_van:
        cabin.looks()["material"][[0, 2, 3, 4, 6, 7]] = Material.PAINT
    cabin.looks()["material"][-2:] = Material.PAINT
    under = solid(box(length - 0.7, width - 0.15, 0.22), spot, 0.0, TYRES, Material.TYRE)
    plates = [
        solid(box(0.03, 0.5, 0.11), spot.moved(end * (length / 2 + 0.01), 0.0), 0.42, PLATE, Material.PLATE)
        for end in (1, -1)
    ]
    return Mesh.joined([under, body, cabin, *plates])
