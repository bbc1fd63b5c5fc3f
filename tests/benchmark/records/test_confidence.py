"""Confidence in results as they are written, published and read."""

import json
from pathlib import Path

import numpy as np

from benchmark.evaluation.confidence import PRECISIONS, confidence_of
from benchmark.evaluation.evaluate import Scorer
from benchmark.evaluation.rankers import RANKERS
from benchmark.protocol.directions import Direction
from benchmark.protocol.ground_truth import Asked
from benchmark.records.confidence import confidence_records
from benchmark.records.publish import compact
from benchmark.records.schema import RANKS, RESULT, MethodRecord, Result
from datasets.base import Protocol
from datasets.prepared import PreparedDataset
from results import stored_result


def drawn(direction: Direction, asked: Asked) -> np.ndarray:
    """Distances that know the place of most queries."""
    random = np.random.default_rng(len(asked.pair.query_traversal))
    noise = random.random(asked.relation.is_positive.shape)
    return np.where(asked.relation.is_positive, 0.4 * noise, noise)


def stored(folder: Path, dataset: PreparedDataset, protocol: Protocol) -> tuple[Result, dict[str, np.ndarray]]:
    method = MethodRecord.unregistered("drawn", "foreign")
    scorer = Scorer(directions=(Direction.IMAGE_TO_CLOUD,), score=drawn)
    result = stored_result(folder, dataset, protocol, method=method, scorer=scorer)
    with np.load(folder / RANKS, allow_pickle=False) as ranks:
        return result, dict(ranks)


def test_a_fresh_result_has_the_confidence_of_its_ranks(
    small_world: PreparedDataset, protocol: Protocol, tmp_path: Path
) -> None:
    result, ranks = stored(tmp_path / "run", small_world, protocol)
    found = result.directions["image->cloud"].confidence
    assert found is not None
    assert found == confidence_of(ranks, "image->cloud", protocol.no_positive)
    assert Result.read(tmp_path / "run") == result
    assert [point.precision for point in found.at] == list(PRECISIONS)
    assert found.n_traversals == 3
    is_right = ranks["query_first_positive_rank"] == 1
    assert found.curve.recall[-1] == np.round(is_right.sum() / found.n_counted, 6)


def test_published_ranks_give_nearly_the_same(small_world: PreparedDataset, protocol: Protocol, tmp_path: Path) -> None:
    result, ranks = stored(tmp_path / "run", small_world, protocol)
    whole = result.directions["image->cloud"].confidence
    coarse = confidence_records(result, compact(ranks)).directions["image->cloud"].confidence
    assert whole is not None
    assert coarse is not None
    assert len(coarse.curve.threshold) < len(whole.curve.threshold), "what became equal is answered together"
    assert abs(coarse.average_precision - whole.average_precision) < 0.02
    assert coarse.curve.recall[-1] == whole.curve.recall[-1]


def test_rankers_have_none(small_world: PreparedDataset, protocol: Protocol, tmp_path: Path) -> None:
    for name in RANKERS:
        result = stored_result(tmp_path / name, small_world, protocol, ranker=name)
        assert all(record.confidence is None for record in result.directions.values())
        with np.load(tmp_path / name / RANKS, allow_pickle=False) as ranks:
            published = compact(dict(ranks), is_ranker=True)
        assert confidence_records(result, published) == result


def test_older_results_have_none_until_it_is_computed(
    small_world: PreparedDataset, protocol: Protocol, tmp_path: Path
) -> None:
    result, ranks = stored(tmp_path / "run", small_world, protocol)
    raw = json.loads((tmp_path / "run" / RESULT).read_text())
    for direction in raw["directions"].values():
        del direction["confidence"]
    del raw["seal"]
    (tmp_path / "run" / RESULT).write_text(json.dumps({**raw, "schema_version": "1.2"}))
    older = Result.read(tmp_path / "run")
    assert older.directions["image->cloud"].confidence is None
    assert confidence_records(older, ranks).directions == result.directions
