"""Datasets whose protocols the suite is built for, but whose raw downloads it cannot read yet.

They are registered so that a person who asks for one learns where to get it and what works today: a folder brought
into the prepared form (docs/prepared-form.md) by other means.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets.base import Dataset, DatasetCard, Finding
from datasets.errors import CrossplaceError


@dataclass(frozen=True, kw_only=True)
class Announced(Dataset):
    """A dataset without a reader."""

    version = 0
    default_protocol = ""

    def check(self, source: Path | None) -> Sequence[Finding]:
        """Says whether there is data at all, and that its reader is to come."""
        if source is None or not source.is_dir():
            found = Finding(
                ok=False, what=f"no data: give its folder with --source DIR (found: {source or 'no --source'})"
            )
        else:
            found = Finding(ok=True, what=f"{source} exists")
        reader = Finding(
            ok=False,
            what="this version has no reader for the raw download; bring it into the prepared form "
            "(docs/prepared-form.md) and pass that folder as --dataset",
        )
        return [found, reader]

    def fingerprint(self, source: Path | None) -> str:
        """There is nothing to fingerprint."""
        raise CrossplaceError(f"{self.card.name}: this version has no reader for the raw download")

    def prepare(
        self, source: Path | None, destination: Path, *, workers: int | None = None
    ) -> Iterator[tuple[int, int]]:
        """Cannot be done yet."""
        raise CrossplaceError(f"{self.card.name}: this version has no reader for the raw download")


@dataclass(frozen=True, kw_only=True)
class Oxford(Announced):
    """Oxford RobotCar."""

    card = DatasetCard(
        name="oxford",
        title="Oxford RobotCar",
        paper="Maddern, Pascoe, Linegar, Newman: 1 Year, 1000 km: The Oxford RobotCar Dataset, IJRR 2017",
        year=2017,
        licence="CC BY-NC-SA 4.0",
        modalities="image (stereo centre), 2-D push-broom LiDAR",
        is_real=True,
        source="https://robotcar-dataset.robots.ox.ac.uk (free registration; runs, SDK camera models)",
        layout="<run>/stereo/centre/*.png, <run>/lms_front/*.bin, <run>/gps/ins.csv, <run>/*.timestamps",
    )
