"""Tables of what methods cost: a section for each machine and setting, because their numbers cannot be compared."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmark.records.cost import AGREE, EXPORTS, REGISTRATIONS, CostSheet, InputsRecord, Measure, agreement
from benchmark.report.table import Cell, Column, Section, Table, number, text
from benchmark.report.tables import USUAL

OWN_TABLE = 3
"""A quantity of at least so many parts has a table of its own; all others stand together."""
TITLES = {"": "Cost on {}", EXPORTS: "Exported networks on {}", REGISTRATIONS: "Registration on {}"}
"""Title of a section by what its sheets are about, with a place for the machine."""
UNSTABLE = "unstable"
MEANINGS = {
    "": "Latency is that of one frame, from stored image or cloud to descriptor; loading is not counted. Weights are "
    "random, on which times do not depend.",
    EXPORTS: "Latency is that of one frame, from the input of the network to its descriptor, network and file in turn. "
    "Sizes and times do not depend on weights. Whether 8 bits cost recall does: ask a trained method (docs/robot.md).",
    REGISTRATIONS: "Latency is that of one registration, from stored image and local map to pose, and that of making a "
    "local map from its files. Each query of a run is a sample; the machine may have done other work.",
}
"""What latency means, by what sheets are about."""
DIGITS, FINE_DIGITS = 1, 3
"""Digits behind the point of columns whose numbers reach 1, and of those with a smaller number."""
COARSE = ("MiB", "KiB")
"""Units whose numbers need no further digits."""
VERSIONS = ("python", "torch", "spconv-cu126", "spconv-cu120", "driver")
"""What the note about the machine names; the file of a method names everything."""
Name = tuple[str, str]
"""Part and quantity."""


def cost_sections(sheets: Sequence[CostSheet]) -> list[Section]:
    """A section for each setting and its frames, with a row for each method and preset; exported files come last."""
    settings: dict[tuple[str, str, str], list[CostSheet]] = {}
    for sheet in sorted(sheets, key=lambda s: (s.of, s.setting, s.method, s.preset != USUAL, s.preset)):
        settings.setdefault((sheet.of, sheet.setting, sheet.inputs.fingerprint), []).append(sheet)
    return [_section(TITLES[of].format(setting), members) for (of, setting, _), members in settings.items()]


def _section(title: str, sheets: Sequence[CostSheet]) -> Section:
    names = list(dict.fromkeys(measure.name for sheet in sheets for measure in sheet.measures))
    shown, holes = _split(sheets, names)
    quantities = list(dict.fromkeys(quantity for _, quantity in shown))
    parts = {quantity: [name for name in shown if name[1] == quantity] for quantity in quantities}
    rest = [name for quantity in quantities if len(parts[quantity]) < OWN_TABLE for name in parts[quantity]]
    tables = [_table(sheets, parts[q], q) for q in quantities if len(parts[q]) >= OWN_TABLE]
    tables += [_table(sheets, rest, "")] if rest else []
    tables = tables or [_reasons(sheets)]
    twice = _both_sessions(sheets)
    return Section(
        title=title,
        tables=[*tables, *([twice] if twice else [])],
        notes=[*_notes(sheets), *(f"Without {' and '.join(what)}: {reason}." for reason, what in holes.items())],
    )


def _split(sheets: Sequence[CostSheet], names: Sequence[Name]) -> tuple[list[Name], dict[str, dict[str, None]]]:
    """Measures to show, and by reason the quantities that no row has."""
    shown: list[Name] = []
    holes: dict[str, dict[str, None]] = {}
    for part, quantity in names:
        found = [measure for sheet in sheets if (measure := sheet.measure(part, quantity))]
        reasons = {measure.hole for measure in found}
        if any(measure.values for measure in found) or len(reasons) > 1:
            shown.append((part, quantity))
        else:
            holes.setdefault(reasons.pop(), {})[quantity] = None
    return shown, holes


def _table(sheets: Sequence[CostSheet], names: Sequence[Name], quantity: str) -> Table:
    """A row for each sheet; with ``quantity`` its parts are the columns, else each column names its own quantity."""
    columns = [_column(sheets, name, name[0] if quantity else _heading(name)) for name in names]
    rows = [
        [text(_row_name(sheet)), *(_cell(sheet, name, column) for name, column in zip(names, columns, strict=True))]
        for sheet in sheets
    ]
    title = f"{quantity[:1].upper()}{quantity[1:]}" or "Rate, size and memory"
    return Table(title=title, columns=[Column(name="method"), *columns], rows=rows)


def _reasons(sheets: Sequence[CostSheet]) -> Table:
    """A row for each sheet with the reason for its hole, where nothing was measured of any."""
    rows = [[text(_row_name(sheet)), text(sheet.hole)] for sheet in sheets]
    return Table(title="Nothing was measured", columns=[Column(name="method"), Column(name="reason")], rows=rows)


def _column(sheets: Sequence[CostSheet], name: Name, heading: str) -> Column:
    found = [measure for sheet in sheets if (measure := sheet.measure(*name))]
    unit, least = found[0].unit, min((m.value for m in found if m.value), default=0.0)
    return Column(
        name=heading,
        unit=unit,
        digits=DIGITS if least >= 1 or unit in COARSE else FINE_DIGITS,
        better="higher" if unit == "1/s" else "lower",
    )


def _row_name(sheet: CostSheet) -> str:
    return f"{sheet.method} {sheet.preset}"


def _heading(name: Name) -> str:
    part, quantity = name
    return quantity if part == "method" else f"{quantity} {part}"


def _cell(sheet: CostSheet, name: Name, column: Column) -> Cell:
    measure = sheet.measure(*name)
    if measure is None or measure.value is None:
        return number(None, reason=sheet.hole or (measure.hole if measure else "it was not measured"))
    return Cell(value=measure.value, under=_under(measure, column))


def _under(measure: Measure, column: Column) -> str:
    """What stands behind a number: its 95th percentile or its batch, and whether it is to be believed."""
    values = measure.values
    words = f"(batch {values['batch']:.0f})" if "batch" in values else ""
    if not words and "p95" in values:
        words = f"(p95 {column.number(values['p95'])})"
    return " ".join(filter(None, [words, UNSTABLE if measure.unstable else ""]))


def _agreeing(sheets: Sequence[CostSheet]) -> dict[tuple[str, Name], bool]:
    """Whether two sessions agree, by row and measure; empty where there was one session."""
    return {
        (_row_name(sheet), name): agrees
        for sheet in sheets
        for name, agrees in agreement(sheet.before, sheet.measures).items()
    }


def _both_sessions(sheets: Sequence[CostSheet]) -> Table | None:
    """The series in which two sessions disagree, with both medians; none where there was one session."""
    agreeing = _agreeing(sheets)
    if not agreeing:
        return None
    rows = []
    for sheet in sheets:
        for before in sheet.before:
            if agreeing.get((_row_name(sheet), before.name)) is False and (after := sheet.measure(*before.name)):
                what = f"{before.quantity} {before.part}, {before.unit}"
                rows.append([text(_row_name(sheet)), text(what), number(before.value), number(after.value)])
    medians = [Column(name=session, digits=FINE_DIGITS) for session in ("first", "second")]
    columns = [Column(name="method"), Column(name="series"), *medians]
    n_agreeing, limit = sum(agreeing.values()), f"{100 * AGREE:.0f} %"
    note = (
        f"Both sessions agree within {limit} for {n_agreeing} of {len(agreeing)} series "
        f"({100 * n_agreeing / len(agreeing):.0f} %). The others stand above and are marked."
    )
    return Table(title="Series in which two sessions disagree", columns=columns, rows=rows, notes=[note])


def _notes(sheets: Sequence[CostSheet]) -> list[str]:
    """How to read the tables: on which frames, with which machine, and what is marked."""
    frames = dict.fromkeys(_frames(sheet.inputs) for sheet in sheets)
    machines = dict.fromkeys(_machine(sheet.environment) for sheet in sheets)
    notes = [
        f"Medians over different frames: {'; '.join(frames)}. {MEANINGS[sheets[0].of]}",
        f"Measured with {'; '.join(machines)}.",
    ]
    series = [m for sheet in sheets for m in sheet.measures if "p50" in m.values]
    if n_unstable := sum(bool(measure.unstable) for measure in series):
        notes.append(
            f"{UNSTABLE}: not to be believed, for {n_unstable} of {len(series)} series. Rounds or sessions disagree, "
            "samples scatter, or the machine did other work; the file of the method says which."
        )
    return notes


def _frames(inputs: InputsRecord) -> str:
    options = " ".join(f"{name}={value}" for name, value in inputs.options.items())
    size = f"images of {'×'.join(map(str, inputs.image_size))} pixels" if inputs.image_size else ""
    points = f"{inputs.points:,.0f} points in a cloud" if inputs.points is not None else ""
    named = f"{inputs.n_frames} of {inputs.dataset}"
    return ", ".join(filter(None, [f"{named} ({options})" if options else named, size, points]))


def _machine(environment: Mapping[str, Any]) -> str:
    """Versions and clocks in words; what the title says is left out."""
    clock, limit = environment.get("clock_mhz"), environment.get("power_limit_w")
    words = [f"{name} {environment[name]}" for name in VERSIONS if environment.get(name)]
    words += [f"a clock of {clock:,.0f} MHz"] if clock else []
    words += [f"a power limit of {limit:,.0f} W"] if limit else []
    return ", ".join(words) or "unknown versions"
