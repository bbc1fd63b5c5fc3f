"""Descriptors as files: the only thing that evaluation reads, whoever wrote them.

They lie in a folder, or in folders anywhere below it. Each of these holds ``frame_ids.txt`` with one frame id a line.
Row for row it holds ``images.npy`` and/or ``clouds.npy`` of shape (n, size) or (n, views, size). An optional
``descriptors.json`` at the top may say ``{"method": "…", "distance": "l2" | "cosine" | "dot"}``.
Further named descriptors lie beside the main one as ``images.<name>.npy``; one of them may re-rank what the main one
finds: ``"fusion": {"descriptor": "<name>", "top": 60, "distance": "l2"}``.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from pydantic import ConfigDict, PositiveInt, with_config

from datasets.base import DistanceKind, Frames, Modality
from datasets.errors import CrossplaceError
from datasets.files import FolderName, check_name, read_as, read_json, read_npy, read_text, sha256_of, unsealed

IDS, DESCRIPTION, MANIFEST = "frame_ids.txt", "descriptors.json", "manifest.json"


@dataclass(frozen=True, kw_only=True)
class Descriptors:
    """Descriptors of some frames, by modality."""

    rows: dict[Modality, dict[str, int]]
    """Frame id → row of the array, for the frames that have this modality."""
    arrays: dict[Modality, Float[ndarray, "n views size"]]
    distance: DistanceKind
    method: str
    name: str = "main"
    top: int = 0
    """How many of the nearest frames the second descriptors re-rank."""
    second: "Descriptors | None" = None
    """Descriptors of the same frames that re-rank the nearest frames, if a method has them."""
    _places: dict[Modality, tuple[Frames, ndarray]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def read(cls, folder: Path, name: str = "main") -> "Descriptors":
        """Read every part below ``folder``; a frame id that occurs twice is an error."""
        described = Description.read(folder / DESCRIPTION)
        found = cls._read(folder, name, described.distance, described.method)
        second = described.fusion
        if second is None or name != "main":
            return found
        others = cls._read(folder, second.descriptor, second.distance, described.method)
        return replace(found, top=second.top, second=others)

    @classmethod
    def _read(cls, folder: Path, name: str, distance: DistanceKind, method: str) -> "Descriptors":
        """The descriptors of one name."""
        listed = sorted(folder.rglob(IDS))
        if not listed:
            raise CrossplaceError(f"{folder}: no {IDS} here or below; see docs/descriptors.md for the expected files")
        parts: dict[Modality, list[ndarray]] = {"image": [], "cloud": []}
        rows: dict[Modality, dict[str, int]] = {"image": {}, "cloud": {}}
        for path in listed:
            if (path.parent / MANIFEST).is_file():
                read_manifest(path.parent)
            ids = _read_ids(path)
            for modality in parts:
                file = path.parent / file_name(modality, name)
                if file.is_file():
                    parts[modality].append(_read_array(file, len(ids)))
                    _add_rows(rows[modality], ids, path)
        try:
            arrays = {modality: np.concatenate(arrays) for modality, arrays in parts.items() if arrays}
        except ValueError as error:
            raise CrossplaceError(f"{folder}: descriptors of different sizes do not fit together ({error})") from error
        return cls(rows=rows, arrays=arrays, distance=distance, method=method, name=name)

    def of(self, modality: Modality, frame_ids: list[str]) -> Float[ndarray, "n views size"]:
        """The descriptors of ``frame_ids``, in that order; a missing one is an error."""
        places = np.array([self._rows_of(modality).get(i, -1) for i in frame_ids], dtype=np.int64)
        return self.arrays[modality][_known(modality, places, np.array(frame_ids, dtype=object))]

    def at(self, modality: Modality, frames: Frames, rows: Int[ndarray, " n"]) -> Float[ndarray, "n views size"]:
        """The descriptors of the frames at ``rows``; a missing one is an error."""
        places = self.places(modality, frames, rows)
        return self.arrays[modality][places]

    def places(self, modality: Modality, frames: Frames, rows: Int[ndarray, " n"]) -> slice | Int[ndarray, " n"]:
        """Where the descriptors of the frames at ``rows`` stand in the array; a missing one is an error.

        Frames are looked up once for a dataset. Rows that follow each other in the files are a slice: a view, no copy.
        """
        if modality not in self._places or self._places[modality][0] is not frames:
            known = self._rows_of(modality)
            places = np.array([known.get(i, -1) for i in frames.frame_id.tolist()], dtype=np.int64)
            self._places[modality] = (frames, places)
        return _known(modality, self._places[modality][1][rows], frames.frame_id[rows])

    def _rows_of(self, modality: Modality) -> dict[str, int]:
        if modality not in self.arrays:
            raise CrossplaceError(f"these descriptors hold no {modality}s; add {file_name(modality, self.name)}")
        return self.rows[modality]


def _known(modality: Modality, places: Int[ndarray, " n"], frame_ids: ndarray) -> slice | Int[ndarray, " n"]:
    """The places of frames of which none is missing."""
    missing = frame_ids[places < 0]
    if len(missing):
        raise CrossplaceError(
            f"no {modality} descriptor for {len(missing)} of {len(frame_ids)} frames that the protocol needs, "
            f"first {missing[0]!r}; every selected frame of the dataset must be in a {IDS}"
        )
    follows = len(places) > 0 and bool((np.diff(places) == 1).all())
    return slice(int(places[0]), int(places[-1]) + 1) if follows else places


def read_manifest(part: Path) -> dict[str, Any]:
    """What the suite noted of the part that it wrote; raises :class:`CrossplaceError` if a file is not as written."""
    path = part / MANIFEST
    found = read_json(path)
    if not isinstance(found, dict):
        raise CrossplaceError(f"{path}: expected an object; delete {part} and run the same command again")
    manifest = unsealed(found, path)
    files = manifest.get("files", {})
    if not isinstance(files, dict):
        raise CrossplaceError(f"{path}: files: expected an object; delete {part} and run the same command again")
    for name, expected in files.items():
        check_name(name, f"{path}", f"delete {part} and run the same command again")
        file = part / name
        if not file.is_file() or sha256_of(file) != expected:
            raise CrossplaceError(
                f"{file}: missing or damaged since it was written; delete {part} and run the same command again"
            )
    return manifest


def file_name(modality: Modality, descriptor: str = "main") -> str:
    """Name of the array of one modality and descriptor."""
    return f"{modality}s.npy" if descriptor == "main" else f"{modality}s.{descriptor}.npy"


def _add_rows(rows: dict[str, int], ids: list[str], path: Path) -> None:
    for frame_id in ids:
        if frame_id in rows:
            raise CrossplaceError(f"{path}: frame id {frame_id!r} occurs twice")
        rows[frame_id] = len(rows)


def _read_ids(path: Path) -> list[str]:
    ids = read_text(path).split("\n")
    return ids[:-1] if ids[-1] == "" else ids


def _read_array(path: Path, n_ids: int) -> Float[ndarray, "n views size"]:
    array = read_npy(path)
    if array.ndim not in (2, 3) or array.dtype.kind != "f" or len(array) != n_ids:
        raise CrossplaceError(
            f"{path}: expected floats of shape ({n_ids}, size) or ({n_ids}, views, size) as {IDS} has {n_ids} lines, "
            f"found {array.dtype} {array.shape}"
        )
    bad = np.flatnonzero(~np.isfinite(array).all(axis=tuple(range(1, array.ndim))))
    if len(bad):
        raise CrossplaceError(f"{path}: row {int(bad[0])} is not finite ({len(bad)} such rows)")
    return array[:, None] if array.ndim == 2 else array


@with_config(ConfigDict(extra="ignore"))
@dataclass(frozen=True, kw_only=True)
class SecondDescriptor:
    """Descriptors that re-rank what the main ones find."""

    descriptor: FolderName
    """Name of the second descriptor."""
    top: PositiveInt
    """Nearest frames that are re-ranked."""
    distance: DistanceKind = "l2"


@with_config(ConfigDict(extra="ignore"))
@dataclass(frozen=True, kw_only=True)
class Description:
    """Content of ``descriptors.json``."""

    method: str = ""
    """Name of the method; empty is the name of the folder."""
    distance: DistanceKind = "l2"
    fusion: SecondDescriptor | None = None

    @classmethod
    def read(cls, path: Path) -> "Description":
        """Read the file, which may be absent: then descriptors compare by their Euclidean distance."""
        expected = 'expected an object such as {"method": "name", "distance": "l2" or "cosine" or "dot"}'
        found = read_as(path, cls, expected) if path.is_file() else cls()
        return replace(found, method=found.method or path.parent.resolve().name)
