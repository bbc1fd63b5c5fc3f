"""Sign flips, Holm's correction, and letters."""

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.evaluation.intervals import Units, traversal_units
from benchmark.evaluation.significance import FLIPS, difference, holm, letters, sign_flip_p


def test_flips_by_hand() -> None:
    """Of eight sign patterns of 1, 2 and 4, two have a sum as large as 7, and four one as large as 5."""
    assert sign_flip_p(np.array([1.0, 2, 4])) == 2 / 8
    assert sign_flip_p(np.array([-1.0, 2, 4])) == 4 / 8
    assert sign_flip_p(np.array([1.0, 2, 4]), unseen=1 - (5 / 7) ** 2) == 4 / 8
    assert sign_flip_p(np.zeros(5)) == sign_flip_p(np.zeros(0)) == 1


@given(parts=st.lists(st.integers(-9, 9), min_size=1, max_size=9))
def test_flips_agree_with_counting_all(parts: list[int]) -> None:
    sums = [abs(sum(s * p for s, p in zip(signs, parts, strict=True))) for signs in product((1, -1), repeat=len(parts))]
    expected = np.mean(np.array(sums) >= abs(sum(parts)))
    assert sign_flip_p(np.array(parts, dtype=float)) == pytest.approx(expected)
    assert sign_flip_p(-np.array(parts[::-1], dtype=float)) == pytest.approx(expected)


def test_drawn_flips_come_near_to_all_of_them() -> None:
    parts = np.random.default_rng(0).normal(0.3, 1, size=16)
    signs = 1 - 2 * ((np.arange(2**16)[:, None] >> np.arange(16)) & 1)
    expected = np.mean(np.abs(signs @ parts) >= abs(parts.sum()) - 1e-12)
    assert sign_flip_p(parts) == pytest.approx(expected, abs=0.01)
    assert sign_flip_p(parts) == sign_flip_p(parts)
    assert sign_flip_p(np.ones(40)) == 1 / (FLIPS + 1)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@given(p_values=st.lists(st.floats(0, 1), max_size=12), level=st.sampled_from([0.01, 0.05, 0.2]))
def test_holm_rejects_what_stepping_down_rejects(p_values: list[float], level: float) -> None:
    rejected, left = set(), sorted(range(len(p_values)), key=lambda k: p_values[k])
    while left and p_values[left[0]] * len(left) < level:
        rejected.add(left.pop(0))
    assert {k for k, p in enumerate(holm(p_values)) if p < level} == rejected


def matrix(n: int, differing: set[tuple[int, int]]) -> np.ndarray:
    found = np.ones((n, n))
    for i, j in differing:
        found[i, j] = found[j, i] = 0.001
    return found


def test_letters_by_hand() -> None:
    """The example of a chain: each is like its neighbour, and the ends differ."""
    assert letters(["a1", "b1", "c1"], matrix(3, {(0, 2)})) == {"a1": "a", "b1": "ab", "c1": "b"}
    assert letters(["x", "y"], matrix(2, set())) == {"x": "a", "y": "a"}
    assert letters(["x", "y"], matrix(2, {(0, 1)})) == {"x": "a", "y": "b"}
    assert letters([], np.ones((0, 0))) == {}


@given(data=st.data(), n=st.integers(1, 9))
def test_two_share_a_letter_if_and_only_if_they_cannot_be_told_apart(data: st.DataObject, n: int) -> None:
    pairs = list(combinations(range(n), 2))
    differing = data.draw(st.sets(st.sampled_from(pairs))) if pairs else set()
    names = [f"method {k}" for k in range(n)]
    found = letters(names, matrix(n, differing))
    for i, j in pairs:
        assert bool(set(found[names[i]]) & set(found[names[j]])) == ((i, j) not in differing)
    assert all(found.values())
    assert found[names[0]].startswith("a")
    used = sorted({letter for given in found.values() for letter in given})
    groups = [{name for name in names if letter in found[name]} for letter in used]
    assert not any(one < other for one in groups for other in groups), "no letter says what another says"


def test_a_clear_gain_over_traversals_is_seen_and_its_opposite_is_its_mirror() -> None:
    rng = np.random.default_rng(0)
    pairs = np.array([(f"{i}", f"{j}") for i in range(12) for j in range(12) if i != j])
    units, weights = traversal_units(pairs, np.arange(132)), np.ones(132)
    assert isinstance(units, Units)
    one = rng.random(132) * 0.2 + 0.5
    gain, same = difference(one + 0.1, one, units, weights), difference(one, one, units, weights)
    assert gain.value == pytest.approx(0.1)
    assert gain.p_value == 2 / 2**12
    assert gain.unit == "12 traversals"
    assert (same.value, same.p_value) == (0, 1)
    back = difference(one, one + 0.1, units, weights)
    assert (back.p_value, back.interval.low) == pytest.approx((gain.p_value, -gain.interval.high))
