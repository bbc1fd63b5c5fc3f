from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rankings import ranking_of

from benchmark.evaluation.chance import chance_recall, hypergeometric_recall
from benchmark.evaluation.metrics import (
    METRICS,
    Metric,
    mean_over_pairs,
    one_percent_depth,
    pooled,
    recall_at,
    summarise,
    values_of,
)
from benchmark.evaluation.ranks import rank_queries
from benchmark.protocol.ground_truth import Relation
from datasets.base import OnePercent, Protocol, Selection, Split


def protocol(**choices):
    everything = Selection()
    fixed = {"name": "test", "version": 1, "title": "", "dataset": "none", "query": everything, "database": everything}
    split = Split(train=everything, validation=everything)
    return Protocol(**fixed, split=split, pairs="across", radius_m=25.0, **choices)


SKIP, MISS = protocol(no_positive="skip"), protocol(no_positive="miss")
# Ranks of databases with 40 places or more.
RANKS = st.lists(st.integers(0, 40), max_size=30).map(lambda ranks: np.array(ranks, dtype=np.int64))


@pytest.mark.parametrize(
    ("size", "depth"), [(1, 1), (49, 1), (149, 1), (150, 2), (250, 2), (251, 3), (350, 4), (2550, 26), (3000, 30)]
)
def test_one_percent_rounds_half_to_even_and_is_at_least_one(size, depth):
    assert one_percent_depth(size, OnePercent()) == depth


def test_one_percent_agrees_with_the_published_formula_for_every_size():
    sizes = range(1, 20_000)
    assert [one_percent_depth(n, OnePercent()) for n in sizes] == [max(round(n / 100.0), 1) for n in sizes]


def test_a_cap_bounds_the_depth_from_above_only():
    assert one_percent_depth(3000, OnePercent(cap=25)) == 25
    assert one_percent_depth(1000, OnePercent(cap=25)) == 10


def test_recall_by_hand_with_queries_without_positives_skipped():
    found = summarise(ranking_of(np.array([3, 3, 2, 0])), database_size=250, protocol=SKIP)
    assert (found.n_queries, found.n_counted, found.n_without_positives, found.n_pairs) == (4, 3, 1, 1)
    assert found.recall_at[:4] == (0.0, 1 / 3, 1.0, 1.0)
    assert (found.one_percent_depth, found.recall_at_one_percent) == (2, 1 / 3)


def test_recall_by_hand_with_queries_without_positives_missed():
    found = summarise(ranking_of(np.array([3, 3, 2, 0])), database_size=250, protocol=MISS)
    assert (found.n_queries, found.n_counted, found.n_without_positives) == (4, 4, 1)
    assert found.recall_at[:4] == (0.0, 0.25, 0.75, 0.75)
    assert found.recall_at_one_percent == 0.25


def test_one_percent_of_a_large_database_looks_deeper_than_25():
    ranks = np.array([28, 40])
    assert summarise(ranking_of(ranks), 3000, SKIP).recall_at_one_percent == 0.5
    assert summarise(ranking_of(ranks), 3000, protocol(one_percent=OnePercent(cap=25))).recall_at_one_percent == 0.0


@pytest.mark.parametrize("ranks", [[], [0, 0]])
def test_no_counted_query_gives_no_value_and_no_pair(ranks):
    found = summarise(ranking_of(np.array(ranks, dtype=np.int64)), 100, SKIP)
    assert (found.n_counted, found.n_pairs) == (0, 0)
    assert len(found.recall_at) == 25
    assert {*found.recall_at, found.recall_at_one_percent, *found.values.values()} == {None}


def test_only_misses_count_as_zero_where_the_protocol_says_so():
    assert summarise(ranking_of(np.array([0, 0])), 100, MISS).recall_at[24] == 0.0


def test_averages_by_hand():
    sunny = summarise(ranking_of(np.array([1, 1, 1, 2])), 100, SKIP)
    night = summarise(ranking_of(np.array([2, 2])), 200, SKIP)
    barren = summarise(ranking_of(np.array([0, 0, 0])), 300, SKIP)
    by_pair, by_query = mean_over_pairs([sunny, night, barren]), pooled([sunny, night, barren])
    assert (by_pair.recall_at[0], by_query.recall_at[0]) == (0.375, 0.5)
    # One percent is one place for the first pair, two for the second.
    assert (by_pair.recall_at_one_percent, by_query.recall_at_one_percent) == (0.875, 5 / 6)
    for average in (by_pair, by_query):
        assert (average.n_pairs, average.n_queries, average.n_counted, average.n_without_positives) == (2, 9, 6, 3)
        assert average.one_percent_depth is None


def test_a_depth_common_to_all_pairs_is_kept():
    assert mean_over_pairs([summarise(ranking_of(np.array([1])), n, SKIP) for n in (200, 210)]).one_percent_depth == 2


@pytest.mark.parametrize("average", [mean_over_pairs, pooled])
def test_averages_of_nothing_are_none(average):
    for recalls in ([], [summarise(ranking_of(np.array([0])), 100, SKIP)]):
        found = average(recalls)
        assert found.n_pairs == 0
        assert {*found.recall_at, found.recall_at_one_percent, *found.values.values()} == {None}


@given(ranks=RANKS, no_positive=st.sampled_from([SKIP, MISS]), size=st.integers(40, 5000))
def test_recall_agrees_with_a_loop_and_grows_with_depth(ranks, no_positive, size):
    found = summarise(ranking_of(ranks), size, no_positive)
    counted = [r for r in ranks.tolist() if r > 0 or no_positive is MISS]
    for n, recall in enumerate(found.recall_at, start=1):
        hits = sum(1 for r in counted if 1 <= r <= n)
        assert recall == (hits / len(counted) if counted else None)
    if counted:
        assert list(found.recall_at) == sorted(found.recall_at)


@given(
    pairs=st.lists(st.tuples(RANKS, st.integers(40, 900)), min_size=1, max_size=5), rule=st.sampled_from([SKIP, MISS])
)
def test_pooling_equals_scoring_all_queries_together(pairs, rule):
    found = pooled([summarise(ranking_of(ranks), size, rule) for ranks, size in pairs])
    ranks = np.concatenate([ranks for ranks, _ in pairs])
    depth = np.concatenate([np.full(len(r), one_percent_depth(size, rule.one_percent)) for r, size in pairs])
    counted = (ranks > 0) | (rule is MISS)
    assert found.n_counted == counted.sum()
    if not counted.any():
        assert {*found.recall_at, found.recall_at_one_percent} == {None}
        return
    for n, recall in enumerate(found.recall_at, start=1):
        np.testing.assert_allclose(recall, recall_at(ranks[counted], n), atol=1e-12)
    np.testing.assert_allclose(found.recall_at_one_percent, recall_at(ranks[counted], depth[counted]), atol=1e-12)
    assert found.values == {
        "R@1": found.recall_at[0],
        "R@5": found.recall_at[4],
        "R@1%": pytest.approx(found.recall_at_one_percent),
    }


# --- chance --------------------------------------------------------------------------------------


@pytest.mark.parametrize("no_positive", ["skip", "miss"])
@pytest.mark.parametrize("search_depth", [None, 1, 3, 6, 9])
def test_by_chance_is_the_mean_over_all_orders_of_the_database(no_positive, search_depth):
    """Four queries and six places: 720 orders, each with its exact ranks."""
    candidates, positives = ("111111", "101010", "011101", "000001"), ("100001", "001000", "000000", "000001")
    is_candidate, is_positive = (np.array([list(row) for row in rows]) == "1" for rows in (candidates, positives))
    relation = Relation(is_candidate=is_candidate, is_positive=is_positive)
    rules = protocol(no_positive=no_positive, search_depth=search_depth, one_percent=OnePercent(share=0.4))
    every = [
        rank_queries(np.tile(np.array(order, dtype=float), (4, 1)), relation, search_depth=search_depth)
        for order in permutations(range(6))
    ]
    drawn = [summarise(found, 6, rules) for found in every]
    expected = summarise(every[77], 6, rules, by_chance=True)
    assert list(expected.recall_at) == pytest.approx(np.mean([found.recall_at for found in drawn], axis=0).tolist())
    assert expected.recall_at_one_percent == pytest.approx(np.mean([found.recall_at_one_percent for found in drawn]))
    for name in METRICS:
        assert expected.values[name] == pytest.approx(np.mean([found.values[name] for found in drawn])), name
        by_query = np.mean([values_of(found, 6, rules)[name] for found in every], axis=0)
        np.testing.assert_allclose(values_of(every[0], 6, rules, by_chance=True)[name], by_query, atol=1e-12)


def test_a_search_without_limit_of_a_large_database_stays_exact():
    counts = np.array([1, 3]), np.array([10**6, 10**6])
    limited = chance_recall(*counts, 25, database_size=10**6, search_depth=10**6)
    np.testing.assert_allclose(limited, hypergeometric_recall(*counts, 25), rtol=1e-6)


def test_what_lies_beyond_a_search_is_a_miss_at_any_depth_of_a_small_database():
    """Its rank is the size of the database plus one, which must not count where N is larger still."""
    found = rank_queries(
        np.array([[0.0, 1, 2]]),
        Relation(is_candidate=np.ones((1, 3), dtype=bool), is_positive=np.array([[False, False, True]])),
        search_depth=2,
    )
    assert found.first_positive_rank.tolist() == [4]
    recall = summarise(found, 3, protocol(search_depth=2))
    assert (set(recall.recall_at), recall.values) == ({0.0}, {"R@1": 0.0, "R@5": 0.0, "R@1%": 0.0})


# --- a further metric ----------------------------------------------------------------------------


def test_a_metric_of_the_table_is_in_every_recall_and_every_average(monkeypatch):
    reciprocal = Metric(title="MRR", value=lambda found, size, protocol: 1 / np.maximum(found.first_positive_rank, 1))
    monkeypatch.setitem(METRICS, "MRR", reciprocal)
    one, two = (summarise(ranking_of(np.array(ranks)), 100, SKIP) for ranks in ([1, 2, 4], [2, 0]))
    assert one.values == {"R@1": 1 / 3, "R@5": 1.0, "R@1%": 1 / 3, "MRR": pytest.approx((1 + 1 / 2 + 1 / 4) / 3)}
    assert two.values["MRR"] == 0.5
    assert mean_over_pairs([one, two]).values["MRR"] == pytest.approx((1.75 / 3 + 0.5) / 2)
    assert pooled([one, two]).values["MRR"] == pytest.approx(2.25 / 4)
    barren = summarise(ranking_of(np.array([0])), 100, SKIP)
    assert barren.values == dict.fromkeys(METRICS)
    assert mean_over_pairs([one, barren]).values == one.values


def test_a_metric_that_a_recall_lacks_has_no_average(monkeypatch):
    before = summarise(ranking_of(np.array([1])), 100, SKIP)
    monkeypatch.setitem(METRICS, "new", Metric(title="", value=lambda found, *_: np.ones(len(found.n_positives))))
    after = summarise(ranking_of(np.array([1])), 100, SKIP)
    assert mean_over_pairs([before, after]).values == {"R@1": 1.0, "R@5": 1.0, "R@1%": 1.0, "new": None}
