"""From stored ranks to values of every query: the same whether a run was just made, stored, or published."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from benchmark.evaluation.intervals import Interval, Units, headline_weights, mean_interval, units_of
from benchmark.evaluation.metrics import METRICS, Metric, is_counted
from benchmark.evaluation.rankers import CHANCE
from benchmark.evaluation.ranks import Ranking
from benchmark.records.schema import MethodRecord, PairRecall, Result, version_of
from datasets.base import Protocol
from datasets.errors import CrossplaceError

FIRST_WITH_EXPECTATIONS = "1.2"
"""Since this schema, the random row is an expectation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Queries:
    """The counted queries of one direction, in the arrays of ``ranks.npz``."""

    ranks: Mapping[str, ndarray]
    is_asked: Bool[ndarray, " rows"]
    """Which rows of the ``query_*`` arrays they are."""

    @classmethod
    def of(cls, ranks: Mapping[str, ndarray], direction: str, no_positive: str) -> "Queries":
        """The counted queries of ``direction``, whose label must be in ``ranks``."""
        is_direction = ranks["query_direction"] == ranks["directions"].tolist().index(direction)
        is_asked = is_direction & is_counted(widened(ranks["query_first_positive_rank"]), no_positive)
        return cls(ranks=ranks, is_asked=is_asked)

    def column(self, name: str) -> ndarray:
        """One of the ``query_*`` arrays, as wide numbers."""
        return widened(self.ranks[f"query_{name}"][self.is_asked])

    def of_frame(self, name: str) -> ndarray:
        """One of the ``frame_*`` arrays, at the frame of each query."""
        found: ndarray = self.ranks[f"frame_{name}"][self.column("frame")]
        return found

    @property
    def position_m(self) -> Float[ndarray, "n 2"]:
        """East and north of each query."""
        return np.stack([self.of_frame("east_m"), self.of_frame("north_m")], axis=1)

    @property
    def pair(self) -> Int[ndarray, " n"]:
        """The row of ``pairs`` of each query, numbered without the rows that nobody asks."""
        return np.unique(self.column("pair"), return_inverse=True)[1].reshape(-1)

    def weights(self, averaging: str) -> Float[ndarray, " n"]:
        """Weights in the headline number of a protocol with this ``averaging``."""
        return headline_weights(self.pair, averaging)

    def units(self, values: Float[ndarray, "n m"], weights: Float[ndarray, " n"]) -> Units:
        """What is resampled for ``values`` (a column a metric) of these queries."""
        world = self.of_frame("world")
        return units_of(self.ranks["pairs"], self.column("pair"), world, self.position_m, values, weights)

    def ranking(self, pair: int) -> Ranking:
        """What the queries of one row of ``pairs`` found; distances and frames that were not stored are nan and -1."""
        rows = np.flatnonzero(self.is_asked & (self.ranks["query_pair"] == pair))

        def column(name: str) -> ndarray:
            return widened(self.ranks[f"query_{name}"][rows])

        def optional(name: str, shape: tuple[int, ...], missing: float) -> ndarray:
            return column(name) if f"query_{name}" in self.ranks else np.full((len(rows), *shape), missing)

        return Ranking(
            first_positive_rank=column("first_positive_rank"),
            n_positives=column("n_positives"),
            n_candidates=column("n_candidates"),
            top_index=optional("top_frame", (0,), -1.0).astype(np.int64),
            top_distance=optional("top_distance", (0,), math.nan),
            best_positive_distance=optional("best_positive_distance", (), math.nan),
            best_negative_distance=optional("best_negative_distance", (), math.nan),
        )

    def values(
        self, metric: Metric, pairs: list[PairRecall], protocol: Protocol, *, by_chance: bool
    ) -> Float[ndarray, " n"]:
        """The value of each query, whose pairs are recorded in ``pairs``; nan where chance is not known."""
        value = metric.by_chance if by_chance else metric.value
        sizes = {(p.query, p.database): p.n_database for p in pairs}
        pair, found = self.column("pair"), np.full(int(self.is_asked.sum()), np.nan)
        if value is None:
            return found
        for number in np.unique(pair):
            query, database = (str(name) for name in self.ranks["pairs"][number])
            if (query, database) not in sizes:
                raise CrossplaceError(
                    f"the ranks hold the pair {query} and {database}, but the result does not: they are of two runs; "
                    "run bench again"
                )
            found[pair == number] = value(self.ranking(int(number)), sizes[query, database], protocol)
        return found

    def intervals(
        self, values: Mapping[str, Float[ndarray, " n"]], averaging: str
    ) -> tuple[dict[str, tuple[float, float] | None], str]:
        """Ends of the interval of each metric, and what was resampled, in words (nothing without queries).

        ``values`` holds each metric of ``METRICS``. All of them share their units.
        """
        known = {name: column for name, column in values.items() if len(column) and not np.isnan(column).any()}
        if not known:
            return dict.fromkeys(values), ""
        weights = self.weights(averaging)
        units = self.units(np.stack([*known.values()], axis=1), weights)
        ends = {
            name: _ends(mean_interval(column, units, weights, is_share=METRICS[name].is_share))
            for name, column in known.items()
        }
        return {name: ends.get(name) for name in values}, units.words


def widened(column: ndarray) -> ndarray:
    """Numbers in 64 bits, integers signed, however narrow they were stored."""
    return column.astype({"u": np.int64, "i": np.int64, "f": np.float64}.get(column.dtype.kind, column.dtype))


def is_expected(method: MethodRecord, schema_version: str) -> bool:
    """Whether the numbers of a result are expectations over all orders; before schema 1.2 they were drawn."""
    is_drawn = version_of(schema_version) < version_of(FIRST_WITH_EXPECTATIONS)
    return method.origin == "ranker" and method.name == CHANCE and not is_drawn


def misfit(result: Result, ranks: Mapping[str, ndarray]) -> str:
    """What of ``ranks`` does not give the recorded recall@1, in words; empty if all does. Drawn orders need not fit."""
    protocol, method = result.protocol, result.method
    for direction in result.directions if (method.origin, method.name) != ("ranker", CHANCE) else ():
        stored = result.headline(direction).recall_at[0]
        found = None
        if direction in ranks["directions"].tolist():
            queries = Queries.of(ranks, direction, protocol["no_positive"])
            hits, weights = queries.column("first_positive_rank") == 1, queries.weights(protocol["averaging"])
            found = float(np.average(hits, weights=weights)) if len(hits) else None
        if (found is None) != (stored is None) or abs((found or 0.0) - (stored or 0.0)) > 1e-9:
            return f"the ranks do not give the recorded recall of {direction}, so that they are of another run"
    return ""


def _ends(interval: Interval) -> tuple[float, float] | None:
    return None if math.isnan(interval.low) else (interval.low, interval.high)
