"""Every method in ``quick`` and in its paper's architecture: every number, or the reason why there is none."""

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.cost import parts, session
from benchmark.cost.parts import PARTS
from benchmark.cost.presets import chosen
from benchmark.cost.probes import flops, latency, memory, throughput
from benchmark.cost.session import Subjects, run_session
from benchmark.cost.stopwatch import Laps
from benchmark.registry import METHODS
from datasets.prepared import PreparedDataset


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part once, without a warm-up, and no further process."""
    monkeypatch.setattr(Laps, "warm_up", lambda self, limit_s=0.0: 0)
    monkeypatch.setattr(latency, "LEAST", 1)
    monkeypatch.setattr(throughput, "SIZES", (1,))
    monkeypatch.setattr(flops, "N_INPUTS", 1)
    monkeypatch.setattr(memory, "in_its_own_process", lambda *_: {"resident": 400.0})
    monkeypatch.setattr(session, "ROUNDS", 1)
    monkeypatch.setattr(parts, "MOST_BYTES", 2**28)


@pytest.mark.parametrize(
    ("name", "word"),
    [
        pytest.param(name, word, marks=pytest.mark.slow if word == "paper" else ())
        for name in METHODS.names()
        for word in ("quick", "paper")
    ],
)
def test_every_method_and_preset_has_every_number_or_a_reason(
    name: str, word: str, small_world: PreparedDataset, tmp_path: Path, hasty: None
) -> None:
    subjects = Subjects(dataset=small_world, device=torch.device("cpu"), folder=tmp_path)
    (sheet,) = run_session(subjects, chosen([name], [word]), minutes=1e-9)
    if sheet.hole:
        assert (word, sheet.measures) == ("paper", [])
        return
    timed = {measure.part: measure for measure in sheet.measures if measure.quantity == "latency"}
    assert timed.keys() == {*PARTS, "image", "cloud"}
    for measure in sheet.measures:
        assert bool(measure.values) != bool(measure.hole), measure
        assert all(np.isfinite(value) and value >= 0 for value in measure.values.values())
    holes = {measure.quantity for measure in sheet.measures if measure.hole}
    assert holes <= {"allocated memory", "reserved memory", "energy", "latency"}
    assert all(timed[part].values for part in timed if not part.startswith("search"))
    quantities = {measure.quantity for measure in sheet.measures}
    assert quantities == {
        *("latency", "throughput", "FLOPs", "resident memory", "allocated memory", "reserved memory"),
        *("parameters", "weights", "place", "energy"),
    }
