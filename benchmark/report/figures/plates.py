"""Figures of a collection of results: their numbers as tables, their drawings as SVG and PNG.

A drawing shows its table and nothing else, so the CSV beside a picture is the data behind it. What cannot be drawn is a
hole: a sentence with cause and cure.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from benchmark.records.collection import Collection
from benchmark.records.environment import REPOSITORY
from benchmark.report.figures import FIGURES, check_figure
from benchmark.report.figures.style import styled
from benchmark.report.figures.topics import EACH, Sources, Topic, file_name
from benchmark.report.formats import comma_separated
from benchmark.report.table import Table, printable
from datasets.errors import CrossplaceError
from datasets.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PNG_DPI = 200
RASTER_DPI = 150
"""Resolution of pictures inside an SVG."""
MADE_BY = {
    "study": "crossplace study makes one",
    "sensitivity": "crossplace sensitivity makes one",
    "registration": "crossplace register makes one",
}
"""What makes the topic of a figure, where it is no result."""
SVG_NAMESPACE, LINK_NAMESPACE = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"


@dataclass(frozen=True, kw_only=True)
class Plate:
    """One drawing that can be made, with its numbers."""

    name: str
    """Name of its files, without ending; the same for the same results."""
    figure: str
    """Its name in ``FIGURES``."""
    topic: Topic
    table: Table
    sources: Sources

    @property
    def title(self) -> str:
        """One line that says what is shown and of what."""
        return self.table.title

    @property
    def holds_real_data(self) -> bool:
        """Whether it shows frames or positions that are under the licence of real data."""
        return FIGURES[self.figure].shows_data and self.topic.is_real


@dataclass(frozen=True, kw_only=True)
class Hole:
    """A drawing that cannot be made."""

    figure: str
    topic: str
    reason: str
    """Cause and cure."""


def plates(name: str, collection: Collection, sources: Sources | None = None) -> tuple[list[Plate], list[Hole]]:
    """Every drawing of the figure ``name``, and what cannot be drawn. A name that does not exist is refused."""
    check_figure(name)
    figure, given = FIGURES[name], sources or Sources()
    found: list[Plate] = []
    holes: list[Hole] = []
    for topic in _topics(name, collection, holes):
        try:
            table: Table = figure.function("numbers")(topic, given)
        except CrossplaceError as error:
            holes.append(Hole(figure=name, topic=topic.words, reason=str(error)))
            continue
        stem = _distinct(file_name([name, *topic.parts]), found)
        found.append(Plate(name=stem, figure=name, topic=topic, table=table, sources=given))
    if not found and not holes:
        reason = f"there is no {figure.each} among the results"
        cure = MADE_BY.get(figure.each, "crossplace bench makes results")
        holes.append(Hole(figure=name, topic="", reason=f"{reason}; {cure}"))
    return found, holes


def _topics(name: str, collection: Collection, holes: list[Hole]) -> Sequence[Topic]:
    found = []
    try:
        for topic in EACH[FIGURES[name].each](collection):
            found.append(topic)
    except CrossplaceError as error:
        holes.append(Hole(figure=name, topic="", reason=str(error)))
    return found


def _distinct(stem: str, others: Sequence[Plate]) -> str:
    """``stem``, with a number behind it where another plate has the same."""
    taken, name, number = {plate.name for plate in others}, stem, 1
    while name in taken:
        number += 1
        name = f"{stem}-{number}"
    return name


def _drawn(plate: Plate) -> "Figure":
    drawing: Figure = FIGURES[plate.figure].function("draw")(plate.table, plate.sources)
    return drawing


def as_svg(plate: Plate) -> str:
    """The drawing as SVG that can stand in a page: with title and description, its ids its own, equal at every call."""
    buffer = io.StringIO()
    with styled(plate.name):
        _drawn(plate).savefig(buffer, format="svg", dpi=RASTER_DPI, metadata={"Date": None})
    return _finished(buffer.getvalue(), plate)


def as_png(plate: Plate) -> bytes:
    """The drawing as PNG."""
    buffer = io.BytesIO()
    with styled(plate.name):
        _drawn(plate).savefig(buffer, format="png", dpi=PNG_DPI, metadata={"Software": None})
    return buffer.getvalue()


def as_csv(plate: Plate) -> str:
    """The numbers behind the drawing."""
    return comma_separated(plate.table)


def _finished(svg: str, plate: Plate) -> str:
    """With words for who cannot see it, without metadata, and with ids that no other drawing of a page has."""
    ElementTree.register_namespace("", SVG_NAMESPACE)
    ElementTree.register_namespace("xlink", LINK_NAMESPACE)
    root = ElementTree.fromstring(svg)
    metadata, style = (f"{{{SVG_NAMESPACE}}}{tag}" for tag in ("metadata", "style"))
    for parent in [*root.iter()]:
        for child in [child for child in parent if child.tag in (metadata, style)]:
            parent.remove(child)
    root.set("stroke-linejoin", "round")  # what the style said, without reaching other drawings of a page
    own = f"f{sha256(plate.name.encode()).hexdigest()[:8]}"
    for element in root.iter():
        for key, value in element.attrib.items():
            if key == "id":
                element.set(key, f"{own}-{value}")
            elif key == f"{{{LINK_NAMESPACE}}}href" and value.startswith("#"):
                element.set(key, f"#{own}-{value[1:]}")
            elif "url(#" in value:
                element.set(key, value.replace("url(#", f"url(#{own}-"))
    told = {"title": plate.title, "desc": " ".join(plate.table.notes)}
    for tag, words in reversed(told.items()):
        element = ElementTree.Element(f"{{{SVG_NAMESPACE}}}{tag}", {"id": f"{own}-{tag}"})
        element.text = printable(words)
        root.insert(0, element)
    root.set("role", "img")
    root.set("aria-labelledby", f"{own}-title")
    root.set("aria-describedby", f"{own}-desc")
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def write_figures(
    collection: Collection, folder: Path, only: Sequence[str] = (), sources: Sources | None = None
) -> tuple[list[Path], list[Hole]]:
    """Write every figure (or those named in ``only``) to ``folder``: SVG, PNG, and the data as CSV.

    Raises:
        CrossplaceError: no such figure.
    """
    for name in only:
        check_figure(name)
    files: list[Path] = []
    holes: list[Hole] = []
    for name in only or FIGURES:
        found, missing = plates(name, collection, sources)
        holes += missing
        for plate in found:
            if plate.holds_real_data and _is_committed(folder):
                reason = "frames and positions of real data are never written to results/; choose another --output"
                holes.append(Hole(figure=name, topic=plate.topic.words, reason=reason))
                continue
            for ending, content in _contents(plate).items():
                path = folder / f"{plate.name}.{ending}"
                write_atomically(path, content)
                files.append(path)
    return files, holes


def _contents(plate: Plate) -> dict[str, bytes]:
    return {
        "svg": as_svg(plate).encode(),
        "png": as_png(plate),
        "csv": as_csv(plate).encode(),
    }


def _is_committed(folder: Path) -> bool:
    """Whether a folder is where results are committed: the suite's own, or ``results`` of the working directory."""
    homes = (REPOSITORY / "results", Path("results").resolve())
    return any(folder.resolve().is_relative_to(home) for home in homes)
