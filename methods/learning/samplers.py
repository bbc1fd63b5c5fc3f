"""How training frames are drawn into batches."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from datasets.base import Frames
from methods.base import Sampler


class ShuffleSampler(Sampler):
    """Every frame once an epoch, in random order. The last, smaller batch is kept."""

    def __init__(self, n_frames: int, batch_size: int) -> None:
        self.n_frames, self.batch_size = n_frames, batch_size

    def batches(self, rng: np.random.Generator) -> list[list[int]]:
        """Random order, cut into batches."""
        order = rng.permutation(self.n_frames).tolist()
        return [order[i : i + self.batch_size] for i in range(0, self.n_frames, self.batch_size)]


class PairSampler(Sampler):
    """Batches made of pairs of the same place, with a batch size that grows as triplets become easy.

    As published (VXP §4.1 of the authors' sampler): draw an unused frame, then one of its still unused positives (else
    any positive), until the batch is full. Frames without positives are skipped. A last batch needs at least four
    frames. After an epoch with ``active / triplets`` below ``threshold``, the batch size is multiplied by ``rate``, up
    to ``limit``. With ``alone`` every frame comes once, and a frame without an unused positive comes by itself. Across
    modalities one frame is already a pair.
    """

    smallest_batch = 4

    def __init__(
        self,
        positives: Sequence[Int[ndarray, " _"]],
        batch_size: int,
        *,
        rate: float = 1.0,
        limit: int | None = None,
        threshold: float = 0.0,
        alone: bool = False,
    ) -> None:
        self.positives, self.batch_size, self.alone = positives, batch_size, alone
        self.rate, self.limit, self.threshold = rate, limit or batch_size, threshold

    def batches(self, rng: np.random.Generator) -> list[list[int]]:
        """Pairs of positives, flushed whenever a batch is full."""
        unused = np.ones(len(self.positives), dtype=bool)
        batches: list[list[int]] = []
        batch: list[int] = []
        for row in rng.permutation(len(self.positives)).tolist():
            if not unused[row]:
                continue
            unused[row] = False
            positives = self.positives[row]
            fresh = positives[unused[positives]]
            partners = fresh if len(fresh) or self.alone else positives
            if len(partners):
                partner = int(rng.choice(partners))
                unused[partner] = False
                batch += [row, partner]
            elif self.alone:
                batch.append(row)
            if len(batch) >= self.batch_size:
                batches.append(batch)
                batch = []
        if len(batch) >= self.smallest_batch:
            batches.append(batch)
        return batches

    def after_epoch(self, statistics: dict[str, float]) -> None:
        """Increase the batch size when too few triplets are active."""
        triplets = statistics.get("triplets", 0.0)
        if triplets and statistics["active"] / triplets < self.threshold:
            self.batch_size = max(self.batch_size, min(int(self.batch_size * self.rate), self.limit))

    def state(self) -> dict[str, Any]:
        """The grown batch size."""
        return {"batch_size": self.batch_size}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore the grown batch size."""
        self.batch_size = int(state["batch_size"])


def elsewhere(frames: Frames, positives: Sequence[Int[ndarray, " _"]]) -> list[Int[ndarray, " _"]]:
    """Positives of each frame that belong to other traversals; all positives where there is only one traversal."""
    if len(frames.traversal_names()) < 2:
        return list(positives)
    return [rows[frames.traversal[rows] != name] for rows, name in zip(positives, frames.traversal, strict=True)]
