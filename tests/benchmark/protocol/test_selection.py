import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.protocol.selection import median_spacing_m, select, thinned
from datasets.base import Frames, Region, Selection
from datasets.errors import CrossplaceError


def frames_at(plane_m, traversal="drive", world="town"):
    """Frames at (east, north); ``traversal`` and ``world`` are one name or one a frame."""
    n = len(plane_m)

    def column(value):
        return np.array([value] * n if isinstance(value, str) else list(value), dtype=object)

    return Frames(
        frame_id=column([f"f{i}" for i in range(n)]),
        traversal=column(traversal),
        world=column(world),
        timestamp_ns=np.arange(n),
        position_m=np.column_stack([np.reshape(plane_m, (n, 2)), np.zeros(n)]).astype(float),
        quaternion_wxyz=np.tile([1.0, 0, 0, 0], (n, 1)),
        yaw_rad=np.zeros(n),
        image=column(""),
        cloud=column(""),
    )


def on_a_line(n, step_m, **names):
    return frames_at(np.column_stack([np.arange(n) * step_m, np.zeros(n)]), **names)


def test_everything_is_kept_by_default():
    assert select(on_a_line(5, 1.0), Selection()).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (("day-1",), [0]),
        (("day-*",), [0, 1]),
        (("day-*", "!day-2"), [0]),
        (("!day-2", "day-*"), [0]),
        (("!night-?",), [0, 1]),
        (("dusk",), []),
        (("DAY-1",), []),
        ((), []),
    ],
)
def test_traversal_patterns_add_and_an_exclamation_mark_takes_away(patterns, expected):
    frames = on_a_line(3, 1.0, traversal=["day-1", "day-2", "night-1"])
    assert select(frames, Selection(traversals=patterns)).tolist() == expected


def test_spacing_keeps_the_first_frame_and_then_each_that_reaches_the_path():
    # 5 m steps: 0, 5, 10, 15 >= 12 keeps row 3 and starts again from there.
    assert select(on_a_line(10, 5.0), Selection(spacing_m=12.0)).tolist() == [0, 3, 6, 9]


def test_spacing_reached_exactly_keeps_the_frame():
    assert select(on_a_line(9, 5.0), Selection(spacing_m=20.0)).tolist() == [0, 4, 8]


def test_spacing_counts_driven_path_and_not_displacement():
    there_and_back = frames_at([(0, 0), (6, 0), (0, 0), (6, 0), (0, 0)])
    assert select(there_and_back, Selection(spacing_m=12.0)).tolist() == [0, 2, 4]


def test_spacing_starts_anew_in_each_traversal_even_if_rows_are_interleaved():
    frames = on_a_line(6, 5.0, traversal=["a", "b", "a", "b", "a", "b"])
    assert select(frames, Selection(spacing_m=20.0)).tolist() == [0, 1, 4, 5]


def test_spacing_starts_anew_in_another_world():
    frames = frames_at([(0, 0), (1, 0), (1, 0), (2, 0)], world=["north", "north", "south", "south"])
    assert select(frames, Selection(spacing_m=3.0)).tolist() == [0, 2]


def test_height_is_no_path():
    frames = on_a_line(4, 1.0)
    frames.position_m[:, 2] = [0, 100, 200, 300]
    assert select(frames, Selection(spacing_m=2.0)).tolist() == [0, 2]


@pytest.mark.parametrize(
    ("n", "count", "expected"),
    [(10, 5, [0, 2, 4, 6, 8]), (10, 4, [0, 2, 4, 6, 8]), (14, 4, [0, 4, 8, 12]), (3, 100, [0, 1, 2]), (7, 1, [0])],
)
def test_count_keeps_each_nth_row(n, count, expected):
    # 10 / 4 = 2.5 rounds to 2 and 14 / 4 = 3.5 to 4: half to even, as in the published script.
    assert select(on_a_line(n, 1.0), Selection(count=count)).tolist() == expected


def test_count_holds_for_each_traversal():
    frames = on_a_line(6, 1.0, traversal=["a"] * 4 + ["b"] * 2)
    assert select(frames, Selection(count=2)).tolist() == [0, 2, 4, 5]


def test_a_region_edge_is_outside():
    frames = frames_at([(10, 0), (9.999, 0), (0, -10), (0, -9.999), (9.999, 9.999)])
    square = Region(east_m=0.0, north_m=0.0, half_side_m=10.0)
    assert select(frames, Selection(regions=(square,))).tolist() == [1, 3, 4]
    assert select(frames, Selection(outside=(square,))).tolist() == [0, 2]


def test_a_rectangle_has_a_limit_in_each_axis():
    frames = frames_at([(-20, 0), (-19.999, 4.999), (19.999, -4.999), (0, 5), (20, 0), (0, 0)])
    rectangle = Region.between((-20.0, 20.0), (-5.0, 5.0))
    assert select(frames, Selection(regions=(rectangle,))).tolist() == [1, 2, 5]
    assert select(frames, Selection(regions=(rectangle.grown(1.0),))).tolist() == [0, 1, 2, 3, 4, 5]
    assert rectangle.grown(2.0) == Region.between((-22.0, 22.0), (-7.0, 7.0))
    assert Region(east_m=0.0, north_m=0.0, half_side_m=3.0).half_sides_m() == (3.0, 3.0)


def test_regions_unite_and_outside_wins():
    frames = on_a_line(6, 10.0)
    west, east = (Region(east_m=e, north_m=0.0, half_side_m=11.0) for e in (0.0, 40.0))
    hole = Region(east_m=40.0, north_m=0.0, half_side_m=1.0)
    assert select(frames, Selection(regions=(west, east))).tolist() == [0, 1, 3, 4, 5]
    assert select(frames, Selection(regions=(west, east), outside=(hole,))).tolist() == [0, 1, 3, 5]


def test_thinning_comes_before_regions():
    # The drive keeps 0, 20, 40 m; cutting first would have kept 15 and 35 m.
    frames = on_a_line(10, 5.0)
    inside = Selection(spacing_m=20.0, regions=(Region(east_m=30.0, north_m=0.0, half_side_m=16.0),))
    assert select(frames, inside).tolist() == [4, 8]


def test_no_frames_select_nothing():
    assert select(on_a_line(0, 1.0), Selection(spacing_m=1.0, count=2)).tolist() == []


# --- ranges, unions, maps ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "expected"), [((0, 3), [0, 1, 2, 4, 5]), ((3, None), [3]), ((1, 3), [1, 2, 5]), ((9, None), [])]
)
def test_a_range_counts_the_frames_of_each_traversal(rows, expected):
    frames = on_a_line(6, 1.0, traversal=["a"] * 4 + ["b"] * 2)
    assert select(frames, Selection(rows=rows)).tolist() == expected


def test_a_range_is_cut_before_thinning():
    # From row 1 on: 5, 25, 45 m. Thinning first would have kept 0, 20, 40 m.
    assert select(on_a_line(10, 5.0), Selection(rows=(1, None), spacing_m=20.0)).tolist() == [1, 5, 9]
    assert select(on_a_line(10, 5.0), Selection(rows=(2, 8), count=3)).tolist() == [2, 4, 6]
    assert select(on_a_line(3, 5.0), Selection(rows=(5, None), spacing_m=20.0, count=2)).tolist() == []


def test_further_selections_add_frames_by_their_own_rules():
    frames = on_a_line(8, 10.0, traversal=["a"] * 4 + ["b"] * 4)
    head_of_a, every_20_m_of_b = Selection(traversals=("a",), rows=(0, 1)), Selection(traversals=("b",), spacing_m=20.0)
    assert select(frames, replace(head_of_a, also=(every_20_m_of_b,))).tolist() == [0, 4, 6]
    assert select(frames, replace(every_20_m_of_b, also=(head_of_a, Selection(rows=(3, None))))).tolist() == [
        0,
        3,
        4,
        6,
        7,
    ]
    assert select(frames, Selection(traversals=(), also=(head_of_a,))).tolist() == [0]


def test_a_region_of_one_traversal_does_not_cut_another():
    here = Region(east_m=0.0, north_m=0.0, half_side_m=5.0)
    there = Region(east_m=10.0, north_m=0.0, half_side_m=5.0)
    frames = on_a_line(4, 10.0, traversal=["a", "a", "b", "b"])
    frames.position_m[:, 0] = [0, 10, 0, 10]
    in_a = Selection(traversals=("a",), regions=(here,))
    assert select(frames, replace(in_a, also=(Selection(traversals=("b",), regions=(there,)),))).tolist() == [0, 3]
    assert select(frames, replace(in_a, regions=(), outside=(here,))).tolist() == [1]


@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_a_selection_includes_what_any_of_its_parts_names(name):
    parts = Selection(traversals=("a",), also=(Selection(traversals=("b",)), Selection(traversals=("!*",))))
    assert parts.includes(name) == (name in "ab")
    assert parts.names(name) == (name == "a")


@given(
    parts=st.lists(
        st.tuples(
            st.sampled_from([("a",), ("b",), ("*",), ()]),
            st.integers(0, 5),
            st.sampled_from([None, 0, 3, 8]),
            st.sampled_from([None, 2.0, 5.0]),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_a_union_is_the_union_of_its_parts(parts):
    parts = [Selection(traversals=t, rows=(first, end), spacing_m=spacing) for t, first, end, spacing in parts]
    frames = on_a_line(12, 1.0, traversal=["a", "b"] * 6)
    together = replace(parts[0], also=tuple(parts[1:]))
    assert select(frames, together).tolist() == sorted({row for part in parts for row in select(frames, part).tolist()})


ON_A_MAP = Region(east_m=100.0, north_m=200.0, half_side_m=10.0, frame="mercator")


def test_a_mercator_region_is_met_on_the_mercator_map():
    east, north = [100.0, 100, 109.9, 110, 0], [200.0, 209.9, 200, 200, 0]
    frames = replace(on_a_line(5, 1.0), mercator_m=np.column_stack([east, north]))
    assert select(frames, Selection(regions=(ON_A_MAP,))).tolist() == [0, 1, 2]
    assert select(frames, Selection(outside=(ON_A_MAP,))).tolist() == [3, 4]
    world = Region(east_m=0.0, north_m=0.0, half_side_m=0.5)
    assert select(frames, Selection(regions=(ON_A_MAP,), outside=(world,))).tolist() == [1, 2]


@pytest.mark.parametrize("is_known", [[], [True, False, True]])
@pytest.mark.parametrize("where", ["regions", "outside"])
def test_a_frame_that_is_not_on_the_map_is_a_sentence(is_known, where):
    frames = on_a_line(3, 1.0)
    if is_known:
        frames = replace(frames, mercator_m=np.where(np.array(is_known)[:, None], 100.0, np.nan).repeat(2, axis=1))
    n_lost = is_known.count(False) or 3
    with pytest.raises(
        CrossplaceError, match=rf"Mercator map, but {n_lost} of 3 frames .*first: f{1 if is_known else 0}.*oxts"
    ):
        select(frames, Selection(**{where: (ON_A_MAP,)}))


def test_frames_that_the_regions_do_not_concern_need_no_map():
    frames = on_a_line(4, 1.0, traversal=["a", "a", "b", "b"])
    frames = replace(frames, mercator_m=np.array([[100.0, 200], [0, 0], [np.nan, np.nan], [np.nan, np.nan]]))
    in_a = Selection(traversals=("a",), regions=(ON_A_MAP,), also=(Selection(traversals=("b",)),))
    assert select(frames, in_a).tolist() == [0, 2, 3]


# --- properties ----------------------------------------------------------------------------------


@given(
    steps=st.lists(st.integers(0, 9), max_size=40),
    spacing_m=st.integers(1, 25),
    names=st.lists(st.sampled_from("ab"), min_size=41, max_size=41),
)
def test_spacing_agrees_with_a_walk_along_each_traversal(steps, spacing_m, names):
    east = np.cumsum([0, *steps])
    frames = frames_at(np.column_stack([east, np.zeros(len(east))]), traversal=names[: len(east)])
    expected = []
    for name in "ab":
        last, driven = None, 0.0
        for row in range(len(east)):
            if frames.traversal[row] != name:
                continue
            driven += 0 if last is None else east[row] - east[last]
            if last is None or driven >= spacing_m:
                expected.append(row)
                driven = 0.0
            last = row
    assert select(frames, Selection(spacing_m=float(spacing_m))).tolist() == sorted(expected)


def test_the_spacing_of_a_map_is_that_within_drives_and_maps():
    frames = frames_at(
        [[0, 0], [4, 0], [8, 0], [500, 0], [504, 0], [0, 9], [7, 9]],
        traversal=["a"] * 5 + ["b"] * 2,
        world=["x"] * 3 + ["y"] * 2 + ["x"] * 2,
    )
    assert median_spacing_m(frames, np.arange(7)) == 4.0
    assert median_spacing_m(frames, np.array([0, 3, 5])) is None
    assert median_spacing_m(frames, np.array([], dtype=np.int64)) is None


@pytest.mark.parametrize(("spacing_m", "step"), [(8.0, 2), (10.0, 2), (11.0, 3), (50.0, 12)])
def test_a_thinned_map_keeps_the_frame_nearest_to_the_mark(spacing_m, step):
    frames = on_a_line(30, 4.0, traversal=["a"] * 15 + ["b"] * 15)
    expected = [row for row in range(30) if row % 15 % step == 0]
    assert thinned(frames, np.arange(30), spacing_m).tolist() == expected


def test_the_middle_is_a_square_around_the_median_place():
    """By hand: a line of 5 places, 10 m apart; its middle is the third, and equally near ones go by their order."""
    line = on_a_line(5, 10.0)
    kept = {share: select(line, Selection(middle_share=share)).tolist() for share in (0.1, 0.2, 0.4, 0.6, 1.0)}
    assert kept == {0.1: [2], 0.2: [2], 0.4: [1, 2], 0.6: [1, 2, 3], 1.0: [0, 1, 2, 3, 4]}


@given(
    plane_m=st.lists(st.tuples(st.integers(-50, 50), st.integers(-50, 50)), min_size=1, max_size=30),
    small=st.sampled_from([0.1, 0.25, 0.5]),
    data=st.data(),
)
def test_a_share_of_the_middle_lies_together_and_within_any_larger_share(plane_m, small, data):
    worlds = data.draw(st.lists(st.sampled_from("ab"), min_size=len(plane_m), max_size=len(plane_m)))
    frames = replace(frames_at(plane_m), world=np.array(worlds, dtype=object))
    few, more = (select(frames, Selection(middle_share=share)).tolist() for share in (small, 2 * small))
    assert set(few) <= set(more)
    for world in set(worlds):
        here = [row for row, name in enumerate(worlds) if name == world]
        inside = [row for row in few if row in here]
        assert len(inside) == math.ceil(small * len(here))
        middle = np.median(frames.position_m[here, :2], axis=0)
        reach_m = {row: np.abs(frames.position_m[row, :2] - middle).max() for row in here}
        assert max(reach_m[row] for row in inside) <= min((reach_m[r] for r in here if r not in inside), default=1e9)


def test_the_middle_is_found_after_all_other_rules():
    """The middle of the rows that are left, not of the whole drive."""
    assert select(on_a_line(9, 10.0), Selection(rows=(4, None), middle_share=0.2)).tolist() == [6]
