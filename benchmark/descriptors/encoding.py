"""Every traversal encoded once, into descriptor files that say what they were made of."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from benchmark.console import track
from benchmark.descriptors.files import DESCRIPTION, IDS, MANIFEST, file_name
from benchmark.descriptors.parts import is_encoded, part_manifest, parts_of
from benchmark.descriptors.returned import check_returned
from benchmark.frames.loading import batch_loader
from benchmark.frames.perturbations import Perturber
from datasets.base import Modality
from datasets.files import npy, sealed, sha256_of, write_atomically
from datasets.prepared import PreparedDataset
from methods.base import Method
from methods.batch import Batch


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
    write_description(method, folder)
    n_new = 0
    only = None if perturber is None else perturber.kind.modality
    for part, modalities, members in parts_of(dataset, rows, only):
        wanted = part_manifest(dataset, members, manifest)
        if is_encoded(folder / part, wanted):
            continue
        n_new += 1
        arrays = encode_frames(method, dataset, members, modalities, f"encode {part}", batch_size, perturber)
        write_part(folder / part, {file_name(*key): array for key, array in arrays.items()}, wanted)
    return n_new


def write_part(part: Path, arrays: Mapping[str, ndarray], wanted: dict[str, Any]) -> None:
    """Write the arrays of a part by their file names, the ids of its frames, and its manifest last."""
    files = {name: npy(array) for name, array in arrays.items()}
    write_files(part, {**files, IDS: "".join(f"{i}\n" for i in wanted["frames"]).encode()}, wanted)


def write_files(folder: Path, files: Mapping[str, bytes], wanted: dict[str, Any]) -> None:
    """Write files, and last the manifest that says what they depend on and how to know that they are whole."""
    (folder / MANIFEST).unlink(missing_ok=True)  # from here on the folder is incomplete
    for name, content in files.items():
        write_atomically(folder / name, content)
    noted = sealed({**wanted, "files": {name: sha256_of(folder / name) for name in sorted(files)}})
    write_atomically(folder / MANIFEST, json.dumps(noted, indent=1).encode())


def write_description(method: Method, folder: Path) -> None:
    """Say beside the descriptors in ``folder`` how they are compared."""
    write_atomically(folder / DESCRIPTION, json.dumps(sealed(description_of(method)), indent=1).encode())


def description_of(method: Method) -> dict[str, Any]:
    """How the descriptors of a method are compared."""
    distances = {spec.name: spec.distance for spec in method.descriptors}
    described: dict[str, Any] = {"method": method.card.name, "distance": method.descriptors[0].distance}
    if method.fusion is not None:
        described["fusion"] = {**asdict(method.fusion), "distance": distances[method.fusion.descriptor]}
    return described


def encode_frames(
    method: Method,
    dataset: PreparedDataset,
    rows: Int[ndarray, " n"],
    modalities: Sequence[Modality],
    what: str,
    batch_size: int = 8,
    perturber: Perturber | None = None,
) -> dict[tuple[Modality, str], Float[ndarray, "n views size"]]:
    """Descriptors of the frames at ``rows``, which have all ``modalities``, by modality and descriptor name.

    ``what`` names the work while a person waits.
    """
    device = next((p.device for p in method.parameters()), torch.device("cpu"))
    batches = [rows[i : i + batch_size].tolist() for i in range(0, len(rows), batch_size)]
    chunks: dict[tuple[Modality, str], list[ndarray]] = {}
    # A perturber draws its own random numbers, frame by frame: those of the loader depend on the batch.
    augment = None if perturber is None else lambda sample, _: perturber(sample)
    loader = batch_loader(dataset, batches, modalities, augment=augment)
    with torch.inference_mode():
        for batch in track(loader, what, len(batches)):
            for modality, descriptors in encode_batch(method, batch.to(device)).items():
                check_returned(method, modality, descriptors, batch.frames)
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
