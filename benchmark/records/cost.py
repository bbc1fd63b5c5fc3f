"""What a method costs on one machine, as it is stored: a file for each method and preset. Needs no torch.

A cost belongs to a configuration, its code and a machine, never to a dataset, a seed or a direction of search. Every
number says by itself what it is, so that a reader needs no table of columns.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from benchmark.records.stored import Model, sealed_json
from benchmark.request import DEFAULT_DATASET
from datasets.files import FolderName, read_as, write_atomically

COST = "cost"
"""The folder of cost files below a folder of results."""
EXPORTS: Literal["exports"] = "exports"
"""What a file of costs is about if it is about exported networks."""
REGISTRATIONS: Literal["registrations"] = "registrations"
"""What a file of costs is about if it is about the registrations of a run."""
SCHEMA = "1.0"
AGREE = 0.10
"""Two medians of one part agree if the larger is at most this share above the smaller."""
USUAL_PRECISION = "32-true"


class Measure(Model):
    """One quantity of one part, with its unit."""

    part: str
    """What was measured: a part such as ``cloud.encode``, all parts of a ``cloud`` together, or the ``method``."""
    quantity: str
    """The quantity in words, such as ``latency``."""
    unit: str
    values: dict[str, float] = {}
    """Numbers by name, first what tables show. A series has ``p50``, ``p95``, ``iqr`` and its length ``n``."""
    hole: str = ""
    """Why there is no number; empty where there is one."""
    unstable: str = ""
    """Why the number is not to be believed; empty where nothing speaks against it."""

    @property
    def value(self) -> float | None:
        """The number that tables show."""
        return next(iter(self.values.values()), None)

    @property
    def name(self) -> tuple[str, str]:
        """Part and quantity, by which a measure is known."""
        return self.part, self.quantity


class InputsRecord(Model):
    """The frames that everything was measured on."""

    dataset: FolderName
    fingerprint: str
    options: dict[str, Any]
    n_frames: int
    points: float | None
    """Median number of points of a cloud."""
    image_size: tuple[int, int] | None
    """Width and height of the first image."""


class CostSheet(Model):
    """Everything that was measured of one method in one preset on one machine."""

    schema_version: str = SCHEMA
    key: str
    created: str
    harness: dict[str, Any]
    environment: dict[str, Any]
    """Hardware, driver, libraries, threads, clocks, precision and TF32."""
    method: FolderName
    preset: FolderName
    config: dict[str, Any]
    of: Literal["", "exports", "registrations"] = ""
    """What was measured, if it is not the method itself: its ``exports``, or its ``registrations`` in a run."""
    inputs: InputsRecord
    measures: list[Measure] = []
    before: list[Measure] = []
    """The same measures of the session before this one, under the same key; empty if there was none."""
    hole: str = ""
    """Why nothing at all was measured; empty if something was."""

    @property
    def setting(self) -> str:
        """The machine in words, with everything that is not usual: only numbers of one setting share a column."""
        environment = self.environment
        threads, precision = environment.get("threads"), environment.get("precision", USUAL_PRECISION)
        words = (
            str(environment.get("device", "unknown machine")),
            "" if threads is None else f"{threads} thread{'s' if threads != 1 else ''}",
            "" if precision == USUAL_PRECISION else precision,
            "TF32" if environment.get("tf32") else "",
            str(environment.get("chosen_backend", "")),
            "" if self.inputs.dataset == DEFAULT_DATASET else f"frames of {self.inputs.dataset}",
        )
        return ", ".join(filter(None, words))

    def path_in(self, folder: Path) -> Path:
        """Where the file lies below a folder of results."""
        machine = re.sub(r"[^a-z0-9.]+", "-", self.setting.lower()).strip("-.")
        name = "-".join(filter(None, [self.method, self.preset, self.of]))
        return folder / COST / machine / f"{name}.json"

    def measure(self, part: str, quantity: str) -> Measure | None:
        """One measure by its name, or none."""
        return next((measure for measure in self.measures if measure.name == (part, quantity)), None)

    @classmethod
    def found(cls, path: Path, key: str) -> "CostSheet | None":
        """The sheet at ``path`` if it is there and has this key."""
        sheet = cls.read(path) if path.is_file() else None
        return sheet if sheet and sheet.key == key else None

    @classmethod
    def read(cls, path: Path) -> "CostSheet":
        """Read a stored sheet; a newer major schema is refused, minor additions are ignored."""
        return read_as(path, cls, f"take {path} away and run crossplace cost again", _newer_schema)

    def write(self, path: Path) -> None:
        """Write the sheet, sealed."""
        write_atomically(path, sealed_json(self))


def _newer_schema(raw: Any) -> str:
    found = str(raw.get("schema_version", "")) if isinstance(raw, dict) else ""
    if found.split(".")[0] == SCHEMA.split(".")[0]:
        return ""
    return f"cost schema {found or 'missing'}, but this version reads {SCHEMA}; update crossplace"


def sheets_in(folder: Path) -> list[CostSheet]:
    """All sheets in a folder of results."""
    return [CostSheet.read(path) for path in sorted((folder / COST).glob("*/*.json"))]


def agreement(before: Iterable[Measure], after: Iterable[Measure]) -> dict[tuple[str, str], bool]:
    """Whether two sessions agree within :data:`AGREE`, for each series that both measured."""
    earlier = {m.name: m.value for m in before if "p50" in m.values}
    found = {}
    for measure in after:
        mine, other = measure.value, earlier.get(measure.name)
        if "p50" in measure.values and mine is not None and other is not None:
            found[measure.name] = apart([mine, other]) <= AGREE
    return found


def apart(numbers: Sequence[float]) -> float:
    """By which share the largest number is above the smallest; 0 for equal numbers, zeros among them."""
    least, most = min(numbers), max(numbers)
    return 0.0 if least == most else most / least - 1 if least > 0 else float("inf")
