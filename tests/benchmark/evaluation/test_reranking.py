"""Whether registration re-ranks: hand-computed cases."""

import numpy as np
import pytest

from benchmark.evaluation.registration import PoseErrors
from benchmark.evaluation.reranking import belief_kept, most_certain, reranking


def test_the_most_certain_wins_and_unknown_belief_never_does() -> None:
    belief = np.array([[0.1, 0.9, 0.5], [np.nan, 0.0, np.nan], [0.3, 0.3, 0.2]])
    assert most_certain(belief).tolist() == [1, 1, 0]


def test_registration_of_five_frames_by_hand() -> None:
    """Query 0: the second frame is right and the surest. Query 1: the first is right, but another is surer."""
    errors = PoseErrors(
        translation_m=np.array([[50.0, 0.1], [0.2, 40.0], [60.0, np.inf]]), rotation_deg=np.zeros((3, 2))
    )
    belief = np.array([[0.1, 0.9], [0.4, 0.6], [0.2, np.nan]])
    is_right = np.array([[False, True], [True, False], [False, False]])
    found = reranking(errors, belief, is_right)
    assert [rank.n_queries for rank in found.ranks] == [3, 2], "the third query found one frame alone"
    assert found.ranks[0].accuracy.recall["0.25 m 2°"] == pytest.approx(1 / 3)
    assert found.ranks[1].accuracy.recall["0.25 m 2°"] == pytest.approx(1 / 2)
    assert (found.first_is_right, found.chosen_is_right) == (pytest.approx(1 / 3), pytest.approx(1 / 3))
    assert found.any_is_right == pytest.approx(2 / 3)
    assert found.first.recall["0.25 m 2°"] == pytest.approx(1 / 3)
    assert found.chosen.recall["0.25 m 2°"] == pytest.approx(1 / 3)
    assert found.best.recall["0.25 m 2°"] == pytest.approx(2 / 3)


def test_what_is_believed_is_told_apart() -> None:
    errors = PoseErrors(translation_m=np.array([0.1, 9.0, 0.1, 9.0]), rotation_deg=np.zeros(4))
    found = belief_kept(errors, np.array([0.9, 0.8, 0.2, 0.1]))
    assert found.share == 0.5
    assert found.accuracy is not None
    assert found.accuracy.recall["0.5 m 5°"] == 0.5
    assert belief_kept(errors, np.zeros(4)).accuracy is None
