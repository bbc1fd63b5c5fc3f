"""Every method under every protocol of a dataset, side by side."""

from collections.abc import Sequence

from benchmark.evaluation.rankers import CHANCE
from benchmark.records.collection import Collection, Group
from benchmark.records.leaderboard import Entry
from benchmark.report.comparison import FIRST, Comparison, arrow, clean_rows, crosses, stand_in_note
from benchmark.report.table import Cell, Column, Section, Table, text
from benchmark.report.tables import mean_cell, named
from datasets.protocols import PROTOCOLS

NOTES = (
    "Mean over seeds ± standard deviation between them; a row may have other seeds under another protocol.",
    "A protocol says who asks, what is searched, and what a right answer is; compare within a column alone.",
)
NOT_RUN = "not run under this protocol"


def protocol_sections(collection: Collection) -> list[Section]:
    """A section for each dataset that has results under several protocols."""
    datasets: dict[tuple[str, str], list[Group]] = {}
    for group in collection.groups:
        datasets.setdefault((group.board.data, group.board.fingerprint), []).append(group)
    return [
        Section(title=f"{name}{stand_in_note(groups[0].board.is_real)}", tables=protocol_tables(groups), notes=NOTES)
        for (name, _), groups in datasets.items()
        if len(groups) > 1
    ]


def protocol_tables(groups: Sequence[Group]) -> list[Table]:
    """A table for each direction across modalities: a row a configuration, a column a protocol, chance last."""
    groups = sorted(groups, key=_place)
    rows = [{named(e): e for e in clean_rows(group) if e.origin != "untrained"} for group in groups]
    bounds = [{e.method: e for e in Comparison.of(group.results, alone=True).bounds} for group in groups]
    directions = [*filter(crosses, dict.fromkeys(d for found in rows for e in found.values() for d in e.recall))]
    columns = [Column(name="method"), *(Column(name=group.board.protocol["name"]) for group in groups)]
    tables = []
    for direction in directions:
        body = []
        for name in dict.fromkeys(name for found in rows for name in found):
            body.append([text(name), *(_cell(found.get(name), direction) for found in rows)])
        body.append([text("by chance"), *(_cell(found.get(CHANCE), direction) for found in bounds)])
        tables.append(Table(title=f"{FIRST}, {arrow(direction)}, %", columns=columns, rows=body))
    return tables


def _place(group: Group) -> tuple[int, str]:
    """Where the protocol of ``group`` stands in the suite's table; unknown ones stand last."""
    name = group.board.protocol["name"]
    return [*PROTOCOLS, name].index(name), name


def _cell(entry: Entry | None, direction: str) -> Cell:
    return mean_cell(entry, direction, FIRST) if entry else Cell(reason=NOT_RUN)
