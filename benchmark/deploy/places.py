"""The places of a map as columns, which grow while they are read."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from datasets.base import Frames
from datasets.errors import CrossplaceError
from datasets.prepared import frames_at

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


class GrowingPlaces:
    """Places of which all threads read a snapshot while one thread adds further places.

    A snapshot is a view of the first rows. Rows that a snapshot has never change, so that reading needs no lock. The
    columns get twice the room when they are full, so that adding a place takes the same time in a large map.
    """

    def __init__(self, places: Places) -> None:
        self._lock = threading.Lock()
        self._columns = {name: np.array(getattr(places.frames, name)) for name in COLUMNS}
        self._descriptors = {name: np.array(array) for name, array in places.descriptors.items()}
        self._names = set(places.frames.frame_id.tolist())
        self.snapshot = self._first(len(places))
        """The places of this moment."""

    def append(self, place: Places) -> None:
        """Add one place; raises :class:`CrossplaceError` if the map has a place of this name."""
        (name,) = place.frames.frame_id.tolist()
        with self._lock:
            if name in self._names:
                raise CrossplaceError(f"place {name!r} is in this map already; give the new place another name")
            row = len(self.snapshot)
            new = {column: getattr(place.frames, column) for column in COLUMNS}
            self._columns = _with_row(self._columns, new, row)
            self._descriptors = _with_row(self._descriptors, place.descriptors, row)
            self._names.add(name)
            self.snapshot = self._first(row + 1)

    def _first(self, n: int) -> Places:
        frames = Frames(**{name: column[:n] for name, column in self._columns.items()})
        return Places(frames=frames, descriptors={name: array[:n] for name, array in self._descriptors.items()})


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
