"""Approximate indexes of faiss, judged by exact search: what they find, how fast, and in how many bytes.

Needs the extra ``compare``. A new index is a function and a line of :data:`INDEXES`.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Int
from numpy import ndarray

from benchmark.descriptors.shards import Shards
from benchmark.evaluation.distances import KERNELS
from datasets.base import DistanceKind
from datasets.errors import CrossplaceError, install

LEARNED = 2**16
"""Most places that an index learns its cells and codes from."""
TIMED = 100
"""Queries that are asked one by one for the latency."""


@dataclass(frozen=True, kw_only=True)
class ApproximateIndex:
    """A kind of index: how it is made for a map, and how large a map may be on one machine."""

    title: str
    make: Callable[[ModuleType, int, int, int], tuple[Any, str]]
    """From faiss, the size of a descriptor, the number of places and the metric to an index and its settings."""
    bytes_per_place: Callable[[int], float]
    """From the size of a descriptor to the memory of a place, without what all places share."""
    most_places: int
    """Larger maps take hours to build on a few cores."""


def _ivf_pq(faiss: ModuleType, size: int, n_places: int, metric: int) -> tuple[Any, str]:
    n_cells = max(min(4 * math.isqrt(n_places), LEARNED // 39, n_places // 39), 1)  # faiss asks for 39 a cell
    n_bits = 8 if n_places >= 39 * 2**8 else 4
    index = faiss.IndexIVFPQ(faiss.IndexFlat(size, metric), size, n_cells, _codes(size), n_bits, metric)
    index.nprobe = max(n_cells // 32, 1)
    return index, f"{n_cells} cells, {index.nprobe} searched, {index.code_size} bytes of code"


def _codes(size: int) -> int:
    """The largest divisor of ``size`` up to 64 that leaves each code at least two values."""
    return max(n for n in range(1, 65) if size % n == 0 and (size // n >= 2 or n == 1))


def _hnsw(faiss: ModuleType, size: int, n_places: int, metric: int) -> tuple[Any, str]:
    index = faiss.IndexHNSWFlat(size, LINKS, metric)
    index.hnsw.efConstruction, index.hnsw.efSearch = 80, 64
    return index, f"{LINKS} links, 80 looked at to build, 64 to search"


LINKS = 16
"""Links of a place in a layer of the graph."""

INDEXES: dict[str, ApproximateIndex] = {
    "ivf-pq": ApproximateIndex(
        title="inverted lists of product codes (faiss IndexIVFPQ)",
        make=_ivf_pq,
        bytes_per_place=lambda size: _codes(size) + 8.0,
        most_places=10**6,
    ),
    "hnsw": ApproximateIndex(
        title="graph of near places over whole vectors (faiss IndexHNSWFlat)",
        make=_hnsw,
        bytes_per_place=lambda size: 4.0 * size + 2 * 4 * LINKS,
        most_places=10**5,
    ),
}
"""Every index by the name that ``--index`` takes."""


@dataclass(frozen=True, kw_only=True)
class Answered:
    """What an index found."""

    place: Int[ndarray, " nq"]
    """The nearest place of each query; -1 where the index found none."""
    latency_ms: float
    """Median time of one query alone."""
    build_s: float
    settings: str


def import_faiss() -> ModuleType:
    """The package faiss, or the sentence that says how to get it."""
    try:
        import faiss
    except ImportError as error:
        raise CrossplaceError(
            f"--index needs faiss, which is not installed; leave --index out, or install it: {install('compare')}"
        ) from error
    module: ModuleType = faiss
    return module


def answered(name: str, query: Float[ndarray, "nq 1 size"], shards: Shards, distance: DistanceKind) -> Answered:
    """Build an index of a map, block by block, and ask it for the nearest place of every query."""
    faiss, size = import_faiss(), shards.manifest.size
    metric = faiss.METRIC_INNER_PRODUCT if distance == "dot" else faiss.METRIC_L2
    index, settings = INDEXES[name].make(faiss, size, len(shards), metric)
    begin = time.perf_counter()
    if not index.is_trained:
        index.train(_sample(shards, distance))
    for _, block in shards.blocks():
        index.add(_compared(block, distance))
    build_s = time.perf_counter() - begin
    asking = _compared(query[:, 0], distance)
    _, place = index.search(asking, 1)
    times = []
    for row in np.linspace(0, len(asking) - 1, min(TIMED, len(asking))).round().astype(int).tolist():
        before = time.perf_counter()
        index.search(asking[row : row + 1], 1)
        times.append(time.perf_counter() - before)
    median_ms = 1e3 * float(np.median(times))
    return Answered(place=place[:, 0], latency_ms=median_ms, build_s=build_s, settings=settings)


def _compared(rows: Float[ndarray, "n size"], distance: DistanceKind) -> Float32[ndarray, "n size"]:
    """What faiss compares: the descriptors, or their directions."""
    vectors = KERNELS[distance].vectors(rows[:, None])[:, 0] if distance == "cosine" else rows
    return np.ascontiguousarray(np.nan_to_num(vectors), dtype=np.float32)


def _sample(shards: Shards, distance: DistanceKind) -> Float32[ndarray, "n size"]:
    """Places that are evenly spread over the map."""
    step = -(-len(shards) // LEARNED)
    rows = [block[(shards.start - start) % step :: step].copy() for start, block in shards.blocks()]
    return _compared(np.concatenate(rows), distance)
