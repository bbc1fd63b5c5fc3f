"""Figures as the page shows them."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.records.collection import Collection
from benchmark.report.comparison import crosses
from benchmark.report.figures import FIGURES
from benchmark.report.figures.plates import Plate, as_csv, as_svg, plates
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
    kind: str = ""
    """What figures of this kind show, by which the page groups them."""


def drawings(
    collection: Collection, names: Sequence[str] = OF_NUMBERS, sources: Sources | None = None
) -> list[Drawing]:
    """Every figure of ``names`` that can be drawn; what cannot be drawn is left out.

    Of figures that are drawn for each direction, those within a modality are left out where there are others.
    """
    return [
        Drawing(title=plate.title, svg=as_svg(plate), csv=as_csv(plate), kind=_sentence(FIGURES[name].title))
        for name in names
        for plate in _across(plates(name, collection, sources)[0])
    ]


def _across(found: Sequence[Plate]) -> list[Plate]:
    """The plates whose direction leads from one modality to the other, or that have no direction; else all."""
    chosen = [plate for plate in found if not plate.topic.direction or crosses(plate.topic.direction)]
    return chosen or list(found)


def _sentence(title: str) -> str:
    return title[:1].upper() + title[1:]
