import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rankings import ranking_of

from benchmark.evaluation.metrics import mean_over_pairs, one_percent_depth, pooled, recall_at, summarise
from datasets.base import OnePercent, Protocol, Selection, Split


def protocol(**choices):
    everything = Selection()
    fixed = {"name": "test", "version": 1, "title": "", "dataset": "none", "query": everything, "database": everything}
    split = Split(train=everything, validation=everything)
    return Protocol(**fixed, split=split, pairs="across", radius_m=25.0, **choices)


SKIP, MISS = protocol(no_positive="skip"), protocol(no_positive="miss")
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


@given(ranks=RANKS, no_positive=st.sampled_from([SKIP, MISS]), size=st.integers(1, 5000))
def test_recall_agrees_with_a_loop_and_grows_with_depth(ranks, no_positive, size):
    found = summarise(ranking_of(ranks), size, no_positive)
    counted = [r for r in ranks.tolist() if r > 0 or no_positive is MISS]
    for n, recall in enumerate(found.recall_at, start=1):
        hits = sum(1 for r in counted if 1 <= r <= n)
        assert recall == (hits / len(counted) if counted else None)
    if counted:
        assert list(found.recall_at) == sorted(found.recall_at)


@given(
    pairs=st.lists(st.tuples(RANKS, st.integers(1, 900)), min_size=1, max_size=5), rule=st.sampled_from([SKIP, MISS])
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
