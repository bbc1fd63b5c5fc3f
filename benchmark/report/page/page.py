"""The page: plain data for the template, and one HTML file with its style, script, pictures and maps inside.

The template holds no logic of tables, and every word is escaped on its way in. Nothing is fetched from anywhere: a
content security policy allows only what the file itself holds.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

import benchmark
from benchmark.records.collection import Collection, Group
from benchmark.report.page.boards import STAND_IN, board, sections_without_a_board
from benchmark.report.page.drawings import Drawing
from benchmark.report.page.maps import map_data
from benchmark.report.page.traces import commands, machines, methods
from benchmark.report.table import printable
from datasets.errors import CrossplaceError
from datasets.files import write_atomically

LARGEST_BYTES = 5_000_000
"""Most bytes of a page."""
MOST_MAP_BYTES = 1.2e6
"""Most bytes of the maps, less where tables and figures leave less."""


def report(
    collection: Collection,
    *,
    alone: bool = True,
    holes: Mapping[str, str] | None = None,
    drawings: Sequence[Drawing] = (),
) -> str:
    """The page of a collection; the same collection gives the same text.

    ``alone`` leaves out the published rows of other methods, ``holes`` are methods without a result and the reason.

    Raises:
        CrossplaceError: there is neither a result of a method nor a study, or ranks are damaged.
    """
    groups = [group for group in collection.groups if _has_methods(group)]
    if not groups and not collection.studies:
        raise CrossplaceError("no result of any method here; run crossplace bench, or name the folder of its result")
    content = {
        "version": benchmark.__version__,
        "boards": [
            board(group, f"board-{number}", alone=alone, holes=holes) for number, group in enumerate(groups, start=1)
        ],
        "stand_in": STAND_IN,
        "has_stand_in": not all(group.board.is_real for group in groups),
        "has_real": any(group.board.is_real for group in groups),
        "studies": sections_without_a_board(collection),
        "methods": methods(groups),
        "machines": machines(groups),
        "commands": commands(groups),
    }
    return _fitted(content, groups, drawings)


def write_report(collection: Collection, path: Path, **options: Any) -> None:
    """Write :func:`report` to ``path``, whole or not at all."""
    if path.is_dir():
        raise CrossplaceError(f"{path} is a folder; name a file in it, such as {path / 'report.html'}")
    write_atomically(path, report(collection, **options).encode())


def _has_methods(group: Group) -> bool:
    return any(result.method.origin != "ranker" for result in group.results)


def _fitted(content: Mapping[str, Any], groups: Sequence[Group], drawings: Sequence[Drawing]) -> str:
    """The page with as many figures, and as many queries on its maps, as its size allows."""
    figures = [_figure(drawing, number) for number, drawing in enumerate(drawings, start=1)]
    left = LARGEST_BYTES - len(_page(content, [], []).encode())
    kept = [figure for number, figure in enumerate(figures) if sum(map(_size, figures[: number + 1])) < left / 2]
    left -= sum(map(_size, kept))
    maps = map_data(groups, min(MOST_MAP_BYTES, 0.7 * left))
    n_left_out = len(figures) - len(kept)
    found = _page(content, kept, maps, n_left_out=n_left_out)
    is_small = len(found.encode()) <= LARGEST_BYTES
    return found if is_small else _page(content, kept, [], n_left_out=n_left_out)


def _figure(drawing: Drawing, number: int) -> dict[str, str]:
    return {
        "kind": drawing.kind or "Further figures",
        "number": str(number),
        "title": drawing.title,
        "picture": f"data:image/svg+xml;base64,{base64.b64encode(drawing.svg.encode()).decode()}",
        "csv": f"data:text/csv;base64,{base64.b64encode(drawing.csv.encode()).decode()}" if drawing.csv else "",
    }


def _size(figure: Mapping[str, str]) -> int:
    return sum(map(len, figure.values()))


def _page(content: Mapping[str, Any], figures: Sequence[Any], maps: Sequence[Any], *, n_left_out: int = 0) -> str:
    style, script = _part("page.css"), _part("page.js")
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )
    kinds: dict[str, list[Any]] = {}
    for figure in figures:
        kinds.setdefault(figure["kind"], []).append(figure)
    shown = {"figures": kinds, "n_left_out": n_left_out, "maps": maps, "policy": policy}
    return _template().render(**content, **shown, style=Markup(style), script=Markup(script))


@cache
def _template() -> Any:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_inert
    )
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}  # directions in the order of the results
    return environment.from_string(_part("page.html.j2"))


def _inert(value: Any) -> Any:
    """Words without characters that a browser would obey, such as those that turn the direction of writing."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _part(name: str) -> str:
    return (files("benchmark.report.page") / name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    """The source of a policy that allows exactly this text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
