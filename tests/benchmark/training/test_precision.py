"""Mixed precision on the CPU: every method trains with it, with losses and weights in full precision."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from benchmark.registry import METHODS
from benchmark.training.loop import TrainingOptions, train
from datasets.base import Protocol
from datasets.prepared import PreparedDataset
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
