"""Recall and latency against the size of the map: real places, then foreign ones, then synthetic descriptors."""

import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from benchmark import machine
from benchmark.descriptors.files import Descriptors
from benchmark.descriptors.shards import Shards, write_shards
from benchmark.evaluation.distractors import Foreign, n_nearer
from benchmark.evaluation.evaluate import PairEvaluation, check_answerable
from benchmark.evaluation.likeness import QUANTILES, Likeness, nearest_quantiles
from benchmark.evaluation.scale import Counted, Questions, counted, latency_ms
from benchmark.frames.preparing import doubts_about
from benchmark.keys import key_of, plain
from benchmark.protocol.selection import by_traversal
from benchmark.records.environment import harness
from benchmark.records.recording import dataset_record
from benchmark.records.scale import SCALE, LikenessRecord, ScalePoint, ScaleRecord
from benchmark.records.sensitivity import ForeignRecord, LeftOutRecord, recall_records
from benchmark.request import Request
from benchmark.runs.distractors import foreign_of, other_dataset, sources_of
from benchmark.runs.plan import Plan
from benchmark.runs.sensitivity import why_no_foreign
from datasets.base import Modality
from datasets.errors import CrossplaceError
from datasets.files import locked
from datasets.prepared import PreparedDataset

log = logging.getLogger(__name__)

FIRST_METRIC = "R@1"


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is asked of a map beyond the run itself."""

    places: Sequence[int]
    """Sizes of the map."""
    modality: Modality = "cloud"
    """What the map is made of."""
    others: Sequence[PreparedDataset] = ()
    """Prepared datasets whose frames are put into the map, after those of the test's own dataset."""
    keep_map: bool = False
    """Whether the map stays on disk."""


def run_scale(
    request: Request,
    places: Sequence[int],
    modality: Modality = "cloud",
    distractors: Sequence[str] = (),
    *,
    keep_map: bool = False,
) -> tuple[ScaleRecord, Path]:
    """Recall and latency of a method in maps of each of ``places``; returns the stored record and its file.

    A second call finds the record, and an interrupted one goes on with the shards that it has.

    Raises:
        CrossplaceError: sizes that are none, distractors that cannot be had, or a method that re-ranks.
    """
    if not places or min(places) < 1:
        raise CrossplaceError("--places needs numbers of places above 0, such as 1000 10000 100000")
    plan = Plan(request, measured=False)
    others = [other_dataset(plan, name) for name in distractors]
    doubts = [f"distractors: {doubt}" for other in others for doubt in doubts_about(other, request.data.accept)]
    warnings = [*plan.warnings, *doubts]
    for warning in warnings:
        log.warning(warning)
    wish = Wish(places=sorted(set(places)), modality=modality, others=others, keep_map=keep_map)
    foreign = [other.fingerprint for other in others]
    made_of = (plan.encodings[0].key, plan.protocol, modality, foreign)
    key = key_of(*made_of, wish.places, machine.identity(plan.device), sorted(set(request.data.accept)))
    folder = plan.scale_folder(key)
    record = ScaleRecord.found(folder, key)
    if record and plan.is_of(record.method.weights_sha256):
        log.info("nothing to do: %s is up to date", folder)
    else:
        with locked(plan.map_folder(key_of(*made_of))):
            record = _computed(plan, wish, key, key_of(*made_of), warnings)
        record.write(folder / SCALE)
    return record, folder / SCALE


@dataclass(frozen=True, kw_only=True)
class Ground:
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

    @property
    def foreign_rows(self) -> Float32[ndarray, "n size"]:
        """Descriptors of the foreign frames, in their order."""
        return self.foreign.descriptors[self.modality][:, 0]

    def n_real(self) -> int:
        """Real frames of the map, as a mean over traversal pairs."""
        return round(float(np.mean([len(part.asked.database_rows) for part, _ in self.questions.parts])))

    def rows(self, start: int, stop: int) -> Float32[ndarray, "n size"]:
        """The places of the map by their numbers: real ones, foreign ones, and then synthetic ones without end."""
        known = np.concatenate([self.first, self.foreign_rows])
        drawn = self.likeness.draw(max(start - len(known), 0), max(stop - len(known), 0))
        return np.concatenate([known[start:stop], drawn]).astype(np.float32)


def _computed(plan: Plan, wish: Wish, key: str, map_key: str, warnings: Sequence[str]) -> ScaleRecord:
    from benchmark.runs.run import environment_of, method_record, say_blind

    check_answerable(plan.dataset.frames, plan.protocol, plan.selected)
    plan.check_data()
    blind = say_blind(plan)
    ground = _ground(plan, wish)
    points, left_out = _points(ground, wish, plan.map_folder(map_key))
    dataset = plan.dataset
    return ScaleRecord(
        key=key,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        harness=harness(),
        environment=environment_of(plan),
        method=method_record(plan),
        dataset=dataset_record(dataset, dataset.frames.take(plan.rows).traversal_names()),
        protocol=plain(plan.protocol),
        seed=plan.options.seed,
        warnings=[*warnings, *blind],
        modality=wish.modality,
        size=ground.first.shape[1],
        n_queries=len(ground.questions.query),
        foreign=ground.sources,
        synthetic=_likeness_record(ground),
        points=points,
        left_out=left_out,
    )


def _ground(plan: Plan, wish: Wish) -> Ground:
    """Encode what is missing, and rank every query among the real frames."""
    from benchmark.runs.run import FramesToEncode, encoded

    own = FramesToEncode(encoding=plan.encodings[0], dataset=plan.dataset, rows=plan.rows)
    (descriptors,) = encoded(plan, [own])
    _check(plan, descriptors, wish.modality)
    sources = [source for other in [None, *wish.others] for source in sources_of(plan, other)[other is not None :]]
    n_foreign = min(sum(len(source.rows) for source in sources), wish.places[-1])
    foreign, records = foreign_of(plan, sources, n_foreign, descriptors)
    frames = plan.dataset.frames
    questions = Questions.of(frames, plan.protocol, plan.selected, descriptors, wish.modality)
    asked = questions.parts[0][0].asked
    searched = np.concatenate([*by_traversal(frames, plan.selected.database).values()])
    searched = searched[frames.paths(wish.modality)[searched] != ""]
    real = descriptors.at(wish.modality, frames, searched)[:, 0]
    return Ground(
        plan=plan,
        descriptors=descriptors,
        questions=questions,
        first=descriptors.at(wish.modality, frames, asked.database_rows)[:, 0].astype(np.float32),
        foreign=foreign,
        sources=records,
        likeness=Likeness.of(np.concatenate([real, foreign.descriptors[wish.modality][:, 0]])),
        modality=wish.modality,
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


def _points(ground: Ground, wish: Wish, folder: Path) -> tuple[list[ScalePoint], list[LeftOutRecord]]:
    """Write the map, count in it, time it, and take it away unless it is to stay."""
    n_real = ground.n_real()
    left_out = [
        LeftOutRecord(value=n, reason=f"the test itself has {n_real} places") for n in wish.places if n < n_real
    ]
    numbers = [n - n_real for n in wish.places if n >= n_real]
    if not numbers:
        raise CrossplaceError(f"--places: the test itself has {n_real} places; name a larger number")
    shards = write_shards(
        folder,
        folder.name,
        ground.first.shape[1],
        len(ground.first) + numbers[-1],
        ground.rows,
    )
    shards.check()
    among = shards.between(len(ground.first), len(shards))
    counts = counted(ground.questions, among, numbers, ground.descriptors)
    points = [_point(ground, shards, n, found) for n, found in zip(numbers, counts, strict=True)]
    if not wish.keep_map:
        shutil.rmtree(folder)
    return points, left_out


def _point(ground: Ground, shards: Shards, n_distractors: int, found: Counted) -> ScalePoint:
    plan, n_places = ground.plan, n_distractors + ground.n_real()
    evaluations = ground.questions.evaluations(found.nearer, n_distractors, plan.protocol)
    searched = shards.between(0, len(ground.first) + n_distractors)
    median_ms, n_timed = latency_ms(ground.questions, searched, ground.descriptors)
    log.info("%d places: %.1f ms a query", n_places, median_ms)
    n_foreign = min(n_distractors, len(ground.foreign_rows))
    return ScalePoint(
        places=n_places,
        n_foreign=n_foreign,
        n_synthetic=n_distractors - n_foreign,
        directions=recall_records(evaluations, plan.dataset, plan.protocol, n_distractors),
        latency_ms=median_ms,
        n_timed=n_timed,
        count_s=found.seconds,
        n_bytes=searched.n_bytes,
    )


def _likeness_record(ground: Ground) -> LikenessRecord:
    """Foreign frames beside as many synthetic descriptors: how near the nearest is, and what recall they leave."""
    n, questions, distance = len(ground.foreign_rows), ground.questions, ground.descriptors.distance
    places = {"foreign": ground.foreign_rows[:, None], "synthetic": ground.likeness.draw(0, n)[:, None]}
    nearest, recall = {}, {}
    for name, rows in places.items():
        nearest[name] = nearest_quantiles(questions.query, rows, distance) if n else []
        nearer = np.zeros(questions.best.shape, dtype=np.int64)
        for column in range(questions.best.shape[1]):
            nearer[:, column] = n_nearer(questions.query, rows, questions.best[:, column], distance, [n])[:, 0]
        recall[name] = _recalls(ground, questions.evaluations(nearer[questions.place], n, ground.plan.protocol))
    return LikenessRecord(
        n_fitted=ground.likeness.n_fitted,
        length=ground.likeness.length,
        n_compared=n,
        quantiles=list(QUANTILES),
        nearest_foreign=nearest["foreign"],
        nearest_synthetic=nearest["synthetic"],
        recall_foreign=recall["foreign"],
        recall_synthetic=recall["synthetic"],
    )


def _recalls(ground: Ground, evaluations: list[PairEvaluation]) -> dict[str, float | None]:
    records = recall_records(evaluations, ground.plan.dataset, ground.plan.protocol)
    return {direction: record.values[FIRST_METRIC] for direction, record in records.items()}
