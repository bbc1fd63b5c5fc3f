"""Synthetic descriptors: the same in any range, with mean, covariance and length of the real ones."""

import numpy as np
import pytest

from benchmark.evaluation import likeness as module
from benchmark.evaluation.likeness import QUANTILES, Likeness, nearest_quantiles


def real(n: int = 400) -> np.ndarray:
    random = np.random.default_rng(0)
    return (random.normal(size=(n, 3)) * [3.0, 1.0, 0.1] + [5.0, 0.0, -1.0]).astype(np.float32)


def test_any_range_holds_the_same_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 7)
    made = Likeness.of(real())
    whole = made.draw(0, 40)
    for start, stop in ((0, 1), (3, 20), (7, 14), (13, 13), (39, 40), (6, 8)):
        np.testing.assert_array_equal(made.draw(start, stop), whole[start:stop])
    assert len(np.unique(whole, axis=0)) == 40
    assert not np.array_equal(Likeness.of(real(), seed=1).draw(0, 40), whole)


def test_mean_and_covariance_are_those_of_the_real_ones() -> None:
    made = Likeness.of(real())
    drawn = made.draw(0, 200_000)
    assert made.length is None
    np.testing.assert_allclose(drawn.mean(axis=0), real().mean(axis=0), atol=0.03)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(real().T), atol=0.1)


def test_descriptors_of_one_length_get_it_too() -> None:
    unit = real() / np.linalg.norm(real(), axis=1, keepdims=True) * 2
    made = Likeness.of(unit)
    assert made.length == pytest.approx(2)
    np.testing.assert_allclose(np.linalg.norm(made.draw(0, 100), axis=1), 2, rtol=1e-5)


def test_quantiles_of_the_nearest_by_hand() -> None:
    query, places = np.array([[[0.0]], [[10.0]]]), np.array([[[1.0]], [[7.0]], [[-4.0]]])
    assert nearest_quantiles(query, places, "l2") == pytest.approx([1 + 2 * share for share in QUANTILES])
