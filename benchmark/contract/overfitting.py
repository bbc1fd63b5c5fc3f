"""Whether a method can learn a few places by heart: one that cannot learns nothing from many either."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from benchmark.descriptors.encoding import encode_batch
from benchmark.evaluation.distances import distances
from benchmark.training.optimising import optimizer_of, set_training_mode
from datasets.base import Frames, Selection, Split
from datasets.errors import CrossplaceError
from datasets.places import neighbours
from datasets.prepared import PreparedDataset
from methods.base import Method, Stage
from methods.batch import Batch, Sample, collate, load_sample
from methods.learning.normalisation import batch_norms, measured_statistics

SPLIT = Split(train=Selection(), validation=Selection())
N_PLACES = 16
APART_M = 50.0
LOOK_EVERY = 10
"""Steps between two looks at whether all places are known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """How well some places are known, and what that took."""

    before: float
    """Recall of the untrained method."""
    recall: float
    """Share of images whose nearest cloud is the one of their own frame."""
    steps: int
    seconds: float

    def __str__(self) -> str:
        """As a sentence says it."""
        return f"{self.before:.0%} untrained, {self.recall:.0%} after {self.steps} steps and {self.seconds:.0f} s"


def learn_by_heart(
    method: Method,
    dataset: PreparedDataset,
    *,
    n_places: int = N_PLACES,
    apart_m: float = APART_M,
    early_steps: int = 100,
    most_steps: int = 1000,
    budget_s: float = 300.0,
) -> Memory:
    """Train ``method`` on ``n_places`` that lie ``apart_m`` from each other, until each image finds its own cloud.

    All stages in order, each with its optimiser at its first learning rate, on one batch: the places, and for stages of
    one modality, which have nothing else to pull together, another frame beside each. The last stage goes on until all
    is known, every other for ``early_steps`` or until its loss is zero, which leaves nothing to learn. None goes beyond
    ``most_steps`` or its part of ``budget_s``. No augmentation.

    Raises:
        CrossplaceError: too few places lie so far apart.
    """
    pairs = places_apart(dataset.frames, n_places, apart_m)
    samples = [load_sample(dataset, dataset.frame(row), ("image", "cloud")) for pair in pairs for row in pair]
    asked = samples[::2]
    started, done, before = time.monotonic(), 0, own_cloud_recall(method, asked)
    stages = method.stages(SPLIT)
    for number, stage in enumerate(stages, start=1):
        is_last = number == len(stages)
        batch = collate(asked if len(stage.modalities) == 2 else samples)
        for step, loss in _steps(method, stage, batch, most_steps if is_last else early_steps):
            done += 1
            if not is_last and loss == 0:
                break
            if is_last and step % LOOK_EVERY == 0 and _recall_now(method, stage, batch, asked) == 1:
                break
            if time.monotonic() - started > budget_s * number / len(stages):
                break
        _measure(stage, batch)
    recall, seconds = own_cloud_recall(method, asked), time.monotonic() - started
    return Memory(before=before, recall=recall, steps=done, seconds=seconds)


def places_apart(frames: Frames, n: int = N_PLACES, apart_m: float = APART_M) -> list[tuple[int, int]]:
    """Rows of ``n`` frames with image and cloud, no two nearer than ``apart_m``, each with another frame of its place.

    Drawn with a fixed seed; a frame that is alone at its place, which is taken only if there are too few others, stands
    beside itself. Frames of different worlds are apart.
    """
    usable = np.flatnonzero((frames.image != "") & (frames.cloud != ""))
    some = frames.take(usable)
    same_place = neighbours(some, SPLIT.positive_m, SPLIT.heading_limit_rad)
    beside = [int(near[0]) if len(near) else row for row, near in enumerate(same_place)]
    drawn = np.random.default_rng(0).permutation(len(some)).tolist()
    east_north_m, found = some.position_m[:, :2], list[int]()
    for row in sorted(drawn, key=lambda row: beside[row] == row):
        away_m = np.hypot(*(east_north_m[found] - east_north_m[row]).T)
        if ((away_m >= apart_m) | (some.world[found] != some.world[row])).all():
            found.append(row)
        if len(found) == n:
            return [(int(usable[row]), int(usable[beside[row]])) for row in found]
    raise CrossplaceError(f"only {len(found)} places lie {apart_m:g} m apart, of {n}: choose a larger dataset")


def own_cloud_recall(method: Method, samples: Sequence[Sample], descriptor: int = 0) -> float:
    """Share of ``samples`` whose image is nearest to their own cloud, by one of the descriptors."""
    spec = method.eval().descriptors[descriptor]
    with torch.inference_mode():
        encoded = encode_batch(method, collate(samples))
    images, clouds = (encoded[m][spec.name].numpy() for m in ("image", "cloud"))
    return float((distances(images, clouds, spec.distance).argmin(1) == np.arange(len(samples))).mean())


def _recall_now(method: Method, stage: Stage, batch: Batch, samples: Sequence[Sample]) -> float:
    _measure(stage, batch)
    return own_cloud_recall(method, samples)


def _measure(stage: Stage, batch: Batch) -> None:
    """Statistics of the batch normalisations that ``stage`` trains, as the training loop measures them."""
    trained = stage.trainable()
    with torch.no_grad(), measured_statistics(*trained):
        if batch_norms(*trained):
            stage(batch)


def _steps(method: Method, stage: Stage, batch: Batch, most: int) -> Iterator[tuple[int, float]]:
    """Train ``stage`` on one batch; yields the number of steps done, from 1, and the loss before the last one."""
    with torch.no_grad():
        stage.eval().before(iter([batch]))
    method.requires_grad_(False)
    optimizer = optimizer_of(stage)
    for step in range(1, most + 1):
        set_training_mode(stage)  # whoever looked in between has left evaluation
        optimizer.zero_grad()
        loss = stage(batch).loss
        loss.backward()
        optimizer.step()
        yield step, loss.item()
