"""What asks and what is searched: the four directions of a search between two modalities."""

from collections.abc import Collection
from enum import Enum
from typing import Literal

from datasets.base import Modality


class Direction(Enum):
    """What asks and what is searched."""

    IMAGE_TO_CLOUD = ("image", "cloud")
    CLOUD_TO_IMAGE = ("cloud", "image")
    IMAGE_TO_IMAGE = ("image", "image")
    CLOUD_TO_CLOUD = ("cloud", "cloud")

    @property
    def query(self) -> Modality:
        """The modality that asks."""
        return self.value[0]

    @property
    def database(self) -> Modality:
        """The modality that is searched."""
        return self.value[1]

    @property
    def label(self) -> str:
        """The name in files, such as ``image->cloud``."""
        return f"{self.query}->{self.database}"

    @classmethod
    def among(cls, modalities: Collection[Modality]) -> "list[Direction]":
        """All directions between ``modalities``."""
        return [d for d in cls if {d.query, d.database} <= set(modalities)]

    def perturbed_side(self, modality: Modality) -> Literal["query", "database"] | None:
        """Which frames a perturbation of ``modality`` changes: those that ask, or else those that are searched.

        In cross-modal directions the frames of the modality, on whichever side; in the uni-modal one the queries
        alone, so that the map stays as it was recorded; nothing in the other one.
        """
        return "query" if self.query == modality else "database" if self.database == modality else None
