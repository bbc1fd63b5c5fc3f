"""A small VXP, and its stages as the harness runs them."""

import torch
from torch import Tensor, nn

from datasets.base import Selection, Split
from methods.base import ImageInput, Stage
from methods.batch import Batch
from methods.layers.voxels import VoxelGrid
from methods.vxp import Vxp
from methods.vxp.config import EncoderWidths, VxpConfig

CONFIG = VxpConfig(
    weights="none",
    backbone="resnet18",
    backbone_block=1,
    image=ImageInput(height=32, width=32, antialias=False),
    descriptor_size=12,
    grid=VoxelGrid(size_m=(1.0, 1.0, 0.5)),
    feature_channels=(8, 16),
    widths=EncoderWidths(entry=8, full=(8,), half=(8, 8), deep=(16,)),
)
SPLIT = Split(train=Selection(), validation=Selection())
PLACES = (0, 12, 5, 17, 10, 22)
"""Rows of the small world: three places, each in the morning and in the evening."""


def stage_of(method: Vxp, name: str) -> Stage:
    """A stage as the harness runs it: everything frozen but what it trains, and only that in training mode."""
    stage = {s.name: s for s in method.stages(SPLIT)}[name]
    method.requires_grad_(False)
    stage.eval()
    for module in stage.trainable():
        module.requires_grad_(True).train()
    return stage


def mean_loss(stage: Stage, batch: Batch) -> Tensor:
    output = stage(batch)
    return output.loss_sum / output.count.clamp(min=1)


def train_step(stage: Stage, batch: Batch, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    mean_loss(stage, batch).backward()
    optimizer.step()


def optimizer_of(stage: Stage) -> torch.optim.Optimizer:
    return torch.optim.Adam([p for module in stage.trainable() for p in module.parameters()], lr=1e-4)


def snapshot(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def changed(module: nn.Module, before: dict[str, Tensor]) -> set[str]:
    """Names of parameters and buffers that differ from ``before``, up to the second dot."""
    after = module.state_dict()
    return {".".join(name.split(".")[:2]) for name in before if not torch.equal(before[name], after[name])}
