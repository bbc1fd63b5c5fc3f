"""What torchrun starts in tests: steps of every method on two processes beside the same steps on one.

All is in double precision, so that what remains are mistakes and not rounding.
"""

import copy
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from small_vxp import CONFIG
from torch import Tensor

from benchmark.frames import loading
from benchmark.machine import rank_and_size
from benchmark.registry import METHODS
from benchmark.request import MethodOptions
from benchmark.training.configuring import configure
from benchmark.training.loop import TrainingOptions, train
from benchmark.training.optimising import optimizer_of, set_training_mode
from benchmark.training.processes import Processes, launched
from datasets.base import Protocol, Selection, Split
from datasets.prepared import PreparedDataset
from methods.base import Method, Stage, StageOutput
from methods.batch import Batch, Sample, collate
from methods.recipe import Recipe
from methods.vxp import Vxp
from methods.vxp.stages import LocalStage

REPOSITORY = Path(__file__).parents[2]
ROWS = (0, 12, 5, 17, 10)
"""Rows of the small world: two places in the morning and in the evening, and one place once."""
STOP = 13
"""Forward pass of the second stage in which a training is interrupted: after its first epoch."""
SPLIT = Split(train=Selection(traversals=("morning", "evening")), validation=Selection(traversals=("midnight",)))
PROTOCOL = Protocol(
    name="small",
    version=1,
    title="Small world",
    dataset="small_world",
    split=SPLIT,
    query=Selection(),
    database=Selection(),
    pairs="across",
    radius_m=13.0,
    heading_limit_rad=0.5,
)


def started(n: int, *arguments: str) -> None:
    """Run this file under torchrun on ``n`` processes, to its end."""
    command = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={n}", __file__, *arguments]
    paths = os.pathsep.join([str(REPOSITORY), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-6000:]


@contextmanager
def in_double() -> Iterator[None]:
    """Context in which networks, their inputs and what they call float32 are in double precision."""

    def doubled(samples: Sequence[Sample]) -> Batch:
        batch = collate(samples)
        if batch.clouds is not None:
            batch.clouds.points = batch.clouds.points.double()
        for name in ("intrinsics", "camera_from_lidar"):
            if (tensor := getattr(batch, name)) is not None:
                setattr(batch, name, tensor.double())
        return batch

    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with mock.patch.object(Tensor, "float", Tensor.double), mock.patch.object(loading, "collate", doubled):
            yield
    finally:
        torch.set_default_dtype(before)


def fresh(name: str) -> Method:
    """The quick preset from scratch, with one epoch in each stage; a variant may follow the name and a colon."""
    name, _, variant = name.partition(":")
    kind = METHODS.get(name)
    torch.manual_seed(0)
    return kind(configure(kind, MethodOptions(name=name, variant=variant, weights="none", share=1e-6)))


def small_vxp() -> Vxp:
    """Three stages of two epochs: batches that grow, batches of uneven shares, and a last batch of one frame."""
    torch.manual_seed(0)
    recipe = Recipe(epochs=2, batch_size=7, learning_rate=1e-3, learning_rate_floor=1e-4)
    teacher = replace(recipe, batch_size=6)
    stages = {"teacher": teacher, "local_stage": recipe, "global_stage": replace(recipe, batch_size=23)}
    return Vxp(replace(CONFIG, is_centred=True, growth_threshold=1.1, **stages))


def trained(data: Path, folder: Path, stop_at: int | None = None) -> None:
    """Train the small VXP into ``folder``, or only up to some forward pass of its second stage."""
    number, forward = 0, LocalStage.forward

    def counted(stage: LocalStage, batch: Batch) -> StageOutput:
        nonlocal number
        number += 1
        if number == stop_at:
            raise KeyboardInterrupt
        return forward(stage, batch)

    with mock.patch.object(LocalStage, "forward", counted), suppress(KeyboardInterrupt):
        train(small_vxp(), PreparedDataset.read(data), PROTOCOL, folder, 0, TrainingOptions())


# --- one step ------------------------------------------------------------------------------------


def seen_of(stage: Stage, loss: Tensor, statistics: dict[str, Tensor]) -> dict[str, Tensor]:
    """What a step leaves: its loss, sums, gradients and the buffers of the modules."""
    gradients = {f"gradient {name}": p.grad.clone() for name, p in stage.named_parameters() if p.grad is not None}
    buffers = {f"buffer {name}": b.clone() for name, b in stage.named_buffers()}
    return {"loss": loss.detach()} | {f"sum {k}": v.detach() for k, v in statistics.items()} | gradients | buffers


def step(
    untouched: Method, number: int, dataset: PreparedDataset, rows: Sequence[int], fabric: Any, processes: Processes
) -> dict[str, Tensor]:
    """A stage's first step on these rows, augmented, by a copy of the method."""
    method = copy.deepcopy(untouched)
    method.requires_grad_(False)
    stage = method.stages(SPLIT)[number]
    optimizer = optimizer_of(stage)
    wrapped = fabric.setup(stage, optimizer)[0] if processes.size > 1 else stage
    set_training_mode(stage)
    torch.manual_seed(1)
    options: dict[str, Any] = {"augment": stage.augment, "own": processes.own}
    (batch,) = loading.batch_loader(dataset, [rows], stage.modalities, **options)
    with processes.step(lambda: [dataset.frame(row) for row in rows]):
        output = wrapped(batch)
    whole, own_loss = processes.total(output, len(rows))
    own_loss.backward()
    return seen_of(stage, whole.loss, {"count": whole.count, **whole.statistics})


def difference(found: dict[str, Tensor], expected: dict[str, Tensor]) -> dict[str, float]:
    """The largest difference of each kind of numbers, relative to the largest number of its tensor.

    A gradient that is zero but for rounding, as of descriptors that are all equal, is compared with a share of the
    largest gradient of the step.
    """
    assert found.keys() == expected.keys()
    largest = max(float(tensor.abs().max()) for name, tensor in expected.items() if name.startswith("gradient"))
    differences: dict[str, float] = {"largest gradient": largest}
    for name, tensor in expected.items():
        if not tensor.numel():
            continue
        scale = max(float(tensor.abs().max()), 1e-4 * largest if name.startswith("gradient") else 1e-12)
        kind = name.partition(" ")[0]
        off = float((found[name].double() - tensor.double()).abs().max()) / scale
        differences[kind] = max(differences.get(kind, 0.0), off)
    return differences


def compare(folder: Path, names: Sequence[str], rows: Sequence[int]) -> dict[str, dict[str, dict[str, float]]]:
    """Differences between all processes and one, by method and stage, in the first process; shared stages once."""
    dataset = PreparedDataset.read(folder)
    fabric = launched(accelerator="cpu", devices=1)
    together, alone = Processes(fabric.global_rank, fabric.world_size), Processes()
    found: dict[str, dict[str, dict[str, float]]] = {name: {} for name in names}
    shared = set()
    for name in names:
        method = fresh(name)
        for number, stage in enumerate(method.stages(SPLIT)):
            if stage.name in shared:
                continue
            if stage.is_shared:
                shared.add(stage.name)
            other = step(method, number, dataset, rows, fabric, together)
            if together.is_first:
                expected = step(method, number, dataset, rows, fabric, alone)
                found[name][stage.name] = difference(other, expected)
    return found


if __name__ == "__main__":
    data, target, methods = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
    torch.set_num_threads(1)
    with in_double():
        answer = compare(data, methods, ROWS)
        if rank_and_size()[0] == 0:
            (target / "differences.json").write_text(json.dumps(answer))
        trained(data, target / "two")
        trained(data, target / "two-then-one", stop_at=STOP)
        trained(data, target / "one-then-two")
