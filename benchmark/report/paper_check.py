"""What is filled in the published files of papers, what is missing, and what contradicts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.records.collection import Collection
from benchmark.records.published import PUBLISHED, PublishedRow, contradictions, examined, runs_of
from benchmark.report.paper_pairings import is_cell, pairings, printed, published_rows, results_in
from benchmark.report.papers import PAPERS, PaperTable
from benchmark.report.table import Column, Table, number, text


@dataclass(frozen=True, kw_only=True)
class PublishedCheck:
    """What was found in the published files."""

    rows: Mapping[str, Sequence[PublishedRow]]
    """Rows without a fault, by the name of their file."""
    faults: Sequence[str]
    """A sentence for everything that is malformed, contradicts, or fills no cell."""

    @classmethod
    def of(cls, results: Path, names: Sequence[str]) -> "PublishedCheck":
        """Read every published file in the folder of results; nothing is raised for what is wrong in one.

        The files of the papers called ``names`` must be there.
        """
        wanted = [results / PUBLISHED / f"{name}.csv" for name in names]
        rows: dict[str, Sequence[PublishedRow]] = {}
        faults = [
            f"{path}: no such file; fetch it from the suite's repository" for path in wanted if not path.is_file()
        ]
        for path in sorted((results / PUBLISHED).glob("*.csv")):
            rows[path.stem], wrong = examined(path)
            faults += wrong
        within = {sentence for found in rows.values() for sentence in contradictions(found)}
        across = contradictions([row for found in rows.values() for row in found])
        faults += [sentence for sentence in across if sentence not in within]
        for name in PAPERS.keys() & rows.keys():
            faults += _without_cell(name, rows[name])
        return cls(rows=rows, faults=faults)


def check_table(name: str, check: PublishedCheck, results: Path) -> Table:
    """How many cells of each table of a paper are printed in its own file, quoted by other papers, or not recovered."""
    path = results / PUBLISHED / f"{name}.csv"
    own = check.rows.get(name, ())
    others = [row for other, rows in check.rows.items() if other != name for row in rows]
    rows = []
    for table in PAPERS[name].tables:
        cells = [(line, column) for line in table.lines if line.is_printed for column in table.columns]
        n_own = sum(printed(table, *cell, own) is not None for cell in cells)
        open_cells = [cell for cell in cells if printed(table, *cell, own) is None]
        n_quoted = sum(printed(table, *cell, others) is not None for cell in open_cells)
        rows.append([text(table.title, _about(table)), *map(number, (n_own, n_quoted, len(cells) - n_own - n_quoted))])
    counts = ("filled", "quoted elsewhere", "not recovered")
    columns = [Column(name="table"), *(Column(name=count, digits=0) for count in counts)]
    unplaced = [str(row.line) for row in own if row.values and not (row.table and row.page)]
    notes = [f"Numbers without table or page: {path}, line {', '.join(runs_of(unplaced))}."] if unplaced else []
    return Table(title=str(path), columns=columns, rows=rows, notes=notes)


def _about(table: PaperTable) -> str:
    """What the columns of a table are about."""
    parts = dict.fromkeys(column.part.name for column in table.columns if column.part.name)
    metrics = dict.fromkeys(column.metric for column in table.columns)
    return "; ".join(filter(None, [", ".join(parts), ", ".join(metrics)]))


def _without_cell(name: str, rows: Sequence[PublishedRow]) -> list[str]:
    """A sentence for each row of a paper's own file that stands in none of its tables."""
    tables = PAPERS[name].tables
    places = [(table, line, column) for table in tables for line in table.lines for column in table.columns]
    return [
        f"{row.where}: stands in no table of {PAPERS[name].name} (method {row.method!r}, split {row.split!r}, protocol "
        f"{row.protocol_id!r}, direction {row.direction!r}); write these as in the other lines of the file, or take "
        "the line away"
        for row in rows
        if not any(is_cell(table, line, column, row) for table, line, column in places)
    ]


def differing(name: str, collection: Collection) -> list[str]:
    """A sentence for each printed number outside of the interval of a comparable result of the suite."""
    rows = published_rows(name, collection)
    found: dict[str, None] = {}
    for table in PAPERS[name].tables:
        for pairing in pairings(table, results_in(table, collection), rows):
            difference = pairing.difference()
            if difference.low is None or difference.high is None or difference.low <= 0 <= difference.high:
                continue
            where = ", ".join(filter(None, [pairing.line.name, pairing.column.part.name, pairing.column.direction]))
            sentence = (
                f"{where}, {pairing.column.metric}: printed {pairing.printed:g} ({pairing.row.origin}), here "
                f"{pairing.cell.value:.1f} [{pairing.cell.low:.1f}, {pairing.cell.high:.1f}] ({pairing.here.words})"
            )
            found[sentence] = None  # several tables of a paper may hold one cell
    return [*found]
