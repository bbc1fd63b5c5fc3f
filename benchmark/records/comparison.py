"""Is one result better than another, and where? Answered from stored results, on the queries that they share.

With ten traversals or more, the recalls of traversal pairs in ``result.json`` suffice. With fewer, blocks of the map
are compared, which needs the ranks of every query.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from benchmark.evaluation.intervals import Units, traversal_units
from benchmark.evaluation.metrics import METRICS, Metric, recall_metric
from benchmark.evaluation.rankers import CHANCE
from benchmark.evaluation.significance import Difference, difference, holm, letters
from benchmark.records.queries import Queries, misfit
from benchmark.records.ranks import read_ranks
from benchmark.records.schema import RANKS, PairRecall, Result, protocol_of
from datasets.base import Protocol
from datasets.errors import CrossplaceError


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRun:
    """A result and, where they are there, the stored ranks of its queries."""

    folder: Path
    result: Result
    ranks: dict[str, ndarray] | None

    @classmethod
    def read(cls, folder: Path) -> "StoredRun":
        """Read a result and its ranks."""
        result, ranks = Result.read(folder), read_ranks(folder)
        if ranks is not None and (fault := misfit(result, ranks)):
            raise CrossplaceError(f"{folder / RANKS}: {fault}; put back the two files of one run, or run bench again")
        return cls(folder=folder, result=result, ranks=ranks)

    @property
    def protocol(self) -> Protocol:
        """The protocol of the result."""
        return protocol_of(self.result.protocol)

    def queries(self, direction: str) -> Queries:
        """The counted queries of ``direction``.

        Raises:
            CrossplaceError: a result without this direction, or without ranks (published results of real data).
        """
        if direction not in self.result.directions:
            raise CrossplaceError(
                f"{self.folder}: no direction {direction!r}; found {', '.join(self.result.directions)}"
            )
        if self.ranks is None:
            raise CrossplaceError(
                f"{self.folder}: no {RANKS}; with so few traversals a comparison needs the ranks of every query, "
                "which published results of real data lack: compare the folders below runs/"
            )
        return Queries.of(self.ranks, direction, self.protocol.no_positive)

    def values(self, direction: str, metric: str) -> Float[ndarray, " n"]:
        """The value of each counted query; of the ranker that draws, the expectation."""
        method, pairs = self.result.method, self.result.directions[direction].pairs
        by_chance = method.origin == "ranker" and method.name == CHANCE
        queries = self.queries(direction)
        return queries.values(_metric(metric), pairs, self.protocol, by_chance=by_chance)


def _metric(name: str) -> Metric:
    """A metric of the table, or R@N of any N."""
    if name in METRICS:
        return METRICS[name]
    depth = name.removeprefix("R@")
    if not depth.isdecimal() or int(depth) < 1:
        raise CrossplaceError(f"no metric {name}; there are {', '.join(METRICS)}, and R@N of every N")
    return recall_metric(name, lambda *_: int(depth))


# --- differences ---------------------------------------------------------------------------------


def differences(
    runs: Sequence[Path], others: Sequence[Path], depth: int = 1, *, is_same_training: bool = True
) -> dict[str, Difference]:
    """Recall@``depth`` of the results in ``runs`` minus that in ``others`` (seeds: their means), by direction.

    All must be of the same dataset and protocol, so that they asked the same queries. Unless ``is_same_training``,
    protocols may differ in what is trained on. Weighted like the headline
    number, over the queries that it counts. Units are chosen for the difference: traversals, or blocks of the map.

    Raises:
        CrossplaceError: results that cannot be compared, or that need ``ranks.npz`` and lack it.
    """
    groups = comparable_groups([runs, others], is_same_training=is_same_training)
    found = {}
    for direction in shared_directions(groups):
        asked = _Asked.of(groups[1][0], direction)
        one, other = (asked.values(group, direction, f"R@{depth}") for group in groups)
        found[direction] = asked.difference(one, other)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What runs are compared on in one direction: traversal pairs with their units, or queries."""

    weights: Float[ndarray, " n"]
    pairs: tuple[tuple[str, str], ...] = ()
    units: Units | None = None
    queries: Queries | None = None

    @classmethod
    def of(cls, run: StoredRun, direction: str) -> "_Asked":
        averaging = run.result.protocol["averaging"]
        of_pairs = cls.of_pairs(run.result.directions[direction].pairs, averaging)
        if of_pairs is not None:
            return of_pairs
        queries = run.queries(direction)
        return cls(weights=queries.weights(averaging), queries=queries)

    @classmethod
    def of_pairs(cls, pairs: Sequence[PairRecall], averaging: str) -> "_Asked | None":
        used = [pair for pair in pairs if pair.n_counted]
        names = tuple((pair.query, pair.database) for pair in used)
        units = traversal_units(np.array(names), np.arange(len(used))) if used else None
        if units is None:
            return None
        weights = np.array([1.0 if averaging == "pairs" else pair.n_counted for pair in used])
        return cls(weights=weights, pairs=names, units=units)

    def values(self, group: Sequence[StoredRun], direction: str, metric: str) -> Float[ndarray, " n"]:
        """Means over the runs of a group, one a query or one a pair."""
        if self.units is None:
            values = [run.values(direction, metric) for run in group]
        else:
            values = [_pair_values(run.result.directions[direction].pairs, metric, self.pairs) for run in group]
        mean: Float[ndarray, " n"] = np.mean(values, axis=0)
        return mean

    def difference(self, values: Float[ndarray, " n"], other_values: Float[ndarray, " n"]) -> Difference:
        units = self.units
        if units is None:
            assert self.queries is not None
            units = self.queries.units((values - other_values)[:, None], self.weights)
        return difference(values, other_values, units, self.weights)


def _pair_values(pairs: Sequence[PairRecall], metric: str, order: Sequence[tuple[str, str]]) -> Float[ndarray, " n"]:
    """The values of pairs in this order."""
    found = {}
    for pair in pairs:
        value = pair.values.get(metric)
        if value is None and metric not in METRICS:
            _metric(metric)
            depth = int(metric.removeprefix("R@"))
            value = pair.recall_at[depth - 1] if depth <= len(pair.recall_at) else None
        found[pair.query, pair.database] = value
    values = [found.get(names) for names in order]
    if any(value is None for value in values):
        raise CrossplaceError(
            f"results lack {metric} of some of their traversal pairs; compare a recall from R@1 to R@25, of results "
            "that asked the same traversals"
        )
    return np.array(values, dtype=np.float64)


def comparable_groups(folders: Sequence[Sequence[Path]], *, is_same_training: bool = True) -> list[list[StoredRun]]:
    """The runs of each group, checked to be seeds of each other, and all groups to be alike."""
    groups = [[StoredRun.read(folder) for folder in group] for group in folders]
    for group in reversed(groups):
        _check_seeds(group)
    for run in (*groups[-1][1:], *(run for group in groups[:-1] for run in group)):
        _check_comparable(run, groups[-1][0], () if is_same_training else ("name", "title", "split"))
    return groups


def shared_directions(groups: Sequence[Sequence[StoredRun]]) -> list[str]:
    """Directions that all runs have; at least one."""
    everything = [run.result for group in reversed(groups) for run in group]
    shared = [d for d in everything[0].directions if all(d in result.directions for result in everything)]
    if not shared:
        first = groups[-1][0].folder
        raise CrossplaceError(f"{first} and the runs to compare with it have no direction in common")
    return shared


def _check_seeds(group: Sequence[StoredRun]) -> None:
    """Refuse runs that are averaged though they were perturbed differently."""
    perturbed = {(p.name, p.severity) if (p := run.result.perturbation) else None for run in group}
    if len(perturbed) > 1:
        raise CrossplaceError(
            f"{group[0].folder} and the runs beside it are perturbed differently; only seeds go together"
        )


def _check_comparable(run: StoredRun, reference: StoredRun, may_differ: Sequence[str]) -> None:
    a, b = run.result, reference.result
    rules = [{k: v for k, v in result.protocol.items() if k not in may_differ} for result in (a, b)]
    if a.dataset.fingerprint != b.dataset.fingerprint or rules[0] != rules[1]:
        raise CrossplaceError(
            f"{run.folder} and {reference.folder} differ in dataset or protocol; compare like with like"
        )


# --- rows of a table -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the rows of one table are worth against each other in one direction."""

    rows: tuple[int, ...]
    """The groups that have this direction, best first."""
    values: tuple[float, ...]
    """The value of each row, a fraction."""
    p_values: tuple[tuple[float, ...], ...]
    """P-values of all pairs of rows after Holm's correction; 1 beside itself."""
    letters: tuple[str, ...]
    """Rows that cannot be told apart share a letter; the best has an a."""
    unit: str
    """What was resampled for the first two rows, in words; other pairs may have blocks of another length."""


def ranking(groups: Sequence[Sequence[Path]], metric: str = "R@1") -> dict[str, Standing]:
    """By direction, how the groups (each: the folders of one method's seeds) stand by ``metric``, as numbers of groups.

    Raises:
        CrossplaceError: groups that cannot be compared, see :func:`differences`.
    """
    stored = comparable_groups(groups)
    directions = dict.fromkeys(d for group in stored for d in group[0].result.directions)
    return {direction: _standing(stored, direction, metric) for direction in directions}


def _standing(groups: Sequence[Sequence[StoredRun]], direction: str, metric: str) -> Standing:
    present = [n for n, group in enumerate(groups) if all(direction in run.result.directions for run in group)]
    asked = _Asked.of(groups[present[0]][0], direction)
    values = {n: asked.values(groups[n], direction, metric) for n in present}
    means = {n: float(np.average(values[n], weights=asked.weights)) for n in present}
    rows = sorted(present, key=lambda n: -means[n])
    pairs = list(combinations(range(len(rows)), 2))
    found = [asked.difference(values[rows[i]], values[rows[j]]) for i, j in pairs]
    p_values = np.ones((len(rows), len(rows)))
    for (i, j), p in zip(pairs, holm([c.p_value for c in found]), strict=True):
        p_values[i, j] = p_values[j, i] = p
    return Standing(
        rows=tuple(rows),
        values=tuple(means[n] for n in rows),
        p_values=tuple(tuple(map(float, row)) for row in p_values),
        letters=tuple(letters([str(n) for n in rows], p_values).values()),
        unit=found[0].unit if found else "",
    )
