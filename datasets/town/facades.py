"""Facades as textures: rows of windows, doors, shop fronts, bricks and plaster, computed for each spot of a wall."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from datasets.town.noise import clouds, grain
from datasets.town.seeding import generator_for

STYLES_COUNT = 1024
SHOP_COLOURS = np.array(
    [(0.55, 0.04, 0.03), (0.03, 0.10, 0.45), (0.60, 0.42, 0.02), (0.02, 0.25, 0.08), (0.03, 0.03, 0.04),
     (0.45, 0.02, 0.22), (0.02, 0.32, 0.38), (0.60, 0.20, 0.02), (0.62, 0.60, 0.55)], dtype=np.float32,
)  # fmt: skip
TRIM = np.array([(0.65, 0.65, 0.63), (0.10, 0.07, 0.05), (0.08, 0.09, 0.10)], dtype=np.float32)
SHUTTERS = np.array([(0.04, 0.12, 0.06), (0.20, 0.05, 0.03), (0.06, 0.10, 0.18), (0.24, 0.20, 0.15)], dtype=np.float32)
WARM_LIGHTS = np.array([(1.0, 0.62, 0.28), (1.0, 0.75, 0.45), (0.75, 0.85, 1.0), (1.0, 0.5, 0.18)], dtype=np.float32)
FRONT = 0
"""Number of the side of a building that faces the street; the other sides follow counter-clockwise."""

STYLE = np.dtype(
    [
        *((name, "f4") for name in ("bay_m", "storey_m", "width", "sill", "top", "base_m", "lit", "band_m")),
        *((name, "u1") for name in ("finish", "trim", "shutter", "shop", "sign")),
    ]
)
"""The features in which facades differ. ``width`` is a window's share of its bay; ``sill`` and ``top`` are shares of
the storey; ``lit`` is the share of windows with light in the evening; ``finish`` is 0 plaster, 1 brick, 2 boards,
3 slabs."""


def _styles() -> ndarray:
    random = generator_for(0, "facade styles")
    n = STYLES_COUNT
    styles = np.zeros(n, STYLE)
    styles["bay_m"], styles["storey_m"] = random.uniform(1.7, 3.6, n), random.uniform(2.6, 3.3, n)
    styles["width"], styles["sill"] = random.uniform(0.34, 0.72, n), random.uniform(0.28, 0.4, n)
    styles["top"] = styles["sill"] + random.uniform(0.35, 0.5, n)
    styles["base_m"] = random.choice([0.0, 0.3, 0.6, 1.0], n)
    styles["lit"], styles["band_m"] = random.uniform(0.1, 0.6, n), random.choice([0.0, 0.0, 0.15, 0.3], n)
    styles["finish"] = random.choice(4, n, p=[0.45, 0.35, 0.08, 0.12])
    styles["trim"] = random.choice(len(TRIM), n, p=[0.65, 0.15, 0.2])
    styles["shutter"] = random.choice(len(SHUTTERS) + 1, n, p=[0.76, *[0.06] * len(SHUTTERS)])
    styles["shop"], styles["sign"] = random.random(n) < 0.3, random.integers(len(SHOP_COLOURS), size=n)
    return styles


STYLES = _styles()


@dataclass(slots=True)
class Wall:
    """Spots on facades, in the coordinates of the bays and storeys of their buildings."""

    style: ndarray
    number: ndarray
    u_m: Float[ndarray, " n"]
    """Distance from the left edge of the wall."""
    v_m: Float[ndarray, " n"]
    """Height above the foot of the wall."""
    bay_m: Float[ndarray, " n"]
    column: Float[ndarray, " n"]
    row: Float[ndarray, " n"]
    off_axis_m: Float[ndarray, " n"]
    """Distance from the middle of the bay."""
    above_floor_m: Float[ndarray, " n"]
    storey_m: Float[ndarray, " n"]
    is_windowed: Bool[ndarray, " n"]
    is_shop: Bool[ndarray, " n"]
    door_column: Float[ndarray, " n"]
    """Column of the door; -1 if the wall has no door."""


def wall_of(number: ndarray, u_m: ndarray, v_m: ndarray, panel: Float[ndarray, "n 4"]) -> Wall:
    """Divide walls completely into bays and storeys; walls that do not reach the ground have no windows."""
    style = STYLES[(number >> np.uint32(2)) % STYLES_COUNT]
    side = number & np.uint32(3)
    foot, (width, height) = panel[:, 2], np.maximum(panel[:, [1, 3]], np.float32(0.01)).T
    storeys = np.maximum(np.rint(height / style["storey_m"]), 1)
    bays = np.maximum(np.floor(width / style["bay_m"]), 1)
    storey_m, bay_m = height / storeys, width / bays
    column, row = np.floor(u_m / bay_m), np.floor(v_m / storey_m)
    is_front = side == FRONT
    is_blank = ~is_front & (grain(number, side) < 0.22)
    stands = (foot < 0.05) & (width > 1.8) & (height > 1.9)
    return Wall(
        style=style,
        number=number,
        u_m=u_m,
        v_m=v_m,
        bay_m=bay_m,
        column=column,
        row=row,
        off_axis_m=np.abs(u_m - (column + np.float32(0.5)) * bay_m),
        above_floor_m=v_m - row * storey_m,
        storey_m=storey_m,
        is_windowed=stands & ~is_blank,
        is_shop=stands & is_front & (style["shop"] > 0) & (width > 4) & (height > 3.2),
        door_column=np.where(stands & is_front, np.floor(bays * grain(number, number >> np.uint32(9))), -1),
    )


def window_mask(wall: Wall) -> Bool[ndarray, " n"]:
    """Which spots lie within a window, including its frame."""
    half = wall.style["width"] * wall.bay_m / 2
    floor_share = wall.above_floor_m / wall.storey_m
    is_opening = (wall.off_axis_m < half) & (floor_share > wall.style["sill"]) & (floor_share < wall.style["top"])
    taken = (wall.row == 0) & ((wall.column == wall.door_column) | wall.is_shop)
    return is_opening & wall.is_windowed & ~taken


def paint_facade(
    wall: Wall, albedo: Float[ndarray, "n 3"], distance_m: Float[ndarray, " n"], day: int
) -> tuple[Float[ndarray, "n 3"], Float[ndarray, "n 3"], Float[ndarray, " n"]]:
    """For spots on facades: the colour, the light that they give off at night, and the share of light that they mirror.

    ``day`` changes only which windows are lit.
    """
    painted = _finished(wall, albedo, distance_m)
    glow, mirror = np.zeros_like(painted), np.zeros(len(painted), np.float32)
    _add_windows(wall, painted, glow, mirror, day)
    _add_doors(wall, painted)
    _add_shops(wall, painted, glow, mirror)
    return painted, glow, mirror


def _finished(wall: Wall, albedo: ndarray, distance_m: ndarray) -> Float[ndarray, "n 3"]:
    """The wall without openings: stains, and bricks, boards or slabs, which fade where they are too small to see."""
    style, u, v = wall.style, wall.u_m, wall.v_m
    finish = style["finish"]
    near = np.exp(-distance_m / 15)
    course = np.floor(v / 0.125)
    brick = 0.6 * (grain(u / 0.25 + 0.5 * (course % 2), course) - 0.5)
    joint = -0.25 * ((v / 0.125) % 1 < 0.18)
    board = -0.35 * ((v / 0.2) % 1 < 0.15)
    slab = -0.3 * (((u / 1.2) % 1 < 0.05) | ((v / wall.storey_m) % 1 < 0.03))
    choices = [0.1 * (grain(u * 8, v * 8) - 0.5), brick + joint, board]
    detail = near * np.select([finish == 0, finish == 1, finish == 2], choices, 0.0) + slab * (finish == 3)
    stains = 0.35 * (clouds(u * 6 + (wall.number & np.uint32(511)), v * 4) - 0.5)
    tone = 1 + detail + stains
    tone = np.where(v < style["base_m"], 0.55 * tone, tone)
    is_band = (wall.above_floor_m < style["band_m"]) & (wall.row > 0) & (style["band_m"] > 0)
    tone = np.where(is_band, 1.35 * tone, tone)
    painted: ndarray = np.clip(albedo * tone.astype(np.float32)[:, None], 0, 0.85)
    return painted


def _add_windows(wall: Wall, painted: ndarray, glow: ndarray, mirror: ndarray, day: int) -> None:
    style = wall.style
    half = style["width"] * wall.bay_m / 2
    share = wall.above_floor_m / wall.storey_m
    around = wall.is_windowed & ~((wall.row == 0) & (wall.is_shop | (wall.column == wall.door_column)))
    beside = (wall.off_axis_m >= half) & (wall.off_axis_m < half + np.minimum(0.45, 0.3 * wall.bay_m))
    in_height = (share > style["sill"]) & (share < style["top"])
    shuttered = np.flatnonzero(around & (style["shutter"] > 0) & beside & in_height)
    painted[shuttered] = SHUTTERS[style["shutter"][shuttered] - 1]
    below_m = style["sill"] * wall.storey_m - wall.above_floor_m
    ledge = np.flatnonzero(around & (below_m >= 0) & (below_m < 0.12) & (wall.off_axis_m < half + 0.1))
    painted[ledge] = TRIM[style["trim"][ledge]] * np.float32(0.8)
    inside = np.flatnonzero(window_mask(wall))
    style, half, off = style[inside], half[inside], wall.off_axis_m[inside]
    up_m = -below_m[inside]
    down_m = (style["top"] - style["sill"]) * wall.storey_m[inside] - up_m
    is_frame = (half - off < 0.07) | (up_m < 0.07) | (down_m < 0.07) | (off < 0.035)
    chance = grain(wall.column[inside] + wall.number[inside] % 509, wall.row[inside] + (wall.number[inside] >> 7) % 509)
    has_curtain = (chance < 0.4) & ((off > 0.55 * half) | (chance < 0.12)) | ((chance > 0.85) & (down_m < 0.6))
    glass = np.where(has_curtain, 0.38, 0.03).astype(np.float32)
    glass *= np.where(down_m < 0.2, 0.4, 1.0)  # the shadow of the lintel
    painted[inside] = np.where(is_frame[:, None], TRIM[style["trim"]], glass[:, None])
    mirror[inside] = np.where(is_frame, 0.0, 0.4)
    lamp = grain(wall.column[inside] * 7 + wall.number[inside] % 499 + day % 487, wall.row[inside] * 3 + day % 491)
    is_lit = (lamp < style["lit"]) & ~is_frame
    brightness = np.where(has_curtain, 0.45, 0.8) * (0.4 + 0.9 * chance)
    glow[inside] = np.where(is_lit, brightness, 0)[:, None] * WARM_LIGHTS[(chance * 61).astype(np.int64) % 4]


def _add_doors(wall: Wall, painted: ndarray) -> None:
    is_door_bay = (wall.row == 0) & (wall.column == wall.door_column) & ~wall.is_shop
    door = np.flatnonzero(is_door_bay & (wall.off_axis_m < 0.6) & (wall.v_m < 2.25))
    is_frame = (wall.off_axis_m[door] > 0.5) | (wall.v_m[door] > 2.12)
    leaf = SHOP_COLOURS[(wall.number[door] >> np.uint32(5)) % len(SHOP_COLOURS)] * np.float32(0.5)
    painted[door] = np.where(is_frame[:, None], TRIM[wall.style["trim"][door]], leaf)


def _add_shops(wall: Wall, painted: ndarray, glow: ndarray, mirror: ndarray) -> None:
    """Add ground floors of glass, under a fascia in the shop's colour with letters on it."""
    shop = np.flatnonzero(wall.is_shop & (wall.v_m < 3.2))
    u, v, number = wall.u_m[shop], wall.v_m[shop], wall.number[shop]
    colour = SHOP_COLOURS[wall.style["sign"][shop]]
    is_fascia = v > 2.5
    letter = grain(np.floor(u / 0.16) + number % 503, np.floor((v - 2.6) / 0.125)) < 0.5
    in_text = (v > 2.6) & (v < 3.1) & (clouds(np.floor(u / 2.5) * 40, number % 401) > 0.35) & ((u / 0.64) % 1 < 0.75)
    lettering = np.where(colour.sum(1, keepdims=True) > 0.9, 0.03, 0.75).astype(np.float32)
    sign = np.where((letter & in_text)[:, None], lettering, colour)
    is_pillar = (wall.off_axis_m[shop] > 0.5 * wall.bay_m[shop] - 0.12) | (v < 0.45)
    wares = 0.03 + 0.25 * (grain(u * 3 + number % 211, v * 2) > 0.7) * (v < 1.6)
    pane = np.where(is_pillar[:, None], 0.35 * colour, wares.astype(np.float32)[:, None])
    painted[shop] = np.where(is_fascia[:, None], sign, pane)
    mirror[shop] = np.where(is_fascia | is_pillar, 0, 0.3)
    window = np.where(is_pillar, 0, 0.55 + 0.4 * grain(u * 2, v * 2))[:, None] * WARM_LIGHTS[number % 3]
    glow[shop] = np.where(is_fascia[:, None], 1.2 * sign, window)
