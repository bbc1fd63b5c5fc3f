"""Frames encoded by several workers: each takes an index range of the batches, and shards are joined to descriptors.

A shard begins and ends between two batches of the unsharded extraction. So every batch holds the same frames, and what
is joined equals byte for byte what one worker writes.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from benchmark.descriptors.encoding import encode_frames, write_description, write_files, write_part
from benchmark.descriptors.files import DESCRIPTION, file_name
from benchmark.descriptors.parts import is_encoded, part_manifest, parts_of
from datasets.base import Modality
from datasets.errors import CrossplaceError
from datasets.files import npy, read_npy, write_atomically
from datasets.prepared import PreparedDataset
from methods.base import Method


@dataclass(frozen=True, slots=True)
class Shard:
    """One of several equal index ranges."""

    number: int
    """From 1 to ``of``."""
    of: int

    @classmethod
    def parse(cls, words: str) -> "Shard":
        """The shard that a person names, such as ``2/4``; raises :class:`CrossplaceError` for anything else."""
        found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", words)
        shard = cls(*map(int, found.groups())) if found else cls(0, 0)
        if not 1 <= shard.number <= shard.of:
            raise CrossplaceError(f"{words!r} is no shard; name one of n equal parts, from 1/n to n/n, such as 2/4")
        return shard

    def range_of(self, n: int) -> range:
        """Its numbers among ``n``; the shards of one ``of`` hold each number once."""
        return range(n * (self.number - 1) // self.of, n * self.number // self.of)

    def folder(self, folder: Path) -> Path:
        """Where the files of this shard lie, below the folder of all shards of one extraction."""
        return folder / f"shard-{self.number}-of-{self.of}"


@dataclass(frozen=True, kw_only=True)
class Piece:
    """The frames of one part that one shard encodes."""

    part: str
    modalities: tuple[Modality, ...]
    members: Int[ndarray, " m"]


def pieces_of(dataset: PreparedDataset, rows: Int[ndarray, " n"], shard: Shard, batch_size: int = 8) -> Iterator[Piece]:
    """What a shard encodes, part by part: its range of all batches, in the order of the unsharded extraction."""
    parts = list(parts_of(dataset, rows))
    n_batches = [-(-len(members) // batch_size) for *_, members in parts]
    wanted = shard.range_of(sum(n_batches))
    before = 0
    for (part, modalities, members), n in zip(parts, n_batches, strict=True):
        first, last = max(wanted.start - before, 0), min(wanted.stop - before, n)
        before += n
        if first < last:
            inside = members[first * batch_size : last * batch_size]
            yield Piece(part=part, modalities=modalities, members=inside)


def shard_manifest(
    dataset: PreparedDataset, rows: Int[ndarray, " n"], shard: Shard, manifest: dict[str, Any], batch_size: int = 8
) -> dict[str, Any]:
    """What the files of a shard depend on."""
    pieces = pieces_of(dataset, rows, shard, batch_size)
    frames = [[piece.part, dataset.frames.frame_id[piece.members].tolist()] for piece in pieces]
    return {**manifest, "shard": f"{shard.number}/{shard.of}", "pieces": frames}


def encode_shard(
    method: Method,
    dataset: PreparedDataset,
    rows: Int[ndarray, " n"],
    shard: Shard,
    folder: Path,
    manifest: dict[str, Any],
    batch_size: int = 8,
) -> None:
    """Encode the frames of one shard into its folder below ``folder``, with a manifest that is written last."""
    method.eval()
    write_description(method, folder)
    files: dict[str, bytes] = {}
    for number, piece in enumerate(pieces_of(dataset, rows, shard, batch_size)):
        what = f"encode {piece.part}, shard {shard.number} of {shard.of}"
        arrays = encode_frames(method, dataset, piece.members, piece.modalities, what, batch_size)
        files |= {f"{number}-{file_name(*key)}": npy(array) for key, array in arrays.items()}
    write_files(shard.folder(folder), files, shard_manifest(dataset, rows, shard, manifest, batch_size))


def missing_shards(
    dataset: PreparedDataset,
    rows: Int[ndarray, " n"],
    of: int,
    folder: Path,
    manifest: dict[str, Any],
    batch_size: int = 8,
) -> list[Shard]:
    """Those of ``of`` shards below ``folder`` that are not completely there."""
    shards = [Shard(number, of) for number in range(1, of + 1)]
    made_of = [shard_manifest(dataset, rows, shard, manifest, batch_size) for shard in shards]
    return [s for s, wanted in zip(shards, made_of, strict=True) if not is_encoded(s.folder(folder), wanted)]


def join_shards(
    dataset: PreparedDataset,
    rows: Int[ndarray, " n"],
    of: int,
    folder: Path,
    target: Path,
    manifest: dict[str, Any],
    batch_size: int = 8,
) -> None:
    """Write the descriptors that ``of`` shards below ``folder`` hold, none of them missing, to ``target``."""
    write_atomically(target / DESCRIPTION, (folder / DESCRIPTION).read_bytes())
    found: dict[str, dict[str, list[Path]]] = {}
    for shard in (Shard(number, of) for number in range(1, of + 1)):
        for number, piece in enumerate(pieces_of(dataset, rows, shard, batch_size)):
            for path in sorted(shard.folder(folder).glob(f"{number}-*.npy")):
                name = path.name.removeprefix(f"{number}-")
                found.setdefault(piece.part, {}).setdefault(name, []).append(path)
    for part, _, members in parts_of(dataset, rows):
        arrays = {name: np.concatenate([read_npy(path) for path in paths]) for name, paths in found[part].items()}
        write_part(target / part, arrays, part_manifest(dataset, members, manifest))
