"""A protocol in sentences for people, and in full as a table."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from benchmark.records.schema import protocol_of
from benchmark.report.table import Column, Table, text
from datasets.base import Protocol, Selection
from datasets.places import PLANE

PAIRS = {
    "across": "Every traversal is searched for the places of every other traversal.",
    "within": "Every traversal is searched for its own places: the car comes by again.",
}
NO_POSITIVE = {
    "skip": "Queries that have no right place in the database are left out.",
    "miss": "Queries that have no right place in the database count as wrong.",
}
AVERAGING = {
    "pairs": "The headline is the mean over pairs of traversals, each of which counts the same.",
    "queries": "The headline is the mean over all queries together.",
}


def sentences(content: Mapping[str, Any]) -> list[str]:
    """What the protocol asks, searches, and calls right; ``content`` is that of a result."""
    protocol = protocol_of(content)
    return [protocol.title.rstrip(".") + ".", *_asked(protocol), *_right(protocol), *_counted(protocol)]


def _asked(protocol: Protocol) -> Iterator[str]:
    yield f"Queries: {_selection(protocol.query)}. Database: {_selection(protocol.database)}."
    if isinstance(protocol.pairs, str):
        yield PAIRS[protocol.pairs]
    else:
        yield f"{len(protocol.pairs)} listed pairs of traversals are searched."
    if protocol.min_gap_s is not None:
        yield f"Frames within {protocol.min_gap_s:g} s of the query are not searched."
    if protocol.earlier_only:
        yield "Only frames before the query are searched."
    if protocol.own_frame == "drop":
        yield "The frame of the query itself is not searched."


def _right(protocol: Protocol) -> Iterator[str]:
    across = "" if tuple(protocol.distance_axes) == PLANE else f", measured over {', '.join(protocol.distance_axes)}"
    yield f"A retrieved place is right if it is at most {protocol.radius_m:g} m from the query{across}."
    if protocol.heading_limit_rad is None:
        yield "The direction of travel does not matter."
        return
    degrees = math.degrees(protocol.heading_limit_rad)
    if protocol.travel == "opposite":
        yield f"Both headings must also be opposite within {degrees:.0f}°."
        yield "Frames with the heading of the query are not searched."
    else:
        yield f"Both headings must also differ by less than {degrees:.0f}°, so the opposite direction is wrong."


def _counted(protocol: Protocol) -> Iterator[str]:
    yield NO_POSITIVE[protocol.no_positive]
    yield AVERAGING[protocol.averaging]
    if protocol.search_depth is not None:
        yield f"As in the published evaluator, a search ends after {protocol.search_depth} places."
    split = protocol.split
    yield f"Training: {_selection(split.train)}."
    yield f"In training, places are one up to {split.positive_m:g} m and different beyond {split.negative_m:g} m."
    if protocol.absent:
        yield f"PARTIAL: these test traversals are absent: {', '.join(protocol.absent)}."


def _selection(selection: Selection) -> str:
    """Frames in words."""
    kept = [name for name in selection.traversals if not name.startswith("!")] or ["*"]
    left_out = [name[1:] for name in selection.traversals if name.startswith("!")]
    said = "all traversals" if kept == ["*"] else f"traversals {', '.join(kept)}"
    if not selection.traversals:
        return "no frames"
    parts = [said, f"without {', '.join(left_out)}" if left_out else ""]
    parts.append(f"inside {len(selection.regions)} squares of the map" if selection.regions else "")
    parts.append(f"outside {len(selection.outside)} squares of the map" if selection.outside else "")
    parts.append(f"a frame every {selection.spacing_m:g} m" if selection.spacing_m is not None else "")
    parts.append(f"about {selection.count} frames of each" if selection.count is not None else "")
    parts.append(f"the middle {100 * selection.middle_share:g} % of them" if selection.middle_share < 1 else "")
    return ", ".join(filter(None, parts))


def in_full(content: Mapping[str, Any], heading: str) -> Table:
    """Every value below ``content`` with its path, a row each."""
    rows = [[text(path), text(value)] for path, value in flat(content)]
    return Table(columns=[Column(name=heading), Column(name="value")], rows=rows)


def flat(content: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Paths with dots, and values in a line each: ``grid.size_m``, ``0.8, 0.8, 0.4``."""
    if isinstance(content, Mapping) and content:
        for name, value in content.items():
            yield from flat(value, f"{path}.{name}" if path else str(name))
    elif isinstance(content, list | tuple) and any(isinstance(part, Mapping) for part in content):
        for number, value in enumerate(content):
            yield from flat(value, f"{path}.{number}")
    elif isinstance(content, list | tuple):
        yield path, ", ".join(map(str, content)) or "none"
    else:
        yield path, "none" if content in (None, "", {}) else str(content)
