"""What this repository shows of its own results: leaderboard, catalogue, the table of the README, and screens."""

from collections.abc import Callable
from pathlib import Path

from benchmark.catalogue import CATALOGUE, write_catalogue
from benchmark.cli.listing import listing
from benchmark.records.collection import Collection, Group
from benchmark.records.comparison import differences
from benchmark.records.environment import REPOSITORY
from benchmark.records.leaderboard import IMAGENET, LEADERBOARD, Entry, write_leaderboard
from benchmark.report.comparison import BOUNDS, FIRST, Comparison, means_over_seeds
from benchmark.report.formats import markdown
from benchmark.report.screen import screen
from benchmark.report.table import Cell, Column, Table, number, text
from benchmark.report.tables import as_text, difference_table, recall_cell
from benchmark.request import DEFAULT_DATASET, DEFAULT_METHOD
from datasets.files import write_atomically

BEGIN, END = "<!-- leaderboard -->", "<!-- /leaderboard -->"
SHOWN = (DEFAULT_DATASET, "image->cloud")
"""Protocol and direction of the README's leaderboard."""
MARK, STARTS_THERE = "†", "starts from ImageNet weights (preset `pretrained`)"
"""The mark of such rows in the README's leaderboard, and what it means."""
WIDTHS = (80, 100)
"""Columns of the terminals that docs/screens.md shows."""


def update_repository(results_folder: Path, collection: Collection) -> list[Path]:
    """Write all that follows from the results, if ``results_folder`` is this repository's; returns what was written."""
    if results_folder.resolve() != REPOSITORY / "results":
        return []
    package, readme, screens = REPOSITORY / "benchmark", REPOSITORY / "README.md", REPOSITORY / "docs" / "screens.md"
    leaderboard, catalogue = package / "records" / LEADERBOARD, package / CATALOGUE
    write_leaderboard([group.results for group in collection.groups], leaderboard)
    write_catalogue(catalogue)
    write_atomically(readme, with_leaderboard(readme.read_text(), collection).encode())
    write_atomically(screens, screens_document(collection).encode())
    return [leaderboard, catalogue, readme, screens]


# --- README --------------------------------------------------------------------------------------


def with_leaderboard(document: str, collection: Collection) -> str:
    """``document`` with the table between its two markers written anew; unchanged where it has no markers."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    return f"{before}{begin}\n{markdown(leaderboard_table(collection))}{end}{after}" if begin and end else document


def leaderboard_table(collection: Collection) -> Table:
    """Methods on the town in one direction, means over seeds, best first, and chance as the last row."""
    direction = SHOWN[1]
    found = means_over_seeds(Comparison.of(_shown(collection).results, alone=True))
    rows = [
        [
            text(_marked(entry)),
            recall_cell(entry, direction, FIRST),
            recall_cell(entry, direction, "R@5", ends=False),
            *(number(entry.cost[part].value if part in entry.cost else None) for part in ("image", "cloud")),
        ]
        for entry in found.entries
        if entry.origin != "untrained"
    ]
    chance = next(entry for entry in found.bounds if BOUNDS[entry.method].startswith("by chance"))
    by_chance = [recall_cell(chance, direction, metric, ends=False) for metric in (FIRST, "R@5")]
    rows.append([text("*chance*"), *by_chance, Cell(), Cell()])
    columns = [
        Column(name="image→cloud, built-in town"),
        Column(name="R@1 %, mean of 3 seeds"),
        Column(name="R@5 %"),
        Column(name="image", unit="ms"),
        Column(name="cloud", unit="ms"),
    ]
    is_marked = any(IMAGENET in entry.learnt for entry in found.entries)
    return Table(columns=columns, rows=rows, notes=[f"{MARK} {STARTS_THERE}"] if is_marked else [])


def _marked(entry: Entry) -> str:
    """The method, with a mark if its backbone starts from ImageNet weights."""
    return f"`{entry.method}`{MARK if IMAGENET in entry.learnt else ''}"


def _shown(collection: Collection) -> Group:
    return next(group for group in collection.groups if group.board.protocol["name"] == SHOWN[0])


# --- screens -------------------------------------------------------------------------------------


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
    group = _shown(collection)
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
