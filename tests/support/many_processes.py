"""What torchrun starts in tests: steps of every method on two processes beside the same steps on one.

All is in double precision, so that what remains are mistakes and not rounding.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from benchmark.frames import loading
from benchmark.registry import METHODS
from benchmark.training.loop import TrainingOptions, train
from benchmark.training.optimising import optimizer_of, set_training_mode
from benchmark.training.processes import Processes, launched
from datasets.base import Protocol, Selection, Split
from datasets.prepared import PreparedDataset
from methods.base import Method, MethodConfig, Stage
from methods.batch import Batch, Sample, collate
from methods.recipe import shortened

REPOSITORY = Path(__file__).parents[2]
ROWS = (0, 12, 5, 17, 10, 22, 3)
"""Rows of the small world: three places in the morning and in the evening, and one place once."""
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


def fresh(name: str, **changes: Any) -> Method:
    """The quick preset from scratch, with one epoch in each stage."""
    kind = METHODS.get(name)
    config: MethodConfig = shortened(kind.presets["quick"], 1e-6)
    torch.manual_seed(0)
    return kind(replace(config, weights="none", **changes))


# --- one step ------------------------------------------------------------------------------------


def seen_of(stage: Stage, loss: Tensor, statistics: dict[str, Tensor]) -> dict[str, Tensor]:
    """What a step leaves: its loss, sums, gradients and the buffers of the modules."""
    gradients = {f"gradient {name}": p.grad.clone() for name, p in stage.named_parameters() if p.grad is not None}
    buffers = {f"buffer {name}": b.clone() for name, b in stage.named_buffers()}
    return {"loss": loss.detach()} | {f"sum {k}": v.detach() for k, v in statistics.items()} | gradients | buffers


def step(
    name: str, number: int, dataset: PreparedDataset, rows: Sequence[int], fabric: Any, processes: Processes
) -> dict[str, Tensor]:
    """A stage's first step on these rows, augmented, from weights that depend on the seed alone."""
    method = fresh(name)
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

    A gradient that is zero but for rounding, as of a bias before a normalisation, is compared with a millionth of the
    largest gradient of the step.
    """
    assert found.keys() == expected.keys()
    largest = max(float(tensor.abs().max()) for name, tensor in expected.items() if name.startswith("gradient"))
    differences: dict[str, float] = {"largest gradient": largest}
    for name, tensor in expected.items():
        if not tensor.numel():
            continue
        scale = max(float(tensor.abs().max()), 1e-6 * largest if name.startswith("gradient") else 1e-12)
        kind = name.partition(" ")[0]
        off = float((found[name].double() - tensor.double()).abs().max()) / scale
        differences[kind] = max(differences.get(kind, 0.0), off)
    return differences


def compare(folder: Path, names: Sequence[str], rows: Sequence[int]) -> dict[str, dict[str, dict[str, float]]]:
    """Differences between two processes and one, by method and stage; in the first process."""
    dataset = PreparedDataset.read(folder)
    fabric = launched(accelerator="cpu", devices=1)
    together, alone = Processes(fabric.global_rank, fabric.world_size), Processes()
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name in names:
        stages = fresh(name).stages(SPLIT)
        for number, stage in enumerate(stages):
            expected = step(name, number, dataset, rows, fabric, alone)
            other = step(name, number, dataset, rows, fabric, together)
            found.setdefault(name, {})[stage.name] = difference(other, expected)
    return found


if __name__ == "__main__":
    task, data, target = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    torch.set_num_threads(1)
    with in_double():
        if task == "compare":
            answer = compare(data, sys.argv[5:], json.loads(sys.argv[4]))
            if os.environ["RANK"] == "0":
                target.write_text(json.dumps(answer))
