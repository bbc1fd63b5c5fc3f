"""Every traversal encoded once, into descriptor files that say what they were made of."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from benchmark.console import track
from benchmark.descriptors.files import DESCRIPTION, IDS, MANIFEST, file_name, read_manifest
from benchmark.frames.loading import batch_loader
from benchmark.frames.perturbations import Perturber
from datasets.base import Modality
from datasets.errors import CrossplaceError
from datasets.files import npy, sealed, sha256_of, write_atomically
from datasets.prepared import PreparedDataset
from methods.base import Method
from methods.batch import Batch

_GROUPS: dict[str, tuple[Modality, ...]] = {"both": ("image", "cloud"), "image": ("image",), "cloud": ("cloud",)}


def encode(
    method: Method,
    dataset: PreparedDataset,
    rows: Int[ndarray, " n"],
    folder: Path,
    manifest: dict[str, Any],
    batch_size: int = 8,
    perturber: Perturber | None = None,
) -> int:
    """Encode the frames at ``rows`` into ``folder``, one subfolder a traversal; returns how many were not yet there.

    ``manifest`` holds everything that the descriptors depend on: a part whose stored manifest equals it, with the
    same frames, is kept, any other is encoded again. With ``perturber`` only its modality is encoded, perturbed.
    """
    method.eval()
    write_atomically(folder / DESCRIPTION, json.dumps(sealed(_description(method)), indent=1).encode())
    n_new = 0
    for part, modalities, members in _parts(dataset, rows, perturber):
        wanted = part_manifest(dataset, members, manifest)
        if is_encoded(folder / part, wanted):
            continue
        n_new += 1
        arrays = _encode_part(method, dataset, members, modalities, f"encode {part}", batch_size, perturber)
        (folder / part / MANIFEST).unlink(missing_ok=True)  # from here on the part is incomplete
        files = {file_name(*key): npy(array) for key, array in arrays.items()}
        files[IDS] = "".join(f"{i}\n" for i in wanted["frames"]).encode()
        for name, content in files.items():
            write_atomically(folder / part / name, content)
        noted = sealed({**wanted, "files": {name: sha256_of(folder / part / name) for name in files}})
        write_atomically(folder / part / MANIFEST, json.dumps(noted, indent=1).encode())
    return n_new


def _description(method: Method) -> dict[str, Any]:
    """How the descriptors of a method are compared."""
    distances = {spec.name: spec.distance for spec in method.descriptors}
    described: dict[str, Any] = {"method": method.card.name, "distance": method.descriptors[0].distance}
    if method.fusion is not None:
        described["fusion"] = {**asdict(method.fusion), "distance": distances[method.fusion.descriptor]}
    return described


def all_encoded(
    dataset: PreparedDataset,
    rows: Int[ndarray, " n"],
    folder: Path,
    manifest: dict[str, Any],
    perturber: Perturber | None = None,
) -> bool:
    """Whether :func:`encode` with these arguments would find nothing to do."""
    return all(
        is_encoded(folder / part, part_manifest(dataset, members, manifest))
        for part, _, members in _parts(dataset, rows, perturber)
    )


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


def _parts(
    dataset: PreparedDataset, rows: Int[ndarray, " n"], perturber: Perturber | None
) -> Iterator[tuple[str, tuple[Modality, ...], Int[ndarray, " m"]]]:
    """Folder name, modalities and rows of each part: a traversal, split where some frames lack a modality."""
    frames = dataset.frames
    has_image, has_cloud = frames.image[rows] != "", frames.cloud[rows] != ""
    group = np.where(has_image & has_cloud, "both", np.where(has_image, "image", np.where(has_cloud, "cloud", "")))
    for name in frames.take(rows).traversal_names():
        for kind, present in _GROUPS.items():
            modalities = tuple(m for m in present if perturber is None or m == perturber.kind.modality)
            members = rows[(frames.traversal[rows] == name) & (group == kind)]
            if len(members) and modalities:
                yield f"{name}/{kind}", modalities, members


def _encode_part(
    method: Method,
    dataset: PreparedDataset,
    rows: Int[ndarray, " n"],
    modalities: tuple[Modality, ...],
    what: str,
    batch_size: int,
    perturber: Perturber | None,
) -> dict[tuple[Modality, str], Float[ndarray, "n views size"]]:
    device = next((p.device for p in method.parameters()), torch.device("cpu"))
    batches = [rows[i : i + batch_size].tolist() for i in range(0, len(rows), batch_size)]
    chunks: dict[tuple[Modality, str], list[ndarray]] = {}
    # A perturber draws its own random numbers, frame by frame: those of the loader depend on the batch.
    augment = None if perturber is None else lambda sample, _: perturber(sample)
    loader = batch_loader(dataset, batches, modalities, augment=augment)
    with torch.inference_mode():
        for batch in track(loader, what, len(batches)):
            for modality, descriptors in encode_batch(method, batch.to(device)).items():
                for descriptor, tensor in descriptors.items():
                    chunks.setdefault((modality, descriptor), []).append(tensor.float().cpu().numpy())
    return {key: np.concatenate(parts) for key, parts in chunks.items()}


def encode_batch(method: Method, batch: Batch) -> dict[Modality, dict[str, Tensor]]:
    """Descriptors of whatever modalities the batch has, by modality and descriptor name."""
    encoded: dict[Modality, dict[str, Tensor]] = {}
    if batch.images is not None:
        encoded["image"] = method.encode_images(method.image_inputs(batch))
    if batch.clouds is not None:
        encoded["cloud"] = method.encode_clouds(method.cloud_inputs(batch))
    return encoded
