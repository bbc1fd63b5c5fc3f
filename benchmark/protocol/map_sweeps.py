"""Which sweeps a local map may be made of: those that the protocol lets a query search, and never its own.

If other drives are searched, the map holds no sweep of the query's drive. If a drive is searched in itself, the map
holds sweeps that are as far away in time as the protocol asks. Sweeps need not be frames of the database: a map is
made of all that a drive saw.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from benchmark.protocol.ground_truth import ordered_pairs
from benchmark.protocol.selection import Selected, by_traversal
from datasets.base import Frames, Protocol
from datasets.errors import CrossplaceError


@dataclass(frozen=True, kw_only=True)
class MapSweeps:
    """The sweeps that maps of a protocol may be made of."""

    frames: Frames
    protocol: Protocol
    query_rows: Int[ndarray, " q"]
    database_rows: Int[ndarray, " d"]

    @classmethod
    def among(cls, chosen: Selected) -> "MapSweeps":
        """The sweeps that maps of the selected queries may be made of."""
        rows = {"query_rows": chosen.query, "database_rows": chosen.database}
        return cls(frames=chosen.frames, protocol=chosen.protocol, **rows)

    @cached_property
    def searched(self) -> dict[str, tuple[str, ...]]:
        """Traversal that asks → traversals that it is searched in."""
        names = (list(by_traversal(self.frames, rows)) for rows in (self.query_rows, self.database_rows))
        found: dict[str, tuple[str, ...]] = {}
        for pair in ordered_pairs(self.protocol, *names):
            found[pair.query_traversal] = (*found.get(pair.query_traversal, ()), pair.database_traversal)
        return found

    def of(self, row: int) -> Int[ndarray, " k"]:
        """Rows of the sweeps that the map of the query at ``row`` may be made of, ascending."""
        frames, protocol = self.frames, self.protocol
        rows = self._sources.get((frames.traversal[row], frames.world[row]), np.empty(0, dtype=np.int64))
        is_usable = rows != row
        later_ns = frames.timestamp_ns[row] - frames.timestamp_ns[rows]
        if protocol.min_gap_s is not None:
            is_usable &= np.abs(later_ns) > round(protocol.min_gap_s * 1e9)
        if protocol.earlier_only:
            is_usable &= later_ns > 0
        return rows[is_usable]

    @cached_property
    def _sources(self) -> dict[tuple[str, str], Int[ndarray, " k"]]:
        """Traversal that asks, and world → rows with a cloud of the traversals that it is searched in."""
        frames, found = self.frames, {}
        for asking, searched in self.searched.items():
            is_source = np.isin(frames.traversal.astype(str), np.array(searched, dtype=str)) & (frames.cloud != "")
            for world in dict.fromkeys(frames.world[is_source].tolist()):
                found[asking, world] = np.flatnonzero(is_source & (frames.world == world))
        return found

    def check(self, row: int, sweeps: Int[ndarray, " k"]) -> None:
        """Raise if a map that was made of ``sweeps`` shows the query at ``row`` itself, or its drive across drives.

        It looks at the finished map and knows nothing of :meth:`of`.

        Raises:
            CrossplaceError: a leak, which is a fault of the suite.
        """
        frames, own = self.frames, self.frames.traversal[row]
        same_cloud = frames.cloud[sweeps] == frames.cloud[row]
        own_drive = (frames.traversal[sweeps] == own) & (own not in self.searched.get(own, ()))
        for what, is_leak in {"its own sweep": same_cloud, "a sweep of its own drive": own_drive}.items():
            if is_leak.any():
                raise CrossplaceError(
                    f"the local map of {frames.frame_id[row]} holds {what} ({frames.frame_id[sweeps[is_leak][0]]}), so "
                    "that its registration would say nothing; report this fault of the suite"
                )
