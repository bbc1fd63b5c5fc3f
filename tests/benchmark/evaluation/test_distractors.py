"""Ranks among foreign frames by counting, against a ranking of everything together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.evaluation.distances import distances
from benchmark.evaluation.distractors import among_foreign, n_nearer
from benchmark.evaluation.ranks import rank_queries
from benchmark.protocol import ground_truth
from benchmark.protocol.ground_truth import Relation


@given(seed=st.integers(0, 200), views=st.sampled_from([1, 2]))
@pytest.mark.parametrize("distance", ["l2", "cosine", "dot"])
def test_counting_is_ranking_over_everything_together(seed: int, views: int, distance: str) -> None:
    """Whole numbers of a small range: foreign frames are as near as positives in many cases, and stand behind."""
    random = np.random.default_rng(seed)
    query, real, foreign = (random.integers(-2, 3, (n, views, 2)).astype(float) for n in (6, 7, 9))
    is_candidate = random.random((6, 7)) < 0.8
    relation = Relation(is_candidate=is_candidate, is_positive=is_candidate & (random.random((6, 7)) < 0.4))
    matrix = distances(query, real, distance)  # type: ignore[arg-type]
    ranking = rank_queries(matrix, relation)
    numbers = [2, 5, 9]
    nearer = n_nearer(query, foreign, ranking.best_positive_distance, distance, numbers)  # type: ignore[arg-type]
    for column, number in enumerate(numbers):
        everything = np.concatenate([real, foreign[:number]])
        never = np.zeros((6, number), dtype=bool)
        whole = Relation(
            is_candidate=np.hstack([relation.is_candidate, ~never]),
            is_positive=np.hstack([relation.is_positive, never]),
        )
        expected = rank_queries(distances(query, everything, distance), whole)  # type: ignore[arg-type]
        found = among_foreign(ranking, nearer[:, column], number)
        np.testing.assert_array_equal(found.first_positive_rank, expected.first_positive_rank)
        np.testing.assert_array_equal(found.n_candidates, expected.n_candidates)
        np.testing.assert_array_equal(found.n_positives, expected.n_positives)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    query, foreign, best = random.random((5, 1, 3)), random.random((40, 1, 3)), np.full(5, 0.5)
    whole = n_nearer(query, foreign, best, "l2", [10, 40])
    assert 0 < whole[:, 0].sum() < whole[:, 1].sum()
    monkeypatch.setattr(ground_truth, "BLOCK_ENTRIES", 15)
    np.testing.assert_array_equal(n_nearer(query, foreign, best, "l2", [10, 40]), whole)


def test_equally_near_frames_stand_behind_and_what_finds_nothing_counts_nothing() -> None:
    query, foreign = np.zeros((2, 1, 1)), np.array([[[1.0]], [[0.5]], [[2.0]]])
    found = n_nearer(query, foreign, np.array([1.0, np.nan]), "l2", [1, 2, 3])
    assert found.tolist() == [[0, 1, 1], [0, 0, 0]]
