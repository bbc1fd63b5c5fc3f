"""A contact sheet: a few frames of each condition on one picture, to see at a glance that everything fits.

A column is a frame: its image, its LiDAR points on the image, its cloud from above. If the points follow the edges
of the image, intrinsics and extrinsics are right.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmark.report.figures.saving import check_ending, save
from datasets.base import Frame
from datasets.prepared import PreparedDataset
from datasets.projection import project
from datasets.summary import spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

RANGE_M = 40.0
HEIGHT_M = (-3.0, 3.0)
"""Colour range of heights in the LiDAR frame."""

COLUMN_IN = 4.0
GAP_IN = 0.12
HEADER_IN = 0.5
BAR_IN = 0.75
"""Room for the colour bars on the right."""
DPI = 120


def draw(dataset: PreparedDataset, path: Path, frames_per_condition: int = 4) -> None:
    """Write the sheet of ``dataset`` to ``path``, as PNG or JPEG by its suffix.

    There is a block a condition, its frames evenly spread over its rows. Frames without image, cloud or calibration
    show what there is.
    """
    check_ending(path)
    save(sheet(dataset, frames_per_condition), path, DPI)


def sheet(dataset: PreparedDataset, frames_per_condition: int = 4) -> "Figure":
    """Draw the sheet as a matplotlib figure; see :func:`draw`."""
    from matplotlib.figure import Figure

    blocks = _choose(dataset, frames_per_condition)
    n_columns = max(map(len, blocks.values()), default=1)
    width_in = n_columns * (COLUMN_IN + GAP_IN) + GAP_IN + BAR_IN
    height_in = HEADER_IN + sum(_block_height_in(frames) for frames in blocks.values())
    figure = Figure(figsize=(width_in, height_in))

    def place(left_in: float, top_in: float, width: float, height: float) -> "Axes":
        return figure.add_axes(
            (left_in / width_in, 1 - (top_in + height) / height_in, width / width_in, height / height_in)
        )

    title = f"{dataset.name}: {len(dataset.frames)} frames of {len(dataset.frames.traversal_names())} traversals"
    figure.text(GAP_IN / width_in, 1 - HEADER_IN / 2 / height_in, title, va="center", fontsize=15, weight="bold")
    top_in = HEADER_IN
    for condition, frames in blocks.items():
        label_y = 1 - (top_in + 0.12) / height_in
        figure.text(GAP_IN / width_in, label_y, condition, va="center", fontsize=12, weight="bold")
        _draw_block(dataset, frames, top_in + HEADER_IN, place)
        top_in += _block_height_in(frames)
    return figure


def _choose(dataset: PreparedDataset, frames_per_condition: int) -> dict[str, list[Frame]]:
    """Frames of each condition, conditions in order of first appearance."""
    conditions = np.array([dataset.traversals[name].condition for name in dataset.frames.traversal], dtype=object)
    return {
        condition: [
            dataset.frame(int(row)) for row in spread(np.flatnonzero(conditions == condition), frames_per_condition)
        ]
        for condition in dict.fromkeys(conditions.tolist())
    }


def _image_height_in(frames: list[Frame]) -> float:
    """Height of a row of images: that of the tallest."""
    sizes = [f.intrinsics for f in frames if f.image and f.intrinsics]
    return COLUMN_IN * max((k.height / k.width for k in sizes), default=0.75 if any(f.image for f in frames) else 0.1)


def _block_height_in(frames: list[Frame]) -> float:
    return HEADER_IN + 2 * _image_height_in(frames) + COLUMN_IN + 3 * GAP_IN


def _draw_block(
    dataset: PreparedDataset, frames: list[Frame], top_in: float, place: Callable[[float, float, float, float], "Axes"]
) -> None:
    image_height_in = _image_height_in(frames)
    panels = (
        (_draw_image, image_height_in, ""),
        (_draw_points_on_image, image_height_in, "depth (m)"),
        (draw_from_above, COLUMN_IN, "height over LiDAR (m)"),
    )
    lefts_in = [GAP_IN + column * (COLUMN_IN + GAP_IN) for column in range(len(frames) + 1)]
    for draw_panel, height_in, meaning in panels:
        coloured = []
        for frame, left_in in zip(frames, lefts_in, strict=False):
            axes = place(left_in, top_in, COLUMN_IN, height_in)
            axes.set(xticks=[], yticks=[])
            coloured.append(draw_panel(axes, dataset, frame))
            if draw_panel is _draw_image:
                axes.set_title(frame.frame_id, fontsize=10, pad=4)
        drawn = [mappable for mappable in coloured if mappable is not None]
        if drawn:
            bar = place(lefts_in[-1], top_in, 0.12, height_in)
            bar.figure.colorbar(drawn[0], cax=bar, label=meaning)
        top_in += height_in + GAP_IN


def _point_size(n_points: int) -> float:
    """Area of a dot in square points (1/72 inch): few points stay visible, many do not hide the image."""
    return float(np.clip(15_000 / max(n_points, 1), 0.6, 9.0))


def _say(axes: "Axes", text: str) -> None:
    axes.set_facecolor("0.94")
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color="0.4")


def _draw_image(axes: "Axes", dataset: PreparedDataset, frame: Frame) -> None:
    if not frame.image:
        _say(axes, "no image")
        return
    pixels = dataset.load_image(frame)
    height, width = pixels.shape[:2]
    axes.imshow(pixels, extent=(0, width, height, 0))


def _draw_points_on_image(axes: "Axes", dataset: PreparedDataset, frame: Frame) -> "ScalarMappable | None":
    k, camera_from_lidar = frame.intrinsics, frame.camera_from_lidar
    if not frame.image or not frame.cloud or k is None or camera_from_lidar is None:
        _say(axes, "needs image, cloud and calibration")
        return None
    pixels, depth_m = project(dataset.load_cloud(frame), k, camera_from_lidar)
    grey = dataset.load_image(frame).mean(axis=2)
    # The extent puts 0 at the edge of the image, as Intrinsics do; dimming lets the points stand out.
    axes.imshow(grey, extent=(0, k.width, k.height, 0), cmap="gray", vmin=0, vmax=400)
    near_last = np.argsort(-depth_m, kind="stable")
    x, y = pixels[near_last].T
    axes.set(xlim=(0, k.width), ylim=(k.height, 0))
    return axes.scatter(
        x, y, c=depth_m[near_last], s=_point_size(len(x)), linewidths=0, cmap="turbo_r", vmin=0, vmax=RANGE_M
    )


def draw_from_above(axes: "Axes", dataset: PreparedDataset, frame: Frame) -> "ScalarMappable | None":
    """Forward is up, left is left; rings every 10 m."""
    if not frame.cloud:
        _say(axes, "no cloud")
        return None
    points_m = dataset.load_cloud(frame)
    points_m = points_m[np.abs(points_m[:, :2]).max(axis=1, initial=0.0) <= RANGE_M]
    x, y, z = points_m[np.argsort(points_m[:, 2], kind="stable")].T
    axes.set_facecolor("black")
    axes.set(xlim=(-RANGE_M, RANGE_M), ylim=(-RANGE_M, RANGE_M), aspect="equal")
    angle = np.linspace(0, 2 * np.pi, 181)
    for radius_m in np.arange(10.0, RANGE_M + 1, 10.0):
        axes.plot(radius_m * np.cos(angle), radius_m * np.sin(angle), color="0.35", linewidth=0.5)
    axes.plot(0, 0, marker="^", color="white", markersize=5)
    low_m, high_m = HEIGHT_M
    return axes.scatter(-y, x, c=z, s=_point_size(len(x)), linewidths=0, cmap="turbo", vmin=low_m, vmax=high_m)
