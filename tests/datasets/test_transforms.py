"""Rigid transforms and angles."""

import numpy as np

from datasets.transforms import angle_rad


def test_angles_of_columns_have_the_same_bits_wherever_the_result_lies_in_memory() -> None:
    rng = np.random.default_rng(0)
    for n in rng.integers(2, 900, 2000):  # results of other sizes come to lie in other places of the heap
        poses = rng.normal(size=(n, 4, 4))
        expected = np.arctan2(poses[:, 1, 0].copy(), poses[:, 0, 0].copy())
        assert np.array_equal(angle_rad(poses[:, 1, 0], poses[:, 0, 0]), expected)


def test_angles_turn_counter_clockwise_from_the_x_axis() -> None:
    x, y = np.array([1.0, 0.0, -1.0, 0.0]), np.array([0.0, 1.0, 0.0, -1.0])
    assert np.allclose(angle_rad(y, x), [0, np.pi / 2, np.pi, -np.pi / 2], atol=0)
