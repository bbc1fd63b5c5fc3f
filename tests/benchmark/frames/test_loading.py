from dataclasses import replace

import numpy as np
import torch

from benchmark.frames.loading import batch_loader
from datasets.prepared import PreparedDataset
from methods.batch import Batch, Sample

BATCHES = [[0, 12], [5], [30, 2, 7]]


def ids(batch: Batch) -> list[str]:
    return [frame.frame_id for frame in batch.frames]


def test_batches_come_in_order(small_world: PreparedDataset) -> None:
    found = [ids(batch) for batch in batch_loader(small_world, BATCHES, ("cloud",))]
    assert found == [small_world.frames.frame_id[rows].tolist() for rows in BATCHES]


def noisy(sample: Sample, rng: np.random.Generator) -> Sample:
    assert sample.points is not None
    return replace(sample, points=sample.points + rng.normal())


def points(dataset: PreparedDataset, seed: tuple[int, ...], workers: int = 0) -> list[torch.Tensor]:
    loader = batch_loader(dataset, BATCHES, ("cloud",), augment=noisy, seed=seed, workers=workers)
    return [batch.clouds.points for batch in loader if batch.clouds is not None]


def test_augmentation_depends_on_the_seed_and_the_place_in_the_epoch_alone(small_world: PreparedDataset) -> None:
    torch.manual_seed(1)
    first = points(small_world, (0, 1))
    torch.manual_seed(2)
    np.random.seed(3)  # noqa: NPY002 (what must not matter)
    again, other, in_worker = points(small_world, (0, 1)), points(small_world, (0, 2)), points(small_world, (0, 1), 1)
    assert len(first) == len(BATCHES)
    twice = [batch.clouds for batch in batch_loader(small_world, [[0], [0]], ("cloud",), augment=noisy)]
    assert twice[0] is not None
    assert twice[1] is not None
    assert not torch.equal(twice[0].points, twice[1].points), "each step has numbers of its own"
    for a, b, c, d in zip(first, again, other, in_worker, strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, c)
        assert torch.equal(a, d)
