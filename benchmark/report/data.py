"""Tables of data: what a prepared dataset holds, and how near its test places are to its training places."""

from collections.abc import Sequence

from benchmark.protocol.leaks import QUANTILES, Leak
from benchmark.report.table import NONE, Cell, Column, Table, number, text
from datasets.base import Protocol
from datasets.doctor.examination import Examination
from datasets.doctor.rules import RULES
from datasets.doctor.verdicts import words
from datasets.prepared import PreparedDataset
from datasets.summary import summarise


def summary_table(dataset: PreparedDataset) -> Table:
    """A row a traversal."""
    columns = [
        Column(name="traversal"),
        Column(name="condition"),
        Column(name="frames", digits=0),
        Column(name="length", unit="m"),
        Column(name="time", unit="min"),
        Column(name="revisits", digits=0),
        Column(name="points per cloud", digits=0),
        Column(name="image"),
    ]
    rows = [
        [
            text(s.traversal),
            text(s.condition),
            number(s.frames),
            number(s.length_m),
            number(s.minutes),
            number(s.revisits),
            number(s.points_per_cloud),
            text(s.image_size),
        ]
        for s in summarise(dataset)
    ]
    counts = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in dataset.counts.items())
    return Table(columns=columns, rows=rows, notes=[f"{len(dataset.frames):,} frames; {counts}", *origin_note(dataset)])


def origin_note(dataset: PreparedDataset) -> list[str]:
    """What a reader must know about the raw data: that it was generated, or fetched in part."""
    return [dataset.origin.note] if dataset.origin else []


FACT_COLUMNS = [Column(name=name) for name in ("fact", "measured", "expected", "verdict")]


def fact_rows(found: Examination) -> list[list[Cell]]:
    """A row a fact: its least and greatest value over the traversals, what is expected, and the verdict."""
    verdicts = {verdict.rule: verdict.severity for verdict in found.verdicts()}
    rows = []
    for name, rule in RULES.items():
        values = found.facts.get(name, {}).values()
        ends = dict.fromkeys(words(end) for end in (min(values), max(values))) if values else {}
        measured = f"{' to '.join(ends)}{rule.unit}" if ends else NONE
        verdict = verdicts.get(name, "ok") if ends else NONE
        rows.append([text(name), text(measured), text(rule.expected), text(verdict)])
    return rows


def verdict_notes(found: Examination) -> list[str]:
    """A note for each fault and doubt, and what good data keeps to."""
    return [
        *(f"FAULT: {sentence}" for sentence in found.faults()),
        *(f"doubt ({rule}): {sentence}" for rule, sentence in found.doubts().items()),
        *found.conventions("fault", "doubt"),
    ]


def facts_table(found: Examination, dataset: PreparedDataset) -> Table:
    """What the doctor found in ``dataset``, a row a fact (see :func:`fact_rows`)."""
    on_map = sum(traversal.georeferenced for traversal in dataset.traversals.values())
    notes = [
        f"{len(dataset.frames):,} frames, {found.n_sampled} of them read; georeferenced: {on_map} of "
        f"{len(dataset.traversals)} traversals. All about a rule: crossplace list rules NAME.",
        *origin_note(dataset),
        *verdict_notes(found),
        *([f"Doubts that you have looked into: bench --accept {' '.join(found.doubts())}"] if found.doubts() else []),
    ]
    title = f"What the data in {dataset.folder} says"
    return Table(title=title, columns=FACT_COLUMNS, rows=fact_rows(found), notes=notes)


def leak_table(leaks: Sequence[Leak], protocol: Protocol) -> Table:
    """A row for each kind of test frames beside each other part of the data."""
    split = protocol.split
    within = [f"≤ {radius_m:g} m" for radius_m in (split.positive_m, split.negative_m)]
    distances = ["least", *(f"{100 * q:g} %" for q in QUANTILES[1:-1]), "most"]
    columns = [
        Column(name="test frames"),
        Column(name="nearest of"),
        *(Column(name=name, digits=0) for name in ("the same", *within, "other world")),
        *(Column(name=name, unit="m") for name in distances),
    ]
    rows = [
        [
            text(f"{leak.test} ({leak.n_test})"),
            text(f"{leak.other} ({leak.n_other})"),
            *map(number, (leak.n_shared, leak.n_within_positive, leak.n_within_negative, leak.n_elsewhere)),
            *map(_metres, leak.quantiles_m),
        ]
        for leak in leaks
    ]
    note = "Distances in the plane, within one world, whatever the heading: to the nearest frame of the other part."
    return Table(columns=columns, rows=rows, notes=[note])


def _metres(value: float) -> Cell:
    return Cell() if value != value else number(value)  # nan: nothing to measure to
