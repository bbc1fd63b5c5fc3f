"""Which tables are written of a collection of results: each kind one document, in every format of files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from benchmark.evaluation.metrics import METRICS
from benchmark.records.collection import Collection, Group
from benchmark.report.breakdowns import (
    condition_tables,
    confidence_tables,
    pair_tables,
    robustness_sections,
    seed_tables,
)
from benchmark.report.comparison import Comparison, footnotes, judged, means_over_seeds, title
from benchmark.report.cost import cost_sections
from benchmark.report.formats import FORMATS, as_csv, plain
from benchmark.report.latex import written
from benchmark.report.paper_tables import paper_sections
from benchmark.report.papers import PAPERS
from benchmark.report.protocols import protocol_sections
from benchmark.report.registration import registration_sections
from benchmark.report.scale import scale_section
from benchmark.report.sensitivity import sensitivity_section
from benchmark.report.studies import BY_QUESTION, study_sections
from benchmark.report.table import Cell, Section, Table
from benchmark.report.tables import cost_tables, recall_table
from datasets.files import write_atomically


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One document: its title, and its sections from a collection."""

    title: str
    sections: Callable[[Collection], list[Section]]


def by_board(tables: Callable[[Group], list[Table]]) -> Callable[[Collection], list[Section]]:
    """Sections of a kind that has one for each board: its tables, and how to read them."""

    def sections(collection: Collection) -> list[Section]:
        found = []
        for group in collection.groups:
            if made := tables(group):
                every = Comparison.of(group.results, alone=True)
                found.append(Section(title=title(every.board), tables=made, notes=footnotes(every)))
        return found

    return sections


def _recall_sections(collection: Collection) -> list[Section]:
    """For each board means over seeds with what a test says of them, and every run by metric."""
    found = []
    for group in collection.groups:
        every = Comparison.of(group.results, alone=True)
        means = judged(means_over_seeds(every), group)
        tables = [recall_table(means, metric) for metric in METRICS]
        if len(means.entries) < len(every.entries):
            tables += [named_each(recall_table(every, metric)) for metric in METRICS]
        found.append(Section(title=title(every.board), tables=tables, notes=footnotes(means)))
    return found


def named_each(table: Table) -> Table:
    """A table of runs beside one of means, with a title that says so."""
    return replace(table, title=f"Each run. {table.title}")


def _cost(group: Group) -> list[Table]:
    """Means over the seeds of one machine; a row that was measured on two machines stands in both tables."""
    every = Comparison.of(group.results, alone=True)
    machines = dict.fromkeys(entry.machine for entry in every.entries)
    parts = [[entry for entry in every.entries if entry.machine == machine] for machine in machines]
    return [table for part in parts for table in cost_tables(means_over_seeds(replace(every, entries=part)))]


def _study_sections(study: str, collection: Collection) -> list[Section]:
    return study_sections(collection.studies, (study,))


TABLES: dict[str, Kind] = {
    "recall": Kind(title="Recall", sections=_recall_sections),
    "cost": Kind(title="Cost", sections=by_board(_cost)),
    "cost-sessions": Kind(
        title="Cost in every preset, measured in sessions", sections=lambda collection: cost_sections(collection.costs)
    ),
    "protocols": Kind(title="Protocols side by side", sections=protocol_sections),
    "seeds": Kind(title="Seeds", sections=by_board(seed_tables)),
    "pairs": Kind(title="Pairs of traversals", sections=by_board(pair_tables)),
    "conditions": Kind(title="Conditions", sections=by_board(condition_tables)),
    "robustness": Kind(title="Robustness", sections=lambda collection: robustness_sections(collection.studies)),
    "confidence": Kind(title="Knowing when not to answer", sections=by_board(confidence_tables)),
    "sensitivity": Kind(
        title="Sensitivity",
        sections=lambda collection: [sensitivity_section(record) for record in collection.sensitivities],
    ),
    "scale": Kind(
        title="Size of the map",
        sections=lambda collection: [scale_section(record) for record in collection.scales],
    ),
    "registration": Kind(
        title="From a place to a pose", sections=lambda collection: registration_sections(collection.registrations)
    ),
    **{study: Kind(title=title, sections=partial(_study_sections, study)) for study, title in BY_QUESTION.items()},
    **{
        f"paper-{name}": Kind(title=f"The tables of {paper.name}", sections=partial(paper_sections, name))
        for name, paper in PAPERS.items()
    },
}
"""Name (and file) → what is written. A new table is a function and a line here."""


def as_markdown(section: Section) -> str:
    """A section with its title, tables and how to read them."""
    return "\n".join([f"## {plain(section.title)}\n", *map(FORMATS["md"], section.tables), *_list(section.notes)])


def document(kind: Kind, sections: Sequence[Section]) -> str:
    """A kind as Markdown."""
    body = [as_markdown(section) for section in sections]
    header = f"# {kind.title}\n\nWritten by `crossplace tables` from the results beside it; do not edit.\n\n"
    return header + ("\n".join(body) or "No results yet.\n")


def _list(notes: Sequence[str]) -> list[str]:
    return ["\n".join(f"- {plain(note)}" for note in notes) + "\n"] if notes else []


def latex_document(kind: Kind, sections: Sequence[Section]) -> str:
    """A kind as LaTeX to paste from; it needs the packages booktabs and nothing else."""
    lines = [f"% {kind.title}. Written by crossplace tables; needs \\usepackage{{booktabs}}."]
    for section in sections:
        lines += [f"% {written(section.title)}", *map(FORMATS["tex"], section.tables)]
    return "\n".join(lines) + "\n"


TIDY = ("section", "table", "row", "column", "value", "low", "high", "deviation", "letters", "words")


def tidy(kind: Kind, sections: Sequence[Section]) -> str:
    """A kind as CSV with a line for each cell, as data frames read it."""
    rows: list[Sequence[object]] = [TIDY]
    for section in sections:
        for table in section.tables:
            for row in table.rows:
                for column, cell in zip(table.columns[1:], row[1:], strict=True):
                    rows.append([section.title, table.title, _words(row[0]), column.heading, *_values(cell)])
    return as_csv(rows)


def _words(cell: Cell) -> str:
    return ", ".join(filter(None, [cell.words, cell.under]))


def _values(cell: Cell) -> list[object]:
    words = _words(cell) or cell.reason
    return [cell.value, cell.low, cell.high, cell.deviation, cell.letters, words]


DOCUMENTS: dict[str, Callable[[Kind, Sequence[Section]], str]] = {
    "md": document,
    "tex": latex_document,
    "csv": tidy,
}
"""Ending of a file → function from a kind and its sections to its text."""


def write_tables(collection: Collection, folder: Path, names: Sequence[str] = tuple(TABLES)) -> list[Path]:
    """Write kinds of ``TABLES`` (default: all) in every form of ``DOCUMENTS`` to ``folder``; returns the files."""
    written_files = []
    for name in names:
        kind = TABLES[name]
        sections = kind.sections(collection)
        for ending, form in DOCUMENTS.items():
            path = folder / f"{name}.{ending}"
            write_atomically(path, form(kind, sections).encode())
            written_files.append(path)
    return written_files
