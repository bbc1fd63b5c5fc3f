import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.town.circuit import plan_circuit


def assert_is_double_cover_without_turning_back(tour, pairs):
    assert sorted(tour) == sorted((street, forward) for street in range(len(pairs)) for forward in (False, True))
    for (street, forward), (following, follows_forward) in zip(tour, tour[1:] + tour[:1], strict=True):
        assert pairs[street][int(forward)] == pairs[following][int(not follows_forward)]
        assert street != following


@given(st.integers(0, 10_000))
def test_three_streets_between_two_junctions_have_a_tour(seed):
    pairs = [(0, 1), (0, 1), (1, 0)]
    tour = plan_circuit(pairs, np.random.default_rng(seed))
    assert_is_double_cover_without_turning_back(tour, pairs)


@given(st.integers(0, 10_000))
def test_a_window_of_four_blocks_has_a_tour(seed):
    along = [(3 * row + i, 3 * row + i + 1) for row in range(3) for i in range(2)]
    across = [(3 * row + i, 3 * row + i + 3) for row in range(2) for i in range(3)]
    tour = plan_circuit(along + across, np.random.default_rng(seed))
    assert_is_double_cover_without_turning_back(tour, along + across)


@pytest.mark.parametrize(
    "pairs",
    [
        pytest.param([(0, 1), (1, 2), (2, 0)], id="a ring can be driven round only one way at a time"),
        pytest.param([(0, 1), (1, 2), (2, 0), (2, 3)], id="a dead end has to be turned in"),
    ],
)
def test_where_there_is_no_tour_none_is_found(pairs):
    assert plan_circuit(pairs, np.random.default_rng(0)) is None
