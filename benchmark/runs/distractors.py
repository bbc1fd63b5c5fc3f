"""Foreign frames for the map: which there are, and their descriptors by the weights of a run."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from benchmark.descriptors.files import Descriptors
from benchmark.evaluation.distractors import Foreign
from benchmark.frames.preparing import is_real, prepared_before
from benchmark.protocol.foreign import foreign_rows, order_of_foreign
from benchmark.records.sensitivity import ForeignRecord
from benchmark.runs.plan import Plan
from datasets.errors import CrossplaceError
from datasets.files import sha256_of
from datasets.prepared import PreparedDataset


@dataclass(frozen=True, kw_only=True)
class Source:
    """Foreign frames of one dataset."""

    dataset: PreparedDataset
    rows: Int[ndarray, " n"]
    """All that there are, ascending."""

    def record(self, n_frames: int) -> ForeignRecord:
        """What a record says about the first ``n_frames`` of them."""
        return ForeignRecord(
            dataset=self.dataset.name,
            fingerprint=self.dataset.fingerprint,
            is_real=is_real(self.dataset),
            n_frames=n_frames,
            n_available=len(self.rows),
        )


def other_dataset(plan: Plan, name: str) -> PreparedDataset:
    """The prepared dataset that foreign frames are taken from besides the test's own."""
    other = prepared_before(name)
    if _places_of(other) == _places_of(plan.dataset):
        raise CrossplaceError(
            f"--distractors {name} is the dataset of the test, whose foreign frames are in the map anyway; name "
            "another, or leave --distractors out"
        )
    return other


def _places_of(dataset: PreparedDataset) -> tuple[str, str]:
    """What tells data apart, wherever its folder lies and whenever it was copied: its name and its table."""
    return dataset.name, sha256_of(dataset.folder / "frames.csv")


def other_datasets(plan: Plan, names: Sequence[str]) -> list[PreparedDataset]:
    """As :func:`other_dataset`; data that is named twice, by whatever name, is refused, since it would count twice."""
    others: dict[tuple[str, str], PreparedDataset] = {}
    for name in names:
        other = other_dataset(plan, name)
        if (first := others.setdefault(_places_of(other), other)) is not other:
            raise CrossplaceError(
                f"--distractors {name} holds the same data as {first.folder}, which is named before it; name it once"
            )
    return [*others.values()]


def sources_of(plan: Plan, other: PreparedDataset | None) -> list[Source]:
    """Foreign frames of the test's own dataset, and then of ``other``."""
    sources = []
    for dataset in filter(None, (plan.dataset, other)):
        is_same, is_alike = dataset is plan.dataset, dataset.name == plan.dataset.name
        rows = foreign_rows(plan.selected, dataset.frames, is_same=is_same, shares_worlds=is_alike)
        sources.append(Source(dataset=dataset, rows=rows))
    return sources


def foreign_of(
    plan: Plan, sources: Sequence[Source], n_foreign: int, beside: Descriptors
) -> tuple[Foreign, list[ForeignRecord]]:
    """The first ``n_foreign`` foreign frames in their order, encoded as those ``beside`` them were, and whence."""
    from benchmark.runs.run import FramesToEncode, encoded

    of_source = np.repeat(np.arange(len(sources)), [len(source.rows) for source in sources])
    row = np.concatenate([source.rows for source in sources])
    order = order_of_foreign(len(row))[:n_foreign]
    of_source, row = of_source[order], row[order]
    arrays = {m: np.empty((n_foreign, *a.shape[1:]), a.dtype) for m, a in beside.arrays.items()}
    records = []
    for number, source in enumerate(sources):
        members, dataset = of_source == number, source.dataset
        records.append(source.record(int(members.sum())))
        if members.any():
            wanted = np.sort(row[members])
            encoding = plan.beside(dataset, dataset.frames.frame_id[wanted].tolist())
            (found,) = encoded(plan, [FramesToEncode(encoding=encoding, dataset=dataset, rows=wanted)])
            for modality, array in arrays.items():
                array[members] = found.at(modality, dataset.frames, row[members])
    return Foreign(descriptors=arrays, distance=beside.distance), records
