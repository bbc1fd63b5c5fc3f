import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from benchmark.evaluation.distances import distances
from benchmark.evaluation.ranks import fused_ranks, rank_queries
from benchmark.protocol import ground_truth
from benchmark.protocol.ground_truth import Relation
from datasets.errors import CrossplaceError

DISTANCES = ["l2", "cosine", "dot"]


def relation(is_positive, is_candidate=None):
    is_positive = np.array(is_positive, dtype=bool)
    is_candidate = np.ones_like(is_positive) if is_candidate is None else np.array(is_candidate, dtype=bool)
    return Relation(is_candidate=is_candidate, is_positive=is_positive & is_candidate)


# --- four queries and six places, by hand --------------------------------------------------------

BY_HAND = np.array(
    [
        [5.0, 1, 3, 2, 4, 6],  # positive 2 comes after 1 and 3
        [2.0, 2, 2, 2, 1, 9],  # positives 1 and 3 tie with 0 and 2: 4 is nearer, 0 stands before
        [1.0, 0, 5, 3, 0, 2],  # 1 and 4 may not be searched, so positive 5 comes after 0 alone
        [1.0, 2, 3, 4, 5, 6],  # no positive
    ]
)
BY_HAND_RELATION = relation(
    is_positive=[[0, 0, 1, 0, 0, 0], [0, 1, 0, 1, 0, 0], [0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0]],
    is_candidate=[[1] * 6, [1] * 6, [1, 0, 1, 1, 0, 1], [1] * 6],
)


def test_ranks_and_counts_by_hand():
    found = rank_queries(BY_HAND, BY_HAND_RELATION)
    assert found.first_positive_rank.tolist() == [3, 3, 2, 0]
    assert found.n_positives.tolist() == [1, 2, 1, 0]
    assert found.n_candidates.tolist() == [6, 6, 4, 6]


def test_best_distances_by_hand():
    found = rank_queries(BY_HAND, BY_HAND_RELATION)
    np.testing.assert_array_equal(found.best_positive_distance, [3, 2, 2, np.nan])
    np.testing.assert_array_equal(found.best_negative_distance, [1, 1, 1, 1])


def test_top_lists_by_hand_are_ordered_by_distance_then_index():
    found = rank_queries(BY_HAND, BY_HAND_RELATION, top_k=5)
    assert found.top_index.tolist() == [[1, 3, 2, 4, 0], [4, 0, 1, 2, 3], [0, 5, 3, 2, -1], [0, 1, 2, 3, 4]]
    np.testing.assert_array_equal(
        found.top_distance, [[1, 2, 3, 4, 5], [1, 2, 2, 2, 2], [1, 2, 3, 5, np.nan], [1, 2, 3, 4, 5]]
    )


def test_top_lists_longer_than_the_database_are_padded():
    found = rank_queries(BY_HAND, BY_HAND_RELATION, top_k=8)
    assert found.top_index[:, 6:].tolist() == [[-1, -1]] * 4
    assert np.isnan(found.top_distance[:, 6:]).all()


def test_only_the_nearest_positive_decides_what_stands_before_it():
    # Positive 0 is far; wrong places 1 and 3 tie with positive 2, and only 1 stands before it.
    assert rank_queries(np.array([[9.0, 1, 1, 1]]), relation([[1, 0, 1, 0]])).first_positive_rank.tolist() == [2]


def test_a_query_whose_candidates_are_all_positive_has_no_negative():
    found = rank_queries(np.array([[3.0, 2.0]]), relation([[1, 1]]))
    assert found.first_positive_rank.tolist() == [1]
    assert np.isnan(found.best_negative_distance).all()


def test_a_query_without_candidates_finds_nothing():
    found = rank_queries(np.array([[1.0, 2.0]]), relation([[1, 1]], is_candidate=[[0, 0]]), top_k=1)
    assert (found.first_positive_rank.item(), found.n_candidates.item(), found.top_index.item()) == (0, 0, -1)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
def test_empty_sides_give_empty_rankings(shape):
    found = rank_queries(np.zeros(shape), relation(np.zeros(shape)))
    assert found.first_positive_rank.tolist() == [0] * shape[0]
    assert found.top_index.shape == (shape[0], 25)


def test_near_frames_that_may_not_be_searched_push_no_candidate_out():
    # A search of 2k + 1 neighbours that removes recent frames afterwards loses this positive.
    is_candidate = np.arange(200) >= 100
    found = rank_queries(np.arange(200.0)[None], relation([np.arange(200) == 100], [is_candidate]))
    assert found.first_positive_rank.tolist() == [1]


def test_ranks_reach_deeper_than_the_top_list():
    found = rank_queries(np.arange(4000.0)[None], relation([np.arange(4000) == 3000]))
    assert found.first_positive_rank.tolist() == [3001]


def test_a_search_of_limited_depth_by_hand():
    """What may not be found still takes up the depth; a positive beyond it is a miss, and no query without one."""
    found = rank_queries(BY_HAND, BY_HAND_RELATION, search_depth=2)
    # 1 and 3 are nearest; 4 and 0; 1 and 4, neither of which may be found; no positive.
    assert found.first_positive_rank.tolist() == [7, 7, 7, 0]
    assert found.top_index[:, :3].tolist() == [[1, 3, -1], [4, 0, -1], [-1, -1, -1], [0, 1, -1]]
    assert found.n_candidates.tolist() == [6, 6, 4, 6]
    assert found.n_positives.tolist() == [1, 2, 1, 0]
    assert np.isnan(found.best_positive_distance).all()
    np.testing.assert_array_equal(found.best_negative_distance, [1, 1, np.nan, 1])
    assert rank_queries(BY_HAND, BY_HAND_RELATION, search_depth=3).first_positive_rank.tolist() == [3, 3, 7, 0]
    assert rank_queries(BY_HAND, BY_HAND_RELATION, search_depth=4).first_positive_rank.tolist() == [3, 3, 2, 0]


def test_a_distance_that_is_not_finite_is_named():
    with pytest.raises(CrossplaceError, match="query row 1 and database row 0 is nan"):
        rank_queries(np.array([[0.0, 1], [np.nan, 1]]), relation(np.zeros((2, 2))))


# --- distances by hand ---------------------------------------------------------------------------


def one_view(rows):
    return np.array(rows, dtype=np.float32)[:, None, :]


@pytest.mark.parametrize(("distance", "expected"), [("l2", [5.0, 0.0]), ("cosine", [1.0, 0.0]), ("dot", [0.0, -25.0])])
def test_distances_by_hand(distance, expected):
    found = distances(one_view([[3, 4]]), one_view([[0, 0], [3, 4]]), distance)
    np.testing.assert_allclose(found, [expected], atol=1e-15)


def test_cosine_runs_from_zero_to_two_and_ignores_length():
    found = distances(one_view([[2, 0]]), one_view([[5, 0], [0, 1], [-3, 0]]), "cosine")
    np.testing.assert_allclose(found, [[0, 1, 2]], atol=1e-15)


def test_cosine_of_zero_vectors_is_one():
    assert distances(one_view([[0, 0], [1, 0]]), one_view([[0, 0], [0, 0]]), "cosine").tolist() == [[1, 1], [1, 1]]


def test_the_nearest_pair_of_views_counts():
    query = np.array([[[0.0, 0.0], [10.0, 0.0]]])
    database = np.array([[[0.0, 3.0], [0.0, 9.0], [50.0, 0.0]], [[90.0, 0.0], [12.0, 0.0], [90.0, 0.0]]])
    assert distances(query, database, "l2").tolist() == [[3.0, 2.0]]


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("size", [3, 255, 256])
def test_equal_descriptors_tie_exactly_wherever_they_stand(distance, size):
    rng = np.random.default_rng(size)
    query, place = rng.normal(size=(33, 1, size)), rng.normal(size=(1, 1, size))
    for n in (1, 7, 203):
        found = distances(query, np.repeat(place, n, axis=0), distance)
        assert (found == found[:, :1]).all()


@pytest.mark.parametrize("distance", DISTANCES)
def test_distances_do_not_depend_on_how_the_work_is_cut(distance, monkeypatch):
    rng = np.random.default_rng(0)
    query, database = rng.normal(size=(7, 2, 5)), rng.normal(size=(4, 3, 5))
    whole = distances(query, database, distance)
    places = relation(rng.random((7, 4)) < 0.4)
    ranks = rank_queries(whole, places)
    monkeypatch.setattr(ground_truth, "BLOCK_ENTRIES", 9)
    np.testing.assert_array_equal(distances(query, database, distance), whole)
    np.testing.assert_array_equal(rank_queries(whole, places).top_index, ranks.top_index)
    np.testing.assert_array_equal(rank_queries(whole, places).first_positive_rank, ranks.first_positive_rank)


@pytest.mark.parametrize(("side", "row"), [("query", 1), ("database", 2)])
def test_a_descriptor_that_is_not_finite_is_named(side, row):
    sides = {"query": np.zeros((3, 1, 2)), "database": np.zeros((3, 1, 2))}
    sides[side][row, 0, 1] = np.inf
    with pytest.raises(CrossplaceError, match=f"{side} row {row}: descriptor is not finite"):
        distances(sides["query"], sides["database"], "l2")


def test_descriptors_of_different_size_are_refused():
    with pytest.raises(CrossplaceError, match="have 2 values and database descriptors 3"):
        distances(np.zeros((1, 1, 2)), np.zeros((1, 1, 3)), "l2")


# --- against plain loops -------------------------------------------------------------------------


def naive_distance(a, b, distance):
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    if distance == "dot":
        return -dot
    if distance == "l2":
        return math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b, strict=True)))
    lengths = math.hypot(*a) * math.hypot(*b)
    return 1 - dot / lengths if lengths else 1.0


@st.composite
def descriptors(draw):
    n_queries, n_database, size = draw(st.integers(1, 4)), draw(st.integers(1, 6)), draw(st.integers(1, 3))
    views = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    small = st.integers(-2, 2).map(float)
    shapes = (n_queries, views[0], size), (n_database, views[1], size)
    return tuple(draw(arrays(np.float64, shape, elements=small, fill=st.nothing())) for shape in shapes)


@given(sides=descriptors(), distance=st.sampled_from(DISTANCES))
def test_distances_agree_with_a_double_loop(sides, distance):
    query, database = sides
    found = distances(query, database, distance)
    for i, q in enumerate(query.tolist()):
        for j, d in enumerate(database.tolist()):
            expected = min(naive_distance(a, b, distance) for a in q for b in d)
            assert found[i, j] == pytest.approx(expected, abs=1e-12)


@st.composite
def ranking_problems(draw):
    shape = draw(st.integers(1, 4)), draw(st.integers(1, 7))
    tied = st.integers(0, 3).map(float)  # few values: many ties
    # Without a fill every entry is drawn, instead of most of them at once.
    values = draw(arrays(np.float64, shape, elements=tied, fill=st.nothing()))
    is_positive, is_candidate = (draw(arrays(bool, shape, fill=st.nothing())) for _ in range(2))
    return values, relation(is_positive, is_candidate)


@given(problem=ranking_problems(), top_k=st.integers(1, 9))
def test_ranking_agrees_with_sorting_each_row(problem, top_k):
    values, places = problem
    found = rank_queries(values, places, top_k)
    for q in range(len(values)):
        candidates = [int(j) for j in np.flatnonzero(places.is_candidate[q])]
        order = sorted(candidates, key=lambda j: (values[q, j], j))
        ranks = [rank for rank, j in enumerate(order, start=1) if places.is_positive[q, j]]
        right = [values[q, j] for j in order if places.is_positive[q, j]]
        wrong = [values[q, j] for j in order if not places.is_positive[q, j]]
        assert found.first_positive_rank[q] == (ranks[0] if ranks else 0)
        assert (found.n_positives[q], found.n_candidates[q]) == (len(right), len(order))
        assert found.top_index[q].tolist() == (order + [-1] * top_k)[:top_k]
        expected = ([values[q, j] for j in order] + [np.nan] * top_k)[:top_k]
        np.testing.assert_array_equal(found.top_distance[q], expected)
        np.testing.assert_array_equal(found.best_positive_distance[q], right[0] if right else np.nan)
        np.testing.assert_array_equal(found.best_negative_distance[q], wrong[0] if wrong else np.nan)


@given(problem=ranking_problems(), search_depth=st.integers(1, 9))
def test_a_search_of_limited_depth_agrees_with_filtering_a_list(problem, search_depth):
    values, places = problem
    found = rank_queries(values, places, search_depth=search_depth)
    for q in range(len(values)):
        fetched = sorted(range(values.shape[1]), key=lambda j: (values[q, j], j))[:search_depth]
        kept = [j for j in fetched if places.is_candidate[q, j]]
        ranks = [rank for rank, j in enumerate(kept, start=1) if places.is_positive[q, j]]
        beyond = values.shape[1] + 1 if places.is_positive[q].any() else 0
        assert found.first_positive_rank[q] == (ranks[0] if ranks else beyond)
        assert [j for j in found.top_index[q].tolist() if j >= 0] == kept


@given(problem=ranking_problems())
def test_a_depth_of_the_whole_database_is_no_limit(problem):
    values, places = problem
    limited, free = rank_queries(values, places, search_depth=values.shape[1]), rank_queries(values, places)
    np.testing.assert_array_equal(limited.first_positive_rank, free.first_positive_rank)
    np.testing.assert_array_equal(limited.top_index, free.top_index)


@given(problem=ranking_problems(), seed=st.integers(0, 2**16))
def test_permuting_queries_permutes_ranks(problem, seed):
    values, places = problem
    order = np.random.default_rng(seed).permutation(len(values))
    permuted = rank_queries(values[order], relation(places.is_positive[order], places.is_candidate[order]))
    assert permuted.first_positive_rank.tolist() == rank_queries(values, places).first_positive_rank[order].tolist()


@given(seed=st.integers(0, 2**16), n_database=st.integers(1, 12))
def test_permuting_a_database_without_ties_leaves_ranks(seed, n_database):
    rng = np.random.default_rng(seed)
    values, is_positive = rng.random((3, n_database)), rng.random((3, n_database)) < 0.3
    order = rng.permutation(n_database)
    permuted = rank_queries(values[:, order], relation(is_positive[:, order]))
    assert (
        permuted.first_positive_rank.tolist()
        == rank_queries(values, relation(is_positive)).first_positive_rank.tolist()
    )


@given(problem=ranking_problems(), extra=st.integers(0, 5))
def test_one_more_wrong_candidate_never_improves_a_rank_and_a_far_one_leaves_it(problem, extra):
    values, places = problem
    n = len(values)
    column = np.full((n, 1), float(extra))
    more = relation(
        np.hstack([places.is_positive, np.zeros((n, 1), bool)]), np.hstack([places.is_candidate, np.ones((n, 1), bool)])
    )
    before = rank_queries(values, places).first_positive_rank
    after = rank_queries(np.hstack([values, column]), more).first_positive_rank
    assert (after >= before).all()
    if extra > 3:
        assert (after == before).all()


# --- fusion --------------------------------------------------------------------------------------


def test_fused_ranks_by_hand():
    main = np.array([[5.0, 1, 3, 2, 4, 6]])  # order 1 3 2 4 0 5
    second = np.array([[0.0, 9, 1, 2, 3, 0]])
    everything = np.ones((1, 6), dtype=bool)
    # of 1 3 2 4: ranks 0 1 2 3 and, by the second, 3 1 0 2: sums 3 2 2 5, so that 3 and 2 come before 1
    assert fused_ranks(main, second, everything, top=4).tolist() == [[4, 2, 1, 0, 3, 5]]
    # without 3, of 1 2 4 0: ranks 0 1 2 3 and 3 1 2 0: sums 3 2 4 3; 3 itself stands where it was, behind 1
    candidates = np.array([[True, True, True, False, True, True]])
    assert fused_ranks(main, second, candidates, top=4).tolist() == [[2, 1, 0, 0.5, 3, 4]]


def naive_fused_order(main: list[float], second: list[float], candidates: list[int], top: int) -> list[int]:
    """Best candidate first."""
    by_main = sorted(candidates, key=lambda j: (main[j], j))
    head = by_main[:top]
    by_second = sorted(head, key=lambda j: (second[j], head.index(j)))
    return [*sorted(head, key=lambda j: (head.index(j) + by_second.index(j), head.index(j))), *by_main[top:]]


@given(
    arrays(float, (2, 3, 9), elements=st.integers(0, 5)),
    arrays(bool, (3, 9)),
    st.integers(1, 12),
)
def test_fused_ranks_are_those_of_a_sorted_list(values, is_candidate, top):
    found = fused_ranks(*values, is_candidate, top)
    for q in range(3):
        candidates = np.flatnonzero(is_candidate[q]).tolist()
        order = naive_fused_order(*values[:, q].tolist(), candidates, top)
        assert sorted(candidates, key=lambda j: found[q, j]) == order
        assert sorted(found[q, candidates]) == list(range(len(candidates)))
        for other in np.flatnonzero(~is_candidate[q]):
            nearer = sum(values[0, q, j] < values[0, q, other] for j in candidates)
            assert found[q, other] == nearer - 0.5


@given(arrays(float, (2, 4, 8), elements=st.integers(0, 3)), st.integers(1, 8))
def test_a_second_descriptor_that_agrees_changes_nothing(values, top):
    main, is_positive = values
    relations = relation(is_positive > 1)
    plain = rank_queries(main, relations)
    fused = rank_queries(fused_ranks(main, main, relations.is_candidate, top), relations)
    np.testing.assert_array_equal(fused.first_positive_rank, plain.first_positive_rank)
    np.testing.assert_array_equal(fused.top_index, plain.top_index)


def test_blocks_do_not_change_fused_ranks(monkeypatch):
    main, second = np.random.default_rng(0).random((2, 7, 5))
    everything = np.ones((7, 5), dtype=bool)
    whole = fused_ranks(main, second, everything, 3)
    monkeypatch.setattr(ground_truth, "BLOCK_ENTRIES", 10)
    np.testing.assert_array_equal(fused_ranks(main, second, everything, 3), whole)
