"""What chance alone would score."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.evaluation.chance import hypergeometric_recall


def test_chance_by_hand():
    found = hypergeometric_recall(np.array([1, 2, 0, 4, 3]), np.array([10, 4, 7, 4, 5]), np.array([3, 2, 7, 1, 99]))
    np.testing.assert_allclose(found, [0.3, 1 - 1 / 6, 0.0, 1.0, 1.0], atol=1e-12)


@given(
    counts=st.lists(st.integers(0, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), min_size=1),
    depth=st.integers(1, 70),
)
def test_chance_agrees_with_counting_subsets(counts, depth):
    positives, candidates = np.array(counts).T
    found = hypergeometric_recall(positives, candidates, depth)
    for chance, (p, n) in zip(found, counts, strict=True):
        k = min(depth, n)
        assert chance == pytest.approx(1 - math.comb(n - p, k) / math.comb(n, k), abs=1e-10)


def test_chance_stays_exact_in_a_large_database():
    found = hypergeometric_recall(np.array([1, 3]), np.array([10**6, 10**6]), 25)
    expected = [25e-6, 1 - math.comb(10**6 - 3, 25) / math.comb(10**6, 25)]
    np.testing.assert_allclose(found, expected, rtol=1e-3)
