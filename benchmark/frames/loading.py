"""From the prepared form to batches."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from datasets.base import Modality
from datasets.prepared import PreparedDataset
from methods.batch import Batch, Sample, collate, load_sample


class _Batches(Dataset[Batch]):
    """Item ``i`` is batch ``i``; the augmentation's randomness depends on seed and place in the epoch alone."""

    def __init__(
        self,
        dataset: PreparedDataset,
        batches: Sequence[Sequence[int]],
        modalities: Sequence[Modality],
        augment: Callable[[Sample, np.random.Generator], Sample] | None,
        seed: Sequence[int],
    ) -> None:
        self.dataset, self.batches, self.modalities = dataset, batches, modalities
        self.augment, self.seed = augment, seed

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> Batch:
        samples = [load_sample(self.dataset, self.dataset.frame(row), self.modalities) for row in self.batches[index]]
        if self.augment is not None:
            rng = np.random.default_rng([*self.seed, index])
            samples = [self.augment(sample, rng) for sample in samples]
        return collate(samples)


def batch_loader(
    dataset: PreparedDataset,
    batches: Sequence[Sequence[int]],
    modalities: Sequence[Modality],
    *,
    augment: Callable[[Sample, np.random.Generator], Sample] | None = None,
    seed: Sequence[int] = (0,),
    workers: int = 0,
) -> DataLoader[Batch]:
    """Iterate over ``batches`` of dataset rows, in order, whatever the number of workers."""
    return DataLoader(
        _Batches(dataset, batches, modalities, augment, seed),
        batch_size=None,
        num_workers=workers,
        worker_init_fn=_one_thread if workers else None,
        persistent_workers=False,
    )


def _one_thread(_worker: int) -> None:
    torch.set_num_threads(1)
