"""What this repository shows of its own results: leaderboard, catalogue, tables within pages, and screens."""

from collections.abc import Callable
from pathlib import Path

from benchmark.catalogue import CATALOGUE, write_catalogue
from benchmark.cli.listing import listing
from benchmark.cli.pages import PAGES, filled, shown
from benchmark.records.collection import Collection
from benchmark.records.comparison import differences
from benchmark.records.environment import REPOSITORY
from benchmark.records.leaderboard import LEADERBOARD, write_leaderboard
from benchmark.report.comparison import Comparison
from benchmark.report.screen import screen
from benchmark.report.tables import as_text, difference_table
from benchmark.request import DEFAULT_METHOD
from datasets.files import write_atomically

WIDTHS = (80, 100)
"""Columns of the terminals that docs/screens.md shows."""


def update_repository(results_folder: Path, collection: Collection) -> list[Path]:
    """Write all that follows from the results, if ``results_folder`` is this repository's; returns what was written."""
    if results_folder.resolve() != REPOSITORY / "results":
        return []
    package, screens = REPOSITORY / "benchmark", REPOSITORY / "docs" / "screens.md"
    leaderboard, catalogue = package / "records" / LEADERBOARD, package / CATALOGUE
    write_leaderboard([group.results for group in collection.groups], leaderboard)
    write_catalogue(catalogue)
    write_atomically(screens, screens_document(collection).encode())
    pages = {REPOSITORY / page: tables for page, tables in PAGES.items()}
    for page, tables in pages.items():
        write_atomically(page, filled(page.read_text(), tables, collection).encode())
    return [leaderboard, catalogue, screens, *pages]


def screens_document(collection: Collection) -> str:
    """``docs/screens.md``: what commands print in terminals of several widths."""
    parts = [
        "# Screens\n",
        "What four commands print in terminals of 80 and of 100 columns, from the committed results. Written by",
        "`crossplace tables`; do not edit.\n",
    ]
    for command, draw in screens(collection).items():
        parts.append(f"## `{command}`\n")
        for width in WIDTHS:
            ruler = f"{'-' * (width - len(str(width)) - 1)} {width}"
            parts.append(f"```text\n{ruler}\n{draw(width).rstrip()}\n```\n")
    return "\n".join(parts)


def screens(collection: Collection) -> dict[str, Callable[[int], str]]:
    """Command → what it prints at a width."""
    group = shown(collection)
    bounds = [result for result in group.results if result.method.origin == "ranker"]
    first = [r for r in group.results if r.seed == 0 and r.method.origin in ("shipped", "trained", "nothing to train")]
    own = [r for r in first if r.method.name == DEFAULT_METHOD and r.method.origin == "shipped"]
    every = [r for r in first if r.method.name != DEFAULT_METHOD] + own
    best = Comparison.of([*every, *bounds], alone=True).entries[0].runs[0]
    runs = [group.folders[best], group.folders[own[0].run_id]]
    compared = differences(runs[:1], runs[1:])
    return {
        "crossplace bench": lambda width: as_text(Comparison.of([*own, *bounds]), width),
        "crossplace sweep": lambda width: as_text(Comparison.of([*every, *bounds], alone=True), width),
        "crossplace list methods": lambda width: listing("methods", width=width),
        f"crossplace compare {runs[0].name} --against {runs[1].name}": lambda width: screen(
            difference_table(compared, 1), width
        ),
    }
