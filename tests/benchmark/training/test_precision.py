"""Mixed precision on the CPU: every method trains with it, with losses and weights in full precision."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from benchmark.registry import METHODS
from benchmark.training import loop
from benchmark.training.loop import TrainingOptions, train
from datasets.base import Protocol
from datasets.prepared import PreparedDataset
from methods.base import Method
from methods.batch import Batch
from methods.recipe import shortened


@pytest.mark.parametrize("name", [name for name in METHODS.names() if METHODS.get(name).is_trainable])
def test_every_method_trains_in_mixed_precision(
    name: str, small_world: PreparedDataset, protocol: Protocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One epoch of each stage of the quick preset; networks compute in bfloat16, the loss that comes out does not."""
    kind = METHODS.get(name)
    losses: dict[str, set[torch.dtype]] = {}
    stages = kind.stages

    def watched(self: Any, split: Any) -> Any:
        found = stages(self, split)
        for stage in found:
            stage.register_forward_hook(
                lambda stage, _, output: losses.setdefault(stage.name, set()).add(output.loss_sum.dtype)
            )
        return found

    monkeypatch.setattr(kind, "stages", watched)
    torch.manual_seed(0)
    config = replace(shortened(kind.presets["quick"], 1e-6), weights="none")
    before = {name: tensor.clone() for name, tensor in kind(config).state_dict().items()}
    torch.manual_seed(0)
    train(kind(config), small_world, protocol, tmp_path, 0, TrainingOptions(precision="bf16-mixed"))
    found = load_file(tmp_path / "weights.safetensors")
    assert {tensor.dtype for tensor in found.values()} <= {torch.float32, torch.int64}
    assert all(tensor.isfinite().all() for tensor in found.values())
    assert any(not torch.equal(found[name], before[name]) for name in before)
    assert losses
    assert all(dtypes == {torch.float32} for dtypes in losses.values()), losses


@pytest.mark.parametrize(("precision", "is_last"), [("bf16-mixed", True), ("32-true", False)])
def test_convolutions_have_channels_last_in_mixed_training_and_not_after_it(
    small_world: PreparedDataset,
    protocol: Protocol,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    precision: str,
    is_last: bool,
) -> None:
    kind = METHODS.get("liploc")
    seen: set[bool] = set()
    inputs_of = kind.image_inputs

    def has_channels_last(method: Method) -> bool:
        weights = [p for p in method.parameters() if p.dim() == 4 and min(p.shape) > 1]
        return all(p.is_contiguous(memory_format=torch.channels_last) for p in weights)

    def watched(self: Method, batch: Batch) -> Tensor:
        seen.add(has_channels_last(self))
        return inputs_of(self, batch)

    monkeypatch.setattr(kind, "image_inputs", watched)
    method = kind(shortened(kind.presets["quick"], 1e-6))
    train(method, small_world, protocol, tmp_path, 0, TrainingOptions(precision=precision))
    assert seen == {is_last}
    assert all(p.is_contiguous() for p in method.parameters())


def test_mixed_training_resumes_bit_for_bit(
    small_world: PreparedDataset, protocol: Protocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, mixed = METHODS.get("range_plain"), TrainingOptions(precision="bf16-mixed")
    config = shortened(kind.presets["quick"], 1e-6)
    config = replace(config, recipe=replace(config.recipe, epochs=2))

    def run(folder: str) -> str:
        torch.manual_seed(0)
        return train(kind(config), small_world, protocol, tmp_path / folder, 0, mixed).weights_sha256

    save, saved = loop.save_checkpoint, []

    def interrupt(*args: Any) -> None:
        save(*args)
        saved.append(args)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_checkpoint", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run("resumed")
    assert len(saved) == 1
    assert run("resumed") == run("whole")
