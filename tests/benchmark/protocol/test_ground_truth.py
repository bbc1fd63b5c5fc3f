import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.protocol import ground_truth
from benchmark.protocol.ground_truth import Pair, Relation, ordered_pairs, relate, relations
from datasets.base import Frames, Protocol, Selection, Split
from datasets.errors import CrossplaceError


def protocol(**choices):
    everything = Selection()
    fixed = {"name": "test", "version": 1, "title": "", "dataset": "none", "query": everything, "database": everything}
    split = Split(train=everything, validation=everything)
    return Protocol(**fixed, split=split, **{"pairs": "across", "radius_m": 10.0, **choices})


def frames(rows):
    """Frames from (id, world, seconds, east, north, yaw) tuples."""
    ids, worlds, seconds, east, north, yaw = zip(*rows, strict=True) if rows else [()] * 6
    n = len(rows)
    blank = np.array([""] * n, dtype=object)
    return Frames(
        frame_id=np.array(ids, dtype=object),
        traversal=blank,
        world=np.array(worlds, dtype=object),
        timestamp_ns=np.array([round(s * 1e9) for s in seconds], dtype=np.int64),
        position_m=np.column_stack([east, north, np.zeros(n)]).astype(float),
        quaternion_wxyz=np.tile([1.0, 0, 0, 0], (n, 1)),
        yaw_rad=np.array(yaw, dtype=float),
        image=blank,
        cloud=blank,
    )


# --- pairs ---------------------------------------------------------------------------------------


def test_across_pairs_every_traversal_with_every_other_in_both_orders():
    assert ordered_pairs(protocol(pairs="across"), ["a", "b"], ["a", "b", "c"]) == [
        Pair("a", "b"),
        Pair("a", "c"),
        Pair("b", "a"),
        Pair("b", "c"),
    ]


def test_within_pairs_each_traversal_that_has_both_sides_with_itself():
    assert ordered_pairs(protocol(pairs="within"), ["a", "b", "c"], ["b", "a"]) == [Pair("a", "a"), Pair("b", "b")]


def test_listed_pairs_keep_their_order():
    listed = (("night", "day"), ("day", "day"))
    assert ordered_pairs(protocol(pairs=listed), ["day", "night"], ["day"]) == [
        Pair("night", "day"),
        Pair("day", "day"),
    ]


@pytest.mark.parametrize(
    ("pair", "fault"), [(("dusk", "day"), "query traversal 'dusk'"), (("day", "dusk"), "database traversal 'dusk'")]
)
def test_a_listed_pair_without_frames_is_named(pair, fault):
    with pytest.raises(CrossplaceError, match=fault):
        ordered_pairs(protocol(pairs=(pair,)), ["day"], ["day"])


# --- candidates and positives --------------------------------------------------------------------

DRIVE = [("f0", "w", 0, 0, 0, 0), ("f1", "w", 5, 4, 0, 0), ("f2", "w", 10, 8, 0, 0), ("f3", "w", 20, 2, 0, 0)]


def test_own_frame_is_dropped_by_id_or_kept():
    dropped = relate(frames(DRIVE), frames(DRIVE[::-1]), protocol(own_frame="drop"))
    kept = relate(frames(DRIVE), frames(DRIVE[::-1]), protocol(own_frame="keep"))
    assert (dropped.is_candidate == ~np.eye(4, dtype=bool)[:, ::-1]).all()
    assert kept.is_candidate.all()


def test_a_gap_reached_exactly_is_too_short():
    found = relate(frames(DRIVE), frames(DRIVE), protocol(min_gap_s=10.0)).is_candidate
    assert found.astype(int).tolist() == [[0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0], [1, 1, 0, 0]]


def test_a_gap_is_exact_at_present_day_timestamps():
    now, later = frames([("a", "w", 0, 0, 0, 0)]), frames([("b", "w", 0, 0, 0, 0)])
    now.timestamp_ns[0] = 1_415_985_057_262_127_001
    for difference_ns, expected in [(10_000_000_000, False), (10_000_000_001, True)]:
        later.timestamp_ns[0] = now.timestamp_ns[0] + difference_ns
        assert relate(now, later, protocol(min_gap_s=10.0)).is_candidate.item() is expected


def test_earlier_only_searches_strictly_earlier_frames():
    found = relate(frames(DRIVE), frames(DRIVE), protocol(own_frame="keep", earlier_only=True)).is_candidate
    assert (found == np.tri(4, k=-1, dtype=bool)).all()


def test_positives_are_candidates_at_the_same_place():
    found = relate(frames(DRIVE), frames(DRIVE), protocol(radius_m=4.0, min_gap_s=5.0))
    # f0 and f1, f1 and f2 are 4 m apart but only 5 s; f3 comes back past f0 and f1.
    assert found.is_positive.astype(int).tolist() == [[0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0], [1, 1, 0, 0]]


def test_another_world_is_searched_but_never_right():
    found = relate(frames([("a", "north", 0, 0, 0, 0)]), frames([("b", "south", 0, 0, 0, 0)]), protocol())
    assert found.is_candidate.all()
    assert not found.is_positive.any()


def test_no_frames_relate_to_nothing():
    assert relate(frames([]), frames(DRIVE), protocol(min_gap_s=1.0)).is_positive.shape == (0, 4)


def test_a_positive_that_is_no_candidate_is_refused():
    yes, no = np.ones((1, 1), dtype=bool), np.zeros((1, 1), dtype=bool)
    with pytest.raises(AssertionError):
        Relation(is_candidate=no, is_positive=yes)


@pytest.mark.parametrize("axes", [("east", "north"), ("east", "up")])
def test_relations_do_not_depend_on_how_the_work_is_cut(monkeypatch, axes):
    rules = protocol(radius_m=4.0, min_gap_s=5.0, earlier_only=True, distance_axes=axes)
    whole = relate(frames(DRIVE), frames(DRIVE), rules)
    monkeypatch.setattr(ground_truth, "BLOCK_ENTRIES", 5)
    parts = relate(frames(DRIVE), frames(DRIVE), rules)
    assert (parts.is_candidate == whole.is_candidate).all()
    assert (parts.is_positive == whole.is_positive).all()


def test_the_axes_of_a_protocol_are_those_that_the_radius_is_measured_over():
    here, there = frames([("a", "w", 0, 0, 0, 0)]), frames([("b", "w", 0, 3, 50, 0)])
    assert not relate(here, there, protocol()).is_positive.any()
    assert relate(here, there, protocol(distance_axes=("east", "up"))).is_positive.all()
    there.position_m[0, 2] = 10.0
    assert not relate(here, there, protocol(distance_axes=("east", "up"))).is_positive.any()


def test_relations_walk_all_pairs_of_the_selected_rows():
    drives = frames([*DRIVE, *((f"g{i}", *rest) for i, (_, *rest) in enumerate(DRIVE))])
    drives.traversal[:] = ["b"] * 4 + ["a"] * 4
    query, database = np.array([0, 2, 5]), np.array([1, 3, 4, 6, 7])
    found = list(relations(drives, protocol(), query, database))
    assert [asked.pair for asked in found] == [Pair("b", "a"), Pair("a", "b")]
    for asked, rows in zip(found, [([0, 2], [4, 6, 7]), ([5], [1, 3])], strict=True):
        assert (asked.query_rows.tolist(), asked.database_rows.tolist()) == rows
        expected = relate(drives.take(np.array(rows[0])), drives.take(np.array(rows[1])), protocol())
        assert (asked.relation.is_positive == expected.is_positive).all()
        assert (asked.relation.is_candidate == expected.is_candidate).all()
    assert list(relations(drives, protocol(), np.array([], dtype=int), database)) == []


def test_a_map_driven_the_other_way_has_no_frame_with_the_heading_of_the_query():
    """By hand: five frames at one place, one of them far away; the query heads east."""
    there = [("ahead", 0.0, 0), ("left", 1.6, 0), ("back", 3.1, 0), ("back far", -3.1, 50), ("ahead far", 0.4, 50)]
    database = frames([(name, "w", 0, east, 0, yaw) for name, yaw, east in there])
    found = relate(frames([("q", "w", 0, 0, 0, 0.0)]), database, protocol(heading_limit_rad=0.5, travel="opposite"))
    assert found.is_candidate.tolist() == [[False, True, True, True, False]]
    assert found.is_positive.tolist() == [[False, False, True, False, False]]


FRAME = st.tuples(
    st.sampled_from(["f0", "f1", "f2", "f3"]),
    st.sampled_from(["north", "south"]),
    st.integers(0, 6),
    st.integers(-3, 3),
    st.integers(-3, 3),
    st.sampled_from([-3.1, -0.4, 0.0, 0.4, 3.1]),
)


@given(
    query=st.lists(FRAME, max_size=6),
    database=st.lists(FRAME, max_size=6),
    radius_m=st.integers(0, 5),
    heading_limit_rad=st.sampled_from([None, 0.5]),
    min_gap_s=st.sampled_from([None, 0.0, 2.0]),
    earlier_only=st.booleans(),
    own_frame=st.sampled_from(["keep", "drop"]),
    travel=st.sampled_from(["same", "opposite"]),
)
def test_relation_agrees_with_a_double_loop(query, database, radius_m, heading_limit_rad, **time_rules):
    rules = protocol(radius_m=float(radius_m), heading_limit_rad=heading_limit_rad, **time_rules)
    found = relate(frames(query), frames(database), rules)
    for i, (q_id, q_world, q_s, q_east, q_north, q_yaw) in enumerate(query):
        for j, (d_id, d_world, d_s, d_east, d_north, d_yaw) in enumerate(database):
            candidate = rules.own_frame == "keep" or q_id != d_id
            candidate = candidate and (rules.min_gap_s is None or abs(q_s - d_s) > rules.min_gap_s)
            candidate = candidate and (not rules.earlier_only or d_s < q_s)
            turn = abs(math.remainder(q_yaw - d_yaw, 2 * math.pi))
            same = q_world == d_world and (q_east - d_east) ** 2 + (q_north - d_north) ** 2 <= radius_m**2
            if heading_limit_rad is not None and rules.travel == "same":
                same = same and turn < heading_limit_rad
            if heading_limit_rad is not None and rules.travel == "opposite":
                candidate = candidate and turn >= heading_limit_rad
                same = same and math.pi - turn < heading_limit_rad
            assert found.is_candidate[i, j] == candidate
            assert found.is_positive[i, j] == (candidate and same)
