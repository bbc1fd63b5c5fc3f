"""What a map of any size is made of: real frames of the test, foreign frames, and synthetic descriptors without end."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from benchmark.descriptors.files import Descriptors
from benchmark.evaluation.distractors import Foreign
from benchmark.evaluation.likeness import Likeness
from benchmark.evaluation.scale import Questions
from benchmark.protocol.selection import by_traversal
from benchmark.records.sensitivity import ForeignRecord
from benchmark.runs.distractors import foreign_of, sources_of
from benchmark.runs.plan import Plan
from benchmark.runs.sensitivity import why_no_foreign
from datasets.base import Modality
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset


@dataclass(frozen=True, kw_only=True)
class Territory:
    """What a map of any size is made of, and what is asked of it."""

    plan: Plan
    descriptors: Descriptors
    questions: Questions
    first: Float32[ndarray, "n size"]
    """Frames of the map of the first pair of traversals, which come first."""
    foreign: Foreign
    sources: list[ForeignRecord]
    likeness: Likeness
    modality: Modality
    traversal: str
    """Whose frames come first."""

    @property
    def foreign_rows(self) -> Float32[ndarray, "n size"]:
        """Descriptors of the foreign frames, in their order."""
        return self.foreign.descriptors[self.modality][:, 0]

    def n_real(self) -> int:
        """Real frames of the map, as a mean over traversal pairs."""
        sizes = {part.asked.pair: len(part.asked.database_rows) for part, _ in self.questions.parts}
        return round(float(np.mean([*sizes.values()])))

    def rows(self, start: int, stop: int) -> Float32[ndarray, "n size"]:
        """The places of the map by their numbers: real ones, foreign ones, and then synthetic ones without end."""
        known = np.concatenate([self.first, self.foreign_rows])
        drawn = self.likeness.draw(max(start - len(known), 0), max(stop - len(known), 0))
        return np.concatenate([known[start:stop], drawn]).astype(np.float32)


def territory_of(plan: Plan, modality: Modality, others: Sequence[PreparedDataset], most_places: int) -> Territory:
    """Encode what is missing, and rank every query among the real frames."""
    from benchmark.runs.run import FramesToEncode, encoded

    own = FramesToEncode(encoding=plan.encodings[0], dataset=plan.dataset, rows=plan.rows)
    (descriptors,) = encoded(plan, [own])
    _check(plan, descriptors, modality)
    sources = [source for other in [None, *others] for source in sources_of(plan, other)[other is not None :]]
    n_foreign = min(sum(len(source.rows) for source in sources), most_places)
    foreign, records = foreign_of(plan, sources, n_foreign, descriptors)
    frames = plan.dataset.frames
    questions = Questions.of(plan.selected, descriptors, modality)
    asked = questions.parts[0][0].asked
    searched = np.concatenate([*by_traversal(frames, plan.selected.database).values()])
    searched = searched[frames.paths(modality)[searched] != ""]
    real = descriptors.at(modality, frames, searched)[:, 0]
    return Territory(
        plan=plan,
        descriptors=descriptors,
        questions=questions,
        first=descriptors.at(modality, frames, asked.database_rows)[:, 0].astype(np.float32),
        foreign=foreign,
        sources=records,
        likeness=Likeness.of(np.concatenate([real, foreign.descriptors[modality][:, 0]])),
        modality=modality,
        traversal=asked.pair.database_traversal,
    )


def _check(plan: Plan, descriptors: Descriptors, modality: Modality) -> None:
    """Refuse what cannot be counted."""
    if reason := why_no_foreign(plan.protocol, descriptors):
        raise CrossplaceError(f"{plan.options.name}: {reason}")
    if modality not in descriptors.arrays:
        raise CrossplaceError(f"{plan.options.name} encodes no {modality}; give the other one to --map")
    if any(array.shape[1] != 1 for array in descriptors.arrays.values()):
        raise CrossplaceError(
            f"{plan.options.name} describes a frame by several vectors, and a large map holds one a place; choose a "
            "preset or variant with one (crossplace list variants)"
        )
