"""Curves of recall against a rule or against the map, as they are stored and published. Needs no torch."""

from typing import Any

from benchmark.evaluation.evaluate import PairEvaluation
from benchmark.records.recording import direction_records, rank_arrays
from benchmark.records.schema import DatasetRecord, MethodRecord
from benchmark.records.stored import Model, StoredRecord
from datasets.base import Protocol
from datasets.prepared import PreparedDataset

SENSITIVITY = "sensitivity.json"


class RecallRecord(Model):
    """Recall in one direction at one point of a curve."""

    values: dict[str, float | None]
    """The headline value of every metric, a fraction, by its name in tables; none if no query counts."""
    intervals: dict[str, tuple[float, float] | None]
    """Ends of its 95 % interval; none where no interval can be given."""
    n_queries: int
    n_counted: int
    """Queries in the denominator."""
    n_pairs: int
    """Traversal pairs with a counted query."""
    n_database: float
    """Frames of the map, foreign ones too, as a mean over traversal pairs."""


class PointRecord(Model):
    """One value of an axis."""

    value: float | None
    """The value in the unit of the axis; none where a rule has no limit."""
    is_own: bool
    """Whether it is the protocol's own value, whose recall is that of the result."""
    directions: dict[str, RecallRecord]


class LeftOutRecord(Model):
    """A value of an axis that has no point."""

    value: float | None
    reason: str


class AxisRecord(Model):
    """One curve, and what it lacks."""

    title: str
    unit: str
    points: list[PointRecord]
    """Points by ascending value; a missing limit comes last."""
    left_out: list[LeftOutRecord]


class ForeignRecord(Model):
    """Where foreign frames came from."""

    dataset: str
    fingerprint: str
    is_real: bool
    n_frames: int
    """Frames that were put into the map, at its largest."""
    n_available: int


class CurveRecord(StoredRecord):
    """What every record of curves begins with."""

    schema_version: int = 1
    key: str
    created: str
    harness: dict[str, Any]
    environment: dict[str, Any]
    method: MethodRecord
    dataset: DatasetRecord
    protocol: dict[str, Any]
    """The protocol in full."""
    seed: int
    warnings: list[str]


class SensitivityRecord(CurveRecord):
    """Recall of one method on one dataset, against everything that was asked for: aggregates only."""

    file_name = SENSITIVITY
    command = "crossplace sensitivity"
    foreign: list[ForeignRecord]
    axes: dict[str, AxisRecord]


def recall_records(
    evaluations: list[PairEvaluation], dataset: PreparedDataset, protocol: Protocol, n_foreign: int = 0
) -> dict[str, RecallRecord]:
    """The headline of each direction with its intervals, made as those of a result are."""
    found = {}
    for direction, record in direction_records(evaluations, rank_arrays(evaluations, dataset), protocol).items():
        headline = record.mean if protocol.averaging == "pairs" else record.pooled
        found[direction] = RecallRecord(
            values=headline.values,
            intervals=record.intervals,
            n_queries=headline.n_queries,
            n_counted=headline.n_counted,
            n_pairs=headline.n_pairs,
            n_database=sum(pair.n_database for pair in record.pairs) / len(record.pairs) + n_foreign,
        )
    return found
