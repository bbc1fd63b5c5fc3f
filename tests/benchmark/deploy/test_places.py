"""Places that grow while they are read: snapshots never change."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.deploy.places import COLUMNS, MAIN, GrowingPlaces, Places, no_places
from datasets.prepared import frames_at


def place(number: int) -> Places:
    pose = np.eye(4)
    pose[:3, 3] = [number, 2 * number, 3 * number]
    time = np.array([number], dtype=np.int64)
    frames = frames_at(pose[None], time, traversal="t", world="w", frame_id=[f"p{number}"], image=[""], cloud=[""])
    return Places(frames=frames, descriptors={"main": np.full((1, 2, 3), float(number))})


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 80), st.integers(0, 40))
def test_snapshots_hold_what_was_there_when_they_were_taken(n: int, n_given: int) -> None:
    given_places = GrowingPlaces(no_places({"main": (2, 3)}), "main", "l2")
    for number in range(n_given):
        given_places.append(place(number))
    growing = GrowingPlaces(given_places.now.places, "main", "l2")
    snapshots = [growing.now]
    for number in range(n_given, n_given + n):
        growing.append(place(number))
        snapshots.append(growing.now)
    for extra, now in enumerate(snapshots):
        expected, snapshot = np.arange(n_given + extra), now.places
        ready = growing.space.side(snapshot.descriptors["main"])
        assert all((getattr(now.main, column) == getattr(ready, column)).all() for column in ("descriptors", *MAIN))
        assert len(snapshot) == len(expected)
        assert snapshot.frames.frame_id.tolist() == [f"p{number}" for number in expected]
        assert (snapshot.frames.timestamp_ns == expected).all()
        assert (snapshot.frames.position_m == expected[:, None] * [1, 2, 3]).all()
        assert (snapshot.descriptors["main"] == expected[:, None, None]).all()
        assert all(len(getattr(snapshot.frames, column)) == len(expected) for column in COLUMNS)
    assert len(given_places.now.places) == n_given
