"""Time of a training step by precision, and of reading its frames: ``nox -s cost``."""

from typing import Any

import pytest
import torch

from benchmark.contract.overfitting import SPLIT
from benchmark.contract.subject import new_method
from benchmark.frames.loading import KeptSamples, batch_loader
from benchmark.training.optimising import lay_out, optimizer_of, set_training_mode
from datasets.prepared import PreparedDataset

ROWS = list(range(0, 400, 25))
STAGES = {"range_plain": "triplets", "vxp": "teacher"}


@pytest.mark.benchmark(group="training step of networks and optimiser, 16 town frames")
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("name", STAGES)
def test_training_step(benchmark: Any, tiny_town: PreparedDataset, name: str, precision: str) -> None:
    method = new_method(name)
    stage = next(stage for stage in method.stages(SPLIT) if stage.name == STAGES[name])
    is_mixed = precision == "bf16-mixed"
    if is_mixed:
        lay_out(stage, torch.channels_last)
    method.requires_grad_(False)
    optimizer = optimizer_of(stage)
    set_training_mode(stage)
    (batch,) = batch_loader(tiny_town, [ROWS], stage.modalities)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=is_mixed):
            loss = stage(batch).loss
        loss.backward()
        optimizer.step()

    benchmark.pedantic(step, rounds=8, warmup_rounds=2)


@pytest.mark.benchmark(group="a batch of 16 town frames")
@pytest.mark.parametrize("is_kept", [False, True], ids=["from files", "from memory"])
def test_loading(benchmark: Any, tiny_town: PreparedDataset, is_kept: bool) -> None:
    samples = KeptSamples(tiny_town, ("image", "cloud"), limit_bytes=None if is_kept else 0)
    loader = batch_loader(tiny_town, [ROWS], ("image", "cloud"), kept=samples)
    benchmark.pedantic(lambda: list(loader), rounds=8, warmup_rounds=1)
