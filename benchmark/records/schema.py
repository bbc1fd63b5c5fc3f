"""The result artifact: ``result.json`` and ``ranks.npz``. Tables, intervals, maps and galleries need nothing else.

``ranks.npz`` holds one row per (direction, traversal pair, query) in ``query_*`` arrays and one per frame in
``frame_*`` arrays; ``query_frame`` and ``query_top_frame`` are rows of the latter (-1: none). See docs/results.md.
"""

import io
import json
import math
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy import ndarray
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, field_validator, model_validator

from benchmark.evaluation.metrics import Recall
from datasets.base import Modality, Protocol
from datasets.errors import CrossplaceError
from datasets.files import read_json, sealed, unsealed, write_atomically

SCHEMA = "1.1"
RESULT, RANKS = "result.json", "ranks.npz"
_PROTOCOL = TypeAdapter(Protocol)
INTERVAL_DEPTHS = {"1": 1, "5": 5, "1%": None}
"""Recalls that carry an interval; none stands for each pair's own one-percent depth."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)


class RecallRecord(_Model):
    """Recall of one pair, or averaged. Fractions; none where no query counts."""

    n_queries: int
    n_counted: int
    n_without_positives: int
    n_pairs: int
    recall_at: list[float | None]
    """Recall@1 to recall@25."""
    recall_at_one_percent: float | None
    one_percent_depth: int | None

    @classmethod
    def of(cls, recall: Recall) -> "RecallRecord":
        """From the evaluator's numbers."""
        return cls(
            n_queries=recall.n_queries,
            n_counted=recall.n_counted,
            n_without_positives=recall.n_without_positives,
            n_pairs=recall.n_pairs,
            recall_at=[_number(r) for r in recall.recall_at],
            recall_at_one_percent=_number(recall.recall_at_one_percent),
            one_percent_depth=recall.one_percent_depth,
        )


class PairRecord(RecallRecord):
    """Recall between two traversals."""

    query: str
    database: str
    n_database: int


class DirectionRecord(_Model):
    """One direction: the headline average, the other one, every pair, and 95 % intervals of the headline."""

    mean: RecallRecord
    pooled: RecallRecord
    pairs: list[PairRecord]
    intervals: dict[str, tuple[float, float] | None]


class TimingRecord(_Model):
    """Batch 1, median over different frames."""

    preprocess_ms: float
    encode_ms: float
    total_ms: float
    total_p95_ms: float
    event_total_ms: float | None
    """The same span by device events; none on a CPU."""
    n_samples: int


class CostNumber(_Model):
    """One number of the cost, with its unit."""

    value: float
    unit: str


class CostRecord(_Model):
    """What a method costs on the machine named in ``environment``."""

    image: TimingRecord | None
    cloud: TimingRecord | None
    parameters: int
    peak_mib: float
    """Most memory held while encoding: allocated on the GPU, resident in the process on a CPU."""
    peak_of: str
    descriptor_bytes: int
    """Bytes that a map keeps of one place: all descriptors and views as float32, of the modality that has more."""
    numbers: dict[str, CostNumber] = {}
    """What tables show, by name. Since schema 1.2; older records get it from their other fields."""

    @model_validator(mode="after")
    def _named(self) -> "CostRecord":
        if not self.numbers:
            found = {
                "image": (self.image and self.image.total_ms, "ms"),
                "cloud": (self.cloud and self.cloud.total_ms, "ms"),
                "peak": (self.peak_mib, "MiB"),
                "place": (self.descriptor_bytes / 1024, "KiB"),
            }
            self.numbers = {name: CostNumber(value=v, unit=unit) for name, (v, unit) in found.items() if v is not None}
        return self


Origin = Literal["shipped", "trained", "given", "untrained", "nothing to train", "ranker", "foreign"]


class MethodRecord(_Model):
    """Which method, how configured, with which weights."""

    name: str
    preset: str
    variant: str = ""
    """Named changes of the preset."""
    config: dict[str, Any]
    config_key: str
    origin: Origin
    """Where the numbers come from: weights shipped with the suite or trained here, a ranker of the harness, …"""
    weights: str
    """The same in words, with the command that made shipped weights."""
    weights_sha256: str
    backbone_weights: str
    """Pretrained weights that training began with: ``none`` is from scratch, ``timm`` a download, else a file name."""
    share_of_schedule: float | None
    training: dict[str, Any]


class DatasetRecord(_Model):
    """Which data."""

    name: str
    version: int
    options: dict[str, Any]
    fingerprint: str
    counts: dict[str, int]
    is_real: bool


class PerturbationRecord(_Model):
    """What was done to frames before they were encoded (docs/robustness.md)."""

    name: str
    version: int
    severity: int
    value: float
    unit: str
    modality: Modality
    sides: dict[str, Literal["query", "database"]]
    """Which side was changed, by direction."""
    drawn: dict[str, list[float]]
    """Calibration errors: direction or axis in the camera's frame, by traversal; empty if frames draw their own."""


class Result(_Model):
    """One run: method × configuration × dataset × protocol × seed."""

    schema_version: str
    run_id: str
    key: str
    created: str
    harness: dict[str, Any]
    environment: dict[str, Any]
    method: MethodRecord
    dataset: DatasetRecord
    protocol: dict[str, Any]
    seed: int
    directions: dict[str, DirectionRecord]
    cost: CostRecord | None
    warnings: list[str]
    perturbation: PerturbationRecord | None = None
    """None: the frames as recorded. Since schema 1.1."""

    @field_validator("protocol")
    @classmethod
    def _complete(cls, protocol: dict[str, Any]) -> dict[str, Any]:
        """With fields that protocols got after it was written at their defaults, so that equal protocols are equal."""
        return protocol | _PROTOCOL.dump_python(_PROTOCOL.validate_python(protocol), mode="json")

    @classmethod
    def read(cls, folder: Path) -> "Result":
        """Read ``folder/result.json``; a newer major schema is refused, minor additions are ignored."""
        path = folder / RESULT
        again = f"take {folder} away and run bench again"
        try:
            raw = read_json(path)
        except CrossplaceError as error:
            raise CrossplaceError(f"{error}; {again}") from error
        if not isinstance(raw, dict) or "schema_version" not in raw:
            raise CrossplaceError(f"{path}: no result: expected an object with schema_version; {again}")
        found = str(raw["schema_version"])
        if found.split(".")[0] != SCHEMA.split(".")[0]:
            raise CrossplaceError(
                f"{path}: result schema {found}, but this version reads {SCHEMA}; update crossplace or run bench again"
            )
        try:
            return cls.model_validate(unsealed(raw, path))
        except CrossplaceError as error:
            raise CrossplaceError(f"{error}; {again}") from error
        except ValidationError as error:
            first = error.errors()[0]
            raise CrossplaceError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}; {again}") from error

    def write(self, folder: Path, ranks: dict[str, ndarray]) -> None:
        """Write both files; ``result.json`` last, so that a folder with it is complete."""
        buffer = io.BytesIO()
        assert not any(array.dtype.hasobject for array in ranks.values()), "objects would be pickled"
        np.savez_compressed(buffer, **ranks)
        write_atomically(folder / RANKS, buffer.getvalue())
        content = json.dumps(sealed(self.model_dump(mode="json")), indent=1, allow_nan=False, ensure_ascii=False)
        write_atomically(folder / RESULT, (content + "\n").encode())


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
