"""The nearest places of a map, block by block, against sorting all exact distances."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_ranking import plain_distances

from benchmark.evaluation import nearest as module
from benchmark.evaluation.estimates import Space
from benchmark.evaluation.nearest import nearest
from datasets.base import DistanceKind
from datasets.errors import CrossplaceError


def found_by(
    query: np.ndarray,
    database: np.ndarray,
    distance: DistanceKind,
    k: int,
    allowed: np.ndarray | None = None,
    n_before: int | None = None,
) -> tuple[list[list[int]], np.ndarray]:
    """What the search finds in a space that was made of the first ``n_before`` places, or of everything."""
    space = Space.of([query, database] if n_before is None else [database[:n_before]], distance)
    rows, far = nearest(space.side(query), space.side(database), distance, k, allowed)
    return rows.tolist(), far


def sorted_all(
    query: np.ndarray, database: np.ndarray, distance: DistanceKind, k: int, allowed: np.ndarray
) -> tuple[list[list[int]], list[list[float]]]:
    rows, far = [], []
    for row, may in zip(plain_distances(query, database, distance), allowed, strict=True):
        near = [i for i in np.lexsort((np.arange(len(database)), row)).tolist() if may[i]][:k]
        lacking = k - len(near)
        rows.append(near + [-1] * lacking)
        far.append([*row[near], *[np.nan] * lacking])
    return rows, far


def test_the_nearest_by_hand() -> None:
    query, database = np.array([[[0.0]], [[9.0]]]), np.array([[[3.0]], [[1.0]], [[-1.0]], [[10.0]]])
    rows, far = found_by(query, database, "l2", 5)
    assert rows == [[1, 2, 0, 3, -1], [3, 0, 1, 2, -1]]
    np.testing.assert_array_equal(far, [[1, 1, 3, 10, np.nan], [1, 6, 8, 10, np.nan]])


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    n=st.tuples(st.integers(0, 5), st.integers(0, 60)),
    views=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    k=st.integers(1, 12),
    kind=st.sampled_from(["real", "whole", "equal", "tiny", "apart"]),
    distance=st.sampled_from(["l2", "cosine", "dot"]),
    cut=st.tuples(st.integers(1, 3), st.integers(1, 75), st.integers(1, 40)),
    share=st.sampled_from([0.0, 0.1, 0.7, 1.0]),
    n_before=st.sampled_from([None, 0, 1, 9]),
)
def test_any_map_gives_what_sorting_gives_however_it_is_cut(
    seed: int,
    n: tuple[int, int],
    views: tuple[int, int],
    k: int,
    kind: str,
    distance: DistanceKind,
    cut: tuple[int, int, int],
    share: float,
    n_before: int | None,
) -> None:
    """Also where only some places may be found, and where places and queries came after the space was made."""
    random = np.random.default_rng(seed)
    query, database = (random.normal(size=(*shape, 3)) for shape in zip(n, views, strict=True))
    if kind != "real":
        change = {
            "whole": np.round,
            "equal": np.zeros_like,
            "tiny": lambda x: x * 1e-170,
            "apart": lambda x: x * 10.0 ** np.linspace(-30, 60, len(x))[:, None, None],
        }[kind]
        query, database = change(query), change(database)
    allowed = random.random((n[0], n[1])) < share
    with pytest.MonkeyPatch.context() as patch:
        for name, value in zip(("QUERIES", "ENTRIES", "WAITING"), cut, strict=True):
            patch.setattr(module, name, value)
        rows, far = found_by(query, database, distance, k, None if share == 1 else allowed, n_before)
    expected_rows, expected_far = sorted_all(query, database, distance, k, allowed)
    assert rows == expected_rows
    np.testing.assert_array_equal(far, np.reshape(expected_far, far.shape))


def test_a_map_of_equal_places_does_not_fill_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """At most a block and what may wait are listed at once, and the first rows are found."""
    monkeypatch.setattr(module, "ENTRIES", 1500)
    monkeypatch.setattr(module, "WAITING", 1000)
    listed, sizes = module.listed, []

    def counting(rows: np.ndarray, *others: object) -> tuple[np.ndarray, np.ndarray]:
        sizes.append(len(rows))
        return listed(rows, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "listed", counting)
    rows, far = found_by(np.ones((3, 1, 8)), np.ones((5000, 1, 8)), "l2", 25)
    assert rows == [list(range(25))] * 3
    assert not far.any()
    assert 1500 < max(sizes) <= 1000 + 3 * 500


def test_what_is_not_finite_is_named() -> None:
    database = np.ones((3, 1, 2))
    database[2] = np.nan
    with pytest.raises(CrossplaceError, match="database row 2: descriptor is not finite"):
        found_by(np.ones((1, 1, 2)), database, "l2", 1)
    with pytest.raises(CrossplaceError, match="query descriptors have 3 values and database descriptors 2"):
        nearest(
            Space.of([np.ones((1, 1, 3))], "l2").side(np.ones((1, 1, 3))),
            Space.of([np.ones((1, 1, 2))], "l2").side(np.ones((1, 1, 2))),
            "l2",
            1,
        )
