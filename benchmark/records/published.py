"""Numbers that papers print, with their sources: ``results/published/*.csv``, one file a paper. Needs no torch.

A cell without a number says that the number could not be read so far; nobody fills it from memory. docs/papers.md
describes the columns.
"""

import csv
import io
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby, product
from pathlib import Path
from typing import get_args

from benchmark.registry import METHODS
from datasets.base import Modality, Selection
from datasets.errors import CrossplaceError, unknown
from datasets.files import read_text
from datasets.protocols import PROTOCOLS

PUBLISHED = "published"
"""Folder of the files, within the folder of committed results."""
FORMULA = ("=", "+", "-", "@")
"""Words of a CSV file that begin so would be computed by a spreadsheet."""


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """What a column of numbers holds."""

    name: str
    """A metric, or a part of the cost, as tables of the suite call it."""
    unit: str
    is_percent: bool = False


QUANTITIES: dict[str, Quantity] = {
    "recall_at_1": Quantity(name="R@1", unit="%", is_percent=True),
    "recall_at_5": Quantity(name="R@5", unit="%", is_percent=True),
    "recall_at_10": Quantity(name="R@10", unit="%", is_percent=True),
    "recall_at_1pct": Quantity(name="R@1%", unit="%", is_percent=True),
    "image_ms": Quantity(name="image", unit="ms"),
    "cloud_ms": Quantity(name="cloud", unit="ms"),
    "frames_per_s": Quantity(name="frames/s", unit=""),
    "parameters_m": Quantity(name="parameters", unit="M"),
}
"""Columns of numbers, in order."""
IDENTITY = ("method", "method_id", "variant", "dataset", "split", "protocol_id", "train_split", "direction")
ORIGIN = ("source", "table", "page", "open_rule", "note")
COLUMNS = (*IDENTITY, *QUANTITIES, *ORIGIN)
"""All columns, in order."""
DIRECTIONS = tuple(f"{query}->{database}" for query, database in product(get_args(Modality), repeat=2))


@dataclass(frozen=True, kw_only=True)
class PublishedRow:
    """One line of a file: a method under one rule, in one direction, with what a paper prints of it."""

    method: str
    """The name that the paper prints."""
    method_id: str
    """The method of the suite that implements it, or nothing."""
    variant: str
    dataset: str
    split: str
    """Sequence, or pair of traversals, or nothing for the mean over all."""
    protocol_id: str
    """The protocol of the suite with the published rule, or nothing if none has it."""
    train_split: str
    """What the network was trained on, in the words of :func:`training_words`."""
    direction: str
    source: str
    table: str
    page: str
    open_rule: str
    """What of the rule or the method could not be read, so that no difference may be formed."""
    note: str
    values: Mapping[str, Decimal]
    """Numbers by the names of ``QUANTITIES``, with the digits that are printed."""
    file: Path
    line: int

    @property
    def where(self) -> str:
        """File and line, for a sentence."""
        return f"{self.file}, line {self.line}"

    @property
    def origin(self) -> str:
        """Source, table and page, as far as they are known."""
        table = f"Table {self.table}" if self.table else ""
        page = f"page {self.page}" if self.page else ""
        return ", ".join(filter(None, [self.source, table, page]))


def published_in(folder: Path) -> dict[str, tuple[PublishedRow, ...]]:
    """The rows of every file in ``folder``, by the file's name without its ending.

    Raises :class:`CrossplaceError` for the first fault, with its file, its line and its cure.
    """
    rows, faults = examined_in(folder)
    if faults:
        others = f" ({len(faults) - 1} further faults: crossplace tables --check)" if len(faults) > 1 else ""
        raise CrossplaceError(f"{faults[0]}{others}")
    return rows


def examined_in(folder: Path) -> tuple[dict[str, tuple[PublishedRow, ...]], list[str]]:
    """The rows of every file that are right, and a sentence for everything that is wrong, also between files."""
    found = {path.stem: examined(path) for path in sorted(folder.glob("*.csv"))}
    rows = {name: right for name, (right, _) in found.items()}
    faults = [fault for _, wrong in found.values() for fault in wrong]
    return rows, faults + contradictions([row for right in rows.values() for row in right])


def examined(path: Path) -> tuple[tuple[PublishedRow, ...], list[str]]:
    """The rows of a file that are right, and a sentence for every line or cell that is wrong."""
    reader = csv.reader(io.StringIO(read_text(path)))
    try:
        lines = [(reader.line_num, [cell.strip() for cell in line]) for line in reader]
    except csv.Error as error:
        return (), [f"{path}, line {reader.line_num}: not readable as CSV ({error}); save it as CSV with commas"]
    header = lines[0][1] if lines else []
    if fault := _header_fault(header):
        return (), [f"{path}, line 1: {fault}"]
    rows, faults = [], []
    for number, cells in lines[1:]:
        if not any(cells):
            continue
        wrong = [_count_fault(cells)] if len(cells) != len(header) else []
        wrong = wrong or _faults(dict(zip(header, cells, strict=True)))
        faults += [f"{path}, line {number}: {fault}" for fault in wrong]
        if not wrong:
            rows.append(_row(dict(zip(header, cells, strict=True)), path, number))
    return tuple(rows), faults


# --- faults of a line ----------------------------------------------------------------------------


def _header_fault(header: Sequence[str]) -> str:
    if missing := [name for name in COLUMNS if name not in header]:
        separator = "; separate the columns by commas" if len(header) == 1 else ""
        line = ",".join(COLUMNS)
        return f"the columns {', '.join(missing)} are missing; begin the file with the line {line}{separator}"
    if other := next((name for name in header if name not in COLUMNS), None):
        return f"{unknown('column', other, COLUMNS)}; rename the column or take it away"
    twice = next((name for name in header if header.count(name) > 1), "")
    return f"the column {twice} is there twice; take one away" if twice else ""


def _count_fault(cells: Sequence[str]) -> str:
    quotes = (
        "put words that hold a comma between quotation marks"
        if len(cells) > len(COLUMNS)
        else "add commas, and close every quotation mark"
    )
    return f"{len(cells)} cells where the header has {len(COLUMNS)}; {quotes}"


Check = Callable[[Mapping[str, str]], str]
CHECKS: tuple[Check, ...] = (
    lambda cell: "" if cell["method"] else "no method; write the name that the paper prints",
    lambda cell: _unknown("method", cell["method_id"], METHODS.names()),
    lambda cell: _unknown("protocol", cell["protocol_id"], list(PROTOCOLS)),
    lambda cell: _unknown("direction", cell["direction"], DIRECTIONS),
    lambda cell: _other_dataset(cell["protocol_id"], cell["dataset"]),
    lambda cell: (
        "a number without a source; write the paper and its arXiv id or venue into the column source"
        if any(cell[name] for name in QUANTITIES) and not cell["source"]
        else ""
    ),
)
"""What can be wrong with a line, apart from single cells."""


def _faults(cell: Mapping[str, str]) -> list[str]:
    """Everything that is wrong with a line."""
    formulae = [
        f"{name} begins with {words[0]!r}, which a spreadsheet computes; write the words without it"
        for name, words in cell.items()
        if words.startswith(FORMULA)
    ]
    numbers = [] if formulae else [_number_fault(name, cell[name]) for name in QUANTITIES]
    return [fault for fault in [*formulae, *(check(cell) for check in CHECKS), *numbers] if fault]


def _unknown(kind: str, name: str, known: Sequence[str]) -> str:
    return "" if not name or name in known else f"{unknown(kind, name, known)}; write one of these or leave it empty"


def _other_dataset(protocol: str, dataset: str) -> str:
    expected = PROTOCOLS[protocol].dataset if protocol in PROTOCOLS else dataset
    if expected == dataset:
        return ""
    return f"the protocol {protocol} is for the dataset {expected}, not for {dataset!r}; change one of the two"


_NUMBER = re.compile(r"(\d+(?:\.\d+)?)( ?%)?")


def _number_fault(name: str, words: str) -> str:
    """What is wrong with the cell of a column of numbers; a percentage up to 1 must be written with its sign."""
    if not words:
        return ""
    match, is_percent = _NUMBER.fullmatch(words), QUANTITIES[name].is_percent
    if not match or (match[2] and not is_percent):
        return f"{name} is {words!r}, which is no number; write it as printed, such as 77.28, or leave the cell empty"
    value = Decimal(match[1])
    if is_percent and value > 100:
        return f"{name} is {words}, but recall ends at 100 %; look at the paper again"
    if is_percent and 0 < value <= 1 and not match[2]:
        percent = (100 * value).normalize()
        return f"{name} is {words}, which looks like a fraction; write {percent:f}, or {words}% if that is printed"
    return ""


def _row(cell: Mapping[str, str], path: Path, line: int) -> PublishedRow:
    values = {
        quantity.name: Decimal(match[1])
        for name, quantity in QUANTITIES.items()
        if (match := _NUMBER.fullmatch(cell[name]))
    }
    words = {name: cell[name] for name in (*IDENTITY, *ORIGIN)}
    return PublishedRow(**words, values=values, file=path, line=line)


# --- contradictions ------------------------------------------------------------------------------


def folded(method: str) -> str:
    """A printed name without what papers write differently: (LC)^2 and (LC)² are one."""
    return re.sub(r"[^a-z0-9]", "", unicodedata.normalize("NFKC", method).casefold())


def contradictions(rows: Sequence[PublishedRow]) -> list[str]:
    """A sentence for each cell that is there twice with numbers that rounding does not explain."""
    found = []
    for (_, name), cells in groupby(sorted(_cells(rows), key=lambda cell: cell[0]), key=lambda cell: cell[0]):
        (_, first), *others = cells
        for _, other in others:
            mine, theirs = first.values[name], other.values[name]
            if not _agree(mine, theirs):
                found.append(
                    f"{first.where} and {other.where} contradict each other: {name} of {first.method}"
                    f"{f' on {first.split}' if first.split else ''} is {mine} and {theirs}; look at both sources "
                    f"({first.origin}; {other.origin}) and correct one, or say in train_split, "
                    "protocol_id or open_rule how they differ"
                )
    return found


def _cells(rows: Sequence[PublishedRow]) -> Iterator[tuple[tuple[tuple[str, ...], str], PublishedRow]]:
    """What each number is of, and its row. Without a protocol, only numbers of one table are of the same thing."""
    for row in rows:
        rule = (row.protocol_id,) if row.protocol_id else ("", str(row.file), row.table)
        asked = (row.dataset, row.split, row.direction, row.train_split, row.open_rule)
        made = (folded(row.method), row.variant, *asked, *rule)
        yield from (((made, name), row) for name in row.values)


def _agree(one: Decimal, other: Decimal) -> bool:
    """Whether two printed numbers can be one number, rounded to different digits."""
    step = max(Decimal(1).scaleb(int(number.as_tuple().exponent)) for number in (one, other))
    return abs(one - other) <= step / 2


# --- what was trained on -------------------------------------------------------------------------


def training_words(selection: Selection) -> str:
    """What a selection takes, in the words of the column ``train_split``.

    >>> training_words(Selection(traversals=("11", "12", "13", "15")))
    '11-13, 15'
    >>> training_words(Selection(traversals=("00",), rows=(0, 3000)))
    '00 frames 0-2999'
    """
    return ", ".join(_one_selection(part) for part in selection.alternatives())


def _one_selection(part: Selection) -> str:
    names = ", ".join("all" if name == "*" else name for name in names_in_runs(part.traversals)) or "nothing"
    first, end = part.rows
    rules = [
        f"frames {first}-{'' if end is None else end - 1}" if part.rows != (0, None) else "",
        f"in {len(part.regions)} squares" if part.regions else "",
        f"outside {len(part.outside)} squares" if part.outside else "",
    ]
    return " ".join(filter(None, [names, *rules]))


def names_in_runs(names: Sequence[str]) -> list[str]:
    """Names with runs of numbers that follow each other written as their ends."""
    runs: list[list[str]] = []
    for name in names:
        follows = runs and name.isdecimal() and runs[-1][-1].isdecimal() and int(name) == int(runs[-1][-1]) + 1
        if follows:
            runs[-1].append(name)
        else:
            runs.append([name])
    return [run[0] if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs]
