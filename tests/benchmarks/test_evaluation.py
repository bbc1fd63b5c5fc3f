"""Evaluation beside what published code does and beside what arithmetic alone takes: ``nox -s cost``.

A group prints all sides and their ratios. Everything runs on one thread.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from many_drives import descriptors_of, is_near, looks, many_drives

from benchmark.evaluation.distances import distances
from benchmark.evaluation.estimates import Space, estimate
from benchmark.evaluation.evaluate import from_descriptors
from benchmark.evaluation.nearest import nearest
from benchmark.evaluation.ranks import rank_queries
from benchmark.protocol.ground_truth import Relation
from benchmark.records.schema import MethodRecord
from benchmark.runs.rows import Arena, Row

NOISE = 2.5
"""Of descriptors: with this much, a third of the queries find their place first."""
TOP = 25


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    limits = pytest.importorskip("threadpoolctl", reason="threads are limited by threadpoolctl (extra compare)")
    with limits.threadpool_limits(1):
        yield


# --- a pair of traversals --------------------------------------------------------------------------


def the_suite(query: np.ndarray, database: np.ndarray, is_positive: np.ndarray, top_k: int = 1) -> Callable[[], Any]:
    """Ranks, and the nearest frame, the nearest right one and the nearest wrong one exactly; every bit as sorted."""
    space = Space.of([query[:, None], database[:, None]], "l2")
    asking, searched = space.side(query[:, None]), space.side(database[:, None])
    relation = Relation(is_candidate=np.ones_like(is_positive), is_positive=is_positive)
    return lambda: rank_queries(estimate(asking, searched, "l2"), relation, top_k)


def with_lists(query: np.ndarray, database: np.ndarray, is_positive: np.ndarray) -> Callable[[], Any]:
    """The same with the nearest 25 and their exact distances, which a stored result holds."""
    return the_suite(query, database, is_positive, TOP)


def a_tree(query: np.ndarray, database: np.ndarray, is_positive: np.ndarray) -> Callable[[], Any]:
    """A tree of the database, asked one query at a time for 25 neighbours, which are compared with the right ones."""
    neighbors = pytest.importorskip("sklearn.neighbors", reason="scikit-learn is not installed (extra compare)")
    right = [np.flatnonzero(row).tolist() for row in is_positive]

    def run() -> np.ndarray:
        tree, hits = neighbors.KDTree(database), np.zeros(TOP)
        for row in range(len(query)):
            _, near = tree.query(query[row : row + 1], k=TOP)
            for place, index in enumerate(near[0].tolist()):
                if index in right[row]:
                    hits[place] += 1
                    break
        return hits.cumsum()

    return run


def a_product(query: np.ndarray, database: np.ndarray, is_positive: np.ndarray) -> Callable[[], Any]:
    """A matrix product in float32 and counting what is nearer than the nearest right frame; ties are left to luck."""
    half = np.square(database).sum(axis=1) / 2

    def run() -> np.ndarray:
        far = half - query @ database.T
        best = np.where(is_positive, far, np.inf).min(axis=1)
        return (far < best[:, None]).sum(axis=1)

    return run


@pytest.mark.benchmark(
    group="evaluation of a traversal pair, 450 × 1,700 × 256, ground truth given: targets of the suite, "
    "a 40th of the tree and twice the product"
)
@pytest.mark.parametrize("side", [the_suite, with_lists, a_tree, a_product])
def test_a_pair(benchmark: Any, side: Callable[..., Callable[[], Any]]) -> None:
    asking, searched = np.arange(450) / 450, np.arange(1700) / 1700
    run = side(looks(asking, NOISE, 0), looks(searched, NOISE, 1), is_near(asking, searched))
    benchmark.pedantic(run, rounds=15, warmup_rounds=2)


# --- a whole row -----------------------------------------------------------------------------------


@pytest.mark.benchmark(group="a row: four directions, three bounds, all pairs of drives (450 × 1,800 × 256), records")
@pytest.mark.parametrize("n_drives", [4, pytest.param(23, marks=pytest.mark.slow)])
def test_a_row(benchmark: Any, n_drives: int, tmp_path: Path) -> None:
    only_where_measured(benchmark, n_drives > 4)
    dataset, protocol = many_drives(tmp_path, n_drives, 1800, 450)
    descriptors, folders = descriptors_of(dataset, NOISE), iter(range(100))

    def run() -> None:
        folder = tmp_path / str(next(folders))
        arena = Arena(dataset=dataset, protocol=protocol, warnings=(), runs=folder)
        record, scorer = MethodRecord.unregistered("looks", "foreign"), from_descriptors(descriptors, dataset.frames)
        arena.results([Row(folder=folder / "row", key="row", method=record, scorer=scorer), *arena.bounds(0)])

    benchmark.pedantic(run, rounds=1)


# --- a large map -----------------------------------------------------------------------------------


def of_places(n_places: int, n_queries: int) -> tuple[np.ndarray, np.ndarray]:
    """Queries near some of the places of a map: unit vectors of 256 values."""
    random = np.random.default_rng(0)
    database = random.standard_normal((n_places, 256), dtype=np.float32)
    database /= np.linalg.norm(database, axis=1, keepdims=True)
    noise = 0.05 * random.standard_normal((n_queries, 256), dtype=np.float32)
    return database[random.integers(0, n_places, n_queries)] + noise, database


def the_search(query: np.ndarray, database: np.ndarray) -> Callable[[], Any]:
    space = Space.of([database[:, None]], "l2")
    searched = space.side(database[:, None])
    return lambda: nearest(space.side(query[:, None]), searched, "l2", TOP)


def faiss_flat(query: np.ndarray, database: np.ndarray) -> Callable[[], Any]:
    faiss = pytest.importorskip("faiss", reason="faiss is not installed (extra compare)")
    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatL2(database.shape[1])
    index.add(database)
    return lambda: index.search(query, TOP)


@pytest.mark.benchmark(group="nearest 25 of a map, 1,000 queries of 256 values")
@pytest.mark.parametrize("side", [the_search, faiss_flat])
@pytest.mark.parametrize("n_places", [20_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_a_large_map(benchmark: Any, side: Callable[..., Callable[[], Any]], n_places: int) -> None:
    only_where_measured(benchmark, n_places > 20_000)
    benchmark.group += f", {n_places:,} places"
    benchmark.pedantic(side(*of_places(n_places, 1000)), rounds=3, warmup_rounds=1)


# --- one query, as a robot asks --------------------------------------------------------------------


def all_distances(query: np.ndarray, database: np.ndarray) -> Callable[[], Any]:
    """Every distance in float64, sorted; the places are in float64 already."""
    wide = database[:, None].astype(np.float64)
    return lambda: np.argsort(distances(query[:, None], wide, "l2"), axis=1, kind="stable")[:, :TOP]


def bare_selection(query: np.ndarray, database: np.ndarray) -> Callable[[], Any]:
    """A matrix product in float32 and a selection by torch, whose ties are left to luck."""
    places = torch.from_numpy(database)
    half = places.square().sum(dim=1) / 2
    return lambda: (places @ torch.from_numpy(query)[0] - half).topk(TOP).indices


@pytest.mark.benchmark(group="nearest 25 of a map, one query of 256 values")
@pytest.mark.parametrize("side", [the_search, faiss_flat, all_distances, bare_selection])
@pytest.mark.parametrize("n_places", [1_000, 10_000, 100_000])
def test_one_query(benchmark: Any, side: Callable[..., Callable[[], Any]], n_places: int) -> None:
    only_where_measured(benchmark, n_places > 10_000)
    benchmark.group += f", {n_places:,} places"
    benchmark.pedantic(side(*of_places(n_places, 1)), rounds=50, warmup_rounds=5)


def only_where_measured(benchmark: Any, is_large: bool) -> None:
    """Large cases take minutes and are left out where nothing is timed."""
    if is_large and benchmark.disabled:
        pytest.skip("runs only where it is timed: pytest --benchmark-only")
