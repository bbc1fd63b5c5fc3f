"""Foreign frames: never right, never of the test, and always in the same order."""

from dataclasses import replace

import numpy as np
import pytest

from benchmark.protocol.foreign import foreign_rows, order_of_foreign
from benchmark.protocol.selection import Selected
from datasets.base import Frames, Protocol, Selection
from datasets.prepared import PreparedDataset


@pytest.fixture
def by_day(protocol: Protocol) -> Protocol:
    """Morning and evening against each other; midnight takes no part."""
    part = Selection(traversals=("morning", "evening"))
    return replace(protocol, query=part, database=part)


def selected(frames: Frames, protocol: Protocol) -> Selected:
    """The frames that take part."""
    return Selected(frames=frames, protocol=protocol)


def moved(frames: Frames, metres: float) -> Frames:
    """The same frames, those of midnight so far to the south."""
    position_m = frames.position_m.copy()
    position_m[frames.traversal == "midnight", 1] -= metres
    return replace(frames, position_m=position_m)


@pytest.mark.parametrize(("metres", "expected"), [(0.0, 0), (30.0, 8), (100.0, 12)])
def test_they_are_farther_from_every_query_than_a_negative(
    small_world: PreparedDataset, by_day: Protocol, metres: float, expected: int
) -> None:
    """With the midnight drive 30 m further south, only its way to the north comes near to the others."""
    frames = moved(small_world.frames, metres)
    chosen = selected(frames, by_day)
    rows = foreign_rows(chosen, frames, is_same=True, shares_worlds=True)
    queries = frames.position_m[chosen.query, :2]
    far = [
        row
        for row in range(len(frames))
        if frames.traversal[row] == "midnight"
        and np.hypot(*(queries - frames.position_m[row, :2]).T).min() > by_day.split.negative_m
    ]
    assert rows.tolist() == far
    assert len(rows) == expected


def test_no_traversal_of_the_test_gives_any(small_world: PreparedDataset, protocol: Protocol) -> None:
    far = replace(protocol, query=Selection(rows=(0, 1)), database=Selection(rows=(0, 1)))
    assert (
        len(foreign_rows(selected(small_world.frames, far), small_world.frames, is_same=True, shares_worlds=True)) == 0
    )


def test_a_larger_place_radius_keeps_them_farther(small_world: PreparedDataset, by_day: Protocol) -> None:
    frames = moved(small_world.frames, 100.0)
    wide = replace(by_day, radius_m=1000.0)
    assert len(foreign_rows(selected(frames, wide), frames, is_same=True, shares_worlds=True)) == 0


def test_another_world_is_never_near(small_world: PreparedDataset, by_day: Protocol) -> None:
    frames = small_world.frames
    elsewhere = replace(
        frames, world=np.where(frames.traversal == "midnight", "elsewhere", frames.world).astype(object)
    )
    assert len(foreign_rows(selected(elsewhere, by_day), elsewhere, is_same=True, shares_worlds=True)) == 12


def test_other_data_is_near_only_where_worlds_are_shared(small_world: PreparedDataset, by_day: Protocol) -> None:
    chosen, others = selected(small_world.frames, by_day), small_world.frames
    assert len(foreign_rows(chosen, others, is_same=False, shares_worlds=True)) == 0
    assert len(foreign_rows(chosen, others, is_same=False, shares_worlds=False)) == 36


def test_they_have_every_modality_of_the_database(small_world: PreparedDataset, by_day: Protocol) -> None:
    frames = small_world.frames
    image = frames.image.copy()
    image[:30] = ""
    lacking = replace(frames, image=image)
    chosen = selected(frames, by_day)
    assert foreign_rows(chosen, lacking, is_same=False, shares_worlds=False).tolist() == [*range(30, 36)]
    of_clouds = selected(replace(frames, image=np.full(36, "", dtype=object)), by_day)
    assert len(foreign_rows(of_clouds, lacking, is_same=False, shares_worlds=False)) == 36


def test_the_order_is_always_the_same() -> None:
    assert sorted(order_of_foreign(50).tolist()) == [*range(50)]
    np.testing.assert_array_equal(order_of_foreign(50), order_of_foreign(50))
    assert order_of_foreign(50).tolist() != [*range(50)]
