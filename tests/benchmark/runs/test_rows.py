"""Rows that are recorded by several threads are those of one."""

from pathlib import Path

import pytest

from benchmark.records.schema import RANKS
from benchmark.runs import rows
from benchmark.runs.rows import Arena
from datasets.base import Protocol
from datasets.prepared import PreparedDataset


def test_threads_change_no_bit_of_a_row(
    small_world: PreparedDataset, protocol: Protocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {}
    for threads in (1, 3):
        monkeypatch.setattr(rows, "RECORDERS", threads)
        arena = Arena(dataset=small_world, protocol=protocol, warnings=(), runs=tmp_path / str(threads))
        bounds = arena.bounds(0)
        results = [result.model_copy(update={"created": ""}) for result in arena.results(bounds)]
        made[threads] = results, [(row.folder / RANKS).read_bytes() for row in bounds]
    assert len(made[1][0]) == 3
    assert made[1] == made[3]
