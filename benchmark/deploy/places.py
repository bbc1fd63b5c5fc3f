"""The places of a map as columns, which grow while they are read."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from benchmark.evaluation.estimates import Side, Space
from datasets.base import DistanceKind, Frames
from datasets.errors import CrossplaceError
from datasets.prepared import frames_at

MAIN = tuple(f.name for f in fields(Side) if f.name != "descriptors")
"""Columns of the main descriptors, ready to be searched."""
COLUMNS = tuple(f.name for f in fields(Frames) if f.name != "mercator_m")
"""Columns of frames that a map keeps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Some places with their descriptors, row by row."""

    frames: Frames
    """Names, poses and times."""
    descriptors: Mapping[str, Float[ndarray, "n views size"]]
    """Descriptors by name, float64."""

    def __len__(self) -> int:
        return len(self.frames)


def no_places(sizes: Mapping[str, tuple[int, int]]) -> Places:
    """No places yet, for descriptors with these numbers of views and of values, by name."""
    none = np.empty(0, dtype=np.int64)
    frames = frames_at(np.empty((0, 4, 4)), none, traversal="", world="", frame_id=[], image=[], cloud=[])
    return Places(frames=frames, descriptors={name: np.empty((0, *size)) for name, size in sizes.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The places of one moment."""

    places: Places
    main: Side
    """Their main descriptors, ready to be searched."""


class GrowingPlaces:
    """Places of which all threads read a snapshot while one thread adds further places.

    A snapshot is a view of the first rows. Rows that a snapshot has never change, so that reading needs no lock. The
    columns get twice the room when they are full, so that adding a place takes the same time in a large map.
    """

    def __init__(self, places: Places, main: str, distance: DistanceKind) -> None:
        """A map of these places, which are searched by the descriptor ``main`` and its ``distance``."""
        self._lock, self._main = threading.Lock(), main
        self._columns = {name: np.array(getattr(places.frames, name)) for name in COLUMNS}
        self._descriptors = {name: np.array(array) for name, array in places.descriptors.items()}
        self._names = set(places.frames.frame_id.tolist())
        self.space = Space.of([self._descriptors[main]], distance)
        """The space of the main descriptors: that of the first places, so that it never changes."""
        self._ready = self._side(self._descriptors)
        self.now = self._first(len(places))
        """The places of this moment."""

    def append(self, place: Places) -> None:
        """Add one place; raises :class:`CrossplaceError` if the map has a place of this name."""
        (name,) = place.frames.frame_id.tolist()
        with self._lock:
            if name in self._names:
                raise CrossplaceError(f"place {name!r} is in this map already; give the new place another name")
            row = len(self.now.places)
            new = {column: getattr(place.frames, column) for column in COLUMNS}
            self._columns = _with_row(self._columns, new, row)
            self._descriptors = _with_row(self._descriptors, place.descriptors, row)
            self._ready = _with_row(self._ready, self._side(place.descriptors), row)
            self._names.add(name)
            self.now = self._first(row + 1)

    def _side(self, descriptors: Mapping[str, ndarray]) -> dict[str, ndarray]:
        side = self.space.side(descriptors[self._main])
        return {name: getattr(side, name) for name in MAIN}

    def _first(self, n: int) -> Snapshot:
        columns, described, ready = (
            {name: column[:n] for name, column in every.items()}
            for every in (self._columns, self._descriptors, self._ready)
        )
        places = Places(frames=Frames(**columns), descriptors=described)
        return Snapshot(places=places, main=Side(descriptors=described[self._main], **ready))


def _with_row(columns: Mapping[str, ndarray], new: Mapping[str, ndarray], row: int) -> dict[str, ndarray]:
    """Columns whose row ``row``, the first that no snapshot has, holds the one row of ``new``."""
    roomy = {}
    for name, column in columns.items():
        is_full = row == len(column)
        roomy[name] = (
            np.concatenate([column, np.empty((max(row, 16), *column.shape[1:]), column.dtype)]) if is_full else column
        )
        roomy[name][row] = new[name][0]
    return roomy
