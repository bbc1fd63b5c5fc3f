"""Facts about a method that a reader and a plan need. This module needs no torch."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodCard:
    """Facts about a method that a reader needs to judge its row."""

    name: str
    title: str
    paper: str
    """Authors and preprint of the paper."""
    venue: str
    """Venue of publication."""
    year: int
    code: str
    """Address of the authors' code, if it is public."""
    code_licence: str
    modalities: str
    trained_on: str
    """Training data of the published numbers."""
    pretrained: str
    """Weights at the start of the published training."""
    sources: str
    """Sources of the facts in this implementation."""
    deviations: str = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShippedWeights:
    """Small trained weights in the suite, for one preset on one exact dataset."""

    preset: str
    fingerprint: str
    """Fingerprint of the prepared dataset of the training. The weights are used on no other dataset."""
    seed: int
    file: Path
    sha256: str
    command: str
    """Command that made the weights."""
    share_of_schedule: float = 1.0
    """Share of the preset's epochs for which the weights were trained."""
