"""Tables for people: on the screen after a run, and as Markdown from committed results."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from tabulate import tabulate

from benchmark.records.schema import RESULT, CostRecord, DirectionRecord, RecallRecord, Result, TimingRecord
from datasets.files import write_atomically
from datasets.prepared import PreparedDataset
from datasets.summary import summarise

NONE = "–"
TRAINED = ("shipped", "trained")
"""Origins of weights that the suite's own training made."""
SEED_COLUMNS = ["method", "weights", "direction", "seeds", "R@1 %", "R@5 %", "R@1% %"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one line of a table is about."""

    result: Result
    direction: str
    record: DirectionRecord

    @property
    def headline(self) -> RecallRecord:
        """The average that the protocol names as its headline."""
        return self.record.mean if self.result.protocol["averaging"] == "pairs" else self.record.pooled


def _value(row: Row, name: str) -> float | None:
    return row.headline.recall_at_one_percent if name == "1%" else row.headline.recall_at[int(name) - 1]


def _recall(row: Row, name: str) -> str:
    """Percent with its 95 % interval."""
    value = _value(row, name)
    if value is None:
        return NONE
    ends = row.record.intervals.get(name)
    return f"{100 * value:.1f}" + (f" [{100 * ends[0]:.1f}, {100 * ends[1]:.1f}]" if ends else "")


def _method(row: Row) -> str:
    method = row.result.method
    configured = ", ".join(filter(None, [method.preset, method.variant]))
    return f"{method.name} ({configured})" if configured else method.name


def _weights(row: Row) -> str:
    origin = row.result.method.origin
    if origin in ("nothing to train", "ranker"):
        return NONE
    return ", ".join([origin, *_learnt_from([row])])


def _learnt_from(rows: Sequence[Row]) -> list[str]:
    """What training began with and how much of its schedule was done, in words, of one configuration's rows."""
    method = rows[0].result.method
    depth_from = [f"depth by {source}"] if (source := _depth_source(method.config)) else []
    if method.origin not in TRAINED:
        return depth_from
    scratch = ["scratch"] if method.backbone_weights == "none" else []
    shares = sorted({_percent(row.result.method.share_of_schedule) for row in rows})
    done = " to ".join(str(share) for share in dict.fromkeys([shares[0], shares[-1]]))
    return scratch + depth_from + ([] if shares == [100] else [f"{done} % of schedule"])


def _depth_source(config: dict[str, Any]) -> str | None:
    """Where a method that needs depth from one image had it from. Older results have it as ``depth`` itself."""
    depth = config.get("depth")
    source = depth.get("source") if isinstance(depth, dict) else None
    return source.get("kind") if isinstance(source, dict) else source


def _percent(share: float | None) -> int:
    """Whole percent; 100 only of the whole."""
    return 100 if share is None or share >= 1 else min(round(100 * share), 99)


def _perturbation(row: Row) -> str:
    found = row.result.perturbation
    return f"{found.name} {found.severity}: {found.value:g} {found.unit}" if found else NONE


def _queries(row: Row) -> str:
    return f"{row.headline.n_counted} of {row.headline.n_queries}"


def _cost(value: Callable[[CostRecord], TimingRecord | float | None]) -> Callable[[Row], str]:
    """A column from the cost record: total milliseconds of a timing, or the number itself."""

    def cell(row: Row) -> str:
        found = value(row.result.cost) if row.result.cost else None
        found = found.total_ms if isinstance(found, TimingRecord) else found
        return NONE if found is None else f"{found:.1f}" if found < 100 else f"{found:,.0f}"

    return cell


COLUMNS: dict[str, Callable[[Row], str]] = {
    "method": _method,
    "weights": _weights,
    "seed": lambda row: str(row.result.seed),
    "direction": lambda row: row.direction.replace("->", "→"),
    "R@1 % [95 %]": lambda row: _recall(row, "1"),
    "R@5 %": lambda row: _recall(row, "5"),
    "R@1% %": lambda row: _recall(row, "1%"),
    "queries": _queries,
    "image ms": _cost(lambda c: c.image),
    "cloud ms": _cost(lambda c: c.cloud),
    "peak MiB": _cost(lambda c: c.peak_mib),
}


def columns_of(results: Sequence[Result]) -> dict[str, Callable[[Row], str]]:
    """The columns of a table; that of perturbations only where a result has one."""
    if not any(result.perturbation for result in results):
        return COLUMNS
    return {"method": _method, "perturbation": _perturbation, **COLUMNS}


def rows_of(results: Sequence[Result]) -> list[Row]:
    """One row per direction and result, grouped by direction in the order of the first result."""
    directions = dict.fromkeys(d for result in results for d in result.directions)
    return [
        Row(result=result, direction=d, record=result.directions[d])
        for d in directions
        for result in results
        if d in result.directions
    ]


def cells(results: Sequence[Result]) -> list[list[str]]:
    """The table's text, row by row."""
    return [[cell(row) for cell in columns_of(results).values()] for row in rows_of(results)]


def stand_in_note(is_real: bool) -> str:
    """What the title of a table on generated data must say."""
    return "" if is_real else " · procedural stand-in, never to be compared with real data"


def marks(protocol: dict[str, Any]) -> str:
    """What keeps numbers under ``protocol`` from being what its name promises."""
    found = {
        "SMOKE RUN: recall means nothing": protocol["smoke"],
        f"PARTIAL: {len(protocol['absent'])} test traversals are absent": protocol["absent"],
        "NOT RANKED: too few queries": not protocol["is_ranked"],
    }
    return "".join(f" · {mark}" for mark, is_due in found.items() if is_due)


def title(result: Result) -> str:
    """What every number of a table shares."""
    dataset, protocol = result.dataset, result.protocol
    named = f"{dataset.name} · {protocol['name']} v{protocol['version']}"
    return named + stand_in_note(dataset.is_real) + marks(protocol)


def footnotes(results: Sequence[Result]) -> list[str]:
    """How to read the numbers, and every warning of the results."""
    averaging = results[0].protocol["averaging"]
    headline = "mean over ordered traversal pairs" if averaging == "pairs" else "all queries pooled"
    machines = dict.fromkeys(
        f"{r.environment['device']}, {r.environment['threads']} threads" for r in results if r.cost is not None
    )
    notes = [
        f"Recall: {headline}; in brackets the 95 % interval over map blocks of 50 m. Queries: counted of asked; those "
        f"without a positive {'count as misses' if results[0].protocol['no_positive'] == 'miss' else 'are left out'}.",
        "Time: median at batch 1, preprocessing and network, loading not counted"
        + (f" ({'; '.join(machines)})." if machines else "."),
    ]
    if any(r.perturbation for r in results):
        notes.append(
            "Perturbation: of the frames of its modality, on whichever side they are; among frames of one modality of "
            "the queries alone (docs/robustness.md)."
        )
    if not results[0].protocol["is_ranked"]:
        n = max(row.headline.n_counted for row in rows_of(results))
        notes.append(
            f"Only {n} queries, of which one is {100 / max(n, 1):.1f} percentage points: methods must not be ranked by "
            "this table."
        )
    return notes + list(dict.fromkeys(w for r in results for w in r.warnings))


def print_table(results: Sequence[Result], holes: Mapping[str, str] | None = None) -> None:
    """The table on standard output; ``holes`` are methods without a result, with the reason."""
    rows = rows_of(results)
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(200, console.width))
    table = Table(title=title(results[0]), title_justify="left")
    columns = columns_of(results)
    words = ("method", "perturbation", "weights", "direction")
    for name in columns:
        table.add_column(name, justify="left" if name in words else "right", no_wrap=True)
    for row, following in zip_longest(rows, rows[1:]):
        is_last = following is None or following.direction != row.direction
        table.add_row(*(cell(row) for cell in columns.values()), end_section=is_last)
    for name in holes or {}:
        table.add_row(name, "NO RESULT", *[NONE] * (len(columns) - 2))
    console.print(table)
    for note in [*footnotes(results), *(f"No result of {name}: {reason}" for name, reason in (holes or {}).items())]:
        console.print(note, style="dim", highlight=False)


def means_over_seeds(results: Sequence[Result]) -> list[list[str]]:
    """A line for each configuration and direction that was trained with several seeds: means, least and greatest.

    Of two results of one seed the first counts.
    """
    groups: dict[tuple[str, ...], dict[int, Row]] = {}
    for row in rows_of(results):
        method = row.result.method
        if method.origin in TRAINED:
            same = (_name(row), method.config_key, COLUMNS["direction"](row))
            groups.setdefault(same, {}).setdefault(row.result.seed, row)
    lines = []
    for (name, _, direction), seeds in groups.items():
        if len(seeds) > 1:
            rows = list(seeds.values())
            means = [_mean(rows, recall) for recall in ("1", "5", "1%")]
            learnt = ", ".join(_learnt_from(rows)) or NONE
            lines.append([name, learnt, direction, ", ".join(map(str, sorted(seeds))), *means])
    return lines


def _name(row: Row) -> str:
    return _method(row) + (f" · {_perturbation(row)}" if row.result.perturbation else "")


def _mean(rows: Sequence[Row], name: str) -> str:
    values = [100 * value for row in rows if (value := _value(row, name)) is not None]
    if len(values) < len(rows):
        return NONE
    return f"{sum(values) / len(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def markdown(results: Sequence[Result]) -> str:
    """The same table as a Markdown section, and another of the means over seeds."""
    table = _github(cells(results), list(columns_of(results)))
    notes = "\n".join(f"- {note}" for note in footnotes(results))
    means = means_over_seeds(results)
    below = f"\nMeans over seeds (least to greatest):\n\n{_github(means, SEED_COLUMNS)}\n" if means else ""
    return f"## {title(results[0])}\n\n{table}\n\n{notes}\n{below}"


def _github(rows: list[list[str]], headers: list[str]) -> str:
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True)


def write_tables(results_folder: Path) -> tuple[Path, list[list[Result]]]:
    """Write ``tables/recall.md`` from every result below ``results_folder``; returns it and the grouped results."""
    results = [Result.read(path.parent) for path in sorted(results_folder.rglob(RESULT))]
    groups: dict[tuple[str, ...], list[Result]] = {}
    for result in sorted(results, key=_order):
        shared = (result.dataset.name, result.dataset.fingerprint, str(result.protocol))
        groups.setdefault(shared, []).append(result)
    path = results_folder / "tables" / "recall.md"
    sections = "\n".join(markdown(group) for group in groups.values()) or "No results yet.\n"
    header = "# Recall and cost\n\nWritten by `crossplace tables` from the results beside it; do not edit.\n\n"
    write_atomically(path, (header + sections).encode())
    return path, list(groups.values())


def _order(result: Result) -> tuple[str, str, str, str, str, int, int]:
    """Rows of one table: by method and variant, then clean before perturbed, by severity."""
    method, found = result.method, result.perturbation
    name, severity = (found.name, found.severity) if found else ("", 0)
    return method.name, method.preset, method.variant, method.weights, name, severity, result.seed


def print_summary(dataset: PreparedDataset) -> None:
    """What a prepared dataset holds, traversal by traversal, on standard output."""
    rows = [asdict(summary) for summary in summarise(dataset)]
    sys.stdout.write(tabulate(rows, headers="keys", tablefmt="github", floatfmt=".1f") + "\n")
    sys.stdout.write(f"{len(dataset.frames)} frames; " + json.dumps(dataset.counts) + "\n")
