"""A strip for a README: one place of a dataset in a row of pictures, which show the task at a glance.

From left to right: a camera image, the LiDAR points on this image, the cloud from above, and an image of the same
place from another drive. The second and the third picture colour points by range alike: one colour is one distance.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int, Shaped
from numpy import ndarray

from benchmark.report.figures.saving import check_ending, save
from datasets.base import Frame, Intrinsics
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset
from datasets.projection import project
from datasets.summary import spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

REFERENCE = "day"
"""Condition of the first image, if the dataset has it."""
OTHERS = ("night", "winter", "snow", "rain", "dusk")
"""Conditions of the last image, the most telling first."""
NEAR_M, TURNED_RAD = 5.0, 0.35
"""How far apart and how differently turned two frames of the same place may be."""
POOL, CANDIDATES = 500, 24
"""Frames for which another drive is looked for; of these, frames whose clouds are read."""

RANGE_M = 50.0
AHEAD_M, BEHIND_M = 44.0, 10.0
"""What the picture from above shows; its width follows from the shape of a panel."""

PANEL_PX, CAPTION_PX, GAP_PX = (388, 291), 66, 10
"""Four panels are 1602 px wide."""
CAPTION_POINTS = 26.0
"""On a page of 390 px, a quarter of the whole width, a capital is still 6 px high."""
DPI = 100
BACKGROUND, INK = "#14181f", "#f2f4f8"
COLOURS = "turbo_r"


def draw(dataset: PreparedDataset, path: Path) -> None:
    """Write the strip of ``dataset`` to ``path``, as PNG or JPEG by its suffix."""
    check_ending(path)
    save(strip(dataset), path, DPI)


def strip(dataset: PreparedDataset) -> "Figure":
    """Draw the strip as a matplotlib figure; a dataset without any image beside a cloud is refused."""
    from matplotlib.figure import Figure

    here, there = choose(dataset)
    condition = dataset.traversals[here.traversal].condition
    panels = [
        (f"camera, {condition}", lambda axes: _draw_image(axes, dataset, here)),
        ("LiDAR on the image", lambda axes: _draw_points(axes, dataset, here)),
        ("LiDAR from above", lambda axes: _draw_from_above(axes, dataset, here)),
    ]
    if there is not None:
        other = dataset.traversals[there.traversal].condition
        caption = f"same place, {other if other != condition else 'later'}"
        panels.append((caption, lambda axes: _draw_image(axes, dataset, there)))
    (wide_px, high_px), width_px = PANEL_PX, len(panels) * (PANEL_PX[0] + GAP_PX) + GAP_PX
    height_px = CAPTION_PX + high_px + GAP_PX
    figure = Figure(figsize=(width_px / DPI, height_px / DPI), facecolor=BACKGROUND)
    for number, (caption, draw_panel) in enumerate(panels):
        left_px = GAP_PX + number * (wide_px + GAP_PX)
        axes = figure.add_axes(
            (left_px / width_px, GAP_PX / height_px, wide_px / width_px, high_px / height_px),
            facecolor="black",
            xticks=[],
            yticks=[],
        )
        axes.spines[:].set_visible(False)
        draw_panel(axes)
        middle = (left_px + wide_px / 2) / width_px, 1 - CAPTION_PX / 2 / height_px
        figure.text(*middle, caption, ha="center", va="center", fontsize=CAPTION_POINTS, color=INK)
    return figure


def choose(dataset: PreparedDataset) -> tuple[Frame, Frame | None]:
    """The frame to show, and the frame of another drive that shows the same place; none if no drive comes near.

    Of evenly spread frames of the reference condition, the one with the most to see; see :func:`_interest`.
    """
    frames = dataset.frames
    calibrated = [n for n, t in dataset.traversals.items() if t.intrinsics and t.camera_from_lidar is not None]
    usable = np.flatnonzero((frames.image != "") & (frames.cloud != "") & np.isin(frames.traversal, calibrated))
    if not len(usable):
        raise CrossplaceError(
            f"{dataset.name}: a strip needs frames with an image, a cloud and calibration, and no frame has all three"
        )
    conditions = np.array([dataset.traversals[name].condition for name in frames.traversal], dtype=object)
    by_day = usable[conditions[usable] == REFERENCE]
    pool = spread(by_day if len(by_day) else usable, POOL)
    pairs = [(int(row), _counterpart(dataset, int(row), conditions)) for row in pool]
    rank = {condition: number for number, condition in enumerate(OTHERS)}

    def telling(other: int | None) -> int:
        return len(OTHERS) + 1 if other is None else rank.get(conditions[other], len(OTHERS))

    best = min(telling(other) for _, other in pairs)
    equal = np.array([number for number, (_, other) in enumerate(pairs) if telling(other) == best])
    chosen = [pairs[int(number)] for number in spread(equal, CANDIDATES)]
    row, other = max(chosen, key=lambda pair: _interest(dataset, pair[0]))
    return dataset.frame(row), None if other is None else dataset.frame(other)


def _counterpart(dataset: PreparedDataset, row: int, conditions: Shaped[ndarray, " n"]) -> int | None:
    """The nearest row of another drive in the most telling condition that comes near ``row`` with the same heading."""
    frames = dataset.frames
    distance_m = np.linalg.norm(frames.position_m[:, :2] - frames.position_m[row, :2], axis=1)
    turned = np.cos(frames.yaw_rad - frames.yaw_rad[row]) < np.cos(TURNED_RAD)
    same_drive = (frames.traversal == frames.traversal[row]) | (frames.world != frames.world[row])
    near: Int[ndarray, " n"] = np.flatnonzero((distance_m <= NEAR_M) & ~turned & ~same_drive & (frames.image != ""))
    if not len(near):
        return None
    rank = [OTHERS.index(name) if name in OTHERS else len(OTHERS) for name in conditions[near]]
    return int(near[np.lexsort((distance_m[near], rank))[0]])


def _interest(dataset: PreparedDataset, row: int) -> float:
    """Much to see: many points above the sensor (houses, trees, not the road), near ones and far ones, and colours."""
    frame = dataset.frame(row)
    points_m, pixels = dataset.load_cloud(frame), dataset.load_image(frame)
    high = points_m[(points_m[:, 2] > 0) & (np.linalg.norm(points_m, axis=1) < RANGE_M)]
    _, depth_m = project(high, *_calibration(frame))
    colour = float(np.ptp(pixels[len(pixels) // 3 :], axis=2).mean())  # the upper third is sky
    return len(depth_m) * float(depth_m.std()) * (1 + colour) if len(depth_m) else 0.0


def _calibration(frame: Frame) -> tuple[Intrinsics, Float[ndarray, "4 4"]]:
    """The frame's, which :func:`choose` has made sure of."""
    assert frame.intrinsics is not None
    assert frame.camera_from_lidar is not None
    return frame.intrinsics, frame.camera_from_lidar


def _fill(axes: "Axes", width: int, height: int) -> None:
    """Show the middle of a picture of ``width`` × ``height``, so that it fills its panel without distortion."""
    shape = PANEL_PX[0] / PANEL_PX[1]
    seen_width, seen_height = min(width, height * shape), min(height, width / shape)
    left, top = (width - seen_width) / 2, (height - seen_height) / 2
    axes.set(xlim=(left, left + seen_width), ylim=(top + seen_height, top), aspect="auto")


def _draw_image(axes: "Axes", dataset: PreparedDataset, frame: Frame) -> None:
    pixels = dataset.load_image(frame)
    height, width = pixels.shape[:2]
    axes.imshow(pixels, extent=(0, width, height, 0), interpolation="lanczos")
    _fill(axes, width, height)


def _draw_points(axes: "Axes", dataset: PreparedDataset, frame: Frame) -> None:
    k, camera_from_lidar = _calibration(frame)
    grey = dataset.load_image(frame).mean(axis=2)
    axes.imshow(grey, extent=(0, k.width, k.height, 0), cmap="gray", vmin=0, vmax=480, interpolation="lanczos")
    pixels, depth_m = project(dataset.load_cloud(frame), k, camera_from_lidar)
    x, y = pixels.T
    range_m = depth_m * np.sqrt(1 + ((x - k.cx) / k.fx) ** 2 + ((y - k.cy) / k.fy) ** 2)
    near_last = np.argsort(-range_m, kind="stable")
    size = float(np.clip(24_000 / max(len(x), 1), 3.0, 14.0))
    axes.scatter(
        x[near_last], y[near_last], c=range_m[near_last], s=size, linewidths=0, cmap=COLOURS, vmin=0, vmax=RANGE_M
    )
    _fill(axes, k.width, k.height)


def _draw_from_above(axes: "Axes", dataset: PreparedDataset, frame: Frame) -> None:
    """Forward is up, left is left; rings every 10 m, and the edges of the camera's view."""
    half_m = (AHEAD_M + BEHIND_M) / 2 * PANEL_PX[0] / PANEL_PX[1]
    axes.set(xlim=(-half_m, half_m), ylim=(-BEHIND_M, AHEAD_M))
    angle = np.linspace(0, 2 * np.pi, 361)
    for radius_m in np.arange(10.0, 2 * RANGE_M, 10.0):
        axes.plot(radius_m * np.cos(angle), radius_m * np.sin(angle), color="0.22", linewidth=0.8)
    k, _ = _calibration(frame)
    for side in (-k.cx / k.fx, (k.width - k.cx) / k.fx):
        axes.plot([0, 200 * side], [0, 200], color=INK, linewidth=1.2, linestyle=(0, (4, 3)))
    points_m = dataset.load_cloud(frame)
    x, y, _ = points_m.T
    size = float(np.clip(30_000 / max(len(x), 1), 1.5, 8.0))
    axes.scatter(-y, x, c=np.linalg.norm(points_m, axis=1), s=size, linewidths=0, cmap=COLOURS, vmin=0, vmax=RANGE_M)
    axes.plot(0, 0, marker="^", color=INK, markersize=12)
