"""Tables of results within pages of this repository, each between two markers of its name."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from benchmark.evaluation.rankers import CHANCE
from benchmark.records.collection import Collection, Group
from benchmark.records.comparison import differences
from benchmark.records.cost import CostSheet
from benchmark.records.leaderboard import IMAGENET, Entry
from benchmark.report.comparison import FIRST, Comparison, arrow, means_over_seeds
from benchmark.report.formats import markdown
from benchmark.report.protocols import protocol_tables
from benchmark.report.table import Cell, Column, Table, text
from benchmark.report.tables import mean_cell, named, recall_cell
from benchmark.request import DEFAULT_DATASET

SHOWN = (DEFAULT_DATASET, "image->cloud")
"""Protocol and direction that pages show."""
UNSTABLE = "?"
"""Stands behind a time that is not to be believed."""
MARK, STARTS_THERE = "†", "starts from ImageNet weights (preset `pretrained`)"
"""The mark of such rows in tables of the pages, and what it means."""

Tables = Mapping[str, Callable[[Collection], Table]]


def markers(name: str) -> tuple[str, str]:
    """What stands before and behind the table called ``name`` in a page."""
    return f"<!-- {name} -->", f"<!-- /{name} -->"


def filled(page: str, tables: Tables, collection: Collection) -> str:
    """``page`` with each of ``tables`` between its markers written anew; unchanged where it lacks them."""
    for name, table in tables.items():
        begin, end = markers(name)
        before, has_begin, rest = page.partition(begin)
        _, has_end, after = rest.partition(end)
        if has_begin and has_end:
            page = f"{before}{begin}\n{markdown(table(collection))}{end}{after}"
    return page


def leaderboard_table(collection: Collection) -> Table:
    """Methods on the town in one direction, means over seeds, best first, and chance as the last row."""
    direction = SHOWN[1]
    found = _methods(collection)
    times = Times.of(collection, found.entries)
    rows = [
        [
            text(_marked(entry)),
            recall_cell(entry, direction, FIRST),
            recall_cell(entry, direction, "R@5", ends=False),
            *times.cells(entry),
        ]
        for entry in found.entries
    ]
    chance = _chance(found)
    by_chance = [recall_cell(chance, direction, metric, ends=False) for metric in (FIRST, "R@5")]
    rows.append([text("*chance*"), *by_chance, Cell(), Cell()])
    columns = [
        Column(name="image→cloud, built-in town"),
        Column(name="R@1 %, mean of 3 seeds"),
        Column(name="R@5 %"),
        Column(name="image", unit="ms"),
        Column(name="cloud", unit="ms"),
    ]
    return Table(columns=columns, rows=rows, notes=[*_notes(found), *times.notes])


def methods_table(collection: Collection) -> Table:
    """Methods on the town in every direction, without intervals, and chance as the last row."""
    found = _methods(collection)
    shown = [(direction, FIRST) for direction in found.directions]
    shown.insert(1, (SHOWN[1], "R@5"))
    times = Times.of(collection, found.entries)

    def cells(entry: Entry) -> list[Cell]:
        return [mean_cell(entry, *what) for what in shown]

    rows = [[text(_marked(entry)), *cells(entry), *times.cells(entry)] for entry in found.entries]
    rows.append([text("*chance*"), *cells(_chance(found)), Cell(), Cell()])
    columns = [
        Column(name="method"),
        *(Column(name=f"{arrow(direction)} {metric} %") for direction, metric in shown),
        Column(name="image", unit="ms"),
        Column(name="cloud", unit="ms"),
    ]
    return Table(columns=columns, rows=rows, notes=[*_notes(found), *times.notes])


def neighbours_table(collection: Collection) -> Table:
    """Each method of the leaderboard minus the next one, with the paired interval."""
    direction, folders = SHOWN[1], shown(collection).folders
    rows = []
    for better, worse in pairwise(_methods(collection).entries):
        of_better, of_worse = ([folders[run] for run in entry.runs] for entry in (better, worse))
        found = differences(of_better, of_worse)[direction]
        low, high = 100 * found.interval.low, 100 * found.interval.high
        rows.append([text(f"{named(better)} − {named(worse)}"), Cell(value=100 * found.value, low=low, high=high)])
    columns = [Column(name="difference"), Column(name="percentage points [95 %]", is_signed=True)]
    return Table(columns=columns, rows=rows)


def protocols_table(collection: Collection) -> Table:
    """Methods under every protocol of the town, in one direction."""
    town = shown(collection).board
    groups = [group for group in collection.groups if group.board.fingerprint == town.fingerprint]
    return replace(next(t for t in protocol_tables(groups) if arrow(SHOWN[1]) in t.title), title="")


PAGES: dict[str, Tables] = {
    "README.md": {"leaderboard": leaderboard_table},
    "docs/town-methods.md": {
        "methods": methods_table,
        "neighbours": neighbours_table,
        "protocols": protocols_table,
    },
}
"""Page → its tables by the names of their markers."""


def _methods(collection: Collection) -> Comparison:
    """Methods on the town as they were trained, means over seeds, best first."""
    found = means_over_seeds(Comparison.of(shown(collection).results, alone=True))
    return replace(found, entries=[entry for entry in found.entries if entry.origin != "untrained"])


def _chance(found: Comparison) -> Entry:
    return next(entry for entry in found.bounds if entry.method == CHANCE)


@dataclass(frozen=True, kw_only=True)
class Times:
    """What one image and one cloud take, all on one machine: rows of a table may come from several."""

    sheets: Mapping[tuple[str, str], CostSheet]
    """Costs by method and preset."""

    @classmethod
    def of(cls, collection: Collection, entries: Sequence[Entry]) -> "Times":
        """Times on the machine, and in the setting, in which most of the entries were measured."""
        wanted = {(entry.method, entry.preset) for entry in entries if not entry.variant}
        sheets = [s for s in collection.costs if not (s.of or s.hole) and (s.method, s.preset) in wanted]
        most = [where for where, _ in Counter(map(_where, sheets)).most_common(1)]
        return cls(sheets={(sheet.method, sheet.preset): sheet for sheet in sheets if _where(sheet) in most})

    @property
    def notes(self) -> list[str]:
        """Where the times come from; nothing if there are none."""
        settings = dict.fromkeys(sheet.setting for sheet in self.sheets.values())
        return [
            f"ms: median for one image or one cloud, all on one machine ({setting}); {UNSTABLE}: unstable there"
            for setting in settings
        ]

    def cells(self, entry: Entry) -> list[Cell]:
        """The times of an entry; empty where it was not measured there."""
        sheet = None if entry.variant else self.sheets.get((entry.method, entry.preset))
        measures = [sheet and sheet.measure(part, "latency") for part in ("image", "cloud")]
        return [
            Cell(value=measure.value, under=UNSTABLE if measure.unstable else "") if measure else Cell()
            for measure in measures
        ]


def _where(sheet: CostSheet) -> tuple[str, str]:
    """The machine with its setting, and the frames: only numbers of one may stand in one column."""
    return sheet.setting, sheet.inputs.fingerprint


def _notes(found: Comparison) -> list[str]:
    """What the mark means, if any row has it."""
    is_marked = any(IMAGENET in entry.learnt for entry in found.entries)
    return [f"{MARK} {STARTS_THERE}"] if is_marked else []


def _marked(entry: Entry) -> str:
    """The method and its preset, with a mark if its backbone starts from ImageNet weights."""
    return f"`{named(entry)}`{MARK if IMAGENET in entry.learnt else ''}"


def shown(collection: Collection) -> Group:
    """The results that pages show: those under the town's usual protocol."""
    return next(group for group in collection.groups if group.board.protocol["name"] == SHOWN[0])
