"""What the repository holds of its own results beside the tables: the leaderboard that travels, and the README's."""

from collections.abc import Sequence
from pathlib import Path

from benchmark.catalogue import CATALOGUE, write_catalogue
from benchmark.records.environment import REPOSITORY
from benchmark.records.leaderboard import LEADERBOARD, write_leaderboard
from benchmark.records.schema import Result
from benchmark.report.formats import markdown
from benchmark.report.table import Cell, Column, Table, number, text
from benchmark.report.tables import FIRST, Comparison, means_over_seeds, recall_cell
from benchmark.request import DEFAULT_DATASET
from datasets.files import write_atomically

BEGIN, END = "<!-- leaderboard -->", "<!-- /leaderboard -->"
SHOWN = (DEFAULT_DATASET, "image->cloud")
"""Protocol and direction of the README's leaderboard."""


def update_repository(results_folder: Path, groups: Sequence[Sequence[Result]]) -> list[Path]:
    """Write leaderboard, catalogue and README, if ``results_folder`` is this repository's; returns what was written."""
    if results_folder.resolve() != REPOSITORY / "results":
        return []
    package, readme = REPOSITORY / "benchmark", REPOSITORY / "README.md"
    leaderboard, catalogue = package / "records" / LEADERBOARD, package / CATALOGUE
    write_leaderboard(groups, leaderboard)
    write_catalogue(catalogue)
    write_atomically(readme, with_leaderboard(readme.read_text(), groups).encode())
    return [leaderboard, catalogue, readme]


def with_leaderboard(document: str, groups: Sequence[Sequence[Result]]) -> str:
    """``document`` with the table between its two markers written anew; unchanged where it has no markers."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    return f"{before}{begin}\n{markdown(leaderboard_table(groups))}{end}{after}" if begin and end else document


def leaderboard_table(groups: Sequence[Sequence[Result]]) -> Table:
    """Methods on the town in one direction, means over seeds, best first, and chance as the last row."""
    protocol, direction = SHOWN
    group = next(group for group in groups if group[0].protocol["name"] == protocol)
    found = means_over_seeds(Comparison.of(group, alone=True))
    rows = [
        [
            text(f"`{entry.method}`"),
            recall_cell(entry, direction, FIRST),
            recall_cell(entry, direction, "R@5", ends=False),
            number(entry.cost["image"].value if "image" in entry.cost else None),
            number(entry.cost["cloud"].value if "cloud" in entry.cost else None),
        ]
        for entry in found.entries
        if entry.origin != "untrained"
    ]
    chance = next(entry for entry in found.bounds if entry.method == "random")
    rows.append(
        [text("*chance*"), *(recall_cell(chance, direction, m, ends=False) for m in (FIRST, "R@5")), Cell(), Cell()]
    )
    columns = [
        Column(name="image→cloud, built-in town"),
        Column(name="R@1 %, mean of 3 seeds"),
        Column(name="R@5 %"),
        Column(name="image", unit="ms"),
        Column(name="cloud", unit="ms"),
    ]
    return Table(columns=columns, rows=rows)
