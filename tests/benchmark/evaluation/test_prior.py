"""Only places near a noisy position are searched, and a right answer outside of them is a miss."""

import numpy as np
import pytest

from benchmark.evaluation.evaluate import Scored
from benchmark.evaluation.prior import RoughPosition, ranked_near
from benchmark.protocol.directions import Direction
from benchmark.protocol.ground_truth import Asked, Pair, Relation
from datasets.base import Frames
from datasets.prepared import PreparedDataset


def part_of(distances: np.ndarray, is_positive: np.ndarray, n_before: int = 0) -> Scored:
    n_queries, n_places = distances.shape
    return Scored(
        name="",
        direction=next(iter(Direction)),
        asked=Asked(
            pair=Pair("a", "b"),
            query_rows=np.arange(n_queries),
            database_rows=np.arange(n_places) + n_before,
            relation=Relation(is_candidate=np.ones_like(is_positive), is_positive=is_positive),
        ),
        distances=distances,
    )


def test_ranks_among_near_places_by_hand() -> None:
    """The first query finds its right answer among two; that of the second is too far; the third has none."""
    distances = np.array([[1.0, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4]])
    is_positive = np.array([[0, 0, 0, 1], [1, 0, 0, 0], [0, 0, 0, 0]], dtype=bool)
    is_near = np.array([[0, 0, 1, 1], [0, 1, 1, 0], [1, 1, 1, 1]], dtype=bool)
    found = ranked_near(part_of(distances, is_positive), is_near)
    assert found.first_positive_rank.tolist() == [2, 5, 0]
    assert found.n_positives.tolist() == [1, 1, 0]
    assert found.n_candidates.tolist() == [2, 2, 4]


def frames_of(world: PreparedDataset) -> Frames:
    return world.frames


@pytest.mark.parametrize("radius_m", [1e-9, 3.0, 20.0, 1e6])
def test_without_noise_near_means_within_the_radius(small_world: PreparedDataset, radius_m: float) -> None:
    frames = frames_of(small_world)
    part = part_of(np.zeros((12, 24)), np.zeros((12, 24), dtype=bool), n_before=12)
    found = RoughPosition(radius_m=radius_m, deviation_m=0.0).is_near(frames, part)
    for query in range(12):
        for place in range(24):
            away = frames.position_m[query, :2] - frames.position_m[12 + place, :2]
            same = frames.world[query] == frames.world[12 + place]
            assert found[query, place] == (np.hypot(*away) <= radius_m and same)


def test_noise_is_that_of_the_frame_and_as_large_as_stated(small_world: PreparedDataset) -> None:
    frames = frames_of(small_world)
    part = part_of(np.zeros((12, 24)), np.zeros((12, 24), dtype=bool), n_before=12)
    prior = RoughPosition(radius_m=20.0, deviation_m=15.0)
    exact = RoughPosition(radius_m=20.0, deviation_m=0.0).is_near(frames, part)
    noisy = prior.is_near(frames, part)
    np.testing.assert_array_equal(noisy, prior.is_near(frames, part))
    assert not np.array_equal(noisy, exact)
