"""The faces of traffic signs, direction boards and shop signs."""

from enum import IntEnum

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from datasets.town.facades import SHOP_COLOURS
from datasets.town.noise import grain

WHITE, BLACK = np.array((0.8, 0.8, 0.8), np.float32), np.array((0.02, 0.02, 0.02), np.float32)
RED, BLUE = np.array((0.6, 0.02, 0.02), np.float32), np.array((0.02, 0.10, 0.45), np.float32)
BOARDS = np.array([(0.02, 0.10, 0.45), (0.65, 0.48, 0.02), (0.02, 0.28, 0.10), (0.7, 0.7, 0.7)], dtype=np.float32)


class Sign(IntEnum):
    """Kinds of traffic signs: the lowest two bits of a sign surface's number."""

    PROHIBITION = 0
    WARNING = 1
    MANDATORY = 2
    DIRECTIONS = 3


def paint_sign(
    number: ndarray, u_m: Float[ndarray, " n"], v_m: Float[ndarray, " n"], panel: Float[ndarray, "n 4"]
) -> Float[ndarray, "n 3"]:
    """Colour of spots on traffic signs; the number of a sign decides about its kind and design."""
    kind = number & np.uint32(3)
    s, t = _within(u_m, v_m, panel)
    glyph = _glyph(number, s / 0.5, t / 0.5)
    radius = np.hypot(s, t)
    up = (t + 1) / 2
    inside = np.minimum(up, (1 - up - np.abs(s)) / 2)  # depth in a triangle: 0 on its border, a third in its middle
    board = BOARDS[(number >> np.uint32(2)) % len(BOARDS)]
    ink = np.where(board.sum(1, keepdims=True) > 1, BLACK, WHITE)
    line = np.floor((t + 1) * 1.5)
    is_text = (grain(np.floor(s * 14) + number % 505, np.floor(t * 14)) < 0.6) & (((t + 1) * 1.5) % 1 > 0.35)
    is_text &= (np.abs(t) < 0.9) & (s > -0.85) & (s < -0.2 + grain(number % 507, line) * 0.9)
    is_rim = np.maximum(np.abs(s), np.abs(t)) > 0.94
    faces = {
        Sign.PROHIBITION: np.where((radius > 0.72)[:, None], RED, np.where(glyph[:, None], BLACK, WHITE)),
        Sign.WARNING: np.where((inside < 0.11)[:, None], RED, np.where((glyph & (t < 0.2))[:, None], BLACK, WHITE)),
        Sign.MANDATORY: np.where((glyph | (radius > 0.94))[:, None], WHITE, BLUE),
        Sign.DIRECTIONS: np.where((is_text | is_rim)[:, None], ink, board),
    }
    painted: ndarray = np.select([(kind == sign)[:, None] for sign in faces], list(faces.values()), WHITE)
    return painted.astype(np.float32)


def paint_shop_sign(
    number: ndarray,
    u_m: Float[ndarray, " n"],
    v_m: Float[ndarray, " n"],
    panel: Float[ndarray, "n 4"],
    albedo: Float[ndarray, "n 3"],
) -> Float[ndarray, "n 3"]:
    """Colour of spots on shop signs: a ground, a disc, ring or stripe in a second colour, and a bold mark."""
    s, t = _within(u_m, v_m, panel)
    second = SHOP_COLOURS[(number >> np.uint32(6)) % len(SHOP_COLOURS)]
    design, radius = number % 4, np.hypot(s, t)
    shape = np.select(
        [design == 0, design == 1, design == 2], [radius < 0.8, np.abs(t) < 0.45, s * t > 0], radius > 0.95
    )
    mark = np.where(second.sum(1, keepdims=True) > 0.9, BLACK, WHITE)
    glyph = _glyph(number >> np.uint32(9), s / 0.6, t / 0.6)
    painted: ndarray = np.where(glyph[:, None], mark, np.where(shape[:, None], second, albedo))
    return painted


def _within(u_m: ndarray, v_m: ndarray, panel: ndarray) -> tuple[Float[ndarray, " n"], Float[ndarray, " n"]]:
    """Coordinates sideways and up within the panel, from -1 to 1."""
    size = np.maximum(panel[:, [1, 3]], np.float32(1e-3))
    return 2 * u_m / size[:, 0] - 1, 2 * v_m / size[:, 1] - 1


def _glyph(number: ndarray, s: ndarray, t: ndarray) -> ndarray:
    """Which spots lie on a mark of five by five cells from -1 to 1; marks are symmetric, and differ by ``number``."""
    column, row = np.floor(np.abs(s) * 2.5 + 0.5), np.floor((t + 1) * 2.5)
    is_ink: ndarray = (grain(column + number % 509, row + (number >> np.uint32(4)) % 503) < 0.55) & (
        np.maximum(np.abs(s), np.abs(t)) < 1
    )
    return is_ink
