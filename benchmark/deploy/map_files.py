"""A map as a folder: descriptors and poses as other files of the suite hold them, and what they were made with.

``frames.csv`` is that of the prepared form (docs/prepared-form.md), ``frame_ids.txt``, the arrays and
``descriptors.json`` are those of docs/descriptors.md. ``map.json`` is sealed. It names the method by its configuration
and weights, and all other files by their hashes.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, NonNegativeInt

from benchmark.deploy.calibration import Calibration
from benchmark.deploy.places import Places
from benchmark.descriptors.encoding import description_of
from benchmark.descriptors.files import DESCRIPTION, IDS, file_name
from benchmark.keys import code_behind, key_of
from benchmark.training.checkpoint import checksum_of
from benchmark.training.configuring import without_path
from datasets.base import Modality, Traversal
from datasets.errors import CrossplaceError
from datasets.files import STRICT, locked, npy, read_as, read_npy, sealed, sha256_of, write_atomically
from datasets.prepared import table_of
from datasets.table import read_frames
from methods.base import Method

MAP, TABLE, SCHEMA = "map.json", "frames.csv", 1
ANEW = "copy the whole folder again, or build the map anew"
Calibrations = Mapping[Modality, Calibration]
"""Calibrations by the modality that asks."""


class MapRecord(BaseModel):
    """Content of ``map.json``."""

    model_config = STRICT

    schema_version: int
    method: str
    """Name of the method."""
    config: str
    """Key of the method's configuration, and of its code if it learns nothing: no weights tell such methods apart."""
    weights: str
    """What tells the weights apart: :func:`benchmark.training.checkpoint.checksum_of`."""
    modality: Modality
    """What the places are described by."""
    n_places: NonNegativeInt
    drive: Traversal
    """Sensors of the robot, and the name of the drive."""
    calibrations: dict[Modality, Calibration]
    files: dict[str, str]
    """SHA-256 of all other files."""


def identity(method: Method) -> dict[str, str]:
    """What a map must share with a method: its name, its configuration (:class:`MapRecord`) and its weights."""
    made_by = [] if method.is_trainable else [code_behind(method)]
    config = key_of(without_path(method.config), *made_by)
    return {"method": method.card.name, "config": config, "weights": checksum_of(method)}


def write_map(
    folder: Path, method: Method, places: Places, modality: Modality, drive: Traversal, calibrations: Calibrations
) -> None:
    """Write a map; a map that lies there is replaced, and is no map while it is being replaced."""
    contents = {
        TABLE: table_of(places.frames).encode(),
        IDS: "".join(f"{name}\n" for name in places.frames.frame_id).encode(),
        DESCRIPTION: json.dumps(sealed(description_of(method)), indent=1).encode(),
        **{file_name(modality, name): npy(array.astype(np.float32)) for name, array in places.descriptors.items()},
    }
    with locked(folder):
        (folder / MAP).unlink(missing_ok=True)
        for name, content in contents.items():
            write_atomically(folder / name, content)
        record = MapRecord(
            schema_version=SCHEMA,
            **identity(method),
            modality=modality,
            n_places=len(places),
            drive=drive,
            calibrations=dict(calibrations),
            files={name: sha256_of(folder / name) for name in contents},
        )
        write_atomically(folder / MAP, json.dumps(sealed(record.model_dump(mode="json")), indent=1).encode())


def read_map(folder: Path, method: Method) -> tuple[MapRecord, Places]:
    """The map in ``folder``.

    Raises:
        CrossplaceError: no map, a damaged one, or one that was made by another method, configuration or weights.
    """
    record = _read_record(folder)
    for what, own in identity(method).items():
        if (theirs := getattr(record, what)) != own:
            raise CrossplaceError(_foreign(folder, what, theirs, own))
    for name, expected in record.files.items():
        if not (folder / name).is_file() or sha256_of(folder / name) != expected:
            raise CrossplaceError(f"{folder / name}: missing or damaged since the map was saved; {ANEW}")
    frames, _ = read_frames(folder / TABLE)
    descriptors = {}
    for spec in method.descriptors:
        array = read_npy(folder / file_name(record.modality, spec.name))
        expected_shape = (record.n_places, spec.views(record.modality), spec.size)
        if array.shape != expected_shape or len(frames) != record.n_places:
            raise CrossplaceError(f"{folder}: {MAP} and the other files do not belong together; {ANEW}")
        descriptors[spec.name] = array.astype(np.float64)
    return record, Places(frames=frames, descriptors=descriptors)


def _read_record(folder: Path) -> MapRecord:
    if not (folder / MAP).is_file():
        raise CrossplaceError(f"{folder}: no {MAP} here, so this is no completely saved map; Localizer.save makes one")

    def other_schema(content: Any) -> str:
        found = content.get("schema_version") if isinstance(content, dict) else None
        return "" if found == SCHEMA else f"expected schema_version {SCHEMA}, found {found!r}"

    return read_as(folder / MAP, MapRecord, ANEW, other_schema)


def _foreign(folder: Path, what: str, theirs: str, own: str) -> str:
    if what == "method":
        cure = f"load {theirs}, or build the map anew with {own}"
        return f"{folder}: this map was made by method {theirs}, not by {own}; {cure}"
    words = {"config": "another configuration or code", "weights": "other weights"}[what]
    return (
        f"{folder}: this map was made with {words} of the method ({theirs[:12]}, here {own[:12]}), so that "
        "descriptors cannot be compared; load the method as it was then, or build the map anew"
    )
