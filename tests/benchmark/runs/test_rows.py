"""Rows that are recorded by several threads are those of one, and rows of an older suite are made anew."""

from pathlib import Path

import numpy as np
import pytest

import benchmark
from benchmark.records.schema import RANKS
from benchmark.runs import rows
from benchmark.runs.rows import Arena, score_on
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


def test_descriptors_are_scored_anew_by_another_version(
    small_world: PreparedDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    frame_ids = small_world.frames.frame_id
    (foreign / "frame_ids.txt").write_text("".join(f"{name}\n" for name in frame_ids))
    for name in ("images", "clouds"):
        np.save(foreign / f"{name}.npy", np.random.default_rng(0).normal(size=(len(frame_ids), 4)))
    first = score_on(foreign, small_world, None, tmp_path / "runs")
    assert score_on(foreign, small_world, None, tmp_path / "runs") == first
    monkeypatch.setattr(benchmark, "__version__", "99.0.0")
    then = score_on(foreign, small_world, None, tmp_path / "runs")
    assert len({result.key for result in [*first, *then]}) == len(first) + len(then) == 8
