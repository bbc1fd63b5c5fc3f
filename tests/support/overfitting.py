"""Whether a method can learn a few pairs by heart, as the harness would train it."""

import numpy as np
import torch

from benchmark.encoding import encode_batch
from benchmark.loading import load_sample
from benchmark.ranking import distances
from datasets.base import Selection, Split
from datasets.prepared import PreparedDataset
from methods.base import Method, Sample, Stage, collate

SPLIT = Split(train=Selection(), validation=Selection())


def samples_far_apart(dataset: PreparedDataset, n: int, at_least_m: float = 50.0) -> list[Sample]:
    """Frames of ``n`` places that lie apart, each with image and cloud."""
    east_north_m, rows = dataset.frames.position_m[:, :2], []
    for row in np.random.default_rng(0).permutation(len(dataset.frames)).tolist():
        if all(np.linalg.norm(east_north_m[row] - east_north_m[other]) >= at_least_m for other in rows):
            rows.append(row)
    assert len(rows) >= n
    return [load_sample(dataset, dataset.frame(row), ("image", "cloud")) for row in rows[:n]]


def overfit(method: Method, samples: list[Sample], steps: int) -> None:
    """Train every stage for ``steps`` steps of its recipe's learning rate, always on the same frames."""
    torch.manual_seed(0)
    for stage in method.stages(SPLIT):
        optimizer = _optimizer(method, stage)
        for _ in range(steps):
            output = stage(collate(samples))
            optimizer.zero_grad()
            (output.loss_sum / output.count.clamp(min=1)).backward()
            optimizer.step()
    method.eval()


def _optimizer(method: Method, stage: Stage) -> torch.optim.Optimizer:
    method.requires_grad_(False)
    stage.eval()
    for module in stage.trainable():
        module.requires_grad_(True).train()
    rate = stage.recipe.learning_rate
    groups = [
        {"params": [p for m in group.modules for p in m.parameters()], "lr": rate * group.learning_rate_factor}
        for group in stage.groups()
    ]
    return torch.optim.Adam(groups)


def image_to_cloud_recall(method: Method, samples: list[Sample], descriptor: int = 0) -> float:
    """Share of images whose nearest cloud is their own."""
    spec = method.descriptors[descriptor]
    with torch.inference_mode():
        encoded = encode_batch(method.eval(), collate(samples))
    images, clouds = (encoded[m][spec.name].numpy() for m in ("image", "cloud"))
    return float((distances(images, clouds, spec.distance).argmin(1) == np.arange(len(samples))).mean())
