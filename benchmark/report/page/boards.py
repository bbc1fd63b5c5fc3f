"""One board as a part of the page: its tables, its failures, what its data says, and its protocol."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from benchmark.frames.preparing import look_back
from benchmark.records.collection import Collection, Group
from benchmark.records.leaderboard import Board
from benchmark.report.comparison import FIRST, Comparison, footnotes, judged, marks, means_over_seeds
from benchmark.report.data import FACT_COLUMNS, fact_rows, verdict_notes
from benchmark.report.documents import TABLES
from benchmark.report.html import html
from benchmark.report.page.failures import NO_RANKS, failure_tables, heading
from benchmark.report.page.protocols import in_full, sentences
from benchmark.report.page.traces import run_marks, runs_table
from benchmark.report.table import Section, Table
from benchmark.report.tables import recall_table

FINGERPRINT_LETTERS = 12
"""Letters of a fingerprint that tell data from all other data."""
STAND_IN = "procedural stand-in: never to be compared with real data"


def board(group: Group, name: str, *, alone: bool, holes: Mapping[str, str] | None = None) -> dict[str, Any]:
    """All that the page shows of one board, as plain data; ``name`` is the beginning of its anchors."""
    shown = judged(means_over_seeds(Comparison.of(group.results, alone=alone, holes=holes)), group)
    lead, notes = recall_table(shown, FIRST), footnotes(shown)
    return {
        "name": name,
        "heading": heading(group.board),
        "data": f"{group.board.data}, fingerprint {group.board.fingerprint[:FINGERPRINT_LETTERS]}",
        "rules": f"{group.board.protocol['name']}, version {group.board.protocol['version']}",
        "sentence": shown.sentence(),
        "marks": board_marks(group),
        "lead": Markup(html(lead)),
        "notes": [note for note in notes if note not in shown.warnings],
        "warnings": list(shown.warnings),
        "kinds": [*_kinds(Collection(groups=[group]), name, lead, notes)],
        "failures": _failures(group),
        "facts": facts(group.board),
        "protocol": sentences(group.board.protocol),
        "protocol_in_full": Markup(html(in_full(group.board.protocol, "choice"))),
        "runs": Markup(html(runs_table(group))),
    }


def board_marks(group: Group) -> list[str]:
    """What keeps all numbers of a board, or some of its rows, from being what they look like."""
    of_board = [] if group.board.is_real else [STAND_IN]
    of_board += filter(None, marks(group.board.protocol).split(" · "))
    n_dirty = sum(bool(result.harness.get("dirty")) for result in group.results)
    dirty = f"{n_dirty} of {len(group.runs)} runs are dirty: files of the suite differed from its revision"
    is_short = [any("% of the schedule" in mark for mark in run_marks(result)) for result in group.results]
    short = f"{sum(is_short)} of {len(group.runs)} runs did a part or a multiple of their schedule"
    return [*of_board, *([dirty] if n_dirty else []), *([short] if any(is_short) else [])]


def sections_without_a_board(collection: Collection) -> list[dict[str, Any]]:
    """Sections of all kinds that belong to no board, such as studies."""
    alone = Collection(groups=[], studies=collection.studies)
    return [
        {"title": section.title, "tables": [*map(_fragment, section.tables)], "notes": list(section.notes)}
        for kind in TABLES.values()
        for section in kind.sections(alone)
    ]


def _kinds(collection: Collection, name: str, lead: Table, notes: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Every kind of table that a board has: what is shown already is left out."""
    for key, kind in TABLES.items():
        sections: list[Section] = kind.sections(collection)
        tables = [table for section in sections for table in section.tables if table != lead]
        if tables:
            further = [note for section in sections for note in section.notes if note not in notes]
            fragments = [*map(_fragment, tables)]
            yield {"name": f"{name}-{key}", "title": kind.title, "tables": fragments, "notes": further}


def _failures(group: Group) -> dict[str, Any]:
    tables = failure_tables(group)
    return {"tables": [*map(_fragment, tables)], "reason": "" if tables else f"There is {NO_RANKS}."}


def facts(board: Board) -> dict[str, Any]:
    """What the doctor found in the data, if it looked at this data on this machine."""
    found = look_back(board.dataset, board.fingerprint)
    if found is None:
        return {"table": "", "notes": []}
    table = Table(columns=FACT_COLUMNS, rows=fact_rows(found))
    return {"table": _fragment(table), "notes": [f"{found.n_sampled} frames were read.", *verdict_notes(found)]}


def _fragment(table: Table) -> Markup:
    return Markup(html(table))
