"""Drawings of a prepared dataset: the table of what can be drawn.

A new figure is one function ``draw(dataset, path)`` in a module of this package and one line of :data:`FIGURES`.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from datasets.errors import CrossplaceError, unknown

if TYPE_CHECKING:
    from datasets.prepared import PreparedDataset


@dataclass(frozen=True)
class Figure:
    """What a figure shows, and the function that draws it; nothing is imported until it is drawn."""

    title: str
    """One line for lists."""
    function: str
    """``"module:function"``; the function takes the dataset and the path of the picture."""

    def load(self) -> "Callable[[PreparedDataset, Path], None]":
        """The function, imported now."""
        module, _, attribute = self.function.partition(":")
        found: Callable[[PreparedDataset, Path], None] = getattr(importlib.import_module(module), attribute)
        return found


FIGURES = {
    "contact-sheet": Figure(
        "frames of every condition: image, LiDAR points on the image, cloud from above (PNG)",
        "benchmark.report.figures.contact_sheet:draw",
    ),
    "strip": Figure(
        "one place in a row: image, LiDAR points, cloud from above, the same place under other light (PNG or JPEG)",
        "benchmark.report.figures.strip:draw",
    ),
}
"""Every figure by its name on the command line."""


def check_figure(name: str) -> None:
    """Refuse a name that does not exist, with near names."""
    if name not in FIGURES:
        raise CrossplaceError(unknown("figure", name, list(FIGURES)))


def draw_figure(name: str, dataset: "PreparedDataset", path: Path) -> None:
    """Draw the figure ``name`` of ``dataset`` to ``path``; a name that does not exist is refused with near names."""
    check_figure(name)
    FIGURES[name].load()(dataset, path)
