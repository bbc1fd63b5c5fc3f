import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from benchmark.evaluation.chance import hypergeometric_recall
from benchmark.evaluation.estimates import Estimate
from benchmark.evaluation.metrics import recall_at
from benchmark.evaluation.rankers import RANKERS
from benchmark.evaluation.ranks import Ranking, rank_queries
from benchmark.protocol.ground_truth import Relation
from datasets.randomness import generator

PAIR = ("monday", "tuesday")


@st.composite
def relations(draw):
    shape = draw(st.integers(1, 5)), draw(st.integers(1, 8))
    is_candidate, is_positive = (draw(arrays(bool, shape, fill=st.nothing())) for _ in range(2))
    return Relation(is_candidate=is_candidate, is_positive=is_candidate & is_positive)


def ranks_of(name, relation, rng):
    return rank_queries(RANKERS[name](relation, rng), relation).first_positive_rank


@given(relation=relations())
def test_the_oracle_is_always_right(relation):
    ranks = ranks_of("oracle", relation, generator(0, *PAIR, "image->cloud"))
    assert (ranks == relation.is_positive.any(axis=1)).all()


@given(relation=relations())
def test_the_constant_ranker_scores_the_order_of_the_database(relation):
    ranks = ranks_of("constant", relation, generator(0, *PAIR, "image->cloud"))
    for rank, candidate, positive in zip(ranks, relation.is_candidate, relation.is_positive, strict=True):
        first = int(np.argmax(positive))
        assert rank == (1 + candidate[:first].sum() if positive.any() else 0)


@pytest.mark.parametrize("depth", [1, 5, 20])
def test_the_random_ranker_scores_what_chance_predicts(depth):
    rng = np.random.default_rng(0)
    is_candidate = rng.random((50, 60)) < 0.8
    relation = Relation(is_candidate=is_candidate, is_positive=is_candidate & (rng.random((50, 60)) < 0.05))
    n_positives, n_candidates = relation.is_positive.sum(axis=1), relation.is_candidate.sum(axis=1)
    expected = hypergeometric_recall(n_positives, n_candidates, depth)
    n_seeds = 200
    scores = [recall_at(ranks_of("random", relation, generator(s, *PAIR, "any")), depth) for s in range(n_seeds)]
    # Given the relation queries are independent coin tosses, so the spread of the mean is known.
    deviation = np.sqrt((expected * (1 - expected)).sum() / n_seeds) / len(expected)
    assert abs(np.mean(scores) - expected.mean()) < 3 * deviation


def test_random_numbers_depend_on_seed_pair_and_direction_only():
    keys = [
        (0, *PAIR, "image->cloud"),
        (1, *PAIR, "image->cloud"),
        (0, "tuesday", "monday", "image->cloud"),
        (0, *PAIR, "cloud->image"),
        (0, "mondaytues", "day", "image->cloud"),
    ]
    first = [generator(*key).random() for key in keys]
    assert len(set(first)) == len(keys)
    assert [generator(*key).random() for key in reversed(keys)] == first[::-1]


def test_random_numbers_are_the_same_in_every_process():
    # A hash that differs between processes, as Python's of strings does, would fail here.
    assert generator(0, *PAIR, "image->cloud").random() == pytest.approx(0.15602256919464674, abs=1e-15)


class NearTies(np.random.Generator):
    """Draws numbers that differ by less than float32 can tell, or not at all."""

    def random(self, size):
        return 0.5 + np.random.default_rng(0).integers(0, 40, size) * 2.0**-27


def test_numbers_that_float32_cannot_tell_apart_are_ranked_exactly():
    rng = np.random.default_rng(1)
    is_candidate = rng.random((30, 200)) < 0.9
    relation = Relation(is_candidate=is_candidate, is_positive=is_candidate & (rng.random((30, 200)) < 0.02))
    found = rank_queries(RANKERS["random"](relation, NearTies(np.random.PCG64())), relation)
    expected = rank_queries(Estimate.certain(NearTies(np.random.PCG64()).random((30, 200))), relation)
    for name in Ranking.__slots__:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)
