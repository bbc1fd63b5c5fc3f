"""Files of depth, as somebody else's network would leave them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from methods.batch import Batch


def describe(folder: Path, **changes: Any) -> None:
    """Write ``depth.json``."""
    content = {"format": "png", "unit_m": 1 / 256, "made_by": "a test"} | changes
    (folder / "depth.json").write_text(json.dumps(content))


def write(folder: Path, batch: Batch, stored: np.ndarray, kind: str = "png") -> None:
    """Write a file for each frame, each a stored 1 more than the one before."""
    for number, frame in enumerate(batch.frames):
        array = stored + number
        if kind == "npy":
            np.save(folder / f"{frame.frame_id}.npy", array)
        else:
            Image.fromarray(array.astype(np.uint16)).save(folder / f"{frame.frame_id}.png")
