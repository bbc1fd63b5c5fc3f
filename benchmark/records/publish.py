"""Copying results and studies into the committed results, with what tables, maps and galleries need of the ranks."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from benchmark.records.queries import misfit
from benchmark.records.registration import REGISTRATION, RegistrationRecord
from benchmark.records.schema import RANKS, RESULT, SCHEMA, Result, version_of
from benchmark.records.sensitivity import SENSITIVITY, SensitivityRecord
from benchmark.records.study import STUDY, StudyRecord
from benchmark.records.upgrade import upgraded
from datasets.errors import CrossplaceError
from datasets.files import write_atomically

N_NEAREST = 5
"""Nearest frames that published ranks keep of each query."""
KEPT_BITS = 5
"""Bits behind the first of a published distance: what is cut is below two percent of the distance."""
DRAWN = ("query_top_frame", "query_top_distance", "query_best_positive_distance", "query_best_negative_distance")
"""Columns that say nothing for a ranker without descriptors."""

AGGREGATES: dict[str, tuple[str, Callable[[Path], object]]] = {
    STUDY: ("studies", StudyRecord.read),
    SENSITIVITY: ("sensitivity", SensitivityRecord.read),
    REGISTRATION: ("registration", RegistrationRecord.read),
}
"""Records that are published whole: name of the file → folder in the committed results, and who reads it."""


def publish(run: Path, results_folder: Path) -> Path:
    """Copy the result in ``run`` to ``results_folder/<dataset>/<run id>``, other records to ``…/<kind>/<name>``.

    Returns the new folder. Results of real data hold aggregates only: per-query positions are under the data's own
    licence and stay behind. Results of an older schema get the intervals of today, if their ranks are there. Studies
    and curves hold nothing but aggregates.

    Raises:
        CrossplaceError: files that are missing or damaged, or ranks that do not give the recorded numbers.
    """
    for file, (kind, read) in AGGREGATES.items():
        if (run / file).is_file():
            read(run / file)
            target = results_folder / kind / run.resolve().name
            write_atomically(target / file, _content(run / file))
            return target
    result, content = Result.read(run), _content(run / RESULT)
    target = results_folder / result.dataset.name / result.run_id
    ranks = _ranks(run) if not result.dataset.is_real or (run / RANKS).is_file() else None
    if version_of(result.schema_version) < version_of(SCHEMA) and ranks is not None:
        content = upgraded(result, ranks).content()
    if ranks is not None and (fault := misfit(result, ranks)):
        raise CrossplaceError(f"{run / RANKS}: {fault}; put back the two files of one run, or run bench again")
    if not result.dataset.is_real and ranks is not None:
        write_atomically(target / RANKS, zipped(compact(ranks, is_ranker=result.method.origin == "ranker")))
    write_atomically(target / RESULT, content)
    return target


def _ranks(run: Path) -> dict[str, ndarray]:
    try:
        with np.load(io.BytesIO(_content(run / RANKS)), allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except CrossplaceError:
        raise
    except Exception as error:  # many kinds: a zip of arrays, each with a header in Python
        raise CrossplaceError(f"{run / RANKS}: not readable ranks; delete {run} and run bench again") from error


def compact(ranks: dict[str, ndarray], *, is_ranker: bool = False) -> dict[str, ndarray]:
    """The same ranks in less room: five nearest frames, coarse distances, the smallest integers, poses as float32.

    Every rank, count and pose that a number is computed from stays; distances keep two significant digits.
    """
    found = {}
    for name, column in ranks.items():
        if name == "query_retrieved_m" or (is_ranker and name in DRAWN):  # the first follows from poses and top frame
            continue
        if name.startswith("query_top_"):
            column = column[:, :N_NEAREST]
        if name.endswith("_distance"):
            column = coarse(column)
        elif column.dtype.kind in "iu":
            column = _smallest(column)
        elif column.dtype.kind == "f":  # as float32, intervals take positions in any case
            column = column.astype(np.float32)
        found[name] = column
    return found


def coarse(distance: Float[ndarray, "*shape"]) -> Float[ndarray, "*shape"]:
    """Distances rounded to ``KEPT_BITS`` bits behind the first; in half precision unless one is too large for it."""
    mantissa, exponent = np.frexp(distance.astype(np.float64))
    steps = 2.0 ** (KEPT_BITS + 1)
    rounded = np.ldexp(np.round(mantissa * steps) / steps, exponent)
    is_too_large = bool((np.abs(rounded) > np.finfo(np.float16).max).any())
    return rounded.astype(np.float32 if is_too_large else np.float16)


def _smallest(column: ndarray) -> ndarray:
    """Integers in the smallest type that holds them."""
    if not column.size:
        return column
    low, high = int(column.min()), int(column.max())
    kinds = ("u1", "u2", "u4") if low >= 0 else ("i1", "i2", "i4")
    return column.astype(next((k for k in kinds if np.iinfo(k).min <= low and high <= np.iinfo(k).max), column.dtype))


def zipped(arrays: dict[str, ndarray]) -> bytes:
    """Arrays as ``numpy.load`` reads them, packed more tightly than by ``numpy.savez_compressed``; equal bytes always.

    Columns of several values a row are stored column by column, in which they repeat themselves more.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_LZMA) as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, np.asfortranarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), content.getvalue(), zipfile.ZIP_LZMA)
    return buffer.getvalue()


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CrossplaceError(f"{path}: not readable ({error}); run bench again") from error
