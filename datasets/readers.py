"""Images and clouds from files; whatever is damaged is named in one sentence.

Clouds are ``.npy`` arrays, raw ``.bin`` files and, with the extra ``clouds``, ``.pcd`` and ``.ply`` files.
"""

import io
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray
from PIL import Image, UnidentifiedImageError

from datasets.base import BinLayout
from datasets.errors import CrossplaceError, install
from datasets.files import read_npy, unreadable

NO_RETURN_M = 1e-6
"""A point whose coordinates are all at most this is no return: drivers of LiDARs give it the coordinates 0, 0, 0."""
ORIENTATION = 0x0112
"""The EXIF tag that says how an image is to be turned before it is shown."""

# --- images --------------------------------------------------------------------------------------


def read_image(path: Path) -> UInt8[ndarray, "h w 3"]:
    """The pixels of the image in ``path`` as RGB; raises :class:`CrossplaceError` naming the file."""
    return _opened(path, decode=True)


def check_image(path: Path) -> None:
    """Raise :class:`CrossplaceError` if ``path`` is no whole image.

    All checksums of a PNG are compared; of other formats only the head is read.
    """
    _opened(path, decode=False)


def _opened(path: Path, *, decode: bool) -> UInt8[ndarray, "h w 3"]:
    try:
        content = path.read_bytes()
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content)) as image:
                image.verify()  # the decoder itself ignores wrong checksums
            if not decode:
                return np.empty((0, 0, 3), dtype=np.uint8)
            with Image.open(io.BytesIO(content)) as image:
                return _rgb(image)
    except Exception as error:  # many kinds, by format
        raise _no_image(path, error) from error


def _rgb(image: Image.Image) -> UInt8[ndarray, "h w 3"]:
    """RGB of an opened image; of 16-bit grey, the upper 8 bits."""
    is_16_bit = image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG")  # old Pillow says I
    if is_16_bit:
        grey = (np.asarray(image) >> 8).astype(np.uint8)
        return np.stack([grey] * 3, axis=-1)
    if image.mode in ("I", "F"):
        raise ValueError("pixels of 32 bits, whose range is unknown; expected 8 or 16 bits a channel")
    return np.asarray(image.convert("RGB"))


def image_size(path: Path) -> tuple[int, int]:
    """Width and height of the image in ``path``, as the head of the file states them."""
    try:
        with Image.open(path) as image:
            return image.size
    except Exception as error:  # many kinds, by format
        raise _no_image(path, error) from error


def image_orientation(path: Path) -> int:
    """The EXIF orientation of the image in ``path``, from 1 to 8: how viewers turn its pixels; 1 where none is stated.

    :func:`read_image` returns the pixels as stored.
    """
    try:
        with Image.open(path) as image:
            stated = image.getexif().get(ORIENTATION, 1)
    except Exception as error:  # many kinds, by format
        raise _no_image(path, error) from error
    return stated if stated in range(1, 9) else 1


def _no_image(path: Path, error: Exception) -> CrossplaceError:
    reason: object = error
    if isinstance(error, UnidentifiedImageError):  # its message holds only the name of the stream
        reason = "no image format known" if path.stat().st_size else "the file is empty"
    elif isinstance(error, OSError):
        reason = error.strerror or error
    return CrossplaceError(f"{path}: not a readable image ({reason}); write it again")


# --- clouds --------------------------------------------------------------------------------------


def read_points(path: Path, layout: BinLayout | None = None) -> Float[ndarray, "n c"]:
    """The points in ``path`` as stored, with at least the columns x, y, z.

    ``layout`` is that of ``.bin`` files; without one they hold four float32 a point. Points of a ``.pcd`` file whose
    coordinates are all nan are left out: so this format marks what was not measured.

    Raises:
        CrossplaceError: another format, a damaged file, or no such points; the sentence names the file.
    """
    suffix = path.suffix.lower()
    if suffix == ".bin":
        return _read_bin(path, layout or BinLayout())
    if suffix not in FORMATS:
        cure = CONVERSIONS.get(suffix, "read it with a library for its format, then np.save('cloud.npy', points)")
        raise CrossplaceError(
            f"{path}: clouds are read from {', '.join(['.bin', *FORMATS])} files, not from {path.suffix or 'others'}; "
            f"convert it, with points of shape (n, ≥3) in metres: {cure}"
        )
    return FORMATS[suffix](path)


def is_return(points: Float[ndarray, "n c"]) -> Bool[ndarray, " n"]:
    """Which points are measurements; a point at the sensor itself (:data:`NO_RETURN_M`) is a pulse without return."""
    return (np.abs(points[:, :3]) > NO_RETURN_M).any(axis=1)


def _read_bin(path: Path, layout: BinLayout) -> Float[ndarray, "n c"]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error
    stored = np.dtype(layout.dtype).newbyteorder("<")
    n_bytes = layout.columns * stored.itemsize
    if len(content) % n_bytes:
        raise CrossplaceError(
            f"{path}: {len(content)} bytes are no whole number of points of {layout.columns} × {layout.dtype} "
            f"({n_bytes} bytes a point); if the file is cut off, write it again; if its points are stored otherwise, "
            'state how for its traversal in dataset.json, such as "bin_layout": {"columns": 5, "dtype": "float32"}'
        )
    return np.frombuffer(content, dtype=stored).reshape(-1, layout.columns)


def _read_array(path: Path) -> Float[ndarray, "n c"]:
    points = read_npy(path)
    if {"x", "y", "z"} <= set(points.dtype.names or ()):
        points = np.stack([points[axis].ravel() for axis in "xyz"], axis=1)
    shape = f"({', '.join(map(str, points.shape))})"
    if points.ndim == 2 and 3 <= len(points) <= 8 < points.shape[1]:
        raise CrossplaceError(f"{path}: found {shape}: expected (n, ≥3); this looks transposed: save points.T")
    if points.ndim != 2 or points.shape[1] < 3:
        raise CrossplaceError(
            f"{path}: found {shape}: expected (n, ≥3), x, y and z in metres in the first columns: write it again so"
        )
    if points.dtype.kind != "f":
        raise CrossplaceError(
            f"{path}: found numbers of type {points.dtype.name}: expected floats, in metres: save "
            "points.astype(np.float32), times the metres of a stored 1"
        )
    return points


def _read_pcd(path: Path) -> Float[ndarray, "n 3"]:
    try:
        from pypcd4 import PointCloud  # here: it is an extra
    except ImportError as error:
        raise _without_extra(path) from error
    try:
        found = PointCloud.from_path(path)
        records = np.atleast_1d(found.pc_data)
        if len(records) != found.metadata.points:
            raise ValueError("fewer points than its head says")
        points = np.stack([records[axis].astype(np.float64) for axis in "xyz"], axis=1)
    except Exception as error:  # many kinds: the library checks little
        raise _no_cloud(path, error) from error
    return points[~np.isnan(points).all(axis=1)]


def _read_ply(path: Path) -> Float[ndarray, "n 3"]:
    try:
        from trimesh.exchange.ply import load_ply  # here: it is an extra
    except ImportError as error:
        raise _without_extra(path) from error
    try:
        with path.open("rb") as file:
            found = load_ply(file)
        is_empty = "vertices" not in found and found["metadata"]["_ply_raw"]["vertex"]["length"] == 0
        return np.empty((0, 3)) if is_empty else np.asarray(found["vertices"], dtype=np.float64).reshape(-1, 3)
    except Exception as error:  # many kinds: the library checks little
        raise _no_cloud(path, error) from error


def _without_extra(path: Path) -> CrossplaceError:
    return CrossplaceError(f"{path}: {path.suffix} files need the extra 'clouds': {install('clouds')}")


def _no_cloud(path: Path, error: Exception) -> CrossplaceError:
    if isinstance(error, OSError):
        return unreadable(path, error)
    return CrossplaceError(
        f"{path}: not a readable {path.suffix.lower()[1:].upper()} file of points with x, y and z; it is cut off or of "
        "another form: write it again"
    )


FORMATS: dict[str, Callable[[Path], Float[ndarray, "n c"]]] = {
    ".npy": _read_array,
    ".pcd": _read_pcd,
    ".ply": _read_ply,
}
"""Readers of clouds by suffix in small letters, besides ``.bin``."""
CONVERSIONS = {
    ".npz": "np.save('cloud.npy', np.load('cloud.npz')['points']), where points is the name of the array in it",
    **dict.fromkeys((".txt", ".xyz"), "np.save('cloud.npy', np.loadtxt('cloud.txt'))"),
    ".csv": "np.save('cloud.npy', np.loadtxt('cloud.csv', delimiter=','))",
}
"""How files of other formats become ``.npy`` files."""
