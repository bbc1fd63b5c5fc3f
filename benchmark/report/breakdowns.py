"""What lies behind a headline number: seeds, pairs of traversals, conditions, and severities of perturbations."""

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean

from benchmark.evaluation.confidence import Confidence
from benchmark.evaluation.metrics import Recall
from benchmark.records.collection import Group
from benchmark.records.leaderboard import Entry
from benchmark.records.schema import PairRecall, Result
from benchmark.records.study import ROBUSTNESS, LineRecord, StudyRecord
from benchmark.report.comparison import FIRST, arrow, clean_rows, conditions_among, crossing
from benchmark.report.studies import study_section
from benchmark.report.table import Cell, Column, Section, Table, mean_of, text
from benchmark.report.tables import named

Kind = tuple[str, str]
"""What asks and what is searched: two traversals, or their conditions."""
CONFIDENCE: dict[str, Callable[[Confidence], float | None]] = {
    "average precision": lambda found: found.average_precision,
    "recall at 100 %, own threshold": lambda found: found.at[0].recall,
    "from others": lambda found: found.at[0].transferred_recall,
    "precision reached": lambda found: found.at[0].transferred_precision,
    "recall at 99 %, from others": lambda found: found.at[1].transferred_recall,
    "99 %: precision reached": lambda found: found.at[1].transferred_precision,
    "calibration error": lambda found: found.calibration_error,
}
"""Columns of the table of confidence, and where their values stand."""
CONFIDENCE_NOTES = (
    "Answers are given where the nearest frame is nearer than a threshold. Own threshold: chosen on the same queries, "
    "which is optimistic. From others: chosen on the other query traversals, as on a new drive.",
    "Precision reached: what that threshold then gave.",
)
SILENT = "nothing was answered, or only one traversal asks"
UNKNOWN = "not recorded: results before schema 1.3, and methods whose distances are places, such as those that re-rank"
UNCHANGED = "A perturbation stands in the tables of those directions alone whose frames it changes."
ABSENT = "no query of these traversals counts"


def seed_tables(group: Group) -> list[Table]:
    """A table for each direction: a row a configuration that was trained with several seeds, a column a seed."""
    rows = [entry for entry in clean_rows(group) if len(entry.seeds) > 1]
    seeds = sorted({seed for entry in rows for seed in entry.seeds})
    directions = dict.fromkeys(direction for entry in rows for direction in entry.recall)
    columns = [Column(name="method"), *(Column(name=f"seed {seed}") for seed in seeds), Column(name="mean")]

    def cells(entry: Entry, direction: str) -> list[Cell]:
        of_seed = {run.seed: _percent(run.headline(direction)) for run in _results(group, entry, direction)}
        single = [of_seed.get(seed, Cell(reason="not run with this seed")) for seed in seeds]
        return [text(named(entry)), *single, mean_of((cell.value for cell in of_seed.values()), ABSENT)]

    return [
        Table(
            title=f"{FIRST} of each seed, {arrow(direction)}",
            columns=columns,
            rows=[cells(entry, direction) for entry in rows],
        )
        for direction in directions
    ]


def pair_tables(group: Group) -> list[Table]:
    """A matrix for each configuration and direction across modalities: rows ask, columns are searched."""
    tables = []
    for entry in clean_rows(group):
        for direction in crossing(entry.recall):
            values = _by_pair(_results(group, entry, direction), direction)
            if len(values) > 1:
                title = f"{FIRST} of {named(entry)}, {arrow(direction)}"
                tables.append(_matrix(title, values, conditions_among(group.results)))
    return tables


def condition_tables(group: Group) -> list[Table]:
    """A table for each direction across modalities: a row a configuration, a column a pair of conditions."""
    conditions = conditions_among(group.results)
    if len(set(conditions.values())) < 2:
        return []

    def kind_of(pair: Kind) -> Kind | None:
        query, database = (conditions.get(traversal) for traversal in pair)
        return (query, database) if query and database else None

    found: dict[str, dict[str, dict[Kind, Cell]]] = {}
    for entry in clean_rows(group):
        for direction in crossing(entry.recall):
            cells = _by_pair(_results(group, entry, direction), direction, kind_of)
            found.setdefault(direction, {})[named(entry)] = cells
    tables = []
    for direction, rows in found.items():
        kinds = list(dict.fromkeys(kind for cells in rows.values() for kind in cells))
        columns = [Column(name="method"), *(Column(name=f"{query}→{database}") for query, database in kinds)]
        body = [[text(name), *(cells.get(kind, Cell(reason=ABSENT)) for kind in kinds)] for name, cells in rows.items()]
        note = "A column a condition of the queries → the condition of the database; mean over its traversal pairs."
        tables.append(Table(title=f"{FIRST}, {arrow(direction)}", columns=columns, rows=body, notes=[note]))
    return tables


def confidence_tables(group: Group) -> list[Table]:
    """A table for each direction across modalities: what is left if only sure answers are given, means over seeds."""
    rows: dict[str, list[Sequence[Cell]]] = {}
    for entry in clean_rows(group):
        for direction in crossing(entry.recall):
            runs = _results(group, entry, direction)
            found = [known for run in runs if (known := run.directions[direction].confidence)]
            silent = SILENT if found else UNKNOWN
            values = [mean_of(map(_hundred, map(of, found)), silent) for of in CONFIDENCE.values()]
            rows.setdefault(direction, []).append([text(named(entry)), *values])
    columns = [Column(name="method"), *(Column(name=name) for name in CONFIDENCE)]
    return [
        Table(title=f"Answers by distance, {arrow(direction)}, %", columns=columns, rows=body, notes=CONFIDENCE_NOTES)
        for direction, body in rows.items()
    ]


def robustness_sections(studies: Sequence[StudyRecord]) -> list[Section]:
    """A section for each robustness study: recall against the severity of each perturbation."""
    found = []
    for record in studies:
        if record.study == ROBUSTNESS:
            section = study_section(record)
            tables = [_severities(record, direction) for direction in record.lines[0].recall]
            notes = [note for note in section.notes if "Δ" not in note]
            found.append(Section(title=section.title, tables=tables, notes=[*notes, UNCHANGED]))
    return found


def _severities(record: StudyRecord, direction: str) -> Table:
    """A row a perturbation, a column a severity, the frames as recorded first."""
    base, *lines = record.lines
    rows: dict[str, list[LineRecord]] = {}
    for line in lines:
        if line.error or direction in line.recall:
            rows.setdefault(line.question, []).append(line)
    most = max((len(of) for of in rows.values()), default=0)
    columns = [Column(name=name) for name in ("perturbation", "none", *map(str, range(1, most + 1)))]
    body = []
    for question, of in rows.items():
        cells = [_line(line, direction) for line in [base, *of]]
        body.append([text(question), *cells, *[Cell()] * (most + 1 - len(cells))])
    return Table(title=f"{FIRST} by severity, {arrow(direction)}", columns=columns, rows=body)


def _line(line: LineRecord, direction: str) -> Cell:
    if line.error:
        return Cell(reason=f"failed: {line.error}")
    return mean_of((100 * value for value in line.recall[direction]), ABSENT)


# --- values --------------------------------------------------------------------------------------


def _results(group: Group, entry: Entry, direction: str) -> list[Result]:
    """The results behind a row that have this direction."""
    found = [group.named[run].result for run in entry.runs]
    return [result for result in found if direction in result.directions]


def _by_pair(
    runs: Sequence[Result], direction: str, kind_of: Callable[[Kind], Kind | None] = lambda pair: pair
) -> dict[Kind, Cell]:
    """Mean over seeds and over the pairs of a kind (default: each pair is its own)."""
    found: dict[Kind, list[list[float]]] = {}
    for seed, run in enumerate(runs):
        for pair in run.directions[direction].pairs:
            value = pair.values.get(FIRST)
            kind = kind_of((pair.query, pair.database))
            if value is not None and kind is not None:
                found.setdefault(kind, [[] for _ in runs])[seed].append(100 * value)
    return {kind: mean_of((fmean(values) for values in seeds if values), ABSENT) for kind, seeds in found.items()}


def _matrix(title: str, values: Mapping[Kind, Cell], conditions: Mapping[str, str]) -> Table:
    asking = list(dict.fromkeys(query for query, _ in values))
    found = dict.fromkeys(database for _, database in values)
    searched = [name for name in asking if name in found] + [name for name in found if name not in asking]

    def name(traversal: str) -> str:
        condition = conditions.get(traversal, "")
        return f"{traversal} ({condition})" if condition and condition not in traversal else traversal

    rows = [[text(name(query)), *(values.get((query, database), Cell()) for database in searched)] for query in asking]
    return Table(
        title=title, columns=[Column(name="asks ↓ searched →"), *(Column(name=name(d)) for d in searched)], rows=rows
    )


def _hundred(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _percent(recall: Recall | PairRecall) -> Cell:
    value = recall.values.get(FIRST)
    return Cell(value=None if value is None else 100 * value)
