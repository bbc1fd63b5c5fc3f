"""A robot drives through the town with a map: where am I, how sure is that, and a trajectory that holds together.

python docs/example-robot/drive.py --preset tiny
"""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from numpy import ndarray
from rich.console import Console
from rich.live import Live
from rich.table import Table

import benchmark
from benchmark.deploy.localizer import Localizer, Place
from benchmark.deploy.pose_graph import (
    Edge,
    PoseGraph,
    chained,
    odometry_edges,
    planar,
    relative_poses,
    solved,
    write_g2o,
)
from benchmark.deploy.weights import method_with_weights
from datasets.prepared import PreparedDataset

STEP_DEVIATION = (0.05, 0.05, 0.01)
"""Standard deviations of a step of odometry: metres forward, metres to the left, radians."""
BIAS_RAD = 0.004
"""What the gyroscope adds to every step, which makes the trajectory drift."""
N_SHOWN = 8
"""Frames that the live view shows."""


@dataclass(frozen=True, kw_only=True)
class Drive:
    """Which drives are the map, its calibration, and the one that the robot is on."""

    method: str = "twin_layout"
    """A method whose trained weights come with the suite."""
    preset: str = "small"
    """Preset of the town."""
    map_drive: str = "test-day"
    """Drive whose clouds are the map."""
    calibration_drive: str = "test-night"
    """Drive that says what distances mean. It should be as hard as what is to come, or harder."""
    live_drive: str = "test-evening"
    """Drive whose images ask."""
    sure: float = 0.7
    """Probability from which an answer becomes an edge of the pose graph."""
    to: Path = Path("robot")
    """Folder of the map and of the pose graph."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a drive came to."""

    n_frames: int
    n_sure: int
    """Frames whose answer is sure enough for an edge."""
    n_sure_and_right: int
    """Those of them within 10 m of the truth."""
    median_ms: float
    """Median time of a query: network and search, without reading the image."""
    drift_m: float
    """Root mean square of the distance to the truth, of odometry alone."""
    left_m: float
    """The same with the edges to the map."""


def mapped(drive: Drive, town: PreparedDataset) -> Localizer:
    """Build the map and its calibration, keep it, and read it as a robot does when it starts."""
    method = method_with_weights(drive.method)
    localizer = Localizer.build(method, town, [drive.map_drive])
    localizer.calibrate(town, [drive.calibration_drive])
    localizer.save(drive.to / "map")
    return Localizer.load(drive.to / "map", method)


def followed(drive: Drive, town: PreparedDataset, localizer: Localizer, console: Console) -> tuple[list[Place], float]:
    """The best place of every frame of the drive, shown while it goes on, and the median time in milliseconds."""
    rows = np.flatnonzero(town.frames.traversal == drive.live_drive)
    places, times_ms = [], []
    with Live(console=console, refresh_per_second=10) as live:
        for row in rows.tolist():
            frame = town.frame(row)
            image = town.load_image(frame)
            started = time.perf_counter()
            (place,) = localizer.query(image=image, top=1)
            times_ms.append((time.perf_counter() - started) * 1e3)
            places.append(place)
            truth_m = town.frames.position_m[rows[: len(places)], :2]
            live.update(view(drive, places, times_ms, truth_m))
    return places, float(np.median(times_ms))


def view(drive: Drive, places: list[Place], times_ms: list[float], truth_m: ndarray) -> Table:
    """The last frames as a table."""
    table = Table(title=f"{drive.live_drive} in a map of {drive.map_drive}")
    for heading in ("frame", "place", "probability", "off by, m", "ms"):
        table.add_column(heading, justify="left" if heading == "place" else "right")
    for number in range(max(len(places) - N_SHOWN, 0), len(places)):
        place = places[number]
        off_m = float(np.hypot(*(truth_m[number] - place.position_m[:2])))
        style = "bold green" if (place.probability or 0) >= drive.sure else "dim"
        cells = (str(number), place.name, f"{place.probability:.2f}", f"{off_m:.1f}", f"{times_ms[number]:.1f}")
        table.add_row(*cells, style=style)
    return table


def graph_of(drive: Drive, town: PreparedDataset, localizer: Localizer, places: list[Place]) -> PoseGraph:
    """The map, which is fixed, the disturbed odometry of the drive, and an edge for each place that is sure enough."""
    known = planar(localizer.places.frames)
    row_of = {name: row for row, name in enumerate(localizer.places.frames.frame_id.tolist())}
    truth = planar(town.frames.take(town.frames.traversal == drive.live_drive))
    steps = relative_poses(truth[:-1], truth[1:])
    random = np.random.default_rng(0)
    disturbed = steps + random.normal(scale=STEP_DEVIATION, size=steps.shape) + [0, 0, BIAS_RAD]
    rows = len(known) + np.arange(len(truth))
    edges = odometry_edges(rows, disturbed, STEP_DEVIATION)
    covariance = localizer.calibrations["image"].covariance
    for row, place in zip(rows.tolist(), places, strict=True):
        if place.probability is not None and place.probability >= drive.sure:
            here = (0.0, 0.0, 0.0)
            start = row_of[place.name]
            edges.append(Edge(start=start, end=row, measured=here, covariance=covariance, is_robust=True))
    poses = np.concatenate([known, chained(truth[0], disturbed)])
    return PoseGraph(poses=poses, edges=edges, is_fixed=np.arange(len(poses)) <= len(known))


def run(drive: Drive, console: Console | None = None) -> Outcome:
    """Drive, write the pose graph as g2o, and solve it."""
    console = console or Console()
    town = benchmark.prepare("town", preset=drive.preset)
    localizer = mapped(drive, town)
    places, median_ms = followed(drive, town, localizer, console)
    graph = graph_of(drive, town, localizer, places)
    write_g2o(drive.to / "drive.g2o", graph)
    truth_m = town.frames.position_m[town.frames.traversal == drive.live_drive, :2]
    off_m = [np.hypot(*(place.position_m[:2] - at).T) for place, at in zip(places, truth_m, strict=True)]
    is_sure = [(place.probability or 0) >= drive.sure for place in places]
    drift_m, left_m = (
        float(np.sqrt(np.square(poses[-len(places) :, :2] - truth_m).sum(axis=1).mean()))
        for poses in (graph.poses, solved(graph))
    )
    outcome = Outcome(
        n_frames=len(places),
        n_sure=sum(is_sure),
        n_sure_and_right=sum(sure and off <= 10 for sure, off in zip(is_sure, off_m, strict=True)),
        median_ms=median_ms,
        drift_m=drift_m,
        left_m=left_m,
    )
    sentences = (
        f"{outcome.n_sure} of {outcome.n_frames} frames are sure (at least {drive.sure:g}).",
        f"{outcome.n_sure_and_right} of these are within 10 m.",
        f"A query takes {median_ms:.1f} ms.",
        f"Odometry alone is off by {drift_m:.1f} m (root mean square), with the map by {left_m:.1f} m.",
        f"The pose graph: {drive.to / 'drive.g2o'}",
    )
    console.print("", *sentences, sep="\n", highlight=False)
    return outcome


if __name__ == "__main__":  # data is prepared by processes of their own
    run(tyro.cli(Drive))
