"""Time of a training step by precision, and of reading its frames: ``nox -s cost``."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from benchmark.contract.overfitting import SPLIT
from benchmark.contract.subject import new_method
from benchmark.frames.loading import KeptSamples, batch_loader
from benchmark.training.optimising import lay_out, optimizer_of, set_training_mode
from datasets.prepared import PreparedDataset
from methods.base import Method
from methods.vxp import Vxp

ROWS = list(range(0, 400, 25))
STAGES = {"range_plain": "triplets", "vxp": "teacher"}


@pytest.mark.benchmark(group="training step of networks and optimiser, 16 town frames")
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("name", STAGES)
def test_training_step(benchmark: Any, tiny_town: PreparedDataset, name: str, precision: str) -> None:
    method = new_method(name)
    run = step(method, STAGES[name], tiny_town, ROWS, is_mixed=precision == "bf16-mixed")
    benchmark.pedantic(run, rounds=8, warmup_rounds=2)


@pytest.mark.benchmark(group="training step of VXP's student, 8 town frames, with answers of the teacher live or kept")
@pytest.mark.parametrize("answers", ["live", "cached"])
@pytest.mark.parametrize("stage", ["local", "global"])
def test_student_step(benchmark: Any, tiny_town: PreparedDataset, stage: str, answers: str) -> None:
    torch.manual_seed(0)
    method = Vxp(replace(Vxp.presets["quick"], weights="none", teacher_features=answers))
    benchmark.pedantic(step(method, stage, tiny_town, ROWS[::2]), rounds=8, warmup_rounds=2)


def step(
    method: Method, name: str, dataset: PreparedDataset, rows: list[int], *, is_mixed: bool = False
) -> Callable[[], None]:
    """A step of a stage on one batch, again and again: networks, loss, gradients and optimiser."""
    stage = next(stage for stage in method.stages(SPLIT) if stage.name == name)
    if is_mixed:
        lay_out(stage, torch.channels_last)
    method.requires_grad_(False)
    optimizer = optimizer_of(stage)
    set_training_mode(stage)
    (batch,) = batch_loader(dataset, [rows], stage.modalities)

    def run() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=is_mixed):
            loss = stage(batch).loss
        loss.backward()
        optimizer.step()

    return run


@pytest.mark.benchmark(group="a batch of 16 town frames")
@pytest.mark.parametrize("is_kept", [False, True], ids=["from files", "from memory"])
def test_loading(benchmark: Any, tiny_town: PreparedDataset, is_kept: bool) -> None:
    samples = KeptSamples(tiny_town, ("image", "cloud"), limit_bytes=None if is_kept else 0)
    loader = batch_loader(tiny_town, [ROWS], ("image", "cloud"), kept=samples)
    benchmark.pedantic(lambda: list(loader), rounds=8, warmup_rounds=1)
