"""Steps from raw camera images to images of a pinhole camera: colour, undistortion, size."""

import io
from typing import Literal

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray
from PIL import Image
from scipy.ndimage import convolve, map_coordinates

BayerPattern = Literal["rggb", "bggr", "gbrg", "grbg"]
"""Colours of the first two pixels of the first two rows, row by row."""

_CROSS = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]], dtype=np.float32) / 4
_SQUARE = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]], dtype=np.float32) / 4


def demosaic(raw: UInt8[ndarray, "h w"], pattern: BayerPattern) -> UInt8[ndarray, "h w 3"]:
    """RGB from a Bayer image: a missing colour is the mean of its nearest two or four measured neighbours."""
    colours = np.empty((*raw.shape, 3), dtype=np.float32)
    for channel, (colour, kernel) in enumerate(zip("rgb", (_SQUARE, _CROSS, _SQUARE), strict=True)):
        measured = np.zeros(raw.shape, dtype=np.float32)
        for position, letter in enumerate(pattern):
            if letter == colour:
                own = (slice(position // 2, None, 2), slice(position % 2, None, 2))
                measured[own] = raw[own]
        # Mirrored at the centre of the pixels at the edge, the Bayer pattern continues beyond the edge.
        convolve(measured, kernel, output=colours[..., channel], mode="mirror")
    return _rounded(colours)


def remap(
    image: UInt8[ndarray, "h w 3"], x: Float[ndarray, "h2 w2"], y: Float[ndarray, "h2 w2"]
) -> UInt8[ndarray, "h2 w2 3"]:
    """Values of ``image`` at columns ``x`` and rows ``y``, interpolated bilinearly; 0 is the centre of its first pixel.

    Values beyond the centres of the pixels at the edges are black.
    """
    at = np.stack([y, x])
    sampled = np.empty((*x.shape, 3), dtype=np.float32)
    for channel in range(3):
        map_coordinates(image[..., channel], at, output=sampled[..., channel], order=1, mode="constant")
    return _rounded(sampled)


def resize(image: UInt8[ndarray, "h w 3"], width: int, height: int) -> UInt8[ndarray, "height width 3"]:
    """The whole of ``image`` at another size, interpolated bilinearly; when it shrinks, pixels are averaged."""
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def png(image: UInt8[ndarray, "h w 3"]) -> bytes:
    """``image`` as the content of a PNG file."""
    content = io.BytesIO()
    Image.fromarray(image).save(content, "png", compress_level=3)
    return content.getvalue()


def _rounded(values: Float[ndarray, "h w 3"]) -> UInt8[ndarray, "h w 3"]:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
