"""What methods of every kind are asked: a complete card and stages that train. And what comes of checks, in words."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np
import torch

from benchmark.contract.overfitting import SPLIT
from benchmark.contract.subject import BrokenContractError, require
from benchmark.training.optimising import set_training_mode
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset
from methods.base import Method
from methods.batch import collate, load_sample
from methods.registration import Registrar

T = TypeVar("T")
FOR_GPUS = "works_on_a_gpu"
"""Name of the checks that a machine without a CUDA device skips."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What came of one check."""

    what: str
    outcome: str
    """``ok``, ``skipped`` or ``BROKEN``."""
    reason: str = ""


def verdicts(checks: Iterable[Callable[[T], str | None]], subject: T) -> Iterator[Verdict]:
    """What comes of each check on ``subject``. The first line of a check's docstring says what it asks."""
    for check in checks:
        what = (check.__doc__ or check.__name__).splitlines()[0]
        if check.__name__ == FOR_GPUS and not torch.cuda.is_available():
            yield Verdict(what=what, outcome="skipped", reason="no CUDA device")
            continue
        try:
            note = check(subject)
        except Exception as error:  # whatever a method raises is its fault
            yield _broken(what, error)
        else:
            yield Verdict(what=what, outcome="ok", reason=note or "")


def verdicts_of(make: Callable[[], T], what: str, checks: Iterable[Callable[[T], str | None]]) -> Iterator[Verdict]:
    """What comes of each check on what ``make`` gives; if it fails, ``what`` is broken, and nothing else is tried.

    Raises:
        CrossplaceError: what keeps the subject from being made is said in a sentence, such as missing data.
    """
    try:
        subject = make()
    except CrossplaceError:
        raise
    except Exception as error:
        yield _broken(what, error)
    else:
        yield from verdicts(checks, subject)


def _broken(what: str, error: Exception) -> Verdict:
    """A fault in the words of the contract, or the error that a method raised, on one line."""
    kind = "" if isinstance(error, BrokenContractError) else f"{type(error).__name__}: "
    return Verdict(what=what, outcome="BROKEN", reason=kind + " ".join(str(error).split()))


def require_declared(method: Method | Registrar) -> None:
    """Refuse a card with an empty field or an impossible year."""
    card = method.card
    require(2000 < card.year < 2100, f"the card's year is {card.year}")
    empty = [f.name for f in fields(card) if getattr(card, f.name) == ""]
    require(not empty, f"{', '.join(empty)} of the card is empty")


def require_training(trained: Method | Registrar, dataset: PreparedDataset) -> None:
    """Refuse a stage whose loss is not finite, or which trains anything but what it says; on frames of ``dataset``."""
    stages = trained.stages(SPLIT)
    require(bool(stages) == trained.is_trainable, "a method has stages if, and only if, is_trainable")
    require(len({stage.name for stage in stages}) == len(stages), "two stages have one name")
    for number, stage in enumerate(stages):
        fault = f"stage {stage.name} is shared: it must be the first and ignore what is the method's own"
        require(not stage.is_shared or (number == 0 and bool(stage.ignores)), fault)
        trained.requires_grad_(False)
        set_training_mode(stage)
        for module in stage.trainable():
            module.requires_grad_(True)
        rng = np.random.default_rng(0)
        sampler = stage.sampler(dataset.frames, training=True)
        batches = sampler.batches(rng)
        require(bool(batches), f"stage {stage.name}: its sampler finds no batch among {len(dataset.frames)} frames")
        loaded = [load_sample(dataset, dataset.frame(row), stage.modalities) for row in batches[0]]
        output = stage(collate([stage.augment(sample, rng) for sample in loaded]))
        require(output.loss.isfinite(), f"stage {stage.name}: the loss is not finite")
        output.loss_sum.backward()
        gradients = {name for name, p in trained.named_parameters() if p.grad is not None}
        wanted = {name for name, p in trained.named_parameters() if p.requires_grad}
        fault = (
            f"stage {stage.name}: no gradient for {sorted(wanted - gradients)[:3]}, or some for what it does not train"
        )
        require(gradients == wanted, fault)
        trained.zero_grad()
        sampler.load_state(sampler.state())
        score = stage.score({"loss": 1.0, **{name: float(value) for name, value in output.statistics.items()}})
        require(math.isfinite(score), f"stage {stage.name}: its score is {score}")
