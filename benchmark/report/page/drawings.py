"""Figures as the page shows them."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.records.collection import Collection
from benchmark.report.figures import FIGURES
from benchmark.report.figures.plates import as_csv, as_svg, plates
from benchmark.report.figures.topics import Sources

OF_NUMBERS = tuple(name for name, figure in FIGURES.items() if not figure.shows_data)
"""Figures that need neither frames nor positions; the page has a map of its own."""


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A figure as the page shows it."""

    title: str
    svg: str
    """The picture; it is shown as an image, so that nothing in it can act."""
    csv: str = ""
    """The numbers behind it, offered as a file; empty if there are none."""


def drawings(
    collection: Collection, names: Sequence[str] = OF_NUMBERS, sources: Sources | None = None
) -> list[Drawing]:
    """Every figure of ``names`` that can be drawn; what cannot be drawn is left out."""
    return [
        Drawing(title=plate.title, svg=as_svg(plate), csv=as_csv(plate))
        for name in names
        for plate in plates(name, collection, sources)[0]
    ]
