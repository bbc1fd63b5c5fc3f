"""Files of printed numbers, and results under the protocols that papers use, made from the small world's oracle."""

import csv
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmark.evaluation.metrics import mean_over_pairs, pooled
from benchmark.keys import plain
from benchmark.records.published import COLUMNS, PUBLISHED
from benchmark.records.schema import RANKS, RESULT, CostRecord, MethodRecord, Result
from datasets.base import Protocol
from datasets.prepared import PreparedDataset
from datasets.protocols import PROTOCOLS
from results import stored_result

REPOSITORY = Path(__file__).parents[2]
COMMITTED = REPOSITORY / "results" / PUBLISHED
LINE = {
    "method": "ModaLink",
    "method_id": "modalink",
    "dataset": "kitti",
    "split": "00",
    "protocol_id": "kitti-synchronous-10m",
    "train_split": "11-21",
    "direction": "image->cloud",
    "recall_at_1": "90.31",
    "source": "A paper (arXiv 2502.11742)",
    "table": "I",
}
"""One right line."""


def write_lines(path: Path, *lines: dict[str, str]) -> Path:
    """Write a file of printed numbers whose lines are ``LINE`` with changes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(LINE | line for line in lines)
    return path


def committed_files(results: Path) -> Path:
    """Copy the committed files of printed numbers into the folder of results; returns where they are."""
    shutil.copytree(COMMITTED, results / PUBLISHED)
    return results / PUBLISHED


def change(path: Path, line: int, **cells: str) -> None:
    """Type values into cells of a file; its header is line 1."""
    with path.open(newline="") as file:
        rows = [*csv.DictReader(file)]
    rows[line - 2] |= cells
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def result_under(
    name: str,
    pairs: tuple[tuple[str, str], ...],
    folder: Path,
    world: PreparedDataset,
    protocol: Protocol,
    *,
    method: dict[str, Any] | None = None,
    protocol_changes: dict[str, Any] | None = None,
    cost: CostRecord | None = None,
    **changes: Any,
) -> Result:
    """Write the oracle's result as if a whole training had made it under the protocol ``name`` on recorded data.

    ``pairs`` are the names that the first pairs of traversals get; all others are left out.
    """
    of = PROTOCOLS[name]
    made = MethodRecord.unregistered("modalink", "trained").model_copy(
        update={"preset": "paper-kitti", "backbone_weights": "timm", "share_of_schedule": 1.0} | (method or {})
    )
    result = stored_result(folder, world, protocol, method=made, cost=cost)
    directions = {}
    for label, record in result.directions.items():
        kept = [
            replace(pair, query=query, database=database)
            for pair, (query, database) in zip(record.pairs, pairs, strict=False)
        ]
        means = {"mean": mean_over_pairs(kept), "pooled": pooled(kept), "pairs": kept}
        directions[label] = record.model_copy(update=means)
    changed = result.model_copy(
        update={
            "run_id": folder.name,
            "dataset": result.dataset.model_copy(update={"name": of.dataset, "is_real": of.dataset != "town"}),
            "protocol": plain(of) | (protocol_changes or {}),
            "directions": directions,
            "harness": result.harness | {"dirty": False},
        }
        | changes
    )
    (folder / RESULT).write_text(changed.model_dump_json())
    (folder / RANKS).unlink()  # as published results of recorded data; these would be of other pairs
    return Result.read(folder)
