"""Which printed number belongs into which cell of a paper's table, and what of the suite it may be compared with."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmark.records.collection import Collection
from benchmark.records.leaderboard import Board
from benchmark.records.published import PublishedRow, folded
from benchmark.report.paper_results import HereLine, here_lines, trained_here
from benchmark.report.papers import PaperColumn, PaperLine, PaperTable
from benchmark.report.table import Cell
from datasets.protocols import PROTOCOLS

Here = Mapping[PaperLine, Sequence[HereLine]]
"""Results of the suite by the row of a paper's table."""


def published_rows(name: str, collection: Collection) -> list[PublishedRow]:
    """All published rows, those in the paper's own file before those of papers that quote it."""
    files = collection.published
    return [*files.get(name, ()), *(row for other in files if other != name for row in files[other])]


def results_in(table: PaperTable, collection: Collection) -> Here:
    """The results of the suite for each row of a paper's table."""
    with_studies = any(line.variant for line in table.lines)
    return {
        line: here_lines(line, table.columns, collection, lambda _: table.protocol, with_studies=with_studies)
        for line in table.lines
        if line.method
    }


def printed(
    table: PaperTable, line: PaperLine, column: PaperColumn, rows: Sequence[PublishedRow]
) -> PublishedRow | None:
    """The first row that prints a number for a cell."""
    return next((row for row in rows if column.metric in row.values and is_cell(table, line, column, row)), None)


def is_cell(table: PaperTable, line: PaperLine, column: PaperColumn, row: PublishedRow) -> bool:
    """Whether a published row is about this row and column of a paper's table."""
    rule = table.protocol if table.published_protocol is None else table.published_protocol
    asked = (folded(line.name), line.variant, column.direction, column.part.name)
    if asked != (folded(row.method), row.variant, row.direction, row.split):
        return False
    if not column.direction:  # the cost of a method is not that of a dataset
        return True
    return (table.dataset, rule) == (row.dataset, row.protocol_id) and line.train_split in ("", row.train_split)


@dataclass(frozen=True, kw_only=True)
class Pairing:
    """A printed number and one of the suite in the same cell."""

    line: PaperLine
    column: PaperColumn
    row: PublishedRow
    here: HereLine
    cell: Cell
    """The number of the suite."""
    disagreement: str
    """Why no difference may be formed; nothing where one may."""

    def difference(self) -> Cell:
        """Here minus printed, with the interval of the result moved along, or the reason why there is none."""
        value, low, high = (
            None if v is None else v - self.printed for v in (self.cell.value, self.cell.low, self.cell.high)
        )
        if self.disagreement:
            return Cell(reason=self.disagreement)
        return Cell(value=value, low=low, high=high, deviation=self.cell.deviation)

    @property
    def printed(self) -> float:
        """The printed number."""
        return float(self.row.values[self.column.metric])


def pairings(table: PaperTable, here: Here, published: Sequence[PublishedRow]) -> Iterator[Pairing]:
    """Every cell that has a printed number and one of an unmarked result."""
    for line, found in here.items():
        for one in found:
            for column, cell in zip(table.columns, one.cells, strict=True):
                row = printed(table, line, column, published)
                if row and cell.value is not None and not one.marks:
                    why = disagreement(row, one.board, column)
                    yield Pairing(line=line, column=column, row=row, here=one, cell=cell, disagreement=why)


def disagreement(row: PublishedRow, board: Board | None, column: PaperColumn) -> str:
    """What keeps a result from being compared with a printed number; nothing if both were made by the same rules."""
    if not column.direction:
        return "costs were measured on different machines"
    if board is None:
        return "a study does not hold what its methods were trained on"
    protocol, trained_on = board.protocol, trained_here(board)
    today = PROTOCOLS[protocol["name"]].version
    reasons = {
        f"not known of the printed number: {row.open_rule}": row.open_rule,
        f"the suite has no protocol with the rule of {row.source}": not row.protocol_id,
        f"printed under {row.protocol_id}, here under {protocol['name']}": row.protocol_id != protocol["name"],
        f"made under version {protocol['version']} of {protocol['name']}, which is at {today}; run it again": (
            protocol["version"] != today
        ),
        f"what {row.source} trained on is not known": not row.train_split,
        f"trained on {trained_on} here, on {row.train_split} there": trained_on != row.train_split,
    }
    return next((reason for reason, holds in reasons.items() if holds), "")
