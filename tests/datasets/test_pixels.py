"""Colour, undistortion and size of raw images, against loops over pixels."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from datasets.pixels import demosaic, png, remap, resize


def naive_demosaic(raw, pattern):
    h, w = raw.shape
    result = np.zeros((h, w, 3))
    for row in range(h):
        for column in range(w):
            for channel, colour in enumerate("rgb"):
                own = pattern[row % 2 * 2 + column % 2] == colour
                values = [raw[row, column]] if own else []
                if not own:
                    around = [(r, c) for r in (-1, 0, 1) for c in (-1, 0, 1) if (r, c) != (0, 0)]
                    for r, c in around:
                        # Beyond the edge the image is mirrored at the first pixel's centre.
                        rr, cc = (abs(i) if i < n else 2 * n - 2 - i for i, n in ((row + r, h), (column + c, w)))
                        if pattern[(row + r) % 2 * 2 + (column + c) % 2] == colour and (
                            colour != "g" or r == 0 or c == 0
                        ):
                            values.append(raw[rr, cc])
                result[row, column, channel] = np.mean(np.array(values, dtype=float))
    return np.rint(result).astype(np.uint8)


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_colours_are_means_of_the_nearest_measured_ones(pattern):
    raw = np.random.default_rng(0).integers(0, 64, (6, 8), dtype=np.uint8) * 4  # means of four are exact
    np.testing.assert_array_equal(demosaic(raw, pattern), naive_demosaic(raw, pattern))


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_a_plain_colour_is_recovered_and_measured_values_stay(pattern):
    colour = {"r": 200, "g": 90, "b": 31}
    raw = np.tile(
        np.array([[colour[c] for c in pattern[:2]], [colour[c] for c in pattern[2:]]], dtype=np.uint8), (3, 4)
    )
    assert (demosaic(raw, pattern) == [200, 90, 31]).all()


@given(st.integers(0, 10**6))
def test_remap_is_bilinear_and_black_outside(seed):
    random = np.random.default_rng(seed)
    image = random.integers(0, 256, (4, 5, 3), dtype=np.uint8)
    x, y = random.uniform(-1.5, 6, (3, 2)), random.uniform(-1.5, 5, (3, 2))
    found = remap(image, x, y).astype(float)
    for i in np.ndindex(x.shape):
        if 0 <= x[i] <= 4 and 0 <= y[i] <= 3:
            c, r = min(int(x[i]), 3), min(int(y[i]), 2)
            a, b = x[i] - c, y[i] - r
            corners = image[r : r + 2, c : c + 2].astype(float)
            expected = (1 - b) * ((1 - a) * corners[0, 0] + a * corners[0, 1]) + b * (
                (1 - a) * corners[1, 0] + a * corners[1, 1]
            )
            np.testing.assert_allclose(found[i], expected, atol=0.51)
        else:
            assert (found[i] == 0).all()


def test_the_identity_map_changes_nothing():
    image = np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    y, x = np.mgrid[:7, :9].astype(float)
    np.testing.assert_array_equal(remap(image, x, y), image)


def test_a_smaller_image_is_averaged():
    image = np.zeros((40, 8, 3), dtype=np.uint8)
    image[::2] = 200  # every fourth row alone would be all light
    assert np.abs(resize(image, 2, 10)[1:-1].astype(int) - 100).max() <= 1


def test_png_keeps_every_pixel():
    image = np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png(image)))), image)
