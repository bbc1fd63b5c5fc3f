"""What registration has to do, in one picture: points of other drives on an image, from a rough pose and the true one.

Points are coloured by depth. Of several points on one pixel the nearest is drawn; what walls hide is not looked at.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from benchmark.frames.local_maps import LocalMap, LocalMaps
from benchmark.frames.preparing import find_protocol
from benchmark.frames.starts import draw_start
from benchmark.protocol.map_sweeps import MapSweeps
from benchmark.protocol.selection import Selected
from benchmark.report.figures.saving import check_ending, save
from benchmark.report.figures.strip import BACKGROUND, COLOURS, DPI, INK
from datasets.base import Frame
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset, world_from_lidar
from datasets.projection import project

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

START = "published"
FARTHEST_M = 40.0
PANEL_IN, CAPTION_IN = 6.0, 0.4


class Panel(NamedTuple):
    """Points of a map on an image."""

    caption: str
    frame: Frame
    local: LocalMap
    map_from_camera: Float[ndarray, "4 4"]


def draw(dataset: PreparedDataset, path: Path) -> None:
    """Write the picture of ``dataset`` to ``path``, as PNG or JPEG by its suffix."""
    check_ending(path)
    save(overlay(dataset), path, DPI)


def overlay(dataset: PreparedDataset) -> "Figure":
    """The picture as a matplotlib figure: the same map points from the start, and from the true pose."""
    row, local = _chosen(dataset)
    frame = dataset.frame(row)
    true = _map_from_camera(dataset, row, local)
    rough = true @ draw_start(START, 0, frame.frame_id)
    captions = {"map of other drives, from a rough pose": rough, "the same, from the true pose": true}
    return sheet_of(dataset, [[Panel(caption, frame, local, pose) for caption, pose in captions.items()]])


def sheet_of(dataset: PreparedDataset, lines: Sequence[Sequence[Panel]]) -> "Figure":
    """Lines of panels, each with its caption above it; all lines hold as many."""
    from matplotlib.figure import Figure

    shapes = [_height_in(line[0].frame) for line in lines]
    wide, high = len(lines[0]), sum(shapes) + CAPTION_IN * len(lines)
    figure, top = Figure(figsize=(wide * PANEL_IN, high), facecolor=BACKGROUND), high
    for line, shape in zip(lines, shapes, strict=True):
        caption_in, lower_in = top - CAPTION_IN / 2, top - CAPTION_IN - shape
        for number, panel in enumerate(line):
            place = ((number + 0.004) / wide, lower_in / high, 0.992 / wide, shape / high)
            _panel(figure.add_axes(place, xticks=[], yticks=[], facecolor="black"), dataset, panel)
            middle = (number + 0.5) / wide
            figure.text(middle, caption_in / high, panel.caption, ha="center", va="center", color=INK, fontsize=15)
        top = lower_in
    return figure


def _height_in(frame: Frame) -> float:
    assert frame.intrinsics is not None
    return PANEL_IN * frame.intrinsics.height / frame.intrinsics.width


def _chosen(dataset: PreparedDataset) -> tuple[int, LocalMap]:
    """The query in the middle of those that have a map, and its map around the start."""
    protocol, _ = find_protocol(None, dataset)
    rows = Selected(frames=dataset.frames, protocol=protocol)
    sweeps = MapSweeps.among(rows)
    calibrated = [n for n, t in dataset.traversals.items() if t.intrinsics and t.camera_from_lidar is not None]
    usable = [
        row
        for row in rows.query.tolist()
        if dataset.frames.image[row] and dataset.frames.traversal[row] in calibrated and len(sweeps.of(row))
    ]
    if not usable:
        raise CrossplaceError(
            f"{dataset.name}: no query has an image, calibration and another drive with clouds; this picture needs "
            "drives that meet again"
        )
    row = usable[len(usable) // 2]
    with tempfile.TemporaryDirectory() as folder:  # one map is soon made, and a picture should leave no other file
        local = LocalMaps(dataset, Path(folder)).around(dataset.frames.position_m[row], sweeps.of(row))
    sweeps.check(row, local.sweeps)
    return row, local


def _map_from_camera(dataset: PreparedDataset, row: int, local: LocalMap) -> Float[ndarray, "4 4"]:
    camera_from_lidar = dataset.frame(row).camera_from_lidar
    assert camera_from_lidar is not None
    pose: Float[ndarray, "4 4"] = world_from_lidar(dataset.frames.take(np.array([row])))[0] @ np.linalg.inv(
        camera_from_lidar
    )
    pose[:3, 3] -= local.origin_m
    return pose


def _panel(axes: "Axes", dataset: PreparedDataset, panel: Panel) -> None:
    frame, local = panel.frame, panel.local
    k = frame.intrinsics
    assert k is not None
    grey = dataset.load_image(frame).mean(axis=2)
    axes.imshow(grey, extent=(0, k.width, k.height, 0), cmap="gray", vmin=0, vmax=400, interpolation="lanczos")
    pixels, depth_m = project(local.points_m.astype(np.float64), k, np.linalg.inv(panel.map_from_camera))
    near_last = np.argsort(-depth_m, kind="stable")
    near_last = near_last[depth_m[near_last] < FARTHEST_M]
    cell = np.floor(pixels[near_last] * 640 / k.width).astype(np.int64)
    _, last = np.unique((cell[:, 1] * 10_000 + cell[:, 0])[::-1], return_index=True)
    kept = near_last[::-1][np.sort(last)[::-1]]
    x, y = pixels[kept].T
    axes.scatter(x, y, c=depth_m[kept], s=1.2, linewidths=0, cmap=COLOURS, vmin=0, vmax=FARTHEST_M, alpha=0.6)
    axes.set(xlim=(0, k.width), ylim=(k.height, 0))
    axes.spines[:].set_visible(False)
