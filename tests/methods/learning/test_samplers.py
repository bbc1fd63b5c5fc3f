from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from methods.learning.samplers import PairSampler, ShuffleSampler

FEW_ACTIVE = {"active": 1.0, "triplets": 10.0}


def ring(n_frames: int) -> list[np.ndarray]:
    """Each frame shows the same place as its two neighbours on a closed road."""
    return [np.array(sorted({(i - 1) % n_frames, (i + 1) % n_frames})) for i in range(n_frames)]


def pairs_of(batches: list[list[int]]) -> list[tuple[int, int]]:
    rows = [row for batch in batches for row in batch]
    return list(zip(rows[::2], rows[1::2], strict=True))


@st.composite
def graphs(draw: st.DrawFn) -> list[np.ndarray]:
    """Who is a positive of whom: any symmetric relation, some frames without any positive."""
    n = draw(st.integers(1, 20))
    edges = draw(st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=40))
    linked = np.zeros((n, n), dtype=bool)
    for i, j in edges:
        linked[i, j] = linked[j, i] = i != j
    return [np.flatnonzero(row) for row in linked]


# --- pairs ---------------------------------------------------------------------------------------


@given(graphs(), st.integers(4, 10), st.integers(0, 2**31))
@settings(max_examples=100, deadline=None)
def test_batches_are_pairs_of_positives_and_repeat_a_frame_only_when_its_partner_has_no_other(
    positives: list[np.ndarray], batch_size: int, seed: int
) -> None:
    batches = PairSampler(positives, batch_size).batches(np.random.default_rng(seed))
    used: set[int] = set()
    for first, second in pairs_of(batches):
        assert first not in used
        used.add(first)
        assert second in positives[first]
        assert second not in used or used.issuperset(positives[first].tolist())
        used.add(second)


@given(graphs(), st.integers(4, 10), st.integers(0, 2**31))
@settings(max_examples=100, deadline=None)
def test_alone_every_frame_comes_once_beside_a_positive_if_one_is_left(
    positives: list[np.ndarray], batch_size: int, seed: int
) -> None:
    batches = PairSampler(positives, batch_size, alone=True).batches(np.random.default_rng(seed))
    rows = [row for batch in batches for row in batch]
    left = set(range(len(positives))) - set(rows)
    assert len(rows) == len(set(rows))
    assert len(left) < 4  # of a last batch that is too small
    single, place = [], 0
    while place < len(rows):
        is_pair = place + 1 < len(rows) and rows[place + 1] in positives[rows[place]]
        single += [] if is_pair else [rows[place]]
        place += 2 if is_pair else 1
    assert not any(one in positives[other] for one in single for other in single)


@given(graphs(), st.integers(4, 10), st.integers(0, 2**31))
@settings(max_examples=100, deadline=None)
def test_batches_are_full_but_the_last_which_has_four_frames_or_more(
    positives: list[np.ndarray], batch_size: int, seed: int
) -> None:
    batches = PairSampler(positives, batch_size).batches(np.random.default_rng(seed))
    full = batch_size + batch_size % 2  # pairs fill an odd batch up to the next even size
    assert all(len(batch) == full for batch in batches[:-1])
    assert all(4 <= len(batch) <= full for batch in batches[-1:])
    drawn = {row for batch in batches for row in batch}
    with_positives = {row for row, others in enumerate(positives) if len(others)}
    assert drawn <= with_positives
    assert len(with_positives - drawn) < 4  # at most a last batch of one pair is dropped


def test_frames_without_positives_are_never_drawn() -> None:
    positives = [*ring(8), np.empty(0, dtype=np.int64)]
    for seed in range(5):
        assert all(8 not in batch for batch in PairSampler(positives, 4).batches(np.random.default_rng(seed)))


def test_nothing_to_pair_gives_no_batch() -> None:
    assert PairSampler([np.empty(0, dtype=np.int64)] * 9, 4).batches(np.random.default_rng(0)) == []


def test_epochs_follow_from_the_generator_alone() -> None:
    sampler = PairSampler(ring(40), 8)
    first = sampler.batches(np.random.default_rng(1))
    assert sampler.batches(np.random.default_rng(2)) != first
    assert sampler.batches(np.random.default_rng(1)) == first


@pytest.mark.parametrize(
    ("rate", "threshold", "sizes"),
    [
        (1.4, 0.7, [16, 22, 30, 42, 58, 80, 80]),
        (1.2, 0.8, [16, 19, 22, 26, 31, 37, 44, 52, 62, 74, 80, 80]),
    ],
)
def test_batch_grows_as_published_while_few_triplets_are_active(
    rate: float, threshold: float, sizes: list[int]
) -> None:
    sampler = PairSampler(ring(400), 16, rate=rate, limit=80, threshold=threshold)
    found = []
    for _ in sizes:
        found.append(sampler.batch_size)
        sampler.after_epoch(FEW_ACTIVE)
    assert found == sizes


@pytest.mark.parametrize("statistics", [{"active": 7.0, "triplets": 10.0}, {"active": 0.0, "triplets": 0.0}])
def test_batch_stays_when_enough_triplets_are_active_or_there_were_none(statistics: dict[str, float]) -> None:
    sampler = PairSampler(ring(40), 16, rate=1.4, limit=80, threshold=0.7)
    sampler.after_epoch(statistics)
    assert sampler.batch_size == 16


def test_batch_never_shrinks_to_a_lower_limit() -> None:
    sampler = PairSampler(ring(40), 16, rate=1.4, limit=8, threshold=0.7)
    sampler.after_epoch(FEW_ACTIVE)
    assert sampler.batch_size == 16


def test_batch_does_not_grow_by_default() -> None:
    sampler = PairSampler(ring(40), 16)
    sampler.after_epoch({"active": 0.0, "triplets": 10.0})
    assert sampler.batch_size == 16


def test_a_grown_batch_survives_a_resume() -> None:
    grown = PairSampler(ring(400), 16, rate=1.4, limit=80, threshold=0.7)
    grown.after_epoch(FEW_ACTIVE)
    resumed = PairSampler(ring(400), 16, rate=1.4, limit=80, threshold=0.7)
    resumed.load_state(grown.state())
    assert len(resumed.batches(np.random.default_rng(0))[0]) == 22


# --- every frame ---------------------------------------------------------------------------------


@given(st.integers(0, 30), st.integers(1, 8), st.integers(0, 2**31))
@settings(max_examples=50, deadline=None)
def test_shuffled_epochs_hold_every_frame_once_in_full_batches(n_frames: int, batch_size: int, seed: int) -> None:
    batches = ShuffleSampler(n_frames, batch_size).batches(np.random.default_rng(seed))
    assert Counter(row for batch in batches for row in batch) == Counter(range(n_frames))
    assert all(len(batch) == batch_size for batch in batches[:-1])
    assert all(1 <= len(batch) <= batch_size for batch in batches)


def test_shuffled_order_follows_from_the_generator_alone() -> None:
    sampler = ShuffleSampler(50, 8)
    assert sampler.batches(np.random.default_rng(1)) == sampler.batches(np.random.default_rng(1))
    assert sampler.batches(np.random.default_rng(1)) != sampler.batches(np.random.default_rng(2))
