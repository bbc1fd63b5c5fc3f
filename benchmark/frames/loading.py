"""From the prepared form to batches."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from datasets.base import Modality
from datasets.prepared import PreparedDataset
from methods.batch import Batch, Sample, collate, load_sample

KEPT_BYTES, KEPT_SHARE = 4 * 2**30, 0.25
"""Most bytes of samples that one process keeps in memory: the smaller of this number and a share of the memory."""


class KeptSamples:
    """Samples of a dataset by row, decoded once and then kept in memory: uint8 images and float32 points.

    Samples beyond the limit are read each time. None is ever thrown out: epochs read all in an order of their own, so
    that any sample is as good as another. Kept tensors are handed out themselves; augmentations make new ones.
    """

    def __init__(
        self, dataset: PreparedDataset, modalities: Sequence[Modality], limit_bytes: int | None = None
    ) -> None:
        self.dataset, self.modalities = dataset, modalities
        self._free_bytes = kept_bytes() if limit_bytes is None else limit_bytes
        self._kept: dict[int, Sample] = {}

    def __call__(self, row: int) -> Sample:
        """The sample of the frame at ``row``."""
        if row not in self._kept:
            sample = self.read(row)
            n_bytes = sum(tensor.nbytes for tensor in (sample.image, sample.points) if tensor is not None)
            if n_bytes > self._free_bytes:
                return sample
            self._free_bytes -= n_bytes
            self._kept[row] = sample
        return replace(self._kept[row])

    def read(self, row: int) -> Sample:
        """The same sample from its files."""
        return load_sample(self.dataset, self.dataset.frame(row), self.modalities)


def kept_bytes() -> int:
    """Bytes that :class:`KeptSamples` may take on this machine, as may whatever else is kept to save time."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(KEPT_BYTES, int(KEPT_SHARE * memory_bytes))


class _Batches(Dataset[Batch]):
    """Item ``i`` is batch ``i``; the augmentation's randomness depends on seed and place in the epoch alone."""

    def __init__(
        self,
        load: Callable[[int], Sample],
        batches: Sequence[Sequence[int]],
        augment: Callable[[Sample, np.random.Generator], Sample] | None,
        seed: Sequence[int],
        own: Callable[[int], slice] | None,
    ) -> None:
        self.load, self.batches, self.augment, self.seed, self.own = load, batches, augment, seed, own

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> Batch:
        rows = self.batches[index]
        own = slice(0, len(rows)) if self.own is None else self.own(len(rows))
        if self.augment is None:
            return collate([self.load(row) for row in rows[own]])
        rng = np.random.default_rng([*self.seed, index])
        samples = [self.augment(self.load(row), rng) for row in rows[: own.stop]]  # those before draw first
        return collate(samples[own])


def batch_loader(
    dataset: PreparedDataset,
    batches: Sequence[Sequence[int]],
    modalities: Sequence[Modality],
    *,
    kept: KeptSamples | None = None,
    augment: Callable[[Sample, np.random.Generator], Sample] | None = None,
    seed: Sequence[int] = (0,),
    workers: int = 0,
    own: Callable[[int], slice] | None = None,
) -> DataLoader[Batch]:
    """Iterate over ``batches`` of dataset rows, in order, whatever the number of workers.

    Samples come from ``kept``, which must be of the same dataset and modalities, or from the files. Workers use the
    files, as what they keep would end with them. ``own`` gives the rows of a batch of some size that are wanted. They
    are augmented as in the whole batch.
    """
    samples = kept or KeptSamples(dataset, modalities, limit_bytes=0)
    return DataLoader(
        _Batches(samples.read if workers else samples, batches, augment, seed, own),
        batch_size=None,
        num_workers=workers,
        worker_init_fn=_one_thread if workers else None,
        persistent_workers=False,
    )


def _one_thread(_worker: int) -> None:
    torch.set_num_threads(1)
