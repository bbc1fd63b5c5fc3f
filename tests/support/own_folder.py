"""A folder of one's own, made of two drives of the tiny town, and ways to spoil it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray
from PIL import Image

from datasets.prepared import PreparedDataset

DRIVES = ("test-day", "test-evening")


def write_own(town: PreparedDataset, folder: Path, n_frames: int = 40, *, with_files: bool = False) -> Path:
    """The first frames of both drives; files are those of the town, or copies in the folder."""
    folder.mkdir()
    head, *lines = (town.folder / "frames.csv").read_text().splitlines(keepends=True)
    drives = [[line for line in lines if line.split(",")[1] == name][:n_frames] for name in DRIVES]
    (folder / "frames.csv").write_text("".join([head, *drives[0], *drives[1]]))
    described = json.loads((town.folder / "dataset.json").read_text())
    del described["frames_sha256"]
    described |= {"name": "own", "root": "." if with_files else str(town.folder)}
    described["traversals"] = {name: described["traversals"][name] for name in DRIVES}
    (folder / "dataset.json").write_text(json.dumps(described))
    if with_files:
        for path in (path for part in drives for line in part for path in line.strip().split(",")[-2:]):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(town.folder / path, folder / path)
    return folder


def describe(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the description of every traversal."""
    described = json.loads((folder / "dataset.json").read_text())
    for traversal in described["traversals"].values():
        change(traversal)
    (folder / "dataset.json").write_text(json.dumps(described))


def cells(folder: Path, column: str, change: Callable[[str], str]) -> None:
    """Change every cell of a column of frames.csv."""
    head, *lines = (folder / "frames.csv").read_text().splitlines()
    place = head.split(",").index(column)
    rows = [line.split(",") for line in lines]
    changed = [",".join([*row[:place], change(row[place]), *row[place + 1 :]]) for row in rows]
    (folder / "frames.csv").write_text("\n".join([head, *changed]) + "\n")


def columns(folder: Path, order: dict[str, str]) -> None:
    """Exchange columns: the name of a column, and the name of the column whose cells it gets."""
    head, *lines = (folder / "frames.csv").read_text().splitlines()
    names = head.split(",")
    rows = [dict(zip(names, line.split(","), strict=True)) for line in lines]
    changed = [",".join(row[order.get(name, name)] for name in names) for row in rows]
    (folder / "frames.csv").write_text("\n".join([head, *changed]) + "\n")


def clouds_as_bin(folder: Path, write: Callable[[ndarray], bytes]) -> None:
    """Clouds as ``.bin`` files that hold what ``write`` makes of x, y, z, intensity."""
    for path in sorted((folder / "clouds").rglob("*.npy")):
        points = np.load(path)
        quadruples = np.column_stack([points[:, :3], np.linspace(0, 1, len(points))]).astype("<f4")
        path.with_suffix(".bin").write_bytes(write(quadruples))
        path.unlink()
    cells(folder, "cloud", lambda cell: cell.replace(".npy", ".bin"))


def clouds(folder: Path, change: Callable[[ndarray], ndarray]) -> None:
    """Every cloud through ``change``."""
    for path in sorted((folder / "clouds").rglob("*.npy")):
        np.save(path, change(np.load(path)))


def images(folder: Path, change: Callable[[Image.Image], Image.Image], **options: Any) -> None:
    """Every image through ``change``, stored as PNG; options are those of Pillow's ``save``."""
    for path in sorted(path for path in (folder / "images").rglob("*") if path.is_file()):
        with Image.open(path) as image:
            changed = change(image.copy())
        path.unlink()
        changed.save(path.with_suffix(".png"), **options)
    cells(folder, "image", lambda cell: str(Path(cell).with_suffix(".png")))
