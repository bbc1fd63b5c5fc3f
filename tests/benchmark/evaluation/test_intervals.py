import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.evaluation.intervals import (
    difference_interval,
    equal_pair_weights,
    hypergeometric_recall,
    map_blocks,
    mean_interval,
)

# --- blocks and weights --------------------------------------------------------------------------


def test_blocks_are_map_cells_shared_by_revisits_and_kept_apart_by_world():
    world = np.array(["north", "north", "north", "north", "south", "north"], dtype=object)
    east_north = np.array([[1.0, 1], [49, 49], [51, 1], [-1, 1], [1, 1], [2, 2]])
    block = map_blocks(world, east_north)
    assert block[0] == block[1] == block[5]
    assert len({block[0], block[2], block[3], block[4]}) == 4
    assert sorted(set(block.tolist())) == [0, 1, 2, 3]


def test_blocks_ignore_height_and_follow_the_cell_size():
    world = np.array(["w", "w"], dtype=object)
    positions = np.array([[10.0, 10, 0], [60.0, 10, 300]])
    assert len(set(map_blocks(world, positions, cell_m=50.0).tolist())) == 2
    assert len(set(map_blocks(world, positions, cell_m=100.0).tolist())) == 1


def test_pair_weights_turn_the_mean_over_queries_into_the_mean_over_pairs():
    pair, hits = np.array([0, 0, 0, 0, 1, 1]), np.array([1, 1, 1, 0, 0, 0])
    weights = equal_pair_weights(pair)
    assert np.average(hits, weights=weights) == pytest.approx((0.75 + 0.0) / 2)


# --- the bootstrap -------------------------------------------------------------------------------


def test_interval_by_hand_spans_all_draws_of_three_blocks():
    # Each draw of one block three times has probability 1/27 = 3.7 %, so the 95 % interval is the full range.
    found = mean_interval(np.array([1, 1, 0, 1, 0, 0.0]), np.array([0, 0, 1, 1, 2, 2]))
    assert (found.low, found.high) == (0.0, 1.0)


def test_interval_agrees_with_enumerating_every_draw():
    values, block = np.array([1, 1, 0, 1, 0, 0, 1.0, 0]), np.array([0, 0, 0, 1, 1, 2, 3, 4])
    rows = [np.flatnonzero(block == b) for b in range(5)]
    means = [values[np.concatenate([rows[b] for b in draw])].mean() for draw in product(range(5), repeat=5)]
    found = mean_interval(values, block, draws=20_000)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=0.02)


def test_blocks_of_one_query_give_the_binomial_interval():
    hits = np.arange(400) % 5 != 0
    found = mean_interval(hits, np.arange(400))
    half_width = 1.96 * math.sqrt(0.8 * 0.2 / 400)
    assert (found.low, found.high) == pytest.approx((0.8 - half_width, 0.8 + half_width), abs=0.006)


def test_weights_count_as_repetition():
    values, block = np.array([1, 0, 0, 1.0]), np.array([0, 1, 2, 3])
    weighted = mean_interval(values, block, np.array([3, 1, 1, 1.0]))
    repeated = mean_interval(np.array([1, 1, 1, 0, 0, 1.0]), np.array([0, 0, 0, 1, 2, 3]))
    assert weighted == repeated


def test_labels_of_blocks_do_not_matter():
    values, block = np.array([1, 0, 0, 1, 1.0]), np.array([0, 1, 1, 2, 2])
    assert mean_interval(values, block) == mean_interval(values, block * 1000 + 7)


def test_the_seed_decides():
    rng = np.random.default_rng(0)
    values, block = rng.random(300), np.arange(300) // 3
    assert mean_interval(values, block, seed=1) == mean_interval(values, block, seed=1)
    assert mean_interval(values, block, seed=1) != mean_interval(values, block, seed=2)


@pytest.mark.parametrize("n", [0, 1, 9])
def test_fewer_than_two_blocks_give_no_interval(n):
    found = mean_interval(np.ones(n), np.zeros(n, dtype=np.int64))
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_block_intervals_cover_correlated_recall_far_better_than_single_queries():
    """A 2 km drive, a frame each 5 m; success follows a hidden condition that fades over 25 m. True recall 80 %."""
    n, trials, fade = 400, 120, math.exp(-1 / 5)
    rng = np.random.default_rng(0)
    world, positions = np.array(["w"] * n, dtype=object), np.column_stack([np.arange(n) * 5.0, np.zeros(n)])
    blocks = {"single": np.arange(n), "map": map_blocks(world, positions)}
    covered = dict.fromkeys(blocks, 0)
    for trial in range(trials):
        hidden = rng.normal(size=n)
        for i in range(1, n):
            hidden[i] = fade * hidden[i - 1] + math.sqrt(1 - fade**2) * hidden[i]
        hits = hidden < 0.8416  # the 80 % quantile of the normal distribution
        for name, block in blocks.items():
            found = mean_interval(hits, block, seed=trial, draws=200)
            covered[name] += found.low <= 0.8 <= found.high
    assert covered["single"] < 0.65 * trials
    assert covered["map"] > 0.78 * trials


# --- differences between methods -----------------------------------------------------------------


def test_a_method_does_not_differ_from_itself():
    hits = np.arange(50) % 3 == 0
    found = difference_interval(hits, hits, np.arange(50) // 5)
    assert (found.low, found.high) == (0.0, 0.0)


def test_exchanging_the_methods_flips_the_interval():
    rng = np.random.default_rng(0)
    a, b, block = rng.random(90) < 0.7, rng.random(90) < 0.4, np.arange(90) // 6
    forth, back = difference_interval(a, b, block), difference_interval(b, a, block)
    assert (forth.low, forth.high) == pytest.approx((-back.high, -back.low), abs=1e-12)


def test_pairing_sees_a_small_gain_that_separate_intervals_hide():
    # Whole blocks succeed or fail for both methods alike; one method gains one query in each failing block.
    block = np.arange(400) // 10
    other = block % 2 == 0
    hits = other | (np.arange(400) % 10 == 0)
    separate, separate_other = mean_interval(hits, block), mean_interval(other, block)
    assert separate.low < separate_other.high
    assert difference_interval(hits, other, block).low > 0


# --- chance --------------------------------------------------------------------------------------


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
