"""Tileable noise, which makes leaves, bricks and asphalt uneven; it is looked up in a table."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from datasets.town.seeding import generator_for

SIDE = 512
"""Cells along each side of a tile; a power of two."""


def _white() -> Float[ndarray, "side side"]:
    return generator_for(0, "white noise").random((SIDE, SIDE), dtype=np.float32)


def _cloudy() -> Float[ndarray, "side side"]:
    """A tile of a sum of octaves, whose values are spread evenly over 0 to 1."""
    from scipy.ndimage import gaussian_filter  # here: a plan needs none of it

    random = generator_for(0, "cloudy noise")
    total = np.zeros((SIDE, SIDE))
    for sigma in (2.0, 4.0, 8.0, 16.0, 32.0):
        octave = gaussian_filter(random.standard_normal((SIDE, SIDE)), sigma, mode="wrap")
        total += octave / octave.std() * sigma**0.8
    rank = np.empty(total.size, dtype=np.float32)
    rank[np.argsort(total, axis=None)] = np.linspace(0, 1, total.size, dtype=np.float32)
    return rank.reshape(total.shape)


_WHITE, _CLOUDY = _white(), _cloudy()


def grain(x: ndarray, y: ndarray) -> Float[ndarray, " n"]:
    """A number in [0, 1) for each unit cell, unrelated to those of its neighbours."""
    return _at(_WHITE, x, y)


def clouds(x: ndarray, y: ndarray) -> Float[ndarray, " n"]:
    """A number in [0, 1] for each unit cell; it changes slowly, in lumps of a few to some dozens of cells."""
    return _at(_CLOUDY, x, y)


def _at(tile: Float[ndarray, "side side"], x: ndarray, y: ndarray) -> Float[ndarray, " n"]:
    values: ndarray = tile.reshape(-1).take(_cell(y) * SIDE + _cell(x))
    return values


def _cell(x: ndarray) -> ndarray:
    """The cell of the tile for each coordinate; the tile repeats in every direction."""
    whole = x.astype(np.int64) if x.dtype.kind in "iu" else np.floor(x).astype(np.int32)
    return whole & (SIDE - 1)
