"""Streaming search of a map on disk, against sorting all exact distances."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_ranking import plain_distances

from benchmark.descriptors import shards as reading
from benchmark.descriptors.shards import Shards, write_shards
from benchmark.evaluation import search as module
from benchmark.evaluation.search import count_nearer, merged, top_k
from datasets.base import DistanceKind
from datasets.errors import CrossplaceError

REPOSITORY = Path(__file__).parents[3]
KINDS = st.sampled_from(["real", "whole", "equal", "zero", "tiny", "long"])
DISTANCES = st.sampled_from(["l2", "cosine", "dot"])


def a_map(folder: Path, rows: np.ndarray, per_shard: int = 7) -> Shards:
    return write_shards(folder, "k", rows.shape[1], len(rows), lambda a, b: rows[a:b], per_shard)


def drawn(seed: int, n: int, size: int, kind: str) -> np.ndarray:
    """Descriptors, many of which are equally far from each other unless they are real numbers."""
    rows = np.random.default_rng(seed).normal(size=(n, size))
    change = {
        "whole": np.round,
        "equal": np.ones_like,
        "zero": lambda x: np.round(x) * (np.arange(n) % 3 > 0)[:, None],
        "tiny": lambda x: x * 1e-7,
        "long": lambda x: x * 9e3,
    }
    found: np.ndarray = change.get(kind, lambda x: x)(rows).astype(np.float32)
    return found


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    n=st.tuples(st.integers(0, 5), st.integers(0, 60)),
    size=st.integers(1, 6),
    kind=KINDS,
    distance=DISTANCES,
    cut=st.tuples(st.integers(1, 30), st.integers(1, 90), st.integers(1, 4)),
    k=st.integers(1, 9),
)
def test_any_map_gives_what_brute_force_gives_however_it_is_cut(
    seed: int,
    n: tuple[int, int],
    size: int,
    kind: str,
    distance: DistanceKind,
    cut: tuple[int, int, int],
    k: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Counts, ties by place and the nearest; whole, and merged of two parts."""
    query, rows = drawn(seed, n[0], size, kind)[:, None], drawn(seed + 1, n[1], size, kind)
    if len(rows) and len(query):
        rows[:: len(query)][: len(query)] = query[: len(rows[:: len(query)]), 0]  # doubles of queries: the nearest
    half = rows.astype(np.float16).astype(np.float64)[:, None]
    far = plain_distances(query, half, distance)
    number = np.arange(len(rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "BLOCK_VALUES", cut[1])
        patch.setattr(module, "QUERIES", cut[2])
        shards = a_map(tmp_path_factory.mktemp("map"), rows, cut[0])
        half_way = shards.between(0, len(rows) // 2), shards.between(len(rows) // 2, len(rows))
        for place in {0, len(rows) // 2, len(rows) - 1} if len(rows) else ():
            best, before = far[:, place], np.full(len(query), place)
            expected = (far < best[:, None]).sum(axis=1)
            np.testing.assert_array_equal(count_nearer(query, shards, best, distance), expected)
            parts = [count_nearer(query, part, best, distance) for part in half_way]
            np.testing.assert_array_equal(sum(parts), expected)
            tied = ((far == best[:, None]) & (number < place)).sum(axis=1)
            np.testing.assert_array_equal(count_nearer(query, shards, best, distance, before), expected + tied)
        found = top_k(query, shards, k, distance)
        joined = merged([top_k(query, part, k, distance) for part in half_way], k)
    expected_places = np.full((len(query), k), -1)
    expected_near = np.full((len(query), k), np.nan)
    for row, distances in enumerate(far):
        order = np.lexsort((number, distances))[:k]
        expected_places[row, : len(order)], expected_near[row, : len(order)] = order, distances[order]
    for places, near in (found, joined):
        np.testing.assert_array_equal(places, expected_places)
        np.testing.assert_array_equal(near, expected_near)


def test_ranks_by_hand(tmp_path: Path) -> None:
    """A query at 0 and places at 3, 1, -1, 10 and 1: one is nearer than 2.9 three times, than 1 never."""
    shards = a_map(tmp_path, np.array([[3.0], [1], [-1], [10], [1]], np.float32), per_shard=2)
    query = np.zeros((1, 1, 1))
    best = np.array([[2.9, 1.0, np.nan, np.inf]])
    assert count_nearer(query, shards, best, "l2").tolist() == [[3, 0, 0, 5]]
    assert count_nearer(query, shards, best, "l2", np.array([[0, 4, 5, 5]])).tolist() == [[3, 2, 0, 5]]
    places, near = top_k(query, shards, 7, "l2")
    assert places.tolist() == [[1, 2, 4, 0, 3, -1, -1]]
    np.testing.assert_array_equal(near, [[1, 1, 1, 3, 10, np.nan, np.nan]])


def test_what_float32_cannot_tell_apart_is_told_apart(tmp_path: Path) -> None:
    """Places that differ by less than the error of a product in float32, in the 64 values of a real descriptor."""
    random = np.random.default_rng(0)
    query = random.normal(size=(40, 1, 64)).astype(np.float32)
    near = query[:, 0].astype(np.float16).astype(np.float32)
    rows = np.concatenate([near, near, np.roll(near, 1, axis=1)])
    half = rows.astype(np.float16).astype(np.float64)[:, None]
    shards = a_map(tmp_path, rows, per_shard=50)
    for distance in ("l2", "cosine", "dot"):
        far = plain_distances(query, half, distance)
        for column in range(0, len(rows), 17):
            expected = (far < far[:, column, None]).sum(axis=1)
            np.testing.assert_array_equal(count_nearer(query, shards, far[:, column], distance), expected)


@pytest.mark.parametrize("scale", [1e-30, 1e13, 1e25, 1e150])
def test_queries_that_leave_float32_are_compared_exactly(scale: float, tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    rows, query = random.normal(size=(20, 3)).astype(np.float32), random.normal(size=(6, 1, 3)) * scale
    shards = a_map(tmp_path, rows)
    far = plain_distances(query, rows.astype(np.float16).astype(np.float64)[:, None], "l2")
    for column in (0, 11):
        expected = (far < far[:, column, None]).sum(axis=1)
        np.testing.assert_array_equal(count_nearer(query, shards, far[:, column], "l2"), expected)
    np.testing.assert_array_equal(top_k(query, shards, 4, "l2")[0], np.argsort(far, axis=1, kind="stable")[:, :4])


def test_queries_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    shards = a_map(tmp_path, np.ones((4, 3), np.float32))
    with pytest.raises(CrossplaceError, match="query descriptors have 2 values and database descriptors 3"):
        top_k(np.ones((1, 1, 2)), shards, 1, "l2")
    with pytest.raises(CrossplaceError, match="query row 1: descriptor is not finite"):
        count_nearer(np.array([[[1.0, 1, 1]], [[np.nan, 1, 1]]]), shards, np.ones(2), "l2")


MEASURED = """
import sys
import numpy as np
from pathlib import Path
from benchmark.descriptors.shards import Shards, write_shards
from benchmark.evaluation.search import count_nearer, top_k

def peak():
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return int(status["VmHWM"].split()[0]) / 1024

rows = np.random.default_rng(0).normal(size=(2**14, 256)).astype(np.float32)
query, best = rows[:16, None], np.full(16, 20.0)
found = []
for n in (1, 12):
    shards = write_shards(Path(sys.argv[1]) / str(n), "k", 256, n * len(rows), lambda a, b: rows[: b - a], len(rows))
    count = count_nearer(query, shards, best, "l2")
    top_k(query, shards, 3, "l2")
    found.append((count, peak(), shards.n_bytes / 2**20))
(one, low, _), (twelve, high, mib) = found
assert (twelve == 12 * one).all() and one.min() > 0
print(high - low, mib)
"""


@pytest.mark.slow
def test_memory_does_not_depend_on_the_size_of_the_map(tmp_path: Path) -> None:
    """A fresh process counts in a map of 8 MiB and then in one of 96 MiB, and needs no further memory for it."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(tmp_path)], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    more_mib, map_mib = map(float, done.stdout.split())
    assert map_mib == 96
    assert more_mib < 24
