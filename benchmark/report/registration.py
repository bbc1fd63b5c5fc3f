"""Tables of registration: errors beside those of the start, what changed, by initial error, and re-ranking."""

from collections.abc import Callable, Iterable, Sequence

from benchmark.evaluation.registration import GREW_DEG, GREW_M, THRESHOLDS, Accuracy, Gain
from benchmark.evaluation.reranking import BELIEVED
from benchmark.records.registration import ErrorRecord, PartRecord, RegistrationRecord
from benchmark.report.comparison import marks, preset_of, stand_in_note
from benchmark.report.table import Cell, Column, Section, Table, number, text

KEPT = "start as it is"
NAMES = tuple(threshold.name for threshold in THRESHOLDS)
RECALLS = tuple(Column(name=name, unit="%", better="higher") for name in NAMES)
ERRORS = (
    Column(name="median", unit="m", digits=2, better="lower"),
    Column(name="median", unit="°", digits=2, better="lower"),
)


def registration_sections(records: Sequence[RegistrationRecord]) -> list[Section]:
    """A section for each dataset, protocol and start, with a row a registrar in every table."""
    return [registration_section(group) for group in registration_groups(records)]


def registration_groups(records: Sequence[RegistrationRecord]) -> list[list[RegistrationRecord]]:
    """Records of the same queries and starts together, the most accurate registrar first."""
    groups: dict[tuple[str, ...], list[RegistrationRecord]] = {}
    for record in records:
        start, protocol = record.start, str(sorted(record.protocol.items()))
        where = (record.dataset.fingerprint, protocol, start.name, start.result, str(record.all.start.accuracy))
        groups.setdefault(where, []).append(record)
    return [sorted(group, key=_order) for group in groups.values()]


def _order(record: RegistrationRecord) -> tuple[float, str]:
    recall = record.all.end.accuracy.recall
    return -sum(recall[name] for name in NAMES), record.run_id


def registration_section(ordered: Sequence[RegistrationRecord]) -> Section:
    """Registrars on the same queries from the same starts."""
    tables = [
        _errors("All queries", ordered, lambda record: record.all),
        _errors("Queries whose start lies in the trained range", ordered, _within),
        _changes(ordered),
        _bands(ordered),
        _believed(ordered),
        *_reranking(ordered),
    ]
    return Section(
        title=registration_title(ordered[0]), tables=[table for table in tables if table.rows], notes=_notes(ordered)
    )


def registration_title(record: RegistrationRecord) -> str:
    """What all numbers of a section share."""
    protocol, start = record.protocol, record.start
    where = f"{record.dataset.name} · {protocol['name']} v{protocol['version']}"
    return (
        f"Registration · {where} · {start.name}: {start.title}{stand_in_note(record.dataset.is_real)}{marks(protocol)}"
    )


def registrar_name(record: RegistrationRecord) -> str:
    """The registrar and how it is configured, in one line."""
    preset, origin = preset_of(record.method), record.method.origin
    told = [preset if preset != "quick" else "", origin if origin in ("untrained", "given") else ""]
    return " ".join(filter(None, [record.method.name, *told]))


def _notes(records: Sequence[RegistrationRecord]) -> list[str]:
    first = records[0]
    n, available, maps = first.all.start.accuracy.n_queries, first.n_available, first.maps
    gap = "" if maps.least_gap_s is None else f", the nearest in time {_apart(maps.least_gap_s)} from its query"
    return [
        f"Queries: {n:,} of {available:,}, evenly spread. Recall: share of all of them whose pose is at most this far "
        "from the true one, with its 95 % interval over places; a query without a pose is a failure.",
        f"Local maps: {maps.median_points:,.0f} points of {maps.median_sweeps:,.0f} sweeps (medians); no sweep is the "
        f"query's own{gap}.",
    ]


def _apart(seconds: float) -> str:
    """A gap in time, in seconds or in hours.

    >>> _apart(0.52), _apart(89_800.0)
    ('0.5 s', '24.9 h')
    """
    return f"{seconds:.1f} s" if seconds < 3600 else f"{seconds / 3600:,.1f} h"


def _errors(
    title: str, records: Sequence[RegistrationRecord], part: Callable[[RegistrationRecord], PartRecord | None]
) -> Table:
    """Errors and recall of the start, then of every registrar."""
    found = [(record, of) for record in records if (of := part(record))]
    columns = [
        Column(name="registrar"),
        Column(name="queries", digits=0),
        *ERRORS,
        *RECALLS,
        Column(name="time", unit="ms", digits=0, better="lower"),
    ]
    rows = [[text(KEPT), *_accuracy(found[0][1].start), Cell()]] if found else []
    rows += [[text(registrar_name(r)), *_accuracy(of.end), number(r.register_ms)] for r, of in found]
    return Table(title=title, columns=columns, rows=rows)


def _within(record: RegistrationRecord) -> PartRecord | None:
    """Queries with a start in the trained range, unless these are all."""
    part = record.within
    is_all = part is not None and part.start.accuracy.n_queries == record.all.start.accuracy.n_queries
    return None if is_all else part


def _accuracy(errors: ErrorRecord) -> list[Cell]:
    found = errors.accuracy
    return [number(found.n_queries), *_medians(found), *(_recall(errors, name) for name in NAMES)]


def _medians(found: Accuracy) -> list[Cell]:
    reason = "at least half of the queries have no pose"
    return [number(value, reason="" if value is not None else reason) for value in found.median]


def _recall(errors: ErrorRecord, name: str) -> Cell:
    low, high = errors.intervals.get(name) or (None, None)
    return Cell(
        value=100 * errors.accuracy.recall[name],
        low=None if low is None else 100 * low,
        high=None if high is None else 100 * high,
    )


def _changes(records: Sequence[RegistrationRecord]) -> Table:
    """What registration changes against keeping the start."""
    columns = [
        Column(name="registrar"),
        Column(name="queries"),
        Column(name="median", unit="m", digits=2, is_signed=True),
        Column(name="median", unit="°", digits=2, is_signed=True),
        *(Column(name=name, unit="pp", is_signed=True) for name in NAMES),
        Column(name="made worse", unit="%", better="lower"),
    ]
    rows = []
    for record in records:
        for name, part in (("all", record.all), ("trained range", _within(record))):
            if part is not None:
                of = part.improvement
                # An error that falls is negative, as a change of the error is.
                medians = [_gain(of.median_translation_m, -1.0), _gain(of.median_rotation_deg, -1.0)]
                recalls = [_gain(of.recall[threshold], 100.0) for threshold in NAMES]
                rows.append([text(registrar_name(record)), text(name), *medians, *recalls, number(100 * of.worse)])
    note = (
        "Change against the start as it is, on the same queries [paired 95 % interval over places]. A median that "
        f"falls is negative. Made worse: an error grew by more than {GREW_M:g} m or {GREW_DEG:g}°."
    )
    return Table(title="What registration changes", columns=columns, rows=rows, notes=[note])


def _gain(gain: Gain | None, scale: float) -> Cell:
    if gain is None:
        return Cell(reason="a median is infinite, because at least half of the queries have no pose")
    ends = sorted(_plain(scale * end) for end in (gain.low, gain.high) if end is not None)
    return Cell(value=_plain(scale * gain.value), low=ends[0] if ends else None, high=ends[-1] if ends else None)


def _plain(value: float) -> float:
    """Without the rounding of float32 poses, and without the sign of a zero."""
    return round(value, 5) + 0.0


def _bands(records: Sequence[RegistrationRecord]) -> Table:
    """Accuracy by how wrong the start was."""
    columns = [Column(name="registrar"), Column(name="start", unit="m"), Column(name="queries", digits=0)]
    rows = []
    for record in records:
        for band in record.bands:
            upper = "∞" if band.to_m is None else f"{band.to_m:g}"
            about = [text(registrar_name(record)), text(f"{band.from_m:g} to {upper}"), number(band.end.n_queries)]
            rows.append([*about, *_medians(band.end), *_recalls(band.end)])
    note = "Start: translation error of the rough pose, from the first border up to, but not including, the second."
    return Table(title="By initial error", columns=[*columns, *ERRORS, *RECALLS], rows=rows, notes=[note])


def _recalls(found: Accuracy) -> list[Cell]:
    return [number(100 * found.recall[name]) for name in NAMES]


def _believed(records: Iterable[RegistrationRecord]) -> Table:
    """Queries whose pose the registrar believes, alone."""
    rows = []
    for record in records:
        if (found := record.believed).accuracy is not None:
            about = [text(registrar_name(record)), number(100 * found.share)]
            rows.append([*about, *_medians(found.accuracy), *_recalls(found.accuracy)])
    note = f"Believed: poses that are right with a probability of at least {BELIEVED:g}, as the registrar says."
    columns = [Column(name="registrar"), Column(name="believed", unit="%")]
    return Table(title="Believed poses alone", columns=[*columns, *ERRORS, *RECALLS], rows=rows, notes=[note])


def _reranking(records: Iterable[RegistrationRecord]) -> list[Table]:
    """Success by rank of the retrieved frame, and whether keeping the most certain pose re-ranks."""
    columns = [Column(name="registrar"), Column(name="pose"), Column(name="right place", unit="%"), *ERRORS, *RECALLS]
    rows = []
    for record in records:
        if (found := record.reranking) is None:
            continue
        kept = (
            ("from the first frame", found.first_is_right, found.first),
            ("the one believed most", found.chosen_is_right, found.chosen),
            ("the best of all", found.any_is_right, found.best),
        )
        by_rank = ((f"from frame {of.rank}", of.is_right, of.accuracy) for of in found.ranks[1:])
        for words, share, accuracy in (*kept, *by_rank):
            about = [text(registrar_name(record)), text(words), number(100 * share)]
            rows.append([*about, *_medians(accuracy), *_recalls(accuracy)])
    note = (
        "All retrieved frames are registered. Right place: share of queries whose pose came from a frame of the right "
        "place; for the best of all, share with such a frame among those registered."
    )
    return [Table(title="Does registration re-rank?", columns=columns, rows=rows, notes=[note])]
