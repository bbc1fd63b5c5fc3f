"""Frames of a dataset as methods get them, and the size of what they go through."""

from torch import nn

from datasets.prepared import PreparedDataset
from methods.batch import Batch, Sample, collate, load_sample


def sample_of(dataset: PreparedDataset, row: int) -> Sample:
    """One frame with all that it has."""
    return load_sample(dataset, dataset.frame(row), ("image", "cloud"))


def batch_of(dataset: PreparedDataset, *rows: int) -> Batch:
    """Some frames with all that they have."""
    return collate([sample_of(dataset, row) for row in rows])


def count(module: nn.Module) -> int:
    """Parameters of a module."""
    return sum(parameter.numel() for parameter in module.parameters())
