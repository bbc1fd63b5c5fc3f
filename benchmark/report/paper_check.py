"""What ``crossplace tables --check`` says: printed numbers that are there, faults, and results unlike print."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from benchmark.records.collection import Collection, collect
from benchmark.records.published import PUBLISHED, PublishedRow, examined_in, names_in_runs
from benchmark.report.paper_tables import Pairing, is_cell, pairings, printed, published_rows, results_in, section_title
from benchmark.report.papers import PAPERS, PaperColumn, PaperLine, PaperTable
from benchmark.report.table import Column, Table, number, text
from datasets.errors import CrossplaceError, unknown

Printed = Mapping[str, Sequence[PublishedRow]]
"""Rows by the names of their files."""


def known_papers(name: str | None) -> list[str]:
    """The paper called ``name``, or all; raises :class:`CrossplaceError` for a name that is none."""
    if name is not None and name not in PAPERS:
        raise CrossplaceError(unknown("paper", name, [*PAPERS]))
    return [*PAPERS] if name is None else [name]


def require_files(names: Sequence[str], results: Path) -> None:
    """Raise :class:`CrossplaceError` where the folder of results has no file of printed numbers of a paper."""
    if absent := [f"{name}.csv" for name in names if not (results / PUBLISHED / f"{name}.csv").is_file()]:
        cure = f"name the folder of committed results with --results, or copy its folder {PUBLISHED} into {results}"
        raise CrossplaceError(f"{results / PUBLISHED}: no {', '.join(absent)}; {cure}")


def check_papers(names: Sequence[str], results: Path) -> tuple[list[Table], list[str]]:
    """What is filled in the files of papers, results that differ from it, and every fault of any file."""
    require_files(names, results)
    rows, faults = examined_in(results / PUBLISHED)
    tables = [filled(name, rows) for name in names]
    if not faults:
        collection = collect(results)
        tables += [table for name in names if (table := differing(name, collection))]
    return tables, faults


def filled(name: str, rows: Printed) -> Table:
    """How many cells of each table of a paper have a number, and which lines of its file wait for one."""
    own, every = rows.get(name, ()), published_rows(name, rows)
    body = []
    for table in PAPERS[name].tables:
        cells = [*_cells(table)]
        has = [printed(table, *cell, every) is not None for cell in cells]
        waiting = [row.line for row in own if any(is_cell(table, *cell, row) and _lacks(row, cell) for cell in cells)]
        body.append([text(f"{sum(has)} of {len(has)}"), text(_lines(waiting) or "none"), text(section_title(table))])
    columns = [Column(name="filled"), Column(name="lines with empty cells"), Column(name="table")]
    title = f"{PAPERS[name].name}: {PUBLISHED}/{name}.csv"
    return Table(title=title, columns=columns, rows=body, notes=_doubts(name, own))


def _cells(table: PaperTable) -> Iterator[tuple[PaperLine, PaperColumn]]:
    """The cells that the paper prints."""
    return ((line, column) for line in table.lines if line.is_printed for column in table.columns)


def _lacks(row: PublishedRow, cell: tuple[PaperLine, PaperColumn]) -> bool:
    return cell[1].metric not in row.values


def _doubts(name: str, own: Sequence[PublishedRow]) -> list[str]:
    """Numbers that no table shows, and numbers without a page."""
    cells = [(table, *cell) for table in PAPERS[name].tables for cell in _cells(table)]
    unseen = [
        row.line
        for row in own
        if row.values and not any(is_cell(*cell, row) and not _lacks(row, cell[1:]) for cell in cells)
    ]
    unpaged = [row.line for row in own if row.values and not row.page]
    notes = []
    if unseen:
        compare = "compare method, variant, split, protocol_id and direction with the lines beside them"
        notes.append(f"No table shows the numbers of lines {_lines(unseen)}; {compare}.")
    if unpaged:
        notes.append(f"Numbers without a page: lines {_lines(unpaged)}.")
    return notes


def _lines(numbers: Iterable[int]) -> str:
    return ", ".join(names_in_runs([*map(str, sorted(set(numbers)))]))


def differing(name: str, collection: Collection) -> Table | None:
    """Comparable results that differ from print by more than their interval; none if there is no such result."""
    rows = published_rows(name, collection.published)
    found = [
        pairing
        for table in PAPERS[name].tables
        for pairing in pairings(table, results_in(table, collection), rows)
        if not pairing.disagreement and _is_outside(pairing)
    ]
    columns = [
        Column(name="cell"),
        Column(name="here"),
        Column(name="printed", digits=2),
        Column(name="difference", is_signed=True),
    ]
    distinct = {(one.name, one.here.words, one.printed): one for one in found}.values()  # tables may share a cell
    body = [[text(one.name), one.cell, number(one.printed), one.difference()] for one in distinct]
    title = f"{PAPERS[name].name}: results that differ from print by more than their interval"
    return Table(title=title, columns=columns, rows=body) if body else None


def _is_outside(pairing: Pairing) -> bool:
    low, high = pairing.cell.low, pairing.cell.high
    return low is not None and high is not None and not low <= pairing.printed <= high
