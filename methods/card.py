"""What a reader and a plan must know of a method. Needs no torch."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodCard:
    """What a reader must know about a method before believing its row."""

    name: str
    title: str
    paper: str
    """Authors and preprint."""
    venue: str
    """Where it was published."""
    year: int
    code: str
    """The authors' code, if public."""
    code_licence: str
    modalities: str
    trained_on: str
    """What the published numbers were trained on."""
    pretrained: str
    """Weights that the published training began with."""
    sources: str
    """Where the facts of this implementation come from."""
    deviations: str = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShippedWeights:
    """Small trained weights that come with the suite, for one preset on one exact dataset."""

    preset: str
    fingerprint: str
    """Fingerprint of the prepared dataset they were trained on; they are used on no other."""
    seed: int
    file: Path
    sha256: str
    command: str
    """Command that made them."""
    share_of_schedule: float = 1.0
    """Share of the preset's epochs that they were trained for."""
