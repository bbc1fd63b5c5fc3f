"""Rankers that need no descriptors: they bound every table from below and above."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from benchmark.evaluation.estimates import Estimate
from benchmark.protocol.ground_truth import Relation

Ranker = Callable[[Relation, np.random.Generator], Estimate]

CHANCE = "random"
"""The ranker whose numbers are expectations over all orders; what it draws is one of them, for galleries."""


def _index(n: int) -> Float[ndarray, " n"]:
    """The rows of a database, in float32 as long as it holds them all."""
    return np.arange(n, dtype=np.float32 if n <= 2**24 else np.float64)


def _constant(relation: Relation, rng: np.random.Generator) -> Estimate:
    shape = relation.is_candidate.shape
    return Estimate(
        key=np.broadcast_to(_index(shape[1]), shape),  # everything ties, so that only the order counts
        slack=np.zeros(len(relation.is_candidate)),
        exact=lambda rows, columns: np.zeros(len(rows)),
    )


def _random(relation: Relation, rng: np.random.Generator) -> Estimate:
    drawn = rng.random(relation.is_candidate.shape)
    return Estimate(
        key=drawn.astype(np.float32),
        slack=np.zeros(len(drawn)),  # rounding may make two numbers equal, and never turns their order
        exact=lambda rows, columns: drawn[rows, columns],
    )


def _oracle(relation: Relation, rng: np.random.Generator) -> Estimate:
    n_queries, n_database = relation.is_positive.shape
    rows, columns = relation.positives
    key = np.broadcast_to(_index(n_database), (n_queries, n_database)).copy()
    key[rows, columns] -= n_database
    return Estimate(
        key=key,
        slack=np.zeros(n_queries),
        exact=lambda rows, columns: np.where(relation.is_positive[rows, columns], 0.0, 1.0),
    )


RANKERS: dict[str, Ranker] = {"constant": _constant, CHANCE: _random, "oracle": _oracle}
"""Name to function of relation and generator, which returns an estimate of distances: a collapsed encoder
(everything ties, so the order of the database decides), chance, and the best that the ground truth allows."""
