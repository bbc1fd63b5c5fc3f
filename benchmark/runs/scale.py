"""Recall and latency against the size of the map: real places, then foreign ones, then synthetic descriptors."""

import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmark import machine
from benchmark.descriptors.shards import Shards, write_shards
from benchmark.evaluation.distractors import n_nearer
from benchmark.evaluation.evaluate import PairEvaluation, check_answerable
from benchmark.evaluation.indexes import INDEXES
from benchmark.evaluation.likeness import QUANTILES, nearest_quantiles
from benchmark.evaluation.prior import PRIORS
from benchmark.evaluation.scale import Counted, counted, latency_ms
from benchmark.frames.preparing import doubts_about
from benchmark.keys import key_of
from benchmark.records.scale import SCALE, LikenessRecord, ScalePoint, ScaleRecord
from benchmark.records.sensitivity import LeftOutRecord, recall_records
from benchmark.request import Request
from benchmark.runs.alternatives import check_index, index_points, prior_point
from benchmark.runs.distractors import other_datasets
from benchmark.runs.plan import Plan
from benchmark.runs.territory import Territory, territory_of
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
    indexes: Sequence[str] = ()
    """Approximate indexes that are judged beside exact search."""
    keep_map: bool = False
    """Whether the map stays on disk."""


def run_scale(
    request: Request,
    places: Sequence[int],
    modality: Modality = "cloud",
    distractors: Sequence[str] = (),
    indexes: Sequence[str] = (),
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
    for name in indexes:
        check_index(name)
    plan = Plan(request, measured=False)
    others = other_datasets(plan, distractors)
    doubts = [f"distractors: {doubt}" for other in others for doubt in doubts_about(other, request.data.accept)]
    warnings = [*plan.warnings, *doubts]
    for warning in warnings:
        log.warning(warning)
    chosen = tuple(name for name in INDEXES if name in indexes)
    sizes = sorted(set(places))
    wish = Wish(places=sizes, modality=modality, others=others, indexes=chosen, keep_map=keep_map)
    foreign = [other.fingerprint for other in others]
    made_of = (plan.encodings[0].key, plan.protocol, modality, foreign)
    accepted = sorted(set(request.data.accept))
    key = key_of(*made_of, sizes, chosen, PRIORS, machine.identity(plan.device), accepted)
    folder = plan.scale_folder(key)
    record = ScaleRecord.found(folder, key)
    if record and plan.is_of(record.method.weights_sha256):
        log.info("nothing to do: %s is up to date", folder)
    else:
        with locked(plan.map_folder(key_of(*made_of))):
            record = _computed(plan, wish, key, key_of(*made_of), warnings)
        record.write(folder / SCALE)
    return record, folder / SCALE


def _computed(plan: Plan, wish: Wish, key: str, map_key: str, warnings: Sequence[str]) -> ScaleRecord:
    from benchmark.runs.run import origin_of, say_blind

    check_answerable(plan.selected)
    plan.check_data()
    blind = say_blind(plan)
    territory = territory_of(plan, wish.modality, wish.others, wish.places[-1])
    folder = plan.map_folder(map_key)
    shards, numbers, left_out = _map(territory, wish.places, folder)
    among = shards.between(len(territory.first), len(shards))
    counts = counted(territory.questions, among, numbers, territory.descriptors)
    points = [_point(territory, shards, n, found) for n, found in zip(numbers, counts, strict=True)]
    load = machine.load()
    indexes, without = index_points(territory, shards, wish.indexes, numbers)
    if not wish.keep_map:
        shutil.rmtree(folder)
    return ScaleRecord(
        **origin_of(plan, key, [*warnings, *blind]),
        modality=wish.modality,
        size=territory.first.shape[1],
        n_queries=len(territory.questions.query),
        foreign=territory.sources,
        synthetic=_likeness_record(territory),
        points=points,
        left_out=left_out,
        indexes=indexes,
        indexes_left_out=without,
        priors=[prior_point(territory, prior) for prior in PRIORS],
        load=load,
    )


def _map(territory: Territory, places: Sequence[int], folder: Path) -> tuple[Shards, list[int], list[LeftOutRecord]]:
    """The largest map on disk, the distractors of each size, and the sizes that are too small."""
    n_real, n_first = territory.n_real(), len(territory.first)
    reason = f"the test itself has {n_real} places"
    left_out = [LeftOutRecord(value=n, reason=reason) for n in places if n < n_real]
    numbers = [n - n_real for n in places if n >= n_real]
    if not numbers:
        raise CrossplaceError(f"--places: {reason}; name a larger number")
    size = territory.first.shape[1]
    shards = write_shards(folder, folder.name, size, n_first + numbers[-1], territory.rows)
    shards.check()
    return shards, numbers, left_out


def _point(territory: Territory, shards: Shards, n_distractors: int, found: Counted) -> ScalePoint:
    plan, n_places = territory.plan, n_distractors + territory.n_real()
    evaluations = territory.questions.evaluations(found.nearer, n_distractors, plan.protocol)
    searched = shards.between(0, len(territory.first) + n_distractors)
    median_ms, n_timed = latency_ms(territory.questions, searched, territory.descriptors)
    log.info("%d places: %.1f ms a query", n_places, median_ms)
    n_foreign = min(n_distractors, len(territory.foreign_rows))
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


def _likeness_record(territory: Territory) -> LikenessRecord:
    """Foreign frames beside as many synthetic descriptors: how near the nearest is, and what recall they leave."""
    n, questions, distance = len(territory.foreign_rows), territory.questions, territory.descriptors.distance
    places = {"foreign": territory.foreign_rows[:, None], "synthetic": territory.likeness.draw(0, n)[:, None]}
    nearest, recall = {}, {}
    for name, rows in places.items():
        nearest[name] = nearest_quantiles(questions.query, rows, distance) if n else []
        nearer = np.zeros(questions.best.shape, dtype=np.int64)
        for column in range(questions.best.shape[1]):
            nearer[:, column] = n_nearer(questions.query, rows, questions.best[:, column], distance, [n])[:, 0]
        recall[name] = _recalls(territory, questions.evaluations(nearer[questions.place], n, territory.plan.protocol))
    return LikenessRecord(
        n_fitted=territory.likeness.n_fitted,
        length=territory.likeness.length,
        n_compared=n,
        quantiles=list(QUANTILES),
        nearest_foreign=nearest["foreign"],
        nearest_synthetic=nearest["synthetic"],
        recall_foreign=recall["foreign"],
        recall_synthetic=recall["synthetic"],
    )


def _recalls(territory: Territory, evaluations: list[PairEvaluation]) -> dict[str, float | None]:
    records = recall_records(evaluations, territory.plan.dataset, territory.plan.protocol)
    return {direction: record.values[FIRST_METRIC] for direction, record in records.items()}
