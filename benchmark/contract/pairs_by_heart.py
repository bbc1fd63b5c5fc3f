"""Whether a registrar can learn the poses of a few pairs by heart: one that cannot learns nothing from many either."""

import math
import time
from dataclasses import dataclass

import torch

from benchmark.contract.overfitting import N_PLACES, SPLIT, places_apart
from benchmark.training.optimising import optimizer_of, set_learning_rate, set_training_mode
from datasets.prepared import PreparedDataset
from methods.batch import collate, load_sample
from methods.layers.poses import between
from methods.registration import PoseStage, Registrar, RegistrationBatch, require_truth

LEARNT_M, LEARNT_DEG = 0.05, 0.3
"""Median errors of pairs that are known by heart, metres and degrees."""
LEAST_RATE = 0.01
"""Share of the learning rate that is left at the end."""
LOOK_EVERY = 20
"""Steps between two looks at the errors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairMemory:
    """How well the poses of some pairs are known, and what that took."""

    before: tuple[float, float]
    """Median errors of the rough poses, metres and degrees."""
    after: tuple[float, float]
    """Median errors of the poses that are found, metres and degrees."""
    steps: int
    seconds: float

    @property
    def is_learnt(self) -> bool:
        """Whether the pairs are known by heart."""
        return self.after[0] < LEARNT_M and self.after[1] < LEARNT_DEG

    def __str__(self) -> str:
        """As a sentence says it."""
        (m, deg), (m_after, deg_after) = self.before, self.after
        return (
            f"{m:.2f} m and {deg:.2f}° at the start, {m_after:.3f} m and {deg_after:.2f}° after {self.steps} steps and "
            f"{self.seconds:.0f} s"
        )


def learn_pairs(
    registrar: Registrar,
    dataset: PreparedDataset,
    *,
    n_places: int = N_PLACES,
    most_steps: int = 1500,
    budget_s: float = 300.0,
) -> PairMemory:
    """Train the first stage of ``registrar`` on one batch of fixed starts, until one correction finds their poses.

    Each frame's own cloud is its map. The learning rate falls from that of the stage to a hundredth of it (half a
    cosine), over the steps or over the time, whichever ends first. More corrections would start from poses that were
    never trained.

    Raises:
        CrossplaceError: too few places lie apart.
    """
    rows = [row for row, _ in places_apart(dataset.frames, n_places)]
    batch = collate([load_sample(dataset, dataset.frame(row), ("image", "cloud")) for row in rows])
    stage = registrar.stages(SPLIT)[0]
    assert isinstance(stage, PoseStage), "other stages have no poses to learn"
    stage.eval()
    started = stage.started(batch)
    registrar.requires_grad_(False)
    optimizer, began, before = optimizer_of(stage), time.monotonic(), _errors(started.rough_map_from_camera, started)
    after, steps = before, 0
    while (done := max(steps / most_steps, (time.monotonic() - began) / budget_s)) < 1:
        set_learning_rate(optimizer, stage.recipe.learning_rate * max(LEAST_RATE, (1 + math.cos(math.pi * done)) / 2))
        set_training_mode(stage)
        optimizer.zero_grad()
        stage.of_started(started).loss.backward()
        optimizer.step()
        steps += 1
        if steps % LOOK_EVERY == 0:
            registrar.eval()
            with torch.inference_mode():
                after = _errors(stage.corrected(started.without_truth()), started)
            if after[0] < LEARNT_M and after[1] < LEARNT_DEG:
                break
    return PairMemory(before=before, after=after, steps=steps, seconds=time.monotonic() - began)


def _errors(pose: torch.Tensor, batch: RegistrationBatch) -> tuple[float, float]:
    distance_m, angle_rad = between(pose, require_truth(batch))
    return float(distance_m.median()), math.degrees(float(angle_rad.median()))
