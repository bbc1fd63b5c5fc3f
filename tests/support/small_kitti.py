"""A KITTI sequence of three frames, small enough to work out by hand."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from datasets.kitti import Kitti
from datasets.prepared import PreparedDataset

TR = "0 -1 0 0  0 0 -1 -0.08  1 0 0 -0.27"
"""LiDAR axes to camera axes; the LiDAR sits 0.08 m above camera 0 and 0.27 m behind it."""
P2 = "700 0 600 70  0 700 180 0  0 0 1 0"
START = "1 0 0 0  0 1 0 0  0 0 1 0"
TEN_METRES_ON = "1 0 0 0  0 1 0 0  0 0 1 10"
TURNED_LEFT = "0 0 -1 0  0 1 0 0  1 0 0 10"
"""Ten metres on, now facing the first camera's left (its -x axis)."""
STEMS = ("000000", "000001", "000003")
POSES = (START, TEN_METRES_ON, TEN_METRES_ON, TURNED_LEFT)


def write_drive(
    source: Path,
    name: str = "00",
    stems: Sequence[str] = STEMS,
    poses: Sequence[str] = POSES,
    poses_beside: bool = False,
    size: tuple[int, int] = (12, 5),
) -> Path:
    """A sequence with three frames and a gap at number 2; returns its folder."""
    folder = source / "sequences" / name
    (folder / "image_2").mkdir(parents=True)
    (folder / "velodyne").mkdir()
    random = np.random.default_rng(0)
    for stem in stems:
        pixels = random.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "image_2" / f"{stem}.png")
        random.normal(size=(7, 4)).astype(np.float32).tofile(folder / "velodyne" / f"{stem}.bin")
    (folder / "calib.txt").write_text(f"P0: {P2}\nP2: {P2}\nTr: {TR}\n")
    (folder / "times.txt").write_text("".join(f"{i / 10:e}\n" for i in range(len(poses))))
    poses_path = folder / "poses.txt" if poses_beside else source / "poses" / f"{name}.txt"
    poses_path.parent.mkdir(exist_ok=True)
    poses_path.write_text("\n".join(poses) + "\n")
    return folder


def prepare(source: Path, destination: Path, *sequences: str) -> PreparedDataset:
    destination.mkdir(parents=True, exist_ok=True)
    for _ in Kitti(sequences=sequences).prepare(source, destination, workers=1):
        pass
    return PreparedDataset.read(destination)


def faults_of(source: Path | None, *sequences: str) -> list[str]:
    return [finding.what for finding in Kitti(sequences=sequences).check(source) if not finding.ok]
