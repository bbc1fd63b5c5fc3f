"""Statistics of batch normalisation are those of the weights as they are, whatever the momentum."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from benchmark.protocol.selection import select
from benchmark.registry import METHODS
from benchmark.training import loop
from benchmark.training.checkpoint import load_weights
from benchmark.training.loop import TrainingOptions, train
from datasets.base import Protocol
from datasets.prepared import PreparedDataset
from methods.base import Method, Stage, StageOutput
from methods.batch import Batch, collate, load_sample
from methods.learning.normalisation import batch_norms
from methods.recipe import shortened

SLOW = 0.01
"""A momentum with which a hundred steps pass before statistics have come two thirds of the way."""


def all_training_frames(dataset: PreparedDataset, protocol: Protocol) -> Batch:
    rows = select(dataset.frames, protocol.split.train).tolist()
    return collate([load_sample(dataset, dataset.frame(row), ("image", "cloud")) for row in rows])


def slow_toy(toy: Any) -> Any:
    torch.manual_seed(0)
    method = toy.Toy()
    for norm in batch_norms(method):
        norm.momentum = SLOW
    return method


def test_a_short_training_with_a_small_momentum_is_evaluated_with_the_statistics_of_its_frames(
    toy: Any, small_world: PreparedDataset, protocol: Protocol, tmp_path: Path
) -> None:
    """Six steps, so that statistics that only follow have come 6 % of the way; three batches of 8 are all frames."""
    method = slow_toy(toy)
    train(method, small_world, protocol, tmp_path, 0, TrainingOptions())
    batch = all_training_frames(small_world, protocol)
    layer, norm, _ = method.eval().cloud_branch
    with torch.no_grad():
        rows = layer(method.cloud_inputs(batch))
        population = (rows - rows.mean(0)) / (rows.var(0) + norm.eps).sqrt() * norm.weight + norm.bias
        found = method.encode_clouds(method.cloud_inputs(batch))["main"][:, 0]
    torch.testing.assert_close(norm.running_mean, rows.mean(0), rtol=1e-5, atol=1e-6)
    assert (found - population).abs().max() < 0.3, "descriptors would be off by several deviations"
    assert norm.momentum == SLOW


def test_statistics_that_a_stage_does_not_train_stay(
    toy: Any, small_world: PreparedDataset, protocol: Protocol, tmp_path: Path
) -> None:
    train(slow_toy(toy), small_world, protocol, tmp_path, 0, TrainingOptions())
    taught, final = (load_file(tmp_path / name) for name in ("teach/best.safetensors", "weights.safetensors"))
    assert "image_branch.1.running_var" in taught
    assert all(torch.equal(final[name], tensor) for name, tensor in taught.items())


def test_measuring_changes_no_step_of_training(
    toy: Any, small_world: PreparedDataset, protocol: Protocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = "teach/epoch-0003.safetensors"
    train(slow_toy(toy), small_world, protocol, tmp_path / "measured", 0, TrainingOptions())
    monkeypatch.setattr(loop._StageRun, "_measure", lambda self: None)
    train(slow_toy(toy), small_world, protocol, tmp_path / "following", 0, TrainingOptions())
    measured, following = (load_file(tmp_path / name / last) for name in ("measured", "following"))
    differ = {name for name, tensor in measured.items() if not torch.equal(tensor, following[name])}
    norm = "module.image_branch.1"
    assert differ == {f"{norm}.running_mean", f"{norm}.running_var", f"{norm}.num_batches_tracked"}


def test_batches_without_augmentation_are_measured_up_to_a_number_of_frames(
    toy: Any, small_world: PreparedDataset, protocol: Protocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three batches of 8 frames two hold the first 9; each epoch measures others."""
    monkeypatch.setattr(loop, "MEASURED_FRAMES", 9)
    seen: list[list[list[str]]] = []
    modes: set[tuple[bool, ...]] = set()
    forward, measure = toy.Align.forward, loop._StageRun._measure

    def watched(self: Any, batch: Batch) -> StageOutput:
        norm, dropout = self.method.cloud_branch[1:]
        if norm.training and not torch.is_grad_enabled():
            seen[-1].append([frame.frame_id for frame in batch.frames])
            modes.add((norm.training, dropout.training, self.method.image_branch[1].training))
            assert batch.clouds is not None
            first = torch.from_numpy(small_world.load_cloud(batch.frames[0]))
            assert torch.equal(batch.clouds.points[batch.clouds.batch_index == 0], first)
        return forward(self, batch)

    def measuring(self: Any) -> None:
        seen.append([])
        measure(self)

    monkeypatch.setattr(toy.Align, "forward", watched)
    monkeypatch.setattr(loop._StageRun, "_measure", measuring)
    train(slow_toy(toy), small_world, protocol, tmp_path, 0, TrainingOptions())
    aligned = [epoch for epoch in seen if epoch]
    assert [[len(ids) for ids in epoch] for epoch in aligned] == [[8, 8], [8, 8]]
    assert aligned[0] != aligned[1]
    assert modes == {(True, False, False)}


def test_a_stage_without_batch_normalisation_measures_nothing(
    toy: Any, small_world: PreparedDataset, protocol: Protocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[bool] = []
    forward = toy.Align.forward
    monkeypatch.setattr(
        toy.Align, "forward", lambda self, b: counts.append(torch.is_grad_enabled()) or forward(self, b)
    )
    method = slow_toy(toy)
    method.cloud_branch[1] = nn.LayerNorm(4)
    train(method, small_world, protocol, tmp_path, 0, TrainingOptions())
    assert counts == 2 * ([True] * 3 + [False] * 3)


# --- every method --------------------------------------------------------------------------------


class Oracle:
    """Mean and variance of what enters each normalisation, a batch at a time, without torch's own bookkeeping."""

    def __init__(self, *modules: nn.Module) -> None:
        self.norms = batch_norms(*modules)
        self.seen: dict[nn.Module, list[tuple[Tensor, Tensor]]] = {norm: [] for norm in self.norms}

    def __call__(self, stage: Stage, batches: list[Batch]) -> None:
        def note(norm: nn.Module, inputs: tuple[Tensor]) -> None:
            rows = inputs[0].double().movedim(1, -1).flatten(0, -2)
            if len(rows) > 1:  # fewer have no variance
                self.seen[norm].append((rows.mean(0), rows.var(0)))

        stage.eval()
        for norm in self.norms:
            norm.training, norm.momentum = True, 0.0
        hooks = [norm.register_forward_pre_hook(note) for norm in self.norms]
        with torch.no_grad():
            for batch in batches:
                stage(batch)
        for hook in hooks:
            hook.remove()
        stage.eval()


@pytest.mark.parametrize("name", [name for name in METHODS.names() if METHODS.get(name).is_trainable])
def test_statistics_of_every_method_are_those_of_its_training_batches(
    name: str, small_world: PreparedDataset, protocol: Protocol, tmp_path: Path
) -> None:
    """After one epoch of each stage of the quick preset, for the weights that the stage leaves behind."""
    seed = 3
    trained = fresh(name)
    train(trained, small_world, protocol, tmp_path, seed, TrainingOptions())
    method, checked = fresh(name), 0
    for number, stage in enumerate(method.stages(protocol.split)):
        load_weights(loop._Trained(method, stage), tmp_path / stage.name / "best.safetensors")
        rows = select(small_world.frames, protocol.split.train)
        sampler = stage.sampler(small_world.frames.take(rows), training=True)
        drawn = sampler.batches(np.random.default_rng([seed, number, 0, 2]))
        batches = [
            collate([load_sample(small_world, small_world.frame(row), stage.modalities) for row in rows[some].tolist()])
            for some in drawn
        ]
        oracle = Oracle(*stage.trainable())
        before = [(norm.running_mean.clone(), norm.running_var.clone()) for norm in oracle.norms]
        oracle(stage, batches)
        for norm, (mean, var) in zip(oracle.norms, before, strict=True):
            if not oracle.seen[norm]:
                continue
            expected = [torch.stack(some).mean(0).float() for some in zip(*oracle.seen[norm], strict=True)]
            torch.testing.assert_close(mean, expected[0], rtol=1e-3, atol=1e-4)
            torch.testing.assert_close(var, expected[1], rtol=1e-3, atol=1e-6)
            checked += 1
    assert checked or not batch_norms(method)


def fresh(name: str) -> Method:
    """The quick preset with one epoch in each stage."""
    kind = METHODS.get(name)
    config = shortened(kind.presets["quick"], 1e-6)
    torch.manual_seed(0)
    return kind(replace(config, weights="none"))
