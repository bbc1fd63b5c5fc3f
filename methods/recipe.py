"""How a stage of training is optimised: epochs, the learning rate of each step, and groups of parameters."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal

from torch import nn

from datasets.base import ADDED
from datasets.errors import CrossplaceError


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """An optimiser and its schedule."""

    epochs: int
    batch_size: int
    learning_rate: float
    learning_rate_floor: float
    decay: float = 0.95
    """Factor of the schedule ``step``."""
    decay_every: int = 2
    """Epochs between two decays of the schedule ``step``."""
    plateau: int | None = None
    """Epochs without a better score after which the learning rate decays. None: it decays every ``decay_every``
    epochs."""
    early_stop: int | None = None
    """Epochs without a better score after which training ends. None: training does not end early."""
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    momentum: float = 0.9
    """Momentum of the optimiser ``sgd``. The other optimisers have no momentum."""
    weight_decay: float = 1e-6
    budget_s: float | None = None
    """Wall-clock seconds for training. Training stops after the epoch that exceeds them. The share of epochs done is
    recorded. The schedule ``cosine`` does not look at the clock: a budget that ends it leaves the rate high."""
    schedule: Literal["step", "cosine"] = field(default="step", metadata=ADDED)
    """How the learning rate falls: by a factor after some epochs, or at each step along half a cosine. The cosine
    reaches ``learning_rate_floor`` at the last planned step."""
    warmup_steps: int = field(default=0, metadata=ADDED)
    """Steps at the beginning in which the learning rate rises linearly. The last of them has the full rate."""
    clip_norm: float | None = field(default=None, metadata=ADDED)
    """Largest norm of the gradient over all trained parameters. A longer gradient is scaled down. None: no limit."""

    def __post_init__(self) -> None:
        if self.schedule == "cosine" and self.plateau is not None:
            raise CrossplaceError(
                "a recipe has schedule cosine and plateau, which is for the schedule step; leave one of them out"
            )

    def shortened(self, share: float) -> "Recipe":
        """The recipe with this share of the epochs, rounded up, the same total decay, and as large a share of warm-up.

        A share of 1 changes nothing. A recipe without epochs stays without epochs.
        """
        epochs = math.ceil(share * self.epochs)
        if epochs == self.epochs:
            return self
        warmup_steps = math.ceil(self.warmup_steps * epochs / self.epochs)
        return replace(self, epochs=epochs, decay=self.decay ** (self.epochs / epochs), warmup_steps=warmup_steps)

    def learning_rate_at(self, epoch: int, scores: Sequence[float] = (), *, step: int = 0, n_steps: int = 1) -> float:
        """Learning rate of a step.

        Args:
            epoch: number of the epoch, from 0.
            scores: those of all earlier epochs (smaller is better).
            step: number of the step in the epoch, from 0.
            n_steps: steps of this epoch. All epochs count as having as many, so that the rate depends on nothing else.
        """
        done, planned = epoch * n_steps + step + 1, self.epochs * n_steps
        warmup = min(self.warmup_steps, planned)
        if done < warmup:
            return self.learning_rate * done / warmup
        if self.schedule == "cosine":
            share = (done - warmup) / max(planned - warmup, 1)
            above_floor = (self.learning_rate - self.learning_rate_floor) * (1 + math.cos(math.pi * share)) / 2
            return self.learning_rate_floor + above_floor
        decays = epoch // self.decay_every if self.plateau is None else _decays(scores, self.plateau)
        return max(self.learning_rate * self.decay**decays, self.learning_rate_floor)

    def is_stopped(self, scores: Sequence[float]) -> bool:
        """Whether ``early_stop`` ends training after epochs with ``scores``."""
        return self.early_stop is not None and _since_best(scores) >= self.early_stop


def recipes_in(config: Any) -> list[Recipe]:
    """All recipes of a configuration and of its parts."""
    if isinstance(config, Recipe):
        return [config]
    if not is_dataclass(config):
        return []
    return [recipe for f in fields(config) for recipe in recipes_in(getattr(config, f.name))]


def shortened(config: Any, share: float) -> Any:
    """A configuration in which all recipes are shortened, including those of its parts."""
    if isinstance(config, Recipe):
        return config.shortened(share)
    if not recipes_in(config):
        return config
    return replace(config, **{f.name: shortened(getattr(config, f.name), share) for f in fields(config)})


def _since_best(scores: Sequence[float]) -> int:
    """Epochs since the best score was first reached."""
    return len(scores) - 1 - min(range(len(scores)), key=scores.__getitem__) if scores else 0


def _decays(scores: Sequence[float], patience: int) -> int:
    """How often ``patience`` epochs in a row have brought no better score. The count restarts after each decay."""
    best, waited, decays = math.inf, 0, 0
    for score in scores:
        waited = 0 if score < best else waited + 1
        best = min(best, score)
        if waited >= patience:
            waited, decays = 0, decays + 1
    return decays


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterGroup:
    """Modules that share a learning rate and a weight decay."""

    modules: Sequence[nn.Module]
    learning_rate_factor: float = 1.0
    """Learning rate of the group's modules, in units of the recipe's learning rate."""
    weight_decay: float | None = None
    """Weight decay of the group's modules. None: the weight decay of the recipe."""
