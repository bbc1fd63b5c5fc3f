"""Closed solids as triangles, standing on the origin; corners run counter-clockwise seen from outside."""

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

Triangles = Float[ndarray, "n 3 3"]
Point = tuple[float, float, float]


def box(length_m: float, width_m: float, height_m: float) -> Triangles:
    """A box of ``length_m`` along x and ``width_m`` along y that stands on z = 0. It has 12 triangles."""
    return frustum(_rectangle(length_m, width_m), _rectangle(length_m, width_m), height_m)


def gable(length_m: float, width_m: float, height_m: float) -> Triangles:
    """A gable roof with a flat bottom, whose ridge runs along x. It has 8 triangles."""
    a, b, c, d = np.pad(_rectangle(length_m, width_m), ((0, 0), (0, 1)))
    west, east = np.array([-length_m / 2, 0, height_m]), np.array([length_m / 2, 0, height_m])
    quads = _split([a, b, east, west]) + _split([c, d, west, east]) + _split([d, c, b, a])
    return np.array([*quads, [b, c, east], [d, a, west]])


def column(radius_m: float, height_m: float, top_radius_m: float, sides: int = 6) -> Triangles:
    """An upright pole, trunk or cone with ``sides`` faces around. It has 4 · sides - 4 triangles."""
    angles = 2 * np.pi * np.arange(sides) / sides
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return frustum(radius_m * circle, top_radius_m * circle, height_m)


def frustum(bottom: Float[ndarray, "k 2"], top: Float[ndarray, "k 2"], height_m: float) -> Triangles:
    """The solid between two convex outlines (counter-clockwise) at z = 0 and ``height_m``, of 4 · k - 4 triangles."""
    k = len(bottom)
    i, j = np.arange(k), np.roll(np.arange(k), -1)
    fan = np.arange(1, k - 1)
    first = np.zeros_like(fan)
    sides = [np.stack([i, j, j + k], 1), np.stack([i, j + k, i + k], 1)]
    ends = [np.stack([first, fan + 1, fan], 1), np.stack([first, fan, fan + 1], 1) + k]
    corners = np.concatenate([np.pad(bottom, ((0, 0), (0, 1))), np.pad(top, ((0, 0), (0, 1)))])
    corners[k:, 2] = height_m
    return corners[np.concatenate(sides + ends)]


def boulder(
    radii_m: tuple[float, float, float], roughness: float, random: np.random.Generator, is_coarse: bool = False
) -> Triangles:
    """A dented ball around the origin: an icosphere of 80 triangles (20 if coarse) with corners moved in and out.

    ``roughness`` is the largest relative change of a corner's radius.
    """
    ball, faces = _COARSE_BALL if is_coarse else _BALL
    scale = 1 + roughness * random.uniform(-1, 1, size=len(ball))
    corners = ball * scale[:, None] * np.array(radii_m)
    return corners[faces]


def rod(start_m: Point, end_m: Point, radius_m: float) -> Triangles:
    """A straight branch of three sides that gets thinner towards its end. It has 8 triangles."""
    axis = np.subtract(end_m, start_m)
    length = float(np.linalg.norm(axis))
    z = axis / length
    x = np.cross(z, (0.0, 0.6, 0.8) if abs(z[0]) > 0.9 else (1.0, 0.0, 0.0))
    x /= np.linalg.norm(x)
    turn = np.stack([x, np.cross(z, x), z], axis=1)
    return column(radius_m, length, 0.3 * radius_m, sides=3) @ turn.T + np.array(start_m)


def upright(triangles: Triangles) -> Triangles:
    """``triangles`` turned so that those in the plane of x and y stand in the plane of y and z, facing along x."""
    return triangles[:, :, [2, 0, 1]]


def normals(triangles: Triangles) -> Float[ndarray, "n 3"]:
    """Unit normals of ``triangles``, which point out of the solid."""
    sides = np.diff(triangles, axis=1)
    normal = np.cross(sides[:, 0], sides[:, 1])
    return normal / np.linalg.norm(normal, axis=1, keepdims=True)


def placed(triangles: Triangles, position_m: tuple[float, float, float], yaw_rad: float) -> Triangles:
    """``triangles`` turned about z by ``yaw_rad``, then moved to ``position_m``."""
    cos, sin = np.cos(yaw_rad), np.sin(yaw_rad)
    turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    return np.einsum("ij,nkj->nki", turn, triangles) + np.array(position_m)


def _rectangle(length_m: float, width_m: float) -> Float[ndarray, "4 2"]:
    return np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * np.array([length_m / 2, width_m / 2])


def _split(quad: list[ndarray]) -> list[list[ndarray]]:
    a, b, c, d = quad
    return [[a, b, c], [a, c, d]]


Ball = tuple[Float[ndarray, "corners 3"], Int[ndarray, "faces 3"]]


def _icosahedron() -> Float[ndarray, "12 3"]:
    golden = (1 + 5**0.5) / 2
    rectangle = [(a, b * golden, 0.0) for a in (-1, 1) for b in (-1, 1)]
    return np.array([np.roll(corner, turn) for turn in range(3) for corner in rectangle])


def _halved(corners: Float[ndarray, "corners 3"]) -> Float[ndarray, "more 3"]:
    """The corners, and the middles of the edges of their hull, which cut each face into four."""
    from scipy.spatial import ConvexHull  # here: a plan needs none of it

    a, b, c = np.moveaxis(corners[ConvexHull(corners).simplices], 1, 0)
    return np.unique(np.concatenate([corners, (a + b) / 2, (b + c) / 2, (c + a) / 2]).round(9), axis=0)


def _ball(corners: Float[ndarray, "corners 3"]) -> Ball:
    """The corners moved to the unit sphere, and the faces of their hull."""
    from scipy.spatial import ConvexHull  # here: a plan needs none of it

    sphere = corners / np.linalg.norm(corners, axis=1, keepdims=True)
    faces = ConvexHull(sphere).simplices
    turned_in = np.linalg.det(sphere[faces]) < 0
    faces[turned_in] = faces[turned_in, ::-1]
    return sphere, faces


_COARSE_BALL, _BALL = _ball(_icosahedron()), _ball(_halved(_icosahedron()))
