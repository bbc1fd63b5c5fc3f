"""Drawing the tables of ``PAPERS``: printed numbers, results of the suite, and differences where the rules agree."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from benchmark.catalogue import method_entry
from benchmark.records.collection import Collection
from benchmark.records.leaderboard import Board
from benchmark.records.published import QUANTITIES, PublishedRow, folded, training_words
from benchmark.report.comparison import STARTED, arrow
from benchmark.report.paper_results import SMALL, HereLine, here_lines, trained_here
from benchmark.report.papers import PAPERS, PaperColumn, PaperLine, PaperPart, PaperTable
from benchmark.report.table import Cell, Column, Section, Table, text
from benchmark.request import DEFAULT_DATASET
from datasets.protocols import PROTOCOLS

NOT_RECOVERED = "not recovered"
"""What a published cell without a number says."""
PRESETS = ("paper-{dataset}", "paper", "full", "gpu")
"""Presets with the papers' architectures, the one with the published schedule first."""
STAND_IN = "procedural stand-in"
ON_TOWN = f"The same shape on the built-in town · {STAND_IN}, never to be compared with printed numbers"
HOW_TO_READ = (
    "Recall in %. Results here have a [95 % interval] where they, or the ranks beside them, hold one; several seeds: "
    "mean ± standard deviation."
)
MARKED = "Marked results under the same protocol, which must not be set beside printed numbers"
SMALLER = f"{', '.join(SMALL)}: a smaller network than the paper's; {'; '.join(STARTED.values())}."
DIFFERENCE = "Difference: here minus printed, only where protocol and training set agree"
Here = Mapping[PaperLine, Sequence[HereLine]]
_UNITS = {quantity.name: quantity.unit for quantity in QUANTITIES.values()}


def paper_sections(name: str, collection: Collection) -> list[Section]:
    """A section for each table of the paper called ``name``, and one for the same shapes on the built-in town.

    A section holds printed numbers with unmarked results below them, differences, and marked results, apart. A
    collection without the paper's file has no sections.
    """
    if name not in collection.published:
        return []
    rows = published_rows(name, collection.published)
    first, *others = [_section(table, collection, rows) for table in PAPERS[name].tables]
    sections = [replace(first, notes=[HOW_TO_READ, *first.notes, *PAPERS[name].notes]), *others]
    town = _on_town(name, collection)
    return [*sections, Section(title=ON_TOWN, tables=town)] if town else sections


def _section(table: PaperTable, collection: Collection, rows: Sequence[PublishedRow]) -> Section:
    here = results_in(table, collection)
    tables = [_beside(table, here, rows), _differences(table, here, rows), _marked(table, here)]
    return Section(title=section_title(table), tables=[found for found in tables if found], notes=table.notes)


def section_title(table: PaperTable) -> str:
    """The title of a table, with what all of its columns have in common."""
    return " · ".join([table.title, *_shared(table.columns)])


def published_rows(name: str, files: Mapping[str, Sequence[PublishedRow]]) -> list[PublishedRow]:
    """All published rows, those in the paper's own file before those of papers that quote it."""
    return [*files.get(name, ()), *(row for other in files if other != name for row in files[other])]


def results_in(table: PaperTable, collection: Collection) -> Here:
    """The results of the suite for each row of a paper's table."""
    with_studies = any(line.variant for line in table.lines)
    return {
        line: here_lines(line, table.columns, collection, lambda _: table.protocol, with_studies=with_studies)
        for line in table.lines
        if line.method
    }


# --- headings ------------------------------------------------------------------------------------


def _aspects(column: PaperColumn) -> tuple[str, str, str]:
    """What a heading can say: the part, the direction, and the metric with its unit."""
    unit = "" if column.direction else _UNITS[column.metric]
    named = " ".join(filter(None, [column.metric, unit]))
    return column.part.name or column.part.on_town, arrow(column.direction), named


def _varies(columns: Sequence[PaperColumn]) -> list[bool]:
    return [len(set(values)) > 1 for values in zip(*map(_aspects, columns), strict=True)]


def _shared(columns: Sequence[PaperColumn]) -> list[str]:
    """What all columns have in common, for the title; the part only where a paper names one."""
    part, direction, metric = (
        "" if varies else words for varies, words in zip(_varies(columns), _aspects(columns[0]), strict=True)
    )
    return [words for words in (part if columns[0].part.name else "", direction, metric) if words]


def _headings(columns: Sequence[PaperColumn], digits: Sequence[int] = (), *, is_signed: bool = False) -> list[Column]:
    """The column of names, and a column for each number, headed by what the others have otherwise."""
    varies = _varies(columns)
    found = [Column(name="method")]
    for place, column in enumerate(columns):
        words = [word for word, is_said in zip(_aspects(column), varies, strict=True) if is_said]
        name = " ".join(words) or _aspects(column)[2]
        found.append(Column(name=name, digits=digits[place] if digits else 1, is_signed=is_signed))
    return found


# --- printed and here ----------------------------------------------------------------------------


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


def _beside(table: PaperTable, here: Here, published: Sequence[PublishedRow]) -> Table:
    """Printed numbers, and below each row the results of the suite that may stand beside them."""
    rows: list[list[Cell]] = []
    origins: dict[str, None] = {}
    digits = [-1] * len(table.columns)
    for line in table.lines:
        if line.is_printed:
            found = [printed(table, line, column, published) for column in table.columns]
            origins |= {row.origin: None for row in found if row}
            cells = [_printed_cell(row, column) for row, column in zip(found, table.columns, strict=True)]
            digits = [max(pair) for pair in zip(digits, map(_digits, found, table.columns), strict=True)]
            rows.append([text(line.name, "published"), *cells])
        whole = [found for found in here.get(line, ()) if not found.marks]
        rows += [[text(line.name, f"here, {found.words}"), *found.cells] for found in whole]
        if line.method and not whole:
            rows.append([text(line.name, "here"), *[Cell(reason=_missing(table, line))] * len(table.columns)])
    notes = [f"Printed numbers: {'; '.join(origins)}."] if origins else []
    without = [line.name for line in table.lines if not line.method]
    notes += [f"The suite has no implementation of {', '.join(without)}."] if without else []
    shown = [1 if decimals < 0 else decimals for decimals in digits]
    return Table(columns=_headings(table.columns, shown), rows=rows, notes=notes)


def _printed_cell(row: PublishedRow | None, column: PaperColumn) -> Cell:
    return Cell(value=float(row.values[column.metric])) if row else Cell(under=NOT_RECOVERED)


def _digits(row: PublishedRow | None, column: PaperColumn) -> int:
    """Decimals that are printed; -1 where no number is."""
    return -int(row.values[column.metric].as_tuple().exponent) if row else -1


# --- differences ---------------------------------------------------------------------------------


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
    def name(self) -> str:
        """Which cell it is, in words."""
        return " ".join(filter(None, [self.line.name, self.column.part.name, *_aspects(self.column)[1:]]))

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


def _differences(table: PaperTable, here: Here, published: Sequence[PublishedRow]) -> Table | None:
    """A row for each result with its differences; none where no cell has both numbers."""
    rows: dict[tuple[str, str], dict[PaperColumn, Cell]] = {}
    for pairing in pairings(table, here, published):
        rows.setdefault((pairing.line.name, pairing.here.words), {})[pairing.column] = pairing.difference()
    if not rows:
        return None
    missing = Cell(reason="one of the two numbers is missing")
    body = [[text(*names), *(cells.get(column, missing) for column in table.columns)] for names, cells in rows.items()]
    notes = [
        "In percentage points, with the interval of the result here; what the printed number varies by is unknown."
    ]
    return Table(title=DIFFERENCE, columns=_headings(table.columns, is_signed=True), rows=body, notes=notes)


# --- what is not set beside printed numbers ------------------------------------------------------


def _marked(table: PaperTable, here: Here) -> Table | None:
    rows = [
        [text(line.name, ", ".join(dict.fromkeys([*found.words.split(", "), *found.marks]))), *found.cells]
        for line, lines in here.items()
        for found in lines
        if found.marks
    ]
    return Table(title=MARKED, columns=_headings(table.columns), rows=rows, notes=[SMALLER]) if rows else None


def _on_town(name: str, collection: Collection) -> list[Table]:
    """The rows and directions of a paper's tables on the built-in town; those that are alike there are one table."""
    alike: dict[tuple[tuple[PaperLine, ...], tuple[PaperColumn, ...]], list[str]] = {}
    for table in PAPERS[name].tables:
        lines = [replace(line, train_split="") for line in table.lines if line.method and _is_trained_so(table, line)]
        columns = [replace(column, part=PaperPart(on_town=column.part.on_town)) for column in table.columns]
        shape = tuple(dict.fromkeys(lines)), tuple(dict.fromkeys(columns))
        alike.setdefault(shape, []).append(table.title)
    found = [_town_table(lines, columns, titles, collection) for (lines, columns), titles in alike.items()]
    return [table for table in found if table]


def _town_table(
    lines: Sequence[PaperLine], columns: Sequence[PaperColumn], titles: Sequence[str], collection: Collection
) -> Table | None:
    """One table of the town, instead of those with ``titles``; none if no method has a result there."""
    with_studies = any(line.variant for line in lines)
    rows, is_empty = [], True
    for line in lines:
        found = here_lines(line, columns, collection, lambda column: column.part.on_town, with_studies=with_studies)
        is_empty = is_empty and not found
        rows += [[text(line.name, one.words), *one.cells] for one in found]
        if not found:
            rows.append([text(line.name), *(Cell(reason=no_result(line, c.part.on_town)) for c in columns)])
    protocols = " and ".join(dict.fromkeys(column.part.on_town for column in columns))
    title = " · ".join([protocols, *_shared(columns), STAND_IN])
    notes = [f"In the place of: {'; '.join(dict.fromkeys(titles))}."]
    return None if is_empty else Table(title=title, columns=_headings(columns), rows=rows, notes=notes)


# --- reasons -------------------------------------------------------------------------------------


def _is_trained_so(table: PaperTable, line: PaperLine) -> bool:
    """Whether the protocol trains on what a row asks for, if it asks for anything."""
    return not line.train_split or line.train_split == training_words(PROTOCOLS[table.protocol].split.train)


def _missing(table: PaperTable, line: PaperLine) -> str:
    """Why a row has no result that may stand beside printed numbers."""
    if _is_trained_so(table, line):
        return no_result(line, table.protocol)
    trained_on = training_words(PROTOCOLS[table.protocol].split.train)
    return f"no result of {line.method}: {table.protocol} trains on {trained_on}, not on {line.train_split}"


def no_result(line: PaperLine, protocol: str) -> str:
    """That a method has no result under a protocol, and the command that makes one; recorded data must be given."""
    data = PROTOCOLS[protocol].dataset
    options = [f"--variant {line.variant}" if line.variant else "", f"--protocol {protocol}"]
    if data != DEFAULT_DATASET:
        options = [f"--preset {paper_preset(line.method, data)} --dataset {data} --source DIR", *options]
    named = f"{line.method} with {line.variant}" if line.variant else line.method
    command = " ".join(filter(None, ["crossplace bench", f"--method {line.method}", *options]))
    return f"no result of {named} under {protocol}: {command}"


def paper_preset(method: str, dataset: str) -> str:
    """The preset of a method that comes nearest to what its paper did on a dataset."""
    there = method_entry(method).presets
    wanted = [preset.format(dataset=dataset) for preset in PRESETS]
    return next((preset for preset in wanted if preset in there), next(iter(there)))
