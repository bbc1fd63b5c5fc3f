"""Knowing when not to answer: by hand, against every threshold tried in turn, and for what must never happen."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.evaluation.confidence import (
    N_BINS,
    N_POINTS,
    Answers,
    confidence_of,
    curve_of,
    operating_point,
    probabilities,
    reliability,
    threshold_at,
)

NAN = float("nan")


def answers(*rows: tuple[float, int, str]) -> Answers:
    """Queries by distance, outcome (1 right, 0 wrong, -1 wrong and without a right answer) and traversal."""
    distance, outcome, traversal = zip(*rows, strict=True)
    return Answers(
        distance=np.array(distance, dtype=float),
        is_right=np.array(outcome) == 1,
        is_counted=np.array(outcome) >= 0,
        traversal=np.array(traversal),
    )


FIVE = answers((0.1, 1, "a"), (0.2, 1, "a"), (0.3, -1, "a"), (0.4, 1, "b"), (0.5, 0, "b"))
"""Of five queries four count; a query without a right answer lies between the right ones."""
ARRAYS = {
    "directions": np.array(["image->cloud", "cloud->image"]),
    "pairs": np.array([["a", "m"], ["b", "m"]]),
    "query_direction": np.array([0, 0, 0, 0, 0, 1], dtype=np.uint8),
    "query_pair": np.array([0, 0, 0, 1, 1, 1], dtype=np.uint8),
    "query_first_positive_rank": np.array([1, 1, 0, 1, 7, 1], dtype=np.uint8),
    "query_top_distance": np.array([[0.1, 9], [0.2, 9], [0.3, 9], [0.4, 9], [0.5, 9], [0.0, 9]], dtype=np.float16),
}


def test_an_answer_to_a_query_without_a_right_answer_is_wrong_and_costs_no_recall() -> None:
    curve = curve_of(FIVE)
    assert curve.threshold == (0.1, 0.2, 0.3, 0.4, 0.5)
    assert curve.precision == pytest.approx((1, 1, 2 / 3, 3 / 4, 3 / 5))
    assert curve.recall == pytest.approx((1 / 4, 2 / 4, 2 / 4, 3 / 4, 3 / 4))
    every = replace(FIVE, is_counted=np.ones(5, dtype=bool))  # where such a query counts as a miss
    assert curve_of(every).precision == curve.precision
    assert curve_of(every).recall == pytest.approx((1 / 5, 2 / 5, 2 / 5, 3 / 5, 3 / 5))


def test_the_area_is_a_sum_of_steps() -> None:
    found = confidence_of(ARRAYS, "image->cloud", "skip")
    assert found is not None
    assert found.average_precision == pytest.approx(1 * 1 / 2 + 3 / 4 * 1 / 4)
    assert (found.n_queries, found.n_counted, found.n_traversals) == (5, 4, 2)


def test_equal_distances_are_answered_together_whatever_their_order() -> None:
    tied = answers((0.1, 1, "a"), (0.1, 0, "a"), (0.2, 1, "a"))
    for order in ([0, 1, 2], [1, 0, 2], [2, 1, 0]):
        assert curve_of(tied.of(np.array(order))) == curve_of(tied)
    assert curve_of(tied).precision == pytest.approx((1 / 2, 2 / 3))
    assert threshold_at(tied, 1.0) is None


def test_a_threshold_reaches_as_far_as_the_precision_allows() -> None:
    assert threshold_at(FIVE, 1.0) == 0.2
    assert threshold_at(FIVE, 0.75) == 0.4  # beyond a dip to two thirds
    assert threshold_at(FIVE, 0.6) == 0.5
    assert threshold_at(answers((0.1, 0, "a"), (0.2, 1, "a")), 1.0) is None


def test_99_of_100_is_99_percent() -> None:
    rows = [(0.01 * i, 1, "a") for i in range(99)]
    assert threshold_at(answers(*rows, (2.0, 0, "a")), 0.99) == 2.0
    assert threshold_at(answers(*rows[1:], (2.0, 0, "a")), 0.99) == 0.98


def test_a_threshold_of_other_traversals_says_what_it_really_reached() -> None:
    """From b alone the threshold is 0.4: of a's three answers two are right. From a it is 0.2: nothing of b."""
    found = operating_point(FIVE, 1.0)
    assert (found.threshold, found.recall) == (0.2, 2 / 4)
    assert found.transferred_recall == pytest.approx(2 / 4)
    assert found.transferred_precision == pytest.approx(2 / 3)


def test_one_traversal_has_no_other() -> None:
    one = replace(FIVE, traversal=np.full(5, "a"))
    found = operating_point(one, 1.0)
    assert (found.recall, found.transferred_recall, found.transferred_precision) == (0.5, None, None)
    assert np.isnan(probabilities(one)).all()
    assert reliability(one) == ()


def test_where_others_never_reach_the_precision_nothing_is_answered() -> None:
    found = operating_point(answers((0.1, 0, "a"), (0.2, 1, "a"), (0.1, 0, "b"), (0.3, 1, "b")), 1.0)
    assert (found.threshold, found.recall) == (None, 0.0)
    assert (found.transferred_recall, found.transferred_precision) == (0.0, None)


def test_a_traversal_whose_others_do_not_count_is_not_answered() -> None:
    found = operating_point(answers((0.1, 1, "a"), (0.2, 1, "a"), (0.1, -1, "b"), (0.3, -1, "b")), 1.0)
    assert found.threshold is None, "b's first answer is as near as a's and always wrong"
    assert found.transferred_recall == 0.0


def test_probabilities_fall_with_the_distance_and_come_from_the_others() -> None:
    """Of b: right, wrong, right, wrong. Pooled to 1, ½, ½, 0; a's distances lie on, between and beyond them."""
    seen = [(1.0, 1, "b"), (2.0, 0, "b"), (3.0, 1, "b"), (4.0, 0, "b")]
    asked = [(0.0, 0, "a"), (1.0, 0, "a"), (1.5, 0, "a"), (2.5, 0, "a"), (3.5, 0, "a"), (9.0, 0, "a"), (NAN, 0, "a")]
    found = probabilities(answers(*seen, *asked))
    assert found[4:10] == pytest.approx([1, 1, 0.75, 0.5, 0.25, 0])
    assert np.isnan(found[10])
    assert found[:4] == pytest.approx([0, 0, 0, 0]), "all of a are wrong"


def test_equal_distances_share_a_probability() -> None:
    seen = [(1.0, 1, "b"), (1.0, 0, "b"), (1.0, 0, "b"), (2.0, 1, "b")]
    assert probabilities(answers(*seen, (1.0, 1, "a"), (2.0, 1, "a")))[4:] == pytest.approx([0.5, 0.5])


def test_the_calibration_error_is_the_mean_difference_over_bins() -> None:
    """Each traversal predicts the other: a is right half as often as b at either distance."""
    a = [(1.0, i < 5, "a") for i in range(10)] + [(2.0, i < 2, "a") for i in range(10)]
    b = [(1.0, i < 10, "b") for i in range(10)] + [(2.0, i < 4, "b") for i in range(10)]
    bins = reliability(answers(*a, *b))
    assert [each.predicted for each in bins] == pytest.approx([0.2, 0.4, 0.5, 1.0])
    assert [each.right for each in bins] == pytest.approx([0.4, 0.2, 1.0, 0.5])
    assert [each.n_queries for each in bins] == [10] * 4
    ranks = {
        "directions": np.array(["d"]),
        "pairs": np.array([["a", "b"], ["b", "a"]]),
        "query_direction": np.zeros(40, dtype=int),
        "query_pair": np.repeat([0, 1], 20),
        "query_first_positive_rank": np.where([right for _, right, _ in [*a, *b]], 1, 2),
        "query_top_distance": np.array([[distance] for distance, _, _ in [*a, *b]]),
    }
    found = confidence_of(ranks, "d", "skip")
    assert found is not None
    assert found.reliability == bins
    assert found.calibration_error == pytest.approx((0.2 + 0.2 + 0.5 + 0.5) / 4)


def test_a_direction_is_read_from_narrow_arrays_by_itself() -> None:
    found = confidence_of(ARRAYS, "image->cloud", "skip")
    assert found is not None
    wide = {name: a.astype(np.int64) if a.dtype.kind == "u" else a for name, a in ARRAYS.items()}
    assert confidence_of(wide, "image->cloud", "skip") == found
    assert found.at[0].recall == 0.5
    assert found.curve.threshold == pytest.approx((0.1, 0.2, 0.3, 0.4, 0.5), rel=1e-3)
    missed = confidence_of(ARRAYS, "image->cloud", "miss")
    assert missed is not None
    assert (missed.n_counted, missed.at[0].recall) == (5, 0.4)


@pytest.mark.parametrize(
    "changes",
    [
        {"query_top_distance": np.zeros((6, 2))},
        {"query_top_distance": np.full((6, 2), np.nan)},
        {"query_first_positive_rank": np.zeros(6, dtype=int)},
    ],
    ids=["equally far", "nothing found", "nothing to find"],
)
def test_what_tells_nothing_apart_has_no_confidence(changes: dict[str, np.ndarray]) -> None:
    assert confidence_of({**ARRAYS, **changes}, "image->cloud", "skip") is None


def test_ranks_without_distances_have_no_confidence() -> None:
    assert confidence_of({n: a for n, a in ARRAYS.items() if n != "query_top_distance"}, "image->cloud", "skip") is None


# --- against every threshold, and in general -----------------------------------------------------

ROWS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.0, NAN]), st.sampled_from([-1, 0, 1]), st.sampled_from("abc")),
    min_size=1,
    max_size=30,
).map(lambda rows: [(d, 0 if np.isnan(d) and outcome == 1 else outcome, t) for d, outcome, t in rows])
"""Queries with many ties; what found nothing cannot be right."""


def tried(found: Answers, threshold: float) -> tuple[int, int]:
    """Answers and right answers, counted in a plain loop."""
    n_answered = n_right = 0
    for distance, is_right in zip(found.distance.tolist(), found.is_right.tolist(), strict=True):
        if distance <= threshold:
            n_answered += 1
            n_right += is_right
    return n_answered, n_right


@given(rows=ROWS, precision=st.sampled_from([1.0, 0.99, 0.5]))
def test_recall_at_a_precision_is_the_best_of_all_thresholds(
    rows: list[tuple[float, int, str]], precision: float
) -> None:
    found = answers(*rows)
    n_counted = int(found.is_counted.sum())
    if not n_counted:
        assert threshold_at(found, precision) is None
        return
    best = 0.0
    for threshold in (0.0, 0.5, 1.0, 1.5, 2.0):
        n_answered, n_right = tried(found, threshold)
        if n_answered and n_right >= precision * n_answered - 1e-9:
            best = max(best, n_right / n_counted)
    point = operating_point(found, precision)
    assert point.recall == pytest.approx(best)
    n_answered = n_right = 0
    for name in set(found.traversal.tolist()):
        own = found.traversal == name
        limit = threshold_at(found.of(~own), precision) if not own.all() else None
        for distance, is_right in zip(found.distance[own].tolist(), found.is_right[own].tolist(), strict=True):
            if limit is not None and distance <= limit:
                n_answered, n_right = n_answered + 1, n_right + is_right
    if len(set(found.traversal.tolist())) > 1:
        assert point.transferred_recall == pytest.approx(n_right / n_counted)
        assert point.transferred_precision == (pytest.approx(n_right / n_answered) if n_answered else None)


@given(rows=ROWS)
def test_a_curve_is_what_its_thresholds_give(rows: list[tuple[float, int, str]]) -> None:
    found = answers(*rows)
    if not found.is_counted.any():
        return
    curve = curve_of(found)
    for threshold, precision, recall in zip(curve.threshold, curve.precision, curve.recall, strict=True):
        n_answered, n_right = tried(found, threshold)
        assert precision == pytest.approx(n_right / n_answered)
        assert recall == pytest.approx(n_right / found.is_counted.sum())
    assert all(a < b for a, b in pairwise(curve.threshold))
    assert all(a <= b for a, b in pairwise(curve.recall))


@given(rows=ROWS, seed=st.integers(0, 9))
def test_nothing_depends_on_the_order_of_the_queries(rows: list[tuple[float, int, str]], seed: int) -> None:
    found = answers(*rows)
    shuffled = found.of(np.random.default_rng(seed).permutation(len(rows)))
    np.testing.assert_array_equal(np.sort(probabilities(found)), np.sort(probabilities(shuffled)))
    for one, other in zip(reliability(found), reliability(shuffled), strict=True):
        assert (one.predicted, one.right, one.n_queries) == pytest.approx(
            (other.predicted, other.right, other.n_queries)
        )
    known = np.isfinite(probabilities(found))
    assert sum(each.n_queries for each in reliability(found)) == known.sum()
    assert len(reliability(found)) <= N_BINS


@given(seed=st.integers(0, 20))
def test_bins_are_of_equal_count_without_ties_and_probabilities_are_monotone(seed: int) -> None:
    random = np.random.default_rng(seed)
    n = 400
    distance = random.random(n)
    right = random.random(n) > distance
    found = answers(*zip(distance, right.astype(int), np.where(np.arange(n) % 2, "a", "b"), strict=True))
    predicted = probabilities(found)
    for name in "ab":
        own = found.traversal == name
        assert (np.diff(predicted[own][np.argsort(distance[own])]) <= 1e-12).all()
    assert ((predicted >= 0) & (predicted <= 1)).all()
    bins = reliability(found)
    error = sum(each.n_queries * abs(each.predicted - each.right) for each in bins) / n
    assert error < 0.15, "half of the queries predict the other half"


def test_a_stored_curve_is_short_and_keeps_its_ends() -> None:
    n = 1000
    ranks = {
        "directions": np.array(["d"]),
        "pairs": np.array([["a", "b"]]),
        "query_direction": np.zeros(n, dtype=int),
        "query_pair": np.zeros(n, dtype=int),
        "query_first_positive_rank": 1 + np.arange(n) % 3,
        "query_top_distance": np.arange(n, dtype=float)[:, None],
    }
    found = confidence_of(ranks, "d", "skip")
    assert found is not None
    assert len(found.curve.threshold) == len(found.curve.precision) == len(found.curve.recall) == N_POINTS
    assert (found.curve.threshold[0], found.curve.threshold[-1]) == (0.0, n - 1.0)
    assert found.curve.recall[-1] == 0.334
