"""Depth from files: one file a frame, and ``depth.json`` that describes all of them."""

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from datasets.base import Frame
from datasets.errors import CrossplaceError
from datasets.files import read_as, read_npy
from methods.batch import Batch
from methods.depth import DepthFiles
from methods.layers.depth.provider import DepthProvider, resized

DESCRIPTION = "depth.json"


class Description(BaseModel):
    """Content of ``depth.json``."""

    model_config = ConfigDict(extra="forbid")

    format: Literal["png", "npy"]
    """Format of the files: 16-bit grey PNG, or arrays."""
    unit_m: float = Field(gt=0, allow_inf_nan=False)
    """Unit of stored numbers in metres: 1/256 in KITTI's depth PNGs, 0.001 for millimetres, 1 for metres."""
    made_by: str = Field(min_length=1)
    """Network or sensor that made the files, in a few words. It stands beside every result."""

    @classmethod
    def read(cls, folder: Path) -> "Description":
        """Read ``folder/depth.json``. If it is wrong, the error gives the reason in one sentence."""
        path = folder / DESCRIPTION
        expected = 'expected {"format": "png" or "npy", "unit_m": metres a stored 1 means, "made_by": "what made them"}'
        if not path.is_file():
            raise CrossplaceError(f"{path}: no such file, so the unit of the depth files is unknown; {expected}")
        return read_as(path, cls, expected)


def described_files(folder: Path) -> DepthFiles:
    """The folder as a source of depth, with the hash that identifies its content."""
    description = Description.read(folder)
    files = sorted(
        (p.relative_to(folder).as_posix(), p.stat().st_size) for p in folder.rglob(f"*.{description.format}")
    )
    listing = json.dumps([description.model_dump(), files])
    sha256 = hashlib.sha256(listing.encode()).hexdigest()
    return DepthFiles(folder=str(folder), made_by=description.made_by, sha256=sha256)


class FileDepth(DepthProvider):
    """Depth images from files, resized to the nearest stored pixel."""

    def __init__(self, folder: Path, height: int, width: int) -> None:
        super().__init__(height, width)
        self.folder = folder

    @cached_property
    def description(self) -> Description:
        """Content of ``depth.json``. It is read when the first depth image is asked for."""
        return Description.read(self.folder)

    def forward(self, batch: Batch) -> Float[Tensor, "b 1 height width"]:
        """Metres along the optical axis, mirrored and moved as each image is.

        Raises an error that names a missing or broken file.
        """
        device = batch.require_images()[0].device
        stored = [torch.from_numpy(self._read(frame)).to(device) for frame in batch.frames]
        seen = [batch.as_seen(number, depth_m) for number, depth_m in enumerate(stored)]
        return torch.cat([resized(depth_m, self.height, self.width) for depth_m in seen])

    def _read(self, frame: Frame) -> Float[ndarray, "h w"]:
        path = self.folder / f"{frame.frame_id}.{self.description.format}"
        if not path.is_file():
            raise CrossplaceError(
                f"frame {frame.frame_id}: no depth file {path}; write one for every frame with an image, or choose "
                "another source of depth (docs/depth.md)"
            )
        stored = read_npy(path) if path.suffix == ".npy" else _read_png(path)
        if stored.ndim != 2 or stored.dtype.kind not in "fiu" or 0 in stored.shape:
            raise CrossplaceError(
                f"{path}: expected one number a pixel (height, width), found {stored.dtype} {stored.shape}"
            )
        depth_m = stored.astype(np.float32) * np.float32(self.description.unit_m)
        return np.where(np.isfinite(depth_m) & (depth_m > 0), depth_m, np.float32(0))


def _read_png(path: Path) -> ndarray:
    try:
        with Image.open(path) as image:
            if image.mode not in ("I;16", "I;16B", "I"):
                raise CrossplaceError(f"{path}: expected a 16-bit grey PNG, found mode {image.mode}")
            return np.asarray(image).astype(np.int32)
    except (OSError, ValueError, SyntaxError) as error:
        raise CrossplaceError(f"{path}: not a readable PNG ({error}); write it again") from error
