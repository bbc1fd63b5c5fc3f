"""What came of registering the queries of one dataset, as it is stored and published. Needs no torch.

``registration.json`` holds aggregates only. ``poses.npz`` beside it holds the poses of every query, which for recorded
data are under the data's own licence: it is never published.
"""

from typing import Any

from benchmark.evaluation.registration import Accuracy, Band, Improvement
from benchmark.evaluation.reranking import Believed, Reranking
from benchmark.records.schema import DatasetRecord, MethodRecord
from benchmark.records.stored import Model, StoredRecord

REGISTRATION, POSES = "registration.json", "poses.npz"


class StartRecord(Model):
    """Where registration started."""

    name: str
    title: str
    version: int
    result: str = ""
    """Run id of the result whose retrieved frames are the starts; empty where starts are drawn."""
    method: str = ""
    """The method of that result, with its preset."""


class LocalMapRecord(Model):
    """How local maps were made, and what they held."""

    settings: dict[str, float]
    median_points: float
    median_sweeps: float
    n_empty: int
    """Registrations whose local map held no point."""
    least_gap_s: float | None
    """Least time between a query and a sweep of its map; none if all maps are empty."""


class ErrorRecord(Model):
    """Errors of one set of poses."""

    accuracy: Accuracy
    intervals: dict[str, tuple[float, float] | None]
    """Ends of the 95 % interval over places of each recall."""
    curve_m: tuple[float, ...]
    """Share of all queries with at most each error of ``CURVE_M``."""
    curve_deg: tuple[float, ...]
    """Share of all queries with at most each error of ``CURVE_DEG``."""


class PartRecord(Model):
    """Start and result of some queries, and what changed."""

    start: ErrorRecord
    """What keeping the rough pose gives."""
    end: ErrorRecord
    improvement: Improvement


class RegistrationRecord(StoredRecord):
    """One registrar on the queries of one protocol, from one kind of start."""

    file_name = REGISTRATION
    command = "crossplace register"
    schema_version: int = 1
    run_id: str
    key: str
    created: str
    harness: dict[str, Any]
    environment: dict[str, Any]
    method: MethodRecord
    """The registrar."""
    dataset: DatasetRecord
    protocol: dict[str, Any]
    start: StartRecord
    seed: int
    maps: LocalMapRecord
    n_available: int
    """Queries of the protocol, of which those that were registered are evenly spread."""
    all: PartRecord
    within: PartRecord | None
    """Queries whose start lies in the range that registrars are trained for; none if no query does."""
    bands: list[Band]
    believed: Believed
    reranking: Reranking | None = None
    """What is gained by registering several retrieved frames; none where starts are drawn."""
    register_ms: float
    """Median time of a registration alone, without loading and without making its map."""
    map_ms: float
    """Median time of making a local map from files of chunks."""
    warnings: list[str]
