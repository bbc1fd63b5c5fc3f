"""The result artifact: ``result.json`` and ``ranks.npz``. Tables, intervals, maps and galleries need nothing else.

``ranks.npz`` holds one row per (direction, traversal pair, query) in ``query_*`` arrays and one per frame in
``frame_*`` arrays; ``query_frame`` and ``query_top_frame`` are rows of the latter (-1: none). See docs/results.md.
"""

import io
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy import ndarray
from pydantic import TypeAdapter, field_validator, model_validator

from benchmark.evaluation.confidence import Confidence
from benchmark.evaluation.metrics import Recall
from benchmark.records.stored import Model, sealed_json
from datasets.base import Modality, Protocol
from datasets.errors import CrossplaceError
from datasets.files import FolderName, RunName, read_as, write_atomically

SCHEMA = "1.3"
RESULT, RANKS = "result.json", "ranks.npz"
_PROTOCOL = TypeAdapter(Protocol)
OLD_NAMES = {"1": "R@1", "5": "R@5", "1%": "R@1%"}
"""Names of metrics in results before schema 1.2, and the names in ``METRICS``."""


def protocol_of(content: Mapping[str, Any]) -> Protocol:
    """The protocol that a result or a board holds in full; fields that came later are at their defaults."""
    return _PROTOCOL.validate_python(content)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairRecall(Recall):
    """Recall between two traversals."""

    query: str
    database: str
    n_database: int


class DirectionRecord(Model):
    """One direction: both averages, every pair, and 95 % intervals of the headline by metric."""

    mean: Recall
    """Unweighted mean over traversal pairs."""
    pooled: Recall
    """All queries of all pairs together."""
    pairs: list[PairRecall]
    intervals: dict[str, tuple[float, float] | None]
    """Ends of the interval of the headline value, by metric; none where no interval can be given."""
    interval_unit: str = ""
    """What was resampled, in words, as in "23 traversals" or "37 blocks of 90 m". Since schema 1.3; else empty."""
    confidence: Confidence | None = None
    """What the distance to the nearest frame says about whether it is right. Since schema 1.3.

    None for rankers of the harness, for older results, and where all nearest frames are equally far.
    """

    @model_validator(mode="before")
    @classmethod
    def _named(cls, raw: Any) -> Any:
        """Records before schema 1.2 with the names of today, and with the values of the metrics of that time."""
        if not isinstance(raw, dict) or not isinstance(raw.get("intervals"), dict):
            return raw
        intervals = {OLD_NAMES.get(name, name): ends for name, ends in raw["intervals"].items()}
        pairs = raw.get("pairs")
        return {
            **raw,
            "mean": _with_values(raw.get("mean")),
            "pooled": _with_values(raw.get("pooled")),
            "pairs": [*map(_with_values, pairs)] if isinstance(pairs, list) else pairs,
            "intervals": intervals,
        }


def _with_values(raw: Any) -> Any:
    """A stored recall with its values by metric, which were not stored apart before schema 1.2."""
    if not isinstance(raw, dict) or raw.get("values") or not isinstance(raw.get("recall_at"), list):
        return raw
    curve = [*raw["recall_at"], *[None] * 5]
    return {**raw, "values": {"R@1": curve[0], "R@5": curve[4], "R@1%": raw.get("recall_at_one_percent")}}


class TimingRecord(Model):
    """Batch 1, median over different frames."""

    preprocess_ms: float
    encode_ms: float
    total_ms: float
    total_p95_ms: float
    event_total_ms: float | None
    """The same span by device events; none on a CPU."""
    n_samples: int


class CostNumber(Model):
    """One number of the cost, with its unit."""

    value: float
    unit: str


class CostRecord(Model):
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
                "image": (self.image.total_ms if self.image else None, "ms"),
                "cloud": (self.cloud.total_ms if self.cloud else None, "ms"),
                "peak": (self.peak_mib, "MiB"),
                "place": (self.descriptor_bytes / 1024, "KiB"),
            }
            self.numbers = {name: CostNumber(value=v, unit=unit) for name, (v, unit) in found.items() if v is not None}
        return self


Origin = Literal["shipped", "trained", "given", "untrained", "nothing to train", "ranker", "foreign"]


class MethodRecord(Model):
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
    """Pretrained weights that training began with: ``none`` is from scratch, ``timm`` a download, ``package`` ImageNet
    weights of a Python package, else a file name."""
    share_of_schedule: float | None
    training: dict[str, Any]

    @classmethod
    def unregistered(cls, name: str, origin: Origin) -> "MethodRecord":
        """The method part of a result that no registered method made."""
        return cls(
            name=name,
            preset="",
            config={},
            config_key="",
            origin=origin,
            weights="",
            weights_sha256="",
            backbone_weights="",
            share_of_schedule=None,
            training={},
        )


class DatasetRecord(Model):
    """Which data."""

    name: FolderName
    version: int
    options: dict[str, Any]
    fingerprint: str
    counts: dict[str, int]
    is_real: bool
    conditions: dict[str, str] = {}
    """Light, weather or season of each traversal that takes part. Since schema 1.3; older results do not say."""


class PerturbationRecord(Model):
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


class Result(Model):
    """One run: method × configuration × dataset × protocol × seed."""

    schema_version: str
    run_id: RunName
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
    """What was done to the frames, or none if they are as recorded. Since schema 1.1."""

    @field_validator("protocol")
    @classmethod
    def _complete(cls, protocol: dict[str, Any]) -> dict[str, Any]:
        """With fields that protocols got after it was written at their defaults, so that equal protocols are equal."""
        known = _PROTOCOL.dump_python(protocol_of(protocol), mode="json")
        return known | {name: value for name, value in protocol.items() if name not in known}

    def headline(self, direction: str) -> Recall:
        """The average of a direction that the protocol names as its headline."""
        record = self.directions[direction]
        return record.mean if self.protocol["averaging"] == "pairs" else record.pooled

    @classmethod
    def found(cls, folder: Path, key: str) -> "Result | None":
        """The result in ``folder`` if it is there and has this key."""
        result = cls.read(folder) if (folder / RESULT).is_file() else None
        return result if result and result.key == key else None

    @classmethod
    def read(cls, folder: Path) -> "Result":
        """Read ``folder/result.json``; a newer major schema is refused, minor additions are ignored."""
        if not os.path.lexists(folder / RESULT):
            lacks = f"no {RESULT} in it" if folder.is_dir() else "no such folder"
            raise CrossplaceError(f"{folder}: {lacks}; name the folder of a run, below runs/results or results")
        return read_as(folder / RESULT, cls, f"take {folder} away and run bench again", _newer_schema)

    def write(self, folder: Path, ranks: dict[str, ndarray]) -> None:
        """Write both files; ``result.json`` last, so that a folder with it is complete."""
        write_atomically(folder / RANKS, _zipped(ranks))
        write_atomically(folder / RESULT, self.content())

    def content(self) -> bytes:
        """What ``result.json`` holds, sealed."""
        return sealed_json(self)


def _zipped(ranks: dict[str, ndarray]) -> bytes:
    """What ``numpy.savez_compressed`` writes, four times as fast: a higher level makes ranks no smaller."""
    assert not any(array.dtype.hasobject for array in ranks.values()), "objects would be pickled"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, array in ranks.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)
    return buffer.getvalue()


def version_of(schema_version: str) -> tuple[int, ...]:
    """Numbers of a schema version, which are ordered as versions are.

    >>> version_of("1.10") > version_of("1.9")
    True
    """
    return tuple(int(part) for part in schema_version.split(".") if part.isdecimal())


def _newer_schema(raw: Any) -> str:
    """What keeps content from being a result that this version reads; empty if nothing does."""
    if not isinstance(raw, dict) or "schema_version" not in raw:
        return "no result: expected an object with schema_version"
    found = str(raw["schema_version"])
    if found.split(".")[0] == SCHEMA.split(".")[0]:
        return ""
    return f"result schema {found}, but this version reads {SCHEMA}; update crossplace"
