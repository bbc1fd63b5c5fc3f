"""From evaluations to records: aggregates, intervals, and the arrays of every query."""

from collections.abc import Iterable, Mapping
from dataclasses import fields

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from benchmark.evaluation.evaluate import PairEvaluation
from benchmark.evaluation.metrics import METRICS, mean_over_pairs, pooled
from benchmark.frames.preparing import is_real
from benchmark.records.queries import Queries
from benchmark.records.schema import DatasetRecord, DirectionRecord, PairRecall
from datasets.base import Frames, Protocol
from datasets.prepared import PreparedDataset


def dataset_record(dataset: PreparedDataset, traversals: Iterable[str]) -> DatasetRecord:
    """Which data; ``traversals`` are those that take part, whose conditions are recorded."""
    return DatasetRecord(
        name=dataset.name,
        version=dataset.version,
        options=dataset.options,
        fingerprint=dataset.fingerprint,
        counts=dataset.counts,
        is_real=is_real(dataset),
        conditions={name: dataset.traversals[name].condition for name in traversals},
    )


def traversals_in(directions: Mapping[str, DirectionRecord]) -> list[str]:
    """Traversals that ask or are searched in any direction."""
    pairs = [pair for record in directions.values() for pair in record.pairs]
    return list(dict.fromkeys(name for pair in pairs for name in (pair.query, pair.database)))


def direction_records(
    evaluations: list[PairEvaluation], ranks: Mapping[str, ndarray], protocol: Protocol
) -> dict[str, DirectionRecord]:
    """Aggregates and intervals of each direction; ``ranks`` are the :func:`rank_arrays` of the same evaluations."""
    grouped: dict[str, list[PairEvaluation]] = {}
    for evaluation in evaluations:
        grouped.setdefault(evaluation.direction.label, []).append(evaluation)
    return {label: _direction_record(label, group, ranks, protocol) for label, group in grouped.items()}


def _direction_record(
    label: str, group: list[PairEvaluation], ranks: Mapping[str, ndarray], protocol: Protocol
) -> DirectionRecord:
    values = {name: np.concatenate([e.values[name] for e in group]) for name in METRICS}
    intervals, words = Queries.of(ranks, label, protocol.no_positive).intervals(values, protocol.averaging)
    return DirectionRecord(
        mean=mean_over_pairs([e.recall for e in group]),
        pooled=pooled([e.recall for e in group]),
        pairs=[_pair_recall(e) for e in group],
        intervals=intervals,
        interval_unit=words,
    )


def rank_arrays(evaluations: list[PairEvaluation], dataset: PreparedDataset) -> dict[str, ndarray]:
    """The per-query arrays of ``ranks.npz`` and the poses of every frame they mention."""
    frames = dataset.frames
    rows = np.unique(np.concatenate([np.concatenate([e.query_rows, e.database_rows]) for e in evaluations]))
    local = np.full(len(frames), -1)
    local[rows] = np.arange(len(rows))
    directions = list(dict.fromkeys(e.direction.label for e in evaluations))
    pairs = {pair: number for number, pair in enumerate(dict.fromkeys(e.pair for e in evaluations))}
    columns: dict[str, list[ndarray]] = {}
    for e in evaluations:
        n, found = len(e.query_rows), e.ranking
        top = _frames_at(e.database_rows, found.top_index)
        for name, column in {
            "direction": np.full(n, directions.index(e.direction.label), dtype=np.int8),
            "pair": np.full(n, pairs[e.pair], dtype=np.int32),
            "frame": local[e.query_rows].astype(np.int32),
            "n_positives": found.n_positives.astype(np.int32),
            "n_candidates": found.n_candidates.astype(np.int32),
            "first_positive_rank": found.first_positive_rank.astype(np.int32),
            "retrieved_m": _metres(frames, e.query_rows, top[:, 0]).astype(np.float32),
            "top_frame": np.where(top < 0, -1, local[top]).astype(np.int32),
            "top_distance": found.top_distance.astype(np.float32),
            "best_positive_distance": found.best_positive_distance.astype(np.float32),
            "best_negative_distance": found.best_negative_distance.astype(np.float32),
        }.items():
            columns.setdefault(f"query_{name}", []).append(column)
    used = frames.take(rows)
    conditions = [dataset.traversals[name].condition for name in used.traversal]
    return {
        "directions": np.array(directions),
        "pairs": np.array([(p.query_traversal, p.database_traversal) for p in pairs]),
        "frame_id": used.frame_id.astype(str),
        "frame_traversal": used.traversal.astype(str),
        "frame_condition": np.array(conditions),
        "frame_world": used.world.astype(str),
        "frame_east_m": used.position_m[:, 0],
        "frame_north_m": used.position_m[:, 1],
        "frame_yaw_rad": used.yaw_rad,
        **{name: np.concatenate(parts) for name, parts in columns.items()},
    }


def _pair_recall(evaluation: PairEvaluation) -> PairRecall:
    recall, pair = evaluation.recall, evaluation.pair
    return PairRecall(
        **{f.name: getattr(recall, f.name) for f in fields(recall)},
        query=pair.query_traversal,
        database=pair.database_traversal,
        n_database=len(evaluation.database_rows),
    )


def _frames_at(database_rows: Int[ndarray, " nd"], index: Int[ndarray, "nq k"]) -> Int[ndarray, "nq k"]:
    """Dataset rows of database indices; -1 stays -1."""
    return np.where(index >= 0, database_rows[np.maximum(index, 0)], -1)


def _metres(frames: Frames, query_rows: Int[ndarray, " nq"], found_rows: Int[ndarray, " nq"]) -> Float[ndarray, " nq"]:
    """Distance in the plane to what was found; nan where nothing was, or a place of another world."""
    offset = frames.position_m[query_rows, :2] - frames.position_m[found_rows, :2]
    is_measurable = (found_rows >= 0) & (frames.world[query_rows] == frames.world[found_rows])
    return np.where(is_measurable, np.hypot(offset[:, 0], offset[:, 1]), np.nan)
