"""Estimated distances rank as exact ones do, bit for bit, and are never further off than their bound says."""

from dataclasses import fields, replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_ranking import plain_distances, plain_ranking

from benchmark.evaluation import estimates
from benchmark.evaluation.distances import distances, distances_at
from benchmark.evaluation.estimates import Estimate, Space, estimate
from benchmark.evaluation.ranks import Ranking, rank_queries
from benchmark.protocol.ground_truth import Relation
from datasets.base import DistanceKind
from datasets.errors import CrossplaceError

DISTANCES: tuple[DistanceKind, ...] = ("l2", "cosine", "dot")


def estimated(query: np.ndarray, database: np.ndarray, distance: DistanceKind) -> Estimate:
    space = Space.of([query, database], distance)
    return estimate(space.side(query), space.side(database), distance)


def is_certain(found: Estimate) -> bool:
    return not found.slack.any()


def assert_same(found: Ranking, expected: Ranking) -> None:
    for field in fields(Ranking):
        one, other = getattr(found, field.name), getattr(expected, field.name)
        np.testing.assert_array_equal(one, other, err_msg=field.name)


def relation_of(shape: tuple[int, int], seed: int, *, share: float = 0.1, candidates: float = 1.0) -> Relation:
    random = np.random.default_rng(seed)
    is_candidate = random.random(shape) < candidates
    return Relation(is_candidate=is_candidate, is_positive=is_candidate & (random.random(shape) < share))


# --- hard cases ----------------------------------------------------------------------------------


def _random(random: np.random.Generator, n: int, views: int, size: int) -> np.ndarray:
    return random.normal(size=(n, views, size))


def _near_ties(random: np.random.Generator, n: int, views: int, size: int) -> np.ndarray:
    """Distances differ in the last digits of float64 alone."""
    place = np.random.default_rng(5).normal(size=(1, views, size))
    return np.repeat(place, n, axis=0) * (1 + 2.0**-50 * random.integers(0, 8, (n, 1, 1)))


def _equal(random: np.random.Generator, n: int, views: int, size: int) -> np.ndarray:
    return np.random.default_rng(5).normal(size=(5, views, size))[random.integers(0, 5, n)]


def _collapsed(random: np.random.Generator, n: int, views: int, size: int) -> np.ndarray:
    return np.full((n, views, size), 0.3)


def _offset(random: np.random.Generator, n: int, views: int, size: int) -> np.ndarray:
    return _random(random, n, views, size) + 1e7


def _norms(random: np.random.Generator, n: int, views: int, size: int) -> np.ndarray:
    return _random(random, n, views, size) * 10.0 ** random.integers(-12, 12, (n, 1, 1))


def _whole(random: np.random.Generator, n: int, views: int, size: int) -> np.ndarray:
    return random.integers(-1, 2, (n, views, size)).astype(np.float64)  # many ties, and zero vectors


def _subnormal(random: np.random.Generator, n: int, views: int, size: int) -> np.ndarray:
    return _random(random, n, views, size) * 1e-310


def _tiny(random: np.random.Generator, n: int, views: int, size: int) -> np.ndarray:
    return _random(random, n, views, size) * 1e-165  # squares are below all normal numbers


def _small(random: np.random.Generator, n: int, views: int, size: int) -> np.ndarray:
    return _random(random, n, views, size) * 1e-44  # subnormal in float32


def _large(random: np.random.Generator, n: int, views: int, size: int) -> np.ndarray:
    return _random(random, n, views, size) * 1e152  # squares nearly leave float64


def _mixed(random: np.random.Generator, n: int, views: int, size: int) -> np.ndarray:
    """One value is so large that all others are below what float32 holds beside it."""
    found = _random(random, n, views, size) * 1e-60
    found[0, 0, 0] = 1.0
    return found


CASES = {
    case.__name__.strip("_"): case
    for case in (
        *(_random, _near_ties, _equal, _collapsed, _offset, _norms, _whole),
        *(_subnormal, _tiny, _small, _large, _mixed),
    )
}


def sides(case: str, seed: int, n: tuple[int, int], views: tuple[int, int], size: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    query, database = (CASES[case](random, *shape, size) for shape in zip(n, views, strict=True))
    return query, database


@pytest.mark.parametrize("views", [(1, 1), (2, 3)])
@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("case", CASES)
def test_hard_cases_rank_as_exact_distances_do(case: str, distance: DistanceKind, views: tuple[int, int]) -> None:
    query, database = sides(case, 0, (12, 420), views, 24)
    exact = plain_distances(query, database, distance)
    for share, candidates in ((0.01, 1.0), (0.2, 0.7), (0.9, 1.0), (1.0, 1.0)):
        relation = relation_of((12, 420), 1, share=share, candidates=candidates)
        assert_same(rank_queries(estimated(query, database, distance), relation), plain_ranking(exact, relation))
    found = rank_queries(estimated(query, database, distance), relation, search_depth=30)
    assert_same(found, plain_ranking(exact, relation, search_depth=30))


@pytest.mark.parametrize(("case", "certain"), [("random", False), ("offset", False), ("norms", False), ("tiny", True)])
def test_what_float64_can_square_is_estimated(case: str, certain: bool) -> None:
    assert is_certain(estimated(*sides(case, 0, (3, 9), (1, 1), 24), "l2")) is certain


@settings(max_examples=60, deadline=None)
@given(
    case=st.sampled_from(sorted(CASES)),
    seed=st.integers(0, 2**16),
    n=st.tuples(st.integers(0, 6), st.integers(0, 90)),
    views=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    size=st.sampled_from([1, 2, 3, 17]),
    distance=st.sampled_from(DISTANCES),
    share=st.sampled_from([0.0, 0.05, 0.5, 1.0]),
    candidates=st.sampled_from([0.0, 0.5, 1.0]),
    top_k=st.integers(1, 30),
    search_depth=st.one_of(st.none(), st.integers(1, 40)),
    is_single=st.booleans(),
)
def test_any_descriptors_rank_as_exact_distances_do(
    case: str,
    seed: int,
    n: tuple[int, int],
    views: tuple[int, int],
    size: int,
    distance: DistanceKind,
    share: float,
    candidates: float,
    top_k: int,
    search_depth: int | None,
    is_single: bool,
) -> None:
    query, database = sides(case, seed, (max(n[0], 1), max(n[1], 1)), views, size)
    query, database = query[: n[0]], database[: n[1]]
    if is_single and case not in ("large", "norms"):
        query, database = query.astype(np.float32), database.astype(np.float32)
    relation = relation_of(n, seed, share=share, candidates=candidates)
    found = rank_queries(estimated(query, database, distance), relation, top_k, search_depth=search_depth)
    exact = plain_distances(query, database, distance)
    if n[0]:
        assert_same(found, plain_ranking(exact, relation, top_k, search_depth))
    else:
        assert found.top_index.shape == (0, top_k)


# --- exact distances -----------------------------------------------------------------------------


@pytest.mark.parametrize("views", [(1, 1), (2, 3)])
@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("size", [1, 3, 255, 256])
@pytest.mark.parametrize("case", ["random", "whole"])
def test_a_distance_has_the_same_bits_alone_and_in_any_company(
    case: str, size: int, distance: DistanceKind, views: tuple[int, int]
) -> None:
    query, database = sides(case, 3, (7, 31), views, size)
    whole = distances(query, database, distance)
    np.testing.assert_array_equal(whole, plain_distances(query, database, distance))
    for share in (0.02, 0.4, 1.0):
        rows, columns = np.nonzero(np.random.default_rng(0).random(whole.shape) <= share)
        found = distances_at(query, database, distance, rows, columns)
        np.testing.assert_array_equal(found, whole[rows, columns])


# --- the bound -----------------------------------------------------------------------------------


def true_keys(query: np.ndarray, database: np.ndarray, space: Space) -> list[list[Fraction]]:
    """Half of the squared distances, scaled, as rational numbers; of directions as float64 has them."""

    def fractions(descriptors: np.ndarray) -> list[list[Fraction]]:
        vectors = estimates.KERNELS[space.distance].vectors(descriptors)[:, 0]
        return [[Fraction(value) * Fraction(space.scale) for value in row] for row in vectors.tolist()]

    def key(a: list[Fraction], b: list[Fraction]) -> Fraction:
        if space.distance == "dot":
            return -sum((x * y for x, y in zip(a, b, strict=True)), Fraction(0))
        return sum(((x - y) ** 2 for x, y in zip(a, b, strict=True)), Fraction(0)) / 2

    searched = fractions(database)
    return [[key(a, b) for b in searched] for a in fractions(query)]


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("case", ["random", "near_ties", "offset", "norms", "small", "mixed"])
def test_differences_of_keys_are_as_true_as_the_bound_says(case: str, distance: DistanceKind) -> None:
    """In rational numbers, without any rounding: what a query adds to all keys cancels in the differences."""
    query, database = sides(case, 4, (3, 12), (1, 1), 64)
    space = Space.of([query, database], distance)
    found = estimate(space.side(query), space.side(database), distance)
    assert not is_certain(found)
    true = true_keys(query, database, space)
    for i, slack in enumerate(found.slack.tolist()):
        errors = [Fraction(key) - exact for key, exact in zip(found.key[i].tolist(), true[i], strict=True)]
        assert max(errors) - min(errors) <= 2 * Fraction(slack)


def test_the_bound_is_not_far_above_what_happens() -> None:
    """Values of one sign add up their errors: the bound must be of use, and is within a few hundred of them."""
    random = np.random.default_rng(0)
    query, database = random.random((20, 1, 256)), random.random((300, 1, 256))
    found, space = estimated(query, database, "l2"), Space.of([query, database], "l2")
    wide = [space.side(each).vectors[:, 0, :-1].astype(np.float64) for each in (query, database)]
    error = np.abs(found.key - (np.square(wide[1]).sum(1) / 2 - wide[0] @ wide[1].T))
    assert 0 < error.max() < found.slack.max() < 500 * error.max()


def test_few_distances_are_computed_exactly() -> None:
    query, database = sides("random", 0, (50, 1700), (1, 1), 256)
    found, asked = estimated(query, database, "l2"), []

    def exact(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        asked.append(len(rows))
        return found.exact(rows, columns)

    rank_queries(replace(found, exact=exact), relation_of((50, 1700), 0, share=0.01))
    assert 25 * 50 < sum(asked) < 32 * 50


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("side", ["query", "database"])
def test_a_descriptor_that_is_not_finite_is_named_by_side_and_row(side: str, value: float, distance: Any) -> None:
    both = {"query": np.ones((3, 1, 2)), "database": np.ones((4, 2, 2))}
    both[side][2, 0, 1] = value
    with pytest.raises(CrossplaceError, match=f"{side} row 2: descriptor is not finite .1 of {len(both[side])} rows"):
        estimated(both["query"], both["database"], distance)
    both[side][2, 0, 1] = 0.5
    assert not is_certain(estimated(both["query"], both["database"], distance))


def test_a_row_that_is_not_finite_stops_only_what_it_takes_part_in() -> None:
    descriptors = np.ones((4, 1, 2))
    descriptors[3] = np.nan
    space = Space.of([descriptors], "l2")
    side = space.side(descriptors)
    assert estimate(side[:3], side[np.array([0, 2])], "l2").exact(np.array([0]), np.array([1])).tolist() == [0.0]
    with pytest.raises(CrossplaceError, match="database row 1"):
        estimate(side[:3], side[np.array([0, 3])], "l2")


def test_sizes_that_differ_are_refused() -> None:
    query, database = np.ones((1, 1, 2)), np.ones((1, 1, 3))
    with pytest.raises(CrossplaceError, match="have 2 values and database descriptors 3"):
        estimate(Space.of([query], "l2").side(query), Space.of([database], "l2").side(database), "l2")


def test_a_distance_that_leaves_float64_is_named() -> None:
    query, database = np.zeros((2, 1, 2)), np.array([[[1.0, 0.0]], [[1e200, 1e200]]])
    with pytest.raises(CrossplaceError, match="query row 0 and database row 1 is inf"):
        estimated(query, database, "l2")
    database[1] = 1e150
    assert estimated(query, database, "l2").exact(np.array([0]), np.array([1])) == pytest.approx(np.sqrt(2) * 1e150)
