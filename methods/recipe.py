"""How a stage of training is optimised: epochs, learning rate and what sets it back, and groups of parameters."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Literal

from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """An optimiser with a stepwise exponential schedule, in epochs."""

    epochs: int
    batch_size: int
    learning_rate: float
    learning_rate_floor: float
    decay: float = 0.95
    decay_every: int = 2
    """Epochs between two decays."""
    plateau: int | None = None
    """Decay whenever this many epochs have brought no better score, instead of every ``decay_every`` epochs."""
    early_stop: int | None = None
    """End after this many epochs without a better score."""
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    momentum: float = 0.9
    """Momentum of ``sgd``; the other optimisers have none."""
    weight_decay: float = 1e-6
    budget_s: float | None = None
    """Stop after the epoch in which this much wall-clock time is used; the share of epochs done is recorded."""

    def shortened(self, share: float) -> "Recipe":
        """``share`` of the epochs, rounded up, with as much decay in all; 1 changes nothing, no epochs stay none."""
        epochs = math.ceil(share * self.epochs)
        if epochs == self.epochs:
            return self
        return replace(self, epochs=epochs, decay=self.decay ** (self.epochs / epochs))

    def learning_rate_at(self, epoch: int, scores: Sequence[float] = ()) -> float:
        """Learning rate during ``epoch`` (from 0), before which the epochs had ``scores`` (smaller is better)."""
        decays = epoch // self.decay_every if self.plateau is None else _decays(scores, self.plateau)
        return max(self.learning_rate * self.decay**decays, self.learning_rate_floor)

    def is_stopped(self, scores: Sequence[float]) -> bool:
        """Whether ``early_stop`` ends training after epochs with these scores."""
        return self.early_stop is not None and _since_best(scores) >= self.early_stop


def recipes_in(config: Any) -> list[Recipe]:
    """All recipes of a configuration and of its parts."""
    if isinstance(config, Recipe):
        return [config]
    if not is_dataclass(config):
        return []
    return [recipe for f in fields(config) for recipe in recipes_in(getattr(config, f.name))]


def shortened(config: Any, share: float) -> Any:
    """A configuration with all its recipes shortened, those of its parts, too."""
    if isinstance(config, Recipe):
        return config.shortened(share)
    if not recipes_in(config):
        return config
    return replace(config, **{f.name: shortened(getattr(config, f.name), share) for f in fields(config)})


def _since_best(scores: Sequence[float]) -> int:
    """Epochs since the best score was first reached."""
    return len(scores) - 1 - min(range(len(scores)), key=scores.__getitem__) if scores else 0


def _decays(scores: Sequence[float], patience: int) -> int:
    """How often ``patience`` epochs in a row, counted anew after each decay, have brought no better score."""
    best, waited, decays = math.inf, 0, 0
    for score in scores:
        waited = 0 if score < best else waited + 1
        best = min(best, score)
        if waited >= patience:
            waited, decays = 0, decays + 1
    return decays


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterGroup:
    """Modules that are optimised in their own way."""

    modules: Sequence[nn.Module]
    learning_rate_factor: float = 1.0
    """Learning rate of these modules in units of the recipe's."""
    weight_decay: float | None = None
    """Weight decay of these modules; none: that of the recipe."""
