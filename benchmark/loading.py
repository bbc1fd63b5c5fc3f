"""From the prepared form to batches."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from datasets.base import Frame, Modality
from datasets.prepared import PreparedDataset
from methods.batch import Batch, Sample, collate


def load_sample(dataset: PreparedDataset, frame: Frame, modalities: Sequence[Modality]) -> Sample:
    """Read one frame; a modality that is not asked for, or that the frame lacks, stays none."""
    matrix = frame.camera_from_lidar
    return Sample(
        frame=frame,
        image=_image(dataset, frame) if "image" in modalities and frame.image else None,
        points=torch.from_numpy(dataset.load_cloud(frame)) if "cloud" in modalities and frame.cloud else None,
        intrinsics=None if frame.intrinsics is None else torch.from_numpy(frame.intrinsics.fractions()).float(),
        camera_from_lidar=None if matrix is None else torch.from_numpy(np.asarray(matrix)).float(),
    )


def _image(dataset: PreparedDataset, frame: Frame) -> Tensor:
    return torch.from_numpy(dataset.load_image(frame).copy()).permute(2, 0, 1).contiguous()


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
