import math
from collections.abc import Sequence
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, t

from benchmark.evaluation.intervals import (
    Units,
    block_units,
    contributions,
    difference_interval,
    equal_pair_weights,
    fades_m,
    headline_weights,
    map_blocks,
    mean_interval,
    traversal_units,
    units_of,
)


def labelled(block: Sequence[int] | np.ndarray, unseen: float = 0.0) -> Units:
    """Blocks with these labels."""
    _, item = np.unique(np.asarray(block), return_inverse=True)
    n = int(item.max()) + 1
    members = np.column_stack([np.arange(n), np.full(n, -1)])
    return Units(words="blocks", item=item, members=members, group=np.zeros(n, dtype=int), unseen=unseen)


def all_pairs(n: int) -> np.ndarray:
    return np.array([(f"t{i}", f"t{j}") for i, j in permutations(range(n), 2)])


# --- units ---------------------------------------------------------------------------------------


def test_blocks_are_map_cells_shared_by_revisits_and_kept_apart_by_world() -> None:
    world = np.array(["north", "north", "north", "north", "south", "north"], dtype=object)
    east_north = np.array([[1.0, 1], [50, 50], [52, 1], [0, 0], [1, 1], [2, 2]])
    block, corner_m = map_blocks(world, east_north, 51.0)
    assert block.tolist() == [0, 0, 1, 0, 2, 0]
    np.testing.assert_array_equal(corner_m, [[0, 0], [51, 0], [1, 1]])


def test_a_street_along_the_axis_is_not_cut_lengthwise() -> None:
    """Positions scatter on both sides of north 0, as lanes and receivers do."""
    along = np.arange(0, 500, 5.0)
    block, _ = map_blocks(np.full(100, "w"), np.column_stack([along, np.resize([-3.0, 3.0], 100)]), 50.0)
    assert block.max() == 9


def test_positions_count_as_they_are_published() -> None:
    rng = np.random.default_rng(0)
    position = 5_734_000 + 1000 * rng.random((500, 2))
    whole, corner = map_blocks(np.full(500, "w"), position, 50.0)
    narrow, same_corner = map_blocks(np.full(500, "w"), position.astype(np.float32), 50.0)
    np.testing.assert_array_equal(whole, narrow)
    np.testing.assert_array_equal(corner, same_corner)


def test_success_that_fades_slowly_gives_longer_blocks() -> None:
    rng, east = np.random.default_rng(0), 5.0 * np.arange(4000)
    position, weights, world = np.column_stack([east, 0 * east]), np.ones(4000), np.full(4000, "w")
    sides = []
    for fades in (10.0, 40.0, 120.0):
        hidden = np.zeros(4000)
        for i in range(1, 4000):
            fade = math.exp(-5 / fades)
            hidden[i] = fade * hidden[i - 1] + math.sqrt(1 - fade**2) * rng.normal()
        assert fades_m(world, position, hidden[:, None], weights) == pytest.approx(fades, rel=0.3)
        units = block_units(world, position, (hidden > 0)[:, None].astype(float), weights)
        sides.append(float(units.words.split()[-2]))
        assert units.words == f"{len(units.group)} blocks of {sides[-1]:g} m"
        assert 0 <= units.unseen < 0.3
    assert sides == sorted(sides)
    assert 50 <= sides[0] < 100 < 300 < sides[2]


def test_independent_queries_have_the_shortest_blocks() -> None:
    east, hits = 20.0 * np.arange(500), np.random.default_rng(3).random(500) < 0.5
    units = block_units(np.full(500, "w"), np.column_stack([east, 0 * east]), hits[:, None].astype(float), np.ones(500))
    assert float(units.words.split()[-2]) <= 100


def test_a_small_map_has_a_dozen_blocks_all_the_same() -> None:
    east = np.arange(0, 240, 2.0)
    units = block_units(
        np.full(120, "w"), np.column_stack([east, 0 * east]), (east[:, None] < 120).astype(float), np.ones(120)
    )
    assert 12 <= len(units.group) <= 14
    assert units.unseen > 0.5, "half of the map succeeds and half fails: blocks this short see little of it"


def test_worlds_do_not_correlate_and_one_place_has_no_length() -> None:
    world, position = np.array(["a", "b"] * 20), np.repeat(np.arange(20.0)[:, None] * 400, 2, axis=0) * [1, 0]
    values = np.tile([[1.0], [0.0]], (20, 1))
    assert fades_m(world, position, values, np.ones(40)) == 0
    assert fades_m(world[:1], position[:1], values[:1], np.ones(1)) == 0
    assert fades_m(world, position, np.ones((40, 1)), np.ones(40)) == 0


def test_traversals_are_units_from_ten_on_and_fall_out_in_both_roles() -> None:
    for n in (9, 10, 23):
        pairs = all_pairs(n)
        found = units_of(
            pairs, np.arange(len(pairs)), np.full(len(pairs), "w"), np.zeros((len(pairs), 2)),
            np.ones((len(pairs), 1)), np.ones(len(pairs)),
        )  # fmt: skip
        assert found.words == (f"{n} traversals" if n > 9 else "1 block of 10 m")
    units = traversal_units(all_pairs(10), np.arange(90))
    assert units is not None
    assert np.bincount(units.members.reshape(-1)).tolist() == [18] * 10


def test_the_one_map_that_all_search_is_no_unit() -> None:
    one_map = np.array([(f"drive {n}", "map") for n in range(10)])
    units = traversal_units(one_map, np.arange(10))
    assert units is not None
    assert units.words == "10 traversals"
    assert (units.members[:, 1] == -1).all()
    assert traversal_units(one_map[:9], np.arange(9)) is None


def test_traversals_that_search_themselves_fall_out_once() -> None:
    within = np.array([(f"{n:02}", f"{n:02}") for n in range(11)])
    units, values = traversal_units(within, np.arange(11)), np.linspace(0.2, 0.9, 11)
    assert units is not None
    assert mean_interval(values, units) == mean_interval(values, labelled(np.arange(11)))


def test_pairs_that_nobody_asks_take_no_part() -> None:
    units = traversal_units(all_pairs(10), np.flatnonzero((all_pairs(10) != "t9").all(axis=1)))
    assert units is None


# --- weights -------------------------------------------------------------------------------------


def test_pair_weights_turn_the_mean_over_queries_into_the_mean_over_pairs() -> None:
    pair, hits = np.array([0, 0, 0, 0, 1, 1]), np.array([1, 1, 1, 0, 0, 0])
    assert np.average(hits, weights=equal_pair_weights(pair)) == pytest.approx((0.75 + 0.0) / 2)
    assert headline_weights(pair, "queries").tolist() == [1] * 6


# --- intervals -----------------------------------------------------------------------------------


def test_a_jackknife_by_hand() -> None:
    """Blocks of means 0.2, 0.4, 0.6 and 0.8: the deviation of a mean of four is 0.2582 / 2, with three degrees."""
    values, units = np.array([0.2, 0.4, 0.6, 0.8]), labelled(range(4))
    error = math.sqrt((0.09 + 0.01 + 0.01 + 0.09) / 3 / 4)
    reach = t.ppf(0.975, 3) * error
    found = mean_interval(values, units, is_share=False)
    assert (found.low, found.high) == pytest.approx((0.5 - reach, 0.5 + reach))
    odds = math.exp(reach / 0.25)  # log odds of one half are 0, and 1 / (p (1 − p)) is 4
    share = mean_interval(values, units)
    low, high = max(1 / (1 + odds), beta.ppf(0.025, 2, 3)), min(odds / (1 + odds), beta.ppf(0.975, 3, 2))
    assert (share.low, share.high) == pytest.approx((low, high))


def test_what_borders_cut_off_makes_intervals_wider() -> None:
    values = np.array([0.2, 0.4, 0.6, 0.8])
    whole, cut = (mean_interval(values, labelled(range(4), unseen), is_share=False) for unseen in (0.0, 0.75))
    assert cut.high - cut.low == pytest.approx(2 * (whole.high - whole.low))


def naive(values: np.ndarray, units: Units, weights: np.ndarray) -> tuple[float, float]:
    """Ends for a mean that is no share: every unit is left out in a plain loop over queries."""
    n, mean = len(units.group), np.average(values, weights=weights)
    without = []
    for unit in range(n):
        kept = [k for k in range(len(values)) if unit not in units.members[units.item[k]]]
        without.append(sum(weights[k] * values[k] for k in kept) / sum(weights[k] for k in kept))
    deviation = np.array(without) - np.mean(without)
    variance = (n - 1) / n * float((deviation**2).sum())
    influence, dyads = np.zeros(n), {}
    for k in range(len(values)):
        part, members = (
            weights[k] * (values[k] - mean) / weights.sum(),
            [m for m in units.members[units.item[k]] if m >= 0],
        )
        for m in members:
            influence[m] += part
        if len(members) == 2:
            dyads[tuple(sorted(members))] = dyads.get(tuple(sorted(members)), 0.0) + part
    if dyads:
        squares = sum(part**2 for part in dyads.values()) * variance / float((influence**2).sum())
        variance -= min(max(((n - 1) * squares - variance) / (n - 3), 0.0), variance / 2)
    weight = [sum(weights[k] for k in range(len(values)) if u in units.members[units.item[k]]) for u in range(n)]
    effective = sum(weight) ** 2 / sum(w**2 for w in weight)
    even = 3 * (deviation**2).sum() ** 2 / (deviation**4).sum()
    reach = t.ppf(0.975, max(min(even, effective) - 1, 1)) * math.sqrt(variance)
    return mean - reach, mean + reach


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("averaging", ["pairs", "queries"])
def test_leaving_out_in_a_plain_loop_gives_the_same(seed: int, averaging: str) -> None:
    rng = np.random.default_rng(seed)
    pairs, pair = all_pairs(11), np.sort(np.concatenate([np.arange(110), rng.integers(0, 110, 300)]))
    ease = rng.normal(size=11)[np.unique(pairs, return_inverse=True)[1].reshape(-1, 2)].sum(axis=1)
    values, weights = (rng.normal(size=410) < ease[pair]).astype(float), headline_weights(pair, averaging)
    for units in (traversal_units(pairs, pair), labelled(rng.integers(0, 17, 410))):
        assert units is not None
        found = mean_interval(values, units, weights, is_share=False)
        assert (found.low, found.high) == pytest.approx(naive(values, units, weights), abs=1e-12)


def test_blocks_of_one_query_give_the_binomial_interval() -> None:
    found = mean_interval(np.arange(400) % 5 != 0, labelled(range(400)))
    half_width = 1.96 * math.sqrt(0.8 * 0.2 / 400)
    assert (found.low, found.high) == pytest.approx((0.8 - half_width, 0.8 + half_width), abs=0.006)


def test_effects_of_pairs_alone_are_not_counted_twice() -> None:
    """Recalls of pairs that have nothing in common: the error is that of a mean of 253 pairs, not √2 of it."""
    rng, pairs, widths = np.random.default_rng(0), all_pairs(23), []
    units = traversal_units(pairs, np.arange(506))
    assert units is not None
    order = {tuple(sorted(names)): k for k, names in enumerate(pairs.tolist())}
    for _ in range(50):
        effect = rng.normal(size=506)
        values = np.array([effect[order[tuple(sorted(names))]] for names in pairs.tolist()])
        found = mean_interval(values, units, is_share=False)
        widths.append((found.high - found.low) / (2 * t.ppf(0.975, 22) / math.sqrt(253)))
    assert np.mean(widths) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("n", [0, 1, 9])
def test_fewer_than_two_blocks_give_no_interval(n: int) -> None:
    units = Units(
        words="", item=np.zeros(n, dtype=int), members=np.array([[0, -1]]), group=np.zeros(min(n, 1), dtype=int)
    )
    found = mean_interval(np.ones(n), units)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_where_all_succeed_units_bound_what_may_fail() -> None:
    units = labelled(np.arange(60) // 3)
    every, none = mean_interval(np.ones(60), units), mean_interval(np.zeros(60), units)
    assert (every.low, every.high) == pytest.approx((0.025 ** (1 / 20), 1.0))
    assert (none.low, none.high) == pytest.approx((0.0, 1 - 0.025 ** (1 / 20)))


def test_one_miss_widens_no_interval_beyond_that_of_whole_units() -> None:
    units, values = labelled(np.arange(60) // 3), np.ones(60)
    values[0] = 0.0
    found = mean_interval(values, units)
    assert beta.ppf(0.025, 20 * 59 / 60, 20 / 60 + 1) - 1e-9 <= found.low < 59 / 60 < found.high <= 1


@given(
    rows=st.lists(
        st.tuples(st.booleans(), st.integers(0, 7), st.sampled_from([0.5, 1.0, 2.0])), min_size=2, max_size=40
    ),
    order=st.randoms(use_true_random=False),
    unseen=st.sampled_from([0.0, 0.3]),
)
def test_intervals_hold_the_mean_whatever_the_order_and_the_labels(rows: list, order: object, unseen: float) -> None:
    values, block, weights = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    if len(set(block)) < 2:
        return
    found, mean = mean_interval(values, labelled(block, unseen), weights), np.average(values, weights=weights)
    assert 0 <= found.low <= mean + 1e-9
    assert mean - 1e-9 <= found.high <= 1
    mixed = list(range(len(rows)))
    order.shuffle(mixed)  # type: ignore[attr-defined]
    again = mean_interval(values[mixed], labelled(1000 - block[mixed], unseen), 3 * weights[mixed])
    assert (again.low, again.high) == pytest.approx((found.low, found.high), abs=1e-7)


@given(
    hits=st.lists(st.booleans(), min_size=40, max_size=40),
    order=st.randoms(use_true_random=False),
    step_m=st.sampled_from([5.0, 17.0, 60.0]),
)
def test_the_order_of_queries_and_the_names_of_worlds_change_nothing(hits: list, order: object, step_m: float) -> None:
    mixed = list(range(40))
    order.shuffle(mixed)  # type: ignore[attr-defined]
    values, position = np.array(hits, dtype=float), np.column_stack([step_m * np.arange(40), np.zeros(40)])
    one = block_units(np.full(40, "w"), position, values[:, None], np.ones(40))
    other = block_units(np.full(40, "elsewhere"), position[mixed], values[mixed, None], np.ones(40))
    assert one.words == other.words
    np.testing.assert_array_equal(one.item[mixed], other.item)


def test_weights_count_as_repetition() -> None:
    values, block = np.array([1, 0, 0, 1.0]), [0, 1, 2, 3]
    weighted = mean_interval(values, labelled(block), np.array([3, 1, 1, 1.0]))
    repeated = mean_interval(np.array([1, 1, 1, 0, 0, 1.0]), labelled([0, 0, 0, 1, 2, 3]))
    assert (weighted.low, weighted.high) == pytest.approx((repeated.low, repeated.high))


# --- differences between methods -----------------------------------------------------------------


def test_a_method_does_not_differ_from_itself() -> None:
    hits = np.arange(50) % 3 == 0
    found = difference_interval(hits, hits, labelled(np.arange(50) // 5))
    assert (found.low, found.high) == (0.0, 0.0)


def test_exchanging_the_methods_flips_the_interval() -> None:
    rng = np.random.default_rng(0)
    a, b, units = rng.random(90) < 0.7, rng.random(90) < 0.4, labelled(np.arange(90) // 6)
    forth, back = difference_interval(a, b, units), difference_interval(b, a, units)
    assert (forth.low, forth.high) == pytest.approx((-back.high, -back.low), abs=1e-12)


def test_differences_may_end_below_minus_one() -> None:
    found = difference_interval(np.array([0.0, 0, 0, 1]), np.array([1.0, 1, 1, 0]), labelled(range(4)))
    assert found.low < -1


def test_pairing_sees_a_small_gain_that_separate_intervals_hide() -> None:
    # Whole blocks succeed or fail for both methods alike; one method gains one query in each failing block.
    block = np.arange(400) // 10
    other, units = block % 2 == 0, labelled(block)
    hits = other | (np.arange(400) % 10 == 0)
    assert mean_interval(hits, units).low < mean_interval(other, units).high
    assert difference_interval(hits, other, units).low > 0


def test_contributions_sum_to_the_mean_and_spread_as_it_errs() -> None:
    rng = np.random.default_rng(0)
    values, block, weights = rng.normal(size=60), np.arange(60) % 7, rng.random(60) + 0.5
    parts = contributions(values, labelled(block), weights)
    assert parts.sum() == pytest.approx(np.average(values, weights=weights))
    assert parts[2] == pytest.approx((weights * values)[block == 2].sum() / weights.sum())
    pairs = all_pairs(12)
    ease = rng.normal(size=12)
    units = traversal_units(pairs, np.arange(132))
    assert units is not None
    of_pairs = ease[np.unique(pairs, return_inverse=True)[1].reshape(-1, 2)].sum(axis=1)
    parts = contributions(of_pairs, units)
    names = np.unique(pairs)
    assert names.tolist()[0] == "t0"
    np.testing.assert_allclose(parts.sum(), of_pairs.mean())
    np.testing.assert_allclose(parts - parts.mean(), 2 * (ease - ease.mean()) / 12, atol=1e-12)
