"""Maps that do not fit into memory: float16 descriptors in files of equal length, read from disk block by block.

A folder holds ``shard-0.npy``, ``shard-1.npy`` and so on, of shape (rows, size), and a sealed ``manifest.json``.
Shard i holds the places from i × ``rows_per_shard`` on. Places have no names: their number is all that there is.
"""

import json
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

import numpy as np
from jaxtyping import Float16, Float32
from numpy import ndarray
from pydantic import NonNegativeInt, PositiveInt

from benchmark.descriptors.files import MANIFEST
from datasets.errors import CrossplaceError
from datasets.files import npy, read_as, sealed, sha256_of, unreadable, write_atomically

ROWS = 2**17
"""Places of a shard: 64 MiB for descriptors of 256 values."""
BLOCK_VALUES = 2**20
"""Values of a block: 2 MiB as they are read and 4 MiB in float32, near the processor."""
SLICE_VALUES = 2**18
"""Values that are widened at once, so that all steps find them in the processor's cache."""
WIDEN = np.float32(2.0**112)
"""Quotient of the same bits as a float32 and as a float16: their exponents begin 112 apart."""
BEYOND = 2.0**16
"""The first number that no finite float16 reaches."""
REMEDY = "delete that folder and give the same command again"


@dataclass(frozen=True, kw_only=True)
class ShardFile:
    """One file of a map."""

    file: str
    n_rows: PositiveInt
    sha256: str


@dataclass(frozen=True, kw_only=True)
class ShardManifest:
    """Content of ``manifest.json``."""

    key: str
    """Identifies what the places are made of."""
    size: PositiveInt
    """Values of a descriptor."""
    rows_per_shard: PositiveInt
    dtype: Literal["float16"] = "float16"
    shards: tuple[ShardFile, ...] = ()
    """Files in order; each but the last holds ``rows_per_shard`` places."""

    @property
    def n_places(self) -> NonNegativeInt:
        """Places of all files."""
        return sum(shard.n_rows for shard in self.shards)

    @classmethod
    def read(cls, folder: Path) -> "ShardManifest":
        """The manifest in ``folder``, checked."""
        found = read_as(folder / MANIFEST, cls, REMEDY)
        if any(shard.n_rows != found.rows_per_shard for shard in found.shards[:-1]):
            raise CrossplaceError(f"{folder / MANIFEST}: a shard before the last is not full; {REMEDY}")
        return found

    def write(self, folder: Path) -> None:
        """Write the manifest, sealed."""
        write_atomically(folder / MANIFEST, json.dumps(sealed(asdict(self)), indent=1).encode())


class Stretch(NamedTuple):
    """Places of one file that are read at once."""

    start: int
    """The first place, counted in the whole map."""
    stop: int
    shard: int


@dataclass(frozen=True, kw_only=True)
class Shards:
    """A range of the places of a map on disk."""

    folder: Path
    manifest: ShardManifest
    start: int
    stop: int

    @classmethod
    def read(cls, folder: Path) -> "Shards":
        """The whole map in ``folder``; its files are opened when they are read."""
        manifest = ShardManifest.read(folder)
        return cls(folder=folder, manifest=manifest, start=0, stop=manifest.n_places)

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def n_bytes(self) -> int:
        """Bytes of the places on disk."""
        return 2 * len(self) * self.manifest.size

    def between(self, start: int, stop: int) -> "Shards":
        """The places from ``start`` to ``stop`` of this range, which must hold them."""
        if not 0 <= start <= stop <= len(self):
            raise CrossplaceError(f"{self.folder}: places {start} to {stop} of {len(self)}; {REMEDY}")
        return replace(self, start=self.start + start, stop=self.start + stop)

    def check(self) -> None:
        """Raise :class:`CrossplaceError` if a file is not as it was written."""
        for shard in self.manifest.shards:
            if sha256_of(self.folder / shard.file) != shard.sha256:
                raise CrossplaceError(f"{self.folder / shard.file}: damaged since it was written; {REMEDY}")

    def blocks(self) -> Iterator[tuple[int, Float32[ndarray, "m size"]]]:
        """Blocks of places with the number of the first, counted in the whole map, in order.

        A thread reads the next block and widens it to float32, which changes no value. A block is overwritten when the
        next but one is asked for: memory is that of two blocks, whatever the size of the map.

        Raises:
            CrossplaceError: a file that is missing or of another shape, or a value that is not finite.
        """
        n_rows = max(BLOCK_VALUES // self.manifest.size, 1)
        shape = (min(n_rows, max(len(self), 1)), self.manifest.size)
        slots = [(np.empty(shape, np.float16), np.empty(shape, np.float32)) for _ in range(2)]
        waiting: deque[tuple[int, Future[ndarray]]] = deque()
        with ThreadPoolExecutor(max_workers=1) as reader:
            for number, piece in enumerate(self._pieces(n_rows)):
                waiting.append((piece.start, reader.submit(self._load, piece, *slots[number % 2])))
                if len(waiting) == len(slots):
                    start, block = waiting.popleft()
                    yield start, block.result()
            for start, block in waiting:
                yield start, block.result()

    def _pieces(self, n_rows: int) -> Iterator[Stretch]:
        """The range in pieces of at most ``n_rows`` places, none of which crosses the end of a file."""
        start, per_shard = self.start, self.manifest.rows_per_shard
        while start < self.stop:
            stop = min(start + n_rows, self.stop, (start // per_shard + 1) * per_shard)
            yield Stretch(start, stop, start // per_shard)
            start = stop

    def _load(
        self, piece: Stretch, half: Float16[ndarray, "n size"], wide: Float32[ndarray, "n size"]
    ) -> Float32[ndarray, "m size"]:
        shard, n_rows = self.manifest.shards[piece.shard], piece.stop - piece.start
        path = self.folder / shard.file
        half, wide = half[:n_rows], wide[:n_rows]
        try:
            with path.open("rb", buffering=0) as file:
                begin = _header(file, (shard.n_rows, self.manifest.size))
                first = piece.start - piece.shard * self.manifest.rows_per_shard
                is_whole = begin > 0 and _read_into(file, begin + 2 * first * self.manifest.size, half)
        except OSError as error:
            raise unreadable(path, error) from error
        if not is_whole:
            raise CrossplaceError(f"{path}: not {shard.n_rows} places of {self.manifest.size} values; {REMEDY}")
        if not widen(half, wide):
            raise CrossplaceError(f"{path}: places {piece.start} to {piece.stop} are not all finite; {REMEDY}")
        return wide


def _header(file: BinaryIO, shape: tuple[int, int]) -> int:
    """Where the values begin in a ``.npy`` file; 0 if they are not float16 of this shape."""
    try:
        if np.lib.format.read_magic(file) != (1, 0):
            return 0
        found = np.lib.format.read_array_header_1_0(file)
    except ValueError:
        return 0
    return file.tell() if found == (shape, False, np.dtype(np.float16)) else 0


def _read_into(file: BinaryIO, begin: int, half: Float16[ndarray, "n size"]) -> bool:
    """Fill ``half`` from ``begin`` on; whether the file is long enough."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(file.fileno(), begin, half.nbytes, os.POSIX_FADV_SEQUENTIAL)
    file.seek(begin)
    left = half.data.cast("B")
    while len(left):
        n_read = file.readinto(left)  # type: ignore[attr-defined]  # a file without a buffer has it
        if not n_read:
            return False
        left = left[n_read:]
    return True


def widen(half: Float16[ndarray, "n size"], wide: Float32[ndarray, "n size"]) -> bool:
    """Write float16 values into ``wide``, exactly, faster than numpy casts them; returns whether all are finite.

    Sign, exponent and fraction are moved to where a float32 has them. That is the value divided by ``WIDEN``, also
    for numbers below the smallest normal one. Infinity, and what is no number, would be ``BEYOND`` or more.
    """
    is_finite = True
    step = max(SLICE_VALUES // max(half.shape[1], 1), 1)
    for start in range(0, len(half), step):
        bits, target = half[start : start + step].view(np.int16), wide[start : start + step]
        moved = target.view(np.int32)
        np.copyto(moved, bits)  # copies of the sign fill what is in front
        np.left_shift(moved, 13, out=moved)
        np.bitwise_and(moved, np.int32(-0x70000001), out=moved)
        np.multiply(target, WIDEN, out=target)
        is_finite &= bool(target.min() > -BEYOND and target.max() < BEYOND)
    return is_finite


def write_shards(
    folder: Path,
    key: str,
    size: int,
    n_places: int,
    places: Callable[[int, int], Float32[ndarray, "m size"]],
    rows_per_shard: int = ROWS,
) -> Shards:
    """The first ``n_places`` of a map, of which only the shards that are missing are made and written.

    ``places`` returns the places from a number to another one. The manifest is written after each shard, so that an
    interrupted map goes on where it stopped. A folder of another ``key`` begins anew.

    Raises:
        CrossplaceError: a value that does not fit into half precision (names the place).
    """
    manifest = ShardManifest(key=key, size=size, rows_per_shard=rows_per_shard)
    if (folder / MANIFEST).is_file():
        found = ShardManifest.read(folder)
        manifest = found if replace(found, shards=()) == manifest else manifest
    for number, start in enumerate(range(0, n_places, rows_per_shard)):
        n_rows = min(rows_per_shard, n_places - start)
        there = manifest.shards[number : number + 1]
        if there and there[0].n_rows >= n_rows and (folder / there[0].file).is_file():
            continue
        file = f"shard-{number}.npy"
        write_atomically(folder / file, npy(_as_half(places(start, start + n_rows), start)))
        shard = ShardFile(file=file, n_rows=n_rows, sha256=sha256_of(folder / file))
        manifest = replace(manifest, shards=(*manifest.shards[:number], shard, *manifest.shards[number + 1 :]))
        manifest.write(folder)
    if not n_places:
        manifest.write(folder)
    found_places = Shards.read(folder)
    return found_places.between(0, n_places)


def _as_half(rows: Float32[ndarray, "m size"], start: int) -> Float16[ndarray, "m size"]:
    with np.errstate(over="ignore", invalid="ignore"):
        half = rows.astype(np.float16)
    broken = np.flatnonzero(~np.isfinite(half).all(axis=1))
    if len(broken):
        raise CrossplaceError(
            f"place {start + int(broken[0])}: a value is not finite in half precision, whose largest is 65504; scale "
            "the descriptors, or look at the encoder"
        )
    return half
