"""What training did, kept beside the weights and copied into results."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pydantic import with_config

from datasets.files import STRICT, read_as, sealed, write_atomically

REPORT, WEIGHTS = "training.json", "weights.safetensors"
KEPT = ("epoch", "score", "train_loss", "validation_loss")
"""Columns of a stage's ``metrics.csv`` that its report keeps, so that results hold them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageReport:
    """What became of one stage."""

    epochs_done: int
    epochs_planned: int
    best_epoch: int | None
    seconds: float
    stopped_early: bool = False
    """Whether the recipe's own rule ended it: then what was done is all of its schedule."""
    history: list[dict[str, int | float]] = field(default_factory=list)
    """What every epoch came to, by the names in ``KEPT``; empty if an older version trained."""


@with_config(STRICT)
@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingReport:
    """All stages, and the weights that came out."""

    weights_sha256: str
    stages: dict[str, StageReport]

    @property
    def share_of_schedule(self) -> float:
        """Epochs done of epochs planned, over all stages; below 1 if a time budget ended one."""
        planned = sum(s.epochs_done if s.stopped_early else s.epochs_planned for s in self.stages.values())
        return sum(s.epochs_done for s in self.stages.values()) / planned if planned else 1.0

    @classmethod
    def read(cls, folder: Path) -> "TrainingReport":
        """Read what :meth:`write` wrote."""
        return read_as(folder / REPORT, cls, "delete it and train again")

    def write(self, folder: Path) -> None:
        """Into ``folder``, whole or not at all; a folder that has it is trained to the end."""
        write_atomically(folder / REPORT, json.dumps(sealed(asdict(self)), indent=1).encode())
