"""Tables of recall against a rule or against the map: one for each axis."""

from collections.abc import Mapping

from benchmark.records.sensitivity import AxisRecord, PointRecord, RecallRecord, SensitivityRecord
from benchmark.report.comparison import FIRST, arrow, marks, preset_of, stand_in_note
from benchmark.report.table import Cell, Column, Section, Table, text

NO_LIMIT = "no limit"


def sensitivity_tables(record: SensitivityRecord, metric: str = FIRST) -> list[Table]:
    """A table for each axis: a row a value, one metric in a column a direction, and what it was counted over."""
    return [_table(axis, metric) for axis in record.axes.values()]


def sensitivity_section(record: SensitivityRecord) -> Section:
    """A record with its title and how to read it."""
    return Section(title=sensitivity_title(record), tables=sensitivity_tables(record), notes=_notes(record))


def sensitivity_title(record: SensitivityRecord) -> str:
    """What all numbers of a record share."""
    method, protocol = record.method, record.protocol
    preset = preset_of(method)
    named = f"{method.name} ({preset}) · {record.dataset.name} · {protocol['name']} v{protocol['version']}"
    return f"{named}{stand_in_note(record.dataset.is_real)}{marks(protocol)}"


def _notes(record: SensitivityRecord) -> list[str]:
    headline = "mean over ordered traversal pairs" if record.protocol["averaging"] == "pairs" else "all queries pooled"
    notes = [
        f"{FIRST} in %: {headline}, with its 95 % interval. One thing changes in each table, and the protocol decides "
        "the rest. Counted: queries that recall is a share of. Map: frames that a query is searched in.",
    ]
    for source in record.foreign:
        notes.append(f"Foreign frames: {source.n_frames:,} of the {source.n_available:,} of {source.dataset}.")
    return notes


def _table(axis: AxisRecord, metric: str) -> Table:
    directions = list(dict.fromkeys(direction for point in axis.points for direction in point.directions))
    columns = [
        Column(name="value", unit=axis.unit),
        *(Column(name=arrow(direction)) for direction in directions),
        Column(name="counted"),
        Column(name="map"),
    ]
    rows = [_row(point, directions, metric) for point in axis.points]
    notes = [f"{_words(left.value)} {axis.unit} is left out: {left.reason}." for left in axis.left_out]
    return Table(title=f"{axis.title}; {metric}, %", columns=columns, rows=rows, notes=notes)


def _row(point: PointRecord, directions: list[str], metric: str) -> list[Cell]:
    recalls = point.directions
    counted, searched = (
        " / ".join(dict.fromkeys(numbers))
        for numbers in (
            [f"{recall.n_counted:,}" for recall in recalls.values()],
            [f"{recall.n_database:,.0f}" for recall in recalls.values()],
        )
    )
    name = text(_words(point.value), "as the protocol" if point.is_own else "")
    return [
        name,
        *(point_cell(point.directions, direction, metric) for direction in directions),
        text(counted),
        text(searched),
    ]


def point_cell(directions: Mapping[str, RecallRecord], direction: str, metric: str) -> Cell:
    """Recall in one direction in percent, with its interval; empty where it is not known."""
    found = directions.get(direction)
    value = found.values.get(metric) if found else None
    if found is None or value is None:
        return Cell()
    ends = found.intervals.get(metric)
    low, high = (100 * ends[0], 100 * ends[1]) if ends else (None, None)
    return Cell(value=100 * value, low=low, high=high)


def _words(value: float | None) -> str:
    return NO_LIMIT if value is None else f"{value:g}"
