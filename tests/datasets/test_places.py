import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.base import Frame, Frames
from datasets.places import Poses, codes, heading_difference_rad, milestones, neighbours, same_place


def frames(places):
    """Frames from (world, east, north, up, yaw) tuples."""
    world, east, north, up, yaw = zip(*places, strict=True) if places else [()] * 5
    n = len(places)
    blank = np.array([""] * n, dtype=object)
    return Frames(
        frame_id=np.array([f"f{i}" for i in range(n)], dtype=object),
        traversal=blank,
        world=np.array(world, dtype=object),
        timestamp_ns=np.arange(n),
        position_m=np.column_stack([east, north, up]).astype(float),
        quaternion_wxyz=np.tile([1.0, 0, 0, 0], (n, 1)),
        yaw_rad=np.array(yaw, dtype=float),
        image=blank,
        cloud=blank,
    )


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (0.0, 0.0, 0.0),
        (0.2, -0.1, 0.3),
        (-0.1, 0.2, 0.3),
        (math.pi - 0.1, -math.pi + 0.1, 0.2),
        (0.0, math.pi, math.pi),
        (0.1, 4 * math.pi + 0.3, 0.2),
    ],
)
def test_headings_wrap(a, b, expected):
    assert heading_difference_rad(np.array([a]), np.array([b])).item() == pytest.approx(expected, abs=1e-12)


def raised(rows, up_m):
    """Frames at a height each."""
    found = frames(rows)
    found.position_m[:, 2] = up_m
    return found


def test_height_does_not_count_unless_it_is_an_axis():
    a = raised([("w", 0, 0, 0, 0)], [0.0])
    b = raised([("w", 3, 4, 0, 0), ("w", 3, 4, 0, 0), ("w", 3, 40, 0, 0), ("w", 6, 0, 0, 0)], [0.0, 100.0, 4.0, 0.0])
    assert same_place(a, b, 5.0, None).tolist() == [[True, True, False, False]]
    # Forward and vertical: the third is 40 m to the side, 3 m ahead and 4 m up.
    assert same_place(a, b, 5.0, None, ("east", "up")).tolist() == [[True, False, True, False]]
    assert same_place(a, b, 5.0, None, ("east", "north", "up")).tolist() == [[True, False, False, False]]
    assert same_place(a, b, 5.0, None, ("east",)).tolist() == [[True, True, True, False]]


def test_codes_are_equal_where_the_objects_are():
    a, b = codes(np.array(["x", "y", "x"], dtype=object), np.array(["y", "z"], dtype=object))
    assert (a[:, None] == b[None, :]).tolist() == [[False, False], [True, False], [False, False]]
    assert a[0] == a[2]


def test_the_radius_is_inclusive():
    here, there = frames([("w", 0, 0, 0, 0)]), frames([("w", 3, 4, 0, 0), ("w", 3, 4.0001, 0, 0)])
    assert same_place(here, there, 5.0, None).tolist() == [[True, False]]


def test_the_heading_limit_is_strict():
    here, there = frames([("w", 0, 0, 0, 0)]), frames([("w", 0, 0, 0, 0.5), ("w", 0, 0, 0, -0.4999)])
    assert same_place(here, there, 5.0, 0.5).tolist() == [[False, True]]
    assert same_place(here, there, 5.0, None).tolist() == [[True, True]]


def test_equal_positions_in_two_worlds_are_two_places():
    assert same_place(
        frames([("a", 0, 0, 0, 0)]), frames([("b", 0, 0, 0, 0), ("a", 0, 0, 0, 0)]), 5.0, None
    ).tolist() == [[False, True]]


def test_poses_of_frames_keep_their_order():
    common = {"timestamp_ns": 0, "image": "", "cloud": "", "intrinsics": None, "camera_from_lidar": None, "lidar": None}
    some = [
        Frame(frame_id=f"f{i}", traversal="t", world=world, position_m=(float(i), 2.0, 3.0), yaw_rad=0.1 * i, **common)
        for i, world in enumerate(["a", "b"])
    ]
    poses = Poses.of(some)
    assert poses.position_m.tolist() == [[0, 2, 3], [1, 2, 3]]
    assert poses.yaw_rad.tolist() == [0.0, 0.1]
    assert poses.world.tolist() == ["a", "b"]
    assert Poses.of([]).position_m.shape == (0, 3)


PLACE = st.tuples(
    st.sampled_from(["a", "b"]),
    st.integers(-4, 4),
    st.integers(-4, 4),
    st.integers(0, 50),
    st.sampled_from([-3.1, -0.4, 0.0, 0.4, 3.1]),
)
PLACES = st.lists(PLACE, max_size=10).map(frames)


@given(places=PLACES, radius_m=st.integers(0, 6).map(float), limit=st.sampled_from([None, 0.5]))
def test_same_place_agrees_with_a_double_loop(places, radius_m, limit):
    found = same_place(places, places, radius_m, limit)
    for i in range(len(places)):
        for j in range(len(places)):
            east, north, _ = places.position_m[i] - places.position_m[j]
            turn = abs(math.remainder(places.yaw_rad[i] - places.yaw_rad[j], 2 * math.pi))
            expected = places.world[i] == places.world[j] and east**2 + north**2 <= radius_m**2
            assert found[i, j] == (expected and (limit is None or turn < limit))


@given(places=PLACES, radius_m=st.integers(0, 6).map(float), limit=st.sampled_from([None, 0.5]))
def test_neighbours_are_all_other_frames_at_the_same_place(places, radius_m, limit):
    same = same_place(places, places, radius_m, limit) & ~np.eye(len(places), dtype=bool)
    found = neighbours(places, radius_m, limit)
    assert [rows.tolist() for rows in found] == [np.flatnonzero(row).tolist() for row in same]


# --- as far apart as wanted ----------------------------------------------------------------------


def test_milestones_by_hand() -> None:
    steps_m = np.diff([0.0, 2, 4, 6, 8, 12, 30, 31])
    assert milestones(steps_m, 5.0).tolist() == [3, 5, 6]  # after 6, 6 and 18 m
    assert milestones(steps_m, 6.0).tolist() == [3, 5, 6]  # inclusive
    assert milestones(steps_m[:0], 5.0).tolist() == []


@given(steps=st.lists(st.integers(0, 9), max_size=30), spacing=st.integers(1, 20))
def test_a_milestone_is_the_first_row_with_enough_path_behind_it(steps: list[int], spacing: int) -> None:
    rows = milestones(np.array(steps, dtype=float), float(spacing)).tolist()
    for last, row in zip([0, *rows], rows, strict=False):
        assert sum(steps[last:row]) >= spacing > sum(steps[last : row - 1])
    assert sum(steps[rows[-1] if rows else 0 :]) < spacing
