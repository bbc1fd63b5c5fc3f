from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmark.frames import loading
from benchmark.frames.loading import KeptSamples, batch_loader
from datasets.base import Frame, Modality
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


# --- samples in memory ---------------------------------------------------------------------------


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Frames in the order in which they are read from files."""
    found: list[str] = []
    load = loading.load_sample

    def watched(dataset: PreparedDataset, frame: Frame, modalities: Sequence[Modality]) -> Sample:
        found.append(frame.frame_id)
        return load(dataset, frame, modalities)

    monkeypatch.setattr(loading, "load_sample", watched)
    return found


def augmented(dataset: PreparedDataset, kept: KeptSamples | None, epoch: int) -> list[torch.Tensor]:
    loader = batch_loader(dataset, BATCHES, ("image", "cloud"), augment=noisy, seed=(epoch,), kept=kept)
    return [batch.clouds.points for batch in loader if batch.clouds is not None]


def test_kept_samples_are_read_once_and_give_the_same_batches(small_world: PreparedDataset, read: list[str]) -> None:
    kept = KeptSamples(small_world, ("image", "cloud"))
    for epoch in range(3):
        for found, expected in zip(
            augmented(small_world, kept, epoch), augmented(small_world, None, epoch), strict=True
        ):
            assert torch.equal(found, expected)
    assert len(read) == 6 + 3 * 6, "six frames once, and three times without the memory"


def test_samples_beyond_the_limit_are_read_each_time(small_world: PreparedDataset, read: list[str]) -> None:
    sample = KeptSamples(small_world, ("cloud",)).read(0)
    assert sample.points is not None
    read.clear()
    kept = KeptSamples(small_world, ("cloud",), limit_bytes=sample.points.nbytes)
    for _ in range(2):
        assert torch.equal(kept(0).points, sample.points)
        assert kept(1).frame.frame_id == small_world.frames.frame_id[1]
    assert read == small_world.frames.frame_id[[0, 1, 1]].tolist()


def test_a_sample_that_a_caller_changes_is_kept_as_it_was(small_world: PreparedDataset) -> None:
    kept = KeptSamples(small_world, ("image",))
    changed = kept(0)
    changed.image = None
    assert kept(0).image is not None


def test_the_limit_is_4_gib_or_a_quarter_of_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 2**20}  # 4 GiB of memory
    monkeypatch.setattr(loading.os, "sysconf", pages.__getitem__)
    assert loading.kept_bytes() == 2**30
    pages["SC_PHYS_PAGES"] *= 64
    assert loading.kept_bytes() == 4 * 2**30
