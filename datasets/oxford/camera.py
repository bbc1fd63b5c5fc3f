"""Images of the centre stereo camera: colour, undistortion by the SDK's table, and the resulting pinhole camera."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from datasets.base import Intrinsics
from datasets.errors import CrossplaceError
from datasets.files import read_text, unreadable
from datasets.oxford.calibration import CLOUD_FROM_STEREO
from datasets.pixels import BayerPattern, demosaic, remap
from datasets.readers import read_image
from datasets.transforms import check_rigid

MODEL = "stereo_narrow_left.txt"
TABLE = "stereo_narrow_left_distortion_lut.bin"
SDK = "https://github.com/ori-mrg/robotcar-dataset-sdk (its folder models)"
MOST_BENT = 0.5
"""A lens makes a step between neighbouring pixels longer or shorter by less than this, nearly everywhere."""
PATTERN: BayerPattern = "gbrg"
"""Colours of the sensor's first pixels, as published in python/image.py of the SDK."""


@dataclass(frozen=True, kw_only=True)
class Camera:
    """The camera as the SDK's two files describe it."""

    focal_px: tuple[float, float]
    centre_px: tuple[float, float]
    """Principal point; coordinate 0 is the centre of the first pixel, as in the table."""
    camera_from_cloud: Float[ndarray, "4 4"]
    """Transform from x forward, y left, z up to x right, y down, z forward."""
    table_px: Float[ndarray, "2 n"]
    """Column and row in the distorted image for every pixel of the undistorted image, row by row."""
    table: Path

    def undistorted(self, path: Path) -> UInt8[ndarray, "h w 3"]:
        """The image at ``path`` in colour, as a pinhole camera would have taken it; black outside the stored image.

        A stored image without colour holds what the sensor measured behind its colour filters.
        """
        image = read_image(path)
        self.check_size((image.shape[1], image.shape[0]), path)
        if (image == image[..., :1]).all():
            image = demosaic(image[..., 0], PATTERN)
        column, row = self.table_px.reshape(2, *image.shape[:2])
        return remap(image, column, row)

    def check_size(self, size: tuple[int, int], path: Path) -> None:
        """Raise :class:`CrossplaceError` if the table is for another number of pixels."""
        if size[0] * size[1] != self.table_px.shape[1]:
            raise CrossplaceError(
                f"{path}: {size[0]}×{size[1]} pixels, but {self.table} is for {self.table_px.shape[1]}; expected the "
                "raw images of stereo/centre (1280×960) with the table of the same camera"
            )
        self._check_steps(size)

    def _check_steps(self, size: tuple[int, int]) -> None:
        """Raise :class:`CrossplaceError` if neighbouring pixels are not taken from neighbouring pixels."""
        table = self.table_px.reshape(2, size[1], size[0])
        for name, along, expected in (("on the right", 2, (1, 0)), ("below", 1, (0, 1))):
            if table.shape[along] < 2:
                continue
            found = np.median(np.diff(table, axis=along), axis=(1, 2))
            if np.abs(found - expected).max() > MOST_BENT:
                raise CrossplaceError(
                    f"{self.table}: from a pixel to the one {name}, it goes {found[0]:.1f} columns and "
                    f"{found[1]:.1f} rows (median), expected about {expected[0]} and {expected[1]}: this is the table "
                    f"of another size or layout; copy it from {SDK}"
                )

    def intrinsics(self, raw_size: tuple[int, int], size: tuple[int, int]) -> Intrinsics:
        """Intrinsics of an undistorted image of ``raw_size`` (width, height) that was resized to ``size``."""
        (fx, fy), (cx, cy) = self.focal_px, self.centre_px
        raw = Intrinsics(fx=fx, fy=fy, cx=cx + 0.5, cy=cy + 0.5, width=raw_size[0], height=raw_size[1])
        return raw.resized(*size)


@lru_cache(maxsize=1)
def read_camera(folder: Path) -> Camera:
    """The camera that ``folder`` describes; raises :class:`CrossplaceError` naming the file and the fault."""
    missing = [name for name in (MODEL, TABLE) if not (folder / name).is_file()]
    if missing:
        raise CrossplaceError(
            f"{folder}: no {' and no '.join(missing)}; copy them from {SDK} there, or name their folder with the "
            "dataset option models=DIR"
        )
    focal, centre, camera_from_image = _read_model(folder / MODEL)
    return Camera(
        focal_px=focal,
        centre_px=centre,
        camera_from_cloud=np.linalg.inv(camera_from_image) @ CLOUD_FROM_STEREO.T,
        table_px=_read_table(folder / TABLE),
        table=folder / TABLE,
    )


def _read_model(path: Path) -> tuple[tuple[float, float], tuple[float, float], Float[ndarray, "4 4"]]:
    """Focal lengths, principal point, and the image's axes as a pose in the camera's (x forward, y right, z down)."""
    what = "expected a line fx fy cx cy and four lines of a rigid transform: fetch the file again"
    try:
        rows = [[float(word) for word in line.split()] for line in read_text(path).splitlines() if line.strip()]
    except ValueError as error:
        raise CrossplaceError(f"{path}: words that are no numbers; {what}") from error
    if [len(row) for row in rows] != [4] * 5 or not np.isfinite(rows).all() or min(rows[0]) <= 0:
        raise CrossplaceError(f"{path}: {what}")
    fx, fy, cx, cy = rows[0]
    return (fx, fy), (cx, cy), check_rigid(np.array(rows[1:]), str(path))


def _read_table(path: Path) -> Float[ndarray, "2 n"]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error
    if len(content) % 16 or not content:
        raise CrossplaceError(
            f"{path}: {len(content)} bytes are no two float64 numbers a pixel; fetch the file again (git: not its LFS "
            "pointer)"
        )
    table = np.frombuffer(content, dtype="<f8").reshape(2, -1)
    if not np.isfinite(table).all() or np.abs(table).max() > 1e5:
        raise CrossplaceError(f"{path}: numbers that are no columns and rows of an image; fetch the file again")
    return table
