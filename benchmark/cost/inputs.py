"""The frames that cost is measured on: real ones, different ones, loaded before any clock runs."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Int
from numpy import ndarray

from benchmark.evaluation.estimates import Side, Space
from benchmark.records.cost import InputsRecord
from datasets.base import MODALITIES, DistanceKind, Modality
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset
from methods.batch import Batch, Sample, collate, load_sample

N_FRAMES = 16
"""Different frames that a cost session measures on."""
Maps = dict[tuple[tuple[int, int, int], DistanceKind], tuple[Space, Side]]
"""Places, views of each and size of a descriptor, and how they are compared → a map that is ready to be searched."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Loaded frames by modality, handed out as batches on one device."""

    dataset: PreparedDataset
    rows: Int[ndarray, " n"]
    samples: dict[Modality, Sequence[Sample]]
    device: torch.device
    maps: Maps = field(default_factory=dict, repr=False)
    """Maps that were searched before, as far as they fit into memory; methods with equal descriptors share them."""

    @classmethod
    def of(
        cls, dataset: PreparedDataset, rows: Int[ndarray, " n"], device: torch.device, n_frames: int = N_FRAMES
    ) -> "Inputs":
        """At most ``n_frames`` frames of each modality, evenly spread over ``rows``."""
        samples: dict[Modality, Sequence[Sample]] = {}
        for modality in MODALITIES:
            chosen = evenly(rows[dataset.frames.paths(modality)[rows] != ""], n_frames)
            samples[modality] = [load_sample(dataset, dataset.frame(int(row)), (modality,)) for row in chosen]
        return cls(dataset=dataset, rows=rows, samples=samples, device=device)

    def batch(self, modality: Modality, number: int, size: int = 1) -> Batch:
        """The batch with this number; frames come in turn, so that neighbouring batches differ.

        Raises:
            CrossplaceError: no frame has the modality.
        """
        samples = self.samples[modality]
        if not samples:
            raise CrossplaceError(f"no {modality}: no frame of {self.dataset.name} has one; name another dataset")
        chosen = [samples[(number * size + i) % len(samples)] for i in range(size)]
        return collate(chosen).to(self.device)

    def record(self) -> InputsRecord:
        """What a stored file says of the frames."""
        points = [len(s.points) for s in self.samples["cloud"] if s.points is not None]
        image = next((s.image for s in self.samples["image"] if s.image is not None), None)
        return InputsRecord(
            dataset=self.dataset.name,
            fingerprint=self.dataset.fingerprint,
            options=self.dataset.options,
            n_frames=max(map(len, self.samples.values())),
            points=float(np.median(points)) if points else None,
            image_size=None if image is None else (image.shape[2], image.shape[1]),
        )


def evenly(rows: Int[ndarray, " n"], n: int) -> Int[ndarray, " k"]:
    """At most ``n`` different rows, evenly spaced, with the first and the last."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(n, len(rows))).astype(int))] if len(rows) else rows
