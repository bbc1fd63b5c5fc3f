"""Images and clouds from files; whatever is damaged is named in one sentence."""

import io
import warnings
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray
from PIL import Image, UnidentifiedImageError

from datasets.errors import CrossplaceError
from datasets.files import read_npy, unreadable

ORIENTATION_TAG = 0x0112


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
                return np.asarray(image.convert("RGB"))
    except Exception as error:  # many kinds, by format
        raise _no_image(path, error, "fetch it or prepare the dataset again") from error


def image_size(path: Path) -> tuple[int, int]:
    """Width and height of the image in ``path``, as the head of the file states them."""
    try:
        with Image.open(path) as image:
            return image.size
    except Exception as error:  # many kinds, by format
        raise _no_image(path, error, "fetch it again") from error


def _no_image(path: Path, error: Exception, remedy: str) -> CrossplaceError:
    reason: object = error
    if isinstance(error, UnidentifiedImageError):  # its message holds only the name of the stream
        reason = "no image format known" if path.stat().st_size else "the file is empty"
    elif isinstance(error, OSError):
        reason = error.strerror or error
    return CrossplaceError(f"{path}: not a readable image ({reason}); {remedy}")


def read_points(path: Path) -> Float[ndarray, "n c"]:
    """The points in ``path`` as stored: a ``.npy`` array (n, ≥3), or a raw ``.bin`` of float32 quadruples."""
    if path.suffix == ".bin":
        return _read_quadruples(path)
    points = read_npy(path)
    if points.ndim != 2 or points.shape[1] < 3 or points.dtype.kind != "f":
        raise CrossplaceError(f"{path}: expected a float array of shape (n, ≥3), found {points.dtype} {points.shape}")
    return points


def _read_quadruples(path: Path) -> Float[ndarray, "n 4"]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error
    if len(content) % 16:
        raise CrossplaceError(
            f"{path}: {len(content)} bytes are no whole number of float32 x, y, z, intensity (16 bytes a point); "
            "the file is cut off or of another format: fetch it or prepare the dataset again"
        )
    return np.frombuffer(content, dtype="<f4").reshape(-1, 4)


def image_orientation(path: Path) -> int:
    """The EXIF orientation that the head of an image states; 1, which means as stored, where it states none."""
    with Image.open(path) as image:
        return int(image.getexif().get(ORIENTATION_TAG, 1))
