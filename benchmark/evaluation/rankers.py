"""Rankers that need no descriptors: they bound every table from below and above."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from benchmark.protocol.ground_truth import Relation

Ranker = Callable[[Relation, np.random.Generator], Float[ndarray, "nq nd"]]

CHANCE = "random"
"""The ranker whose numbers are expectations over all orders; what it draws is one of them, for galleries."""


def _constant(relation: Relation, rng: np.random.Generator) -> Float[ndarray, "nq nd"]:
    return np.zeros(relation.is_candidate.shape)


def _random(relation: Relation, rng: np.random.Generator) -> Float[ndarray, "nq nd"]:
    return rng.random(relation.is_candidate.shape)


def _oracle(relation: Relation, rng: np.random.Generator) -> Float[ndarray, "nq nd"]:
    return np.where(relation.is_positive, 0.0, 1.0)


RANKERS: dict[str, Ranker] = {"constant": _constant, CHANCE: _random, "oracle": _oracle}
"""Name to function of relation and generator, which returns distances: a collapsed encoder (everything ties, so
the order of the database decides), chance, and the best that the ground truth allows."""
