"""The parts in which a traversal's descriptors are stored, and whether a part is there. Needs no torch."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from benchmark.descriptors.files import read_manifest
from datasets.base import Modality
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset

_GROUPS: dict[str, tuple[Modality, ...]] = {"both": ("image", "cloud"), "image": ("image",), "cloud": ("cloud",)}


def parts_of(
    dataset: PreparedDataset, rows: Int[ndarray, " n"], only: Modality | None = None
) -> Iterator[tuple[str, tuple[Modality, ...], Int[ndarray, " m"]]]:
    """Folder name, modalities and rows of each part: a traversal, split where some frames lack a modality.

    With ``only`` one modality, parts hold that modality alone.
    """
    frames = dataset.frames
    has_image, has_cloud = frames.image[rows] != "", frames.cloud[rows] != ""
    group = np.where(has_image & has_cloud, "both", np.where(has_image, "image", np.where(has_cloud, "cloud", "")))
    for name in frames.take(rows).traversal_names():
        for kind, present in _GROUPS.items():
            modalities = tuple(m for m in present if only is None or m == only)
            members = rows[(frames.traversal[rows] == name) & (group == kind)]
            if len(members) and modalities:
                yield f"{name}/{kind}", modalities, members


def part_manifest(dataset: PreparedDataset, members: Int[ndarray, " m"], manifest: dict[str, Any]) -> dict[str, Any]:
    """What the part with frames ``members`` is made of."""
    return {**manifest, "frames": dataset.frames.frame_id[members].tolist()}


def is_encoded(part: Path, wanted: dict[str, Any]) -> bool:
    """Whether a part was completely written for exactly this manifest, and is as it was written."""
    try:
        found = read_manifest(part)
    except CrossplaceError:
        return False
    return {key: value for key, value in found.items() if key != "files"} == wanted


def all_encoded(
    dataset: PreparedDataset,
    rows: Int[ndarray, " n"],
    folder: Path,
    manifest: dict[str, Any],
    only: Modality | None = None,
) -> bool:
    """Whether every part of the frames at ``rows`` is there."""
    return all(
        is_encoded(folder / part, part_manifest(dataset, members, manifest))
        for part, _, members in parts_of(dataset, rows, only)
    )
