"""What can be drawn: figures of results, and pictures of a prepared dataset. Nothing is imported until it is drawn.

A new figure is one module with two functions, ``numbers`` and ``draw``, and one line of :data:`FIGURES`. A new picture
is one function ``draw(dataset, path)`` and one line of :data:`PICTURES`.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from datasets.errors import CrossplaceError, unknown

if TYPE_CHECKING:
    from datasets.prepared import PreparedDataset

HERE = "benchmark.report.figures"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """What a figure of results shows, and the module that makes its numbers and draws them."""

    title: str
    """One line for lists."""
    each: Literal["board", "direction", "row", "study", "sensitivity", "scale", "registration"]
    """What one drawing is about, such as all results under one protocol, one direction of them, or one method."""
    module: str
    """Module of this package.

    Its ``numbers(topic, sources)`` returns a table, and its ``draw(table, sources)`` draws nothing but this table.
    """
    shows_data: bool = False
    """Whether it shows frames or positions, which for real data are under the data's own licence."""

    def function(self, name: Literal["numbers", "draw"]) -> Callable[..., Any]:
        """A function of the module, imported now."""
        found: Callable[..., Any] = getattr(importlib.import_module(f"{HERE}.{self.module}"), name)
        return found


FIGURES = {
    "recall": Figure(
        title="recall@N of every method, N = 1 to 25, with spread of seeds and interval over places",
        each="board",
        module="recall",
    ),
    "cost": Figure(
        title="recall against latency of a query and bytes of a place, with the Pareto front",
        each="board",
        module="cost",
    ),
    "seeds": Figure(
        title="spread between seeds beside the interval over places, a row a method",
        each="board",
        module="seeds",
    ),
    "pairs": Figure(
        title="recall of each pair of traversals as a matrix, a panel a method",
        each="direction",
        module="pairs",
    ),
    "map": Figure(
        title="map of the drive: where the queries of a method were hit and missed",
        each="row",
        module="drive_map",
        shows_data=True,
    ),
    "distances": Figure(
        title="descriptor distances of right and wrong frames, a panel a method",
        each="direction",
        module="distances",
    ),
    "confidence": Figure(
        title="precision and recall where a method may keep silent, and whether its confidence is calibrated",
        each="direction",
        module="confidence",
    ),
    "severity": Figure(
        title="recall against the severity of perturbations",
        each="study",
        module="severity",
    ),
    "learning-curve": Figure(
        title="recall against the part of the training places, with spread of seeds",
        each="study",
        module="learning_curve",
    ),
    "training": Figure(
        title="loss of every epoch on training and validation frames, a panel a stage",
        each="row",
        module="training",
    ),
    "sensitivity": Figure(
        title="recall against place radius, map spacing, heading limit and foreign places",
        each="sensitivity",
        module="sensitivity",
    ),
    "scale": Figure(
        title="recall and latency against the size of the map, up to millions of places",
        each="scale",
        module="scale",
    ),
    "registration": Figure(
        title="share of queries that a registrar brings within each error, beside the start as it is",
        each="registration",
        module="registration",
    ),
    "gallery": Figure(
        title="queries of a method with the five frames that it found, right and wrong",
        each="row",
        module="gallery",
        shows_data=True,
    ),
    "local-features": Figure(
        title="features of voxels beside those of the pixels that they project to, in the same colours",
        each="row",
        module="local_features",
        shows_data=True,
    ),
}
"""Every figure of results by its name on the command line."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What a picture of a dataset shows, and the function that draws it."""

    title: str
    """One line for lists."""
    module: str
    """Module of this package; its ``draw(dataset, path)`` writes the file."""

    def load(self) -> "Callable[[PreparedDataset, Path], None]":
        """The function, imported now."""
        found: Callable[[PreparedDataset, Path], None] = importlib.import_module(f"{HERE}.{self.module}").draw
        return found


PICTURES = {
    "contact-sheet": Picture(
        title="frames of every condition: image, LiDAR points on the image, cloud from above (PNG or JPEG)",
        module="contact_sheet",
    ),
    "strip": Picture(
        title="one place in a row: image, LiDAR points, cloud from above, the place in other light (PNG or JPEG)",
        module="strip",
    ),
    "local-map": Picture(
        title="points of other drives on an image, seen from a rough pose and from the true one (PNG or JPEG)",
        module="local_map",
    ),
}
"""Every picture of a dataset by its name on the command line."""


def check_figure(name: str) -> None:
    """Refuse the name of a figure of results that does not exist, with near names."""
    if name in PICTURES:
        raise CrossplaceError(
            f"{name} shows a dataset and not results; draw it with: crossplace data stats DATASET --figure {name}"
        )
    if name not in FIGURES:
        raise CrossplaceError(unknown("figure", name, list(FIGURES)))


def check_picture(name: str) -> None:
    """Refuse the name of a picture of a dataset that does not exist, with near names."""
    if name in FIGURES:
        raise CrossplaceError(f"{name} shows results and not a dataset; draw it with: crossplace figures --only {name}")
    if name not in PICTURES:
        raise CrossplaceError(unknown("figure", name, list(PICTURES)))


def draw_picture(name: str, dataset: "PreparedDataset", path: Path) -> None:
    """Draw the picture ``name`` of ``dataset`` to ``path``; a name that does not exist is refused with near names."""
    check_picture(name)
    PICTURES[name].load()(dataset, path)
