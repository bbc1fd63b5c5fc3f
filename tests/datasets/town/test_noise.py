import numpy as np

from datasets.town.noise import SIDE, clouds, grain


def test_noise_is_constant_in_a_cell_and_repeats_after_a_tile():
    x, y = np.random.default_rng(0).uniform(-2000, 2000, size=(2, 500))
    for noise in (grain, clouds):
        assert np.array_equal(noise(x, y), noise(np.floor(x) + 0.5, np.floor(y) + 0.5))
        assert np.array_equal(noise(np.floor(x), y), noise(np.floor(x) - SIDE, y + 3 * SIDE))
        assert noise(x, y).dtype == np.float32


def test_grain_is_unrelated_from_cell_to_cell_and_clouds_change_slowly():
    x, y = (axis.ravel() for axis in np.meshgrid(np.arange(SIDE), np.arange(SIDE)))
    assert abs(np.corrcoef(grain(x, y), grain(x + 1, y))[0, 1]) < 0.01
    assert np.corrcoef(clouds(x, y), clouds(x + 1, y))[0, 1] > 0.9
    for noise in (grain, clouds):
        np.testing.assert_allclose(np.quantile(noise(x, y), [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=0.01)


def test_large_numbers_are_cells_too():
    number = np.array([7, 7 + SIDE, 2**32 - SIDE + 7], np.uint32)
    assert len(set(grain(number, number))) == 1
