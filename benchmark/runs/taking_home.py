"""What a self-test leaves to be taken home: a small folder with a summary of a page, results, costs and logs."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmark import machine
from benchmark.records.collection import collect
from benchmark.records.schema import RANKS, RESULT
from benchmark.report.documents import TABLES, as_markdown
from benchmark.report.table import Column, Section, Table, number, text
from benchmark.runs.selftest import STEPS, Tryout, TryoutOutcome
from datasets.files import sealed, write_atomically

MOST_BYTES = 15 * 2**20
"""Size of all results and costs that are taken home. The summary names what does not fit."""
LOG_BYTES = 50_000
"""What is kept of the end of each log."""
SHOWN = ("recall", "cost-sessions")
"""Tables of the summary."""


def take_home(asked: Tryout, outcomes: Sequence[TryoutOutcome]) -> Path:
    """Bring everything of use together in the folder ``home``; returns the summary."""
    home = asked.folder / "home"
    for path in sorted((asked.work / "logs").glob("*.log")):
        write_atomically(home / "logs" / path.name, path.read_bytes()[-LOG_BYTES:])
    found = [path for name in (RESULT, RANKS) for path in sorted((asked.work / "results").rglob(name))]
    left_bytes, left_out = MOST_BYTES, []
    for path in [*sorted((asked.work / "cost").rglob("*.json")), *found]:
        left_bytes -= path.stat().st_size
        if left_bytes < 0:
            left_out.append(str(path.relative_to(asked.work)))
        else:
            write_atomically(home / path.relative_to(asked.work), path.read_bytes())
    device = machine.describe(asked.device)
    record = {"device": device, "outcomes": [asdict(outcome) for outcome in outcomes]}
    write_atomically(home / "selftest.json", json.dumps(sealed(record), indent=1).encode())
    write_atomically(home / "summary.md", _summary(asked, device, outcomes, left_out).encode())
    return home / "summary.md"


def _summary(
    asked: Tryout, device: dict[str, object], outcomes: Sequence[TryoutOutcome], left_out: Sequence[str]
) -> str:
    collection = collect(asked.work)
    sections = [steps_section(outcomes), *(s for kind in SHOWN for s in TABLES[kind].sections(collection))]
    about = ", ".join(f"{name} {value}" for name, value in device.items())
    left = [f"Left out for its size: {path}." for path in left_out]
    return "\n\n".join([f"# {device['device']}", about, *left, *map(as_markdown, sections)]) + "\n"


def steps_section(outcomes: Sequence[TryoutOutcome]) -> Section:
    """What came of each step."""
    columns = [Column(name="step"), Column(name="state"), Column(name="took", unit="s", digits=0)]
    columns += [Column(name="at most", unit="s", digits=0), Column(name="last line, or reason")]
    rows = [
        [text(STEPS[o.step].title), text(o.state), number(o.seconds), number(o.limit_s), text(o.last_line[:120])]
        for o in outcomes
    ]
    return Section(title="Steps", tables=[Table(columns=columns, rows=rows)])
