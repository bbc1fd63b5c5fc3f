"""Tables of recall and latency against the size of the map."""

from benchmark.records.scale import IndexPoint, LikenessRecord, ScalePoint, ScaleRecord
from benchmark.report.comparison import FIRST, arrow, marks, preset_of, stand_in_note
from benchmark.report.sensitivity import point_cell
from benchmark.report.table import Cell, Column, Section, Table, number, text

IDLE = 1.2
"""Processes for each core up to which times are believed: this run is one of them."""
NAMES: dict[str, str] = {"image": "images", "cloud": "clouds"}


def scale_section(record: ScaleRecord) -> Section:
    """A record with its title and how to read it."""
    tables = [_sizes(record)]
    if record.synthetic.n_compared:
        tables.append(_likeness(record.synthetic))
    if record.indexes:
        tables.append(_indexes(record.indexes))
    return Section(title=scale_title(record), tables=tables, notes=_notes(record))


def scale_title(record: ScaleRecord) -> str:
    """What all numbers of a record share."""
    method, protocol = record.method, record.protocol
    named = f"{method.name} ({preset_of(method)}) · {record.dataset.name} · {protocol['name']} v{protocol['version']}"
    return f"{named} · a map of {NAMES[record.modality]}{stand_in_note(record.dataset.is_real)}{marks(protocol)}"


def _sizes(record: ScaleRecord) -> Table:
    directions = list(dict.fromkeys(direction for point in record.points for direction in point.directions))
    columns = [
        Column(name="places"),
        *(Column(name=arrow(direction), unit="%") for direction in directions),
        Column(name="foreign", digits=0),
        Column(name="synthetic", digits=0),
        Column(name="latency", unit="ms", better="lower"),
        Column(name="map", unit="MB"),
    ]
    rows = [_size(point, directions) for point in record.points]
    notes = [f"{left.value:,.0f} places are left out: {left.reason}." for left in record.left_out]
    for prior in record.priors:
        found = ", ".join(
            f"{arrow(direction)} {100 * value:.1f} %"
            for direction, recall in prior.directions.items()
            if (value := recall.values.get(FIRST)) is not None
        )
        notes.append(
            f"Only places within {prior.radius_m:g} m of a position that is known to {prior.deviation_m:g} m on each "
            f"axis ({prior.candidates:,.1f} on average), whatever the size of the map: {found}."
        )
    return Table(title=f"Size of the map; {FIRST}, %", columns=columns, rows=rows, notes=notes)


def _size(point: ScalePoint, directions: list[str]) -> list[Cell]:
    counts = [number(point.n_foreign), number(point.n_synthetic)]
    cost = [number(point.latency_ms), number(point.n_bytes / 1e6)]
    return [text(f"{point.places:,}"), *(point_cell(point.directions, d, FIRST) for d in directions), *counts, *cost]


def _likeness(found: LikenessRecord) -> Table:
    n = f"{found.n_compared:,}"
    columns = [Column(name="distractors")]
    columns += [Column(name=f"nearest, {100 * share:g} %", digits=3) for share in found.quantiles]
    columns += [Column(name=f"{arrow(direction)} {FIRST}", unit="%") for direction in found.recall_foreign]
    rows = [
        [text(name), *map(number, nearest), *(number(None if v is None else 100 * v) for v in recall.values())]
        for name, nearest, recall in (
            (f"{n} foreign frames", found.nearest_foreign, found.recall_foreign),
            (f"{n} synthetic", found.nearest_synthetic, found.recall_synthetic),
        )
    ]
    note = "Distance of a query to the nearest distractor, at shares of the queries. Equal rows are a perfect match."
    return Table(title="How like synthetic descriptors are to real ones", columns=columns, rows=rows, notes=[note])


def _indexes(points: list[IndexPoint]) -> Table:
    columns = [Column(name="index"), Column(name="places", digits=0), Column(name="direction")]
    names = ("finds the nearest", f"{FIRST} of the index", f"{FIRST} exact")
    columns += [Column(name=name, unit="%") for name in names]
    columns += [Column(name="latency", unit="ms", digits=2), Column(name="a place", unit="bytes", digits=0)]
    columns += [Column(name="build", unit="s")]
    rows = []
    for point in points:
        for direction, agreement in point.agreement.items():
            shares = (agreement, point.recall[direction], point.recall_exact[direction])
            cost = (point.latency_ms, point.bytes_per_place, point.build_s)
            values = [number(100 * share) for share in shares]
            rows.append([text(point.index), number(point.places), text(arrow(direction)), *values, *map(number, cost)])
    notes = [f"{point.index} of {point.places:,} places: {point.settings}." for point in points]
    return Table(title="Approximate indexes beside exact search", columns=columns, rows=rows, notes=notes)


def _notes(record: ScaleRecord) -> list[str]:
    headline = "mean over ordered traversal pairs" if record.protocol["averaging"] == "pairs" else "all queries pooled"
    notes = [
        f"{FIRST} in %: {headline}, with its 95 % interval over queries. Distractors fill up the map of each pair.",
        "Synthetic descriptors are drawn from a normal distribution with the mean and covariance of "
        f"{record.synthetic.n_fitted:,} real ones: they are no places, and recall with them is an extrapolation.",
        f"Latency: one query alone, exact, {record.size} values in half precision, on {record.environment['device']}.",
    ]
    for source in record.foreign:
        notes.append(f"Foreign frames: {source.n_frames:,} of the {source.n_available:,} of {source.dataset}.")
    return [*notes, *_busy(record.load), *record.indexes_left_out]


def _busy(load: float | None) -> list[str]:
    """What a busy machine does to times."""
    if load is None:
        return ["How busy the machine was is not known, so that times may be too long."]
    return [f"The machine was busy: {load:.1f} processes wanted each core. Times are too long."] if load > IDLE else []
