"""From evaluations to records: metrics of the table, and what the random row is."""

from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from benchmark.evaluation.evaluate import Scorer, evaluate
from benchmark.evaluation.metrics import METRICS, Metric, mean_over_pairs
from benchmark.protocol.directions import Direction
from benchmark.protocol.ground_truth import Asked
from benchmark.records.schema import RANKS, MethodRecord, Result
from benchmark.report.screen import screen
from benchmark.report.tables import Comparison, recall_table
from datasets.base import Protocol, Selection
from datasets.prepared import PreparedDataset
from results import stored_result


@pytest.fixture
def reciprocal(monkeypatch: pytest.MonkeyPatch) -> str:
    """Mean reciprocal rank, as anyone may add it to the table of metrics."""

    def value(found: object, size: int, protocol: Protocol) -> np.ndarray:
        ranks = found.first_positive_rank  # type: ignore[attr-defined]
        return np.where(ranks > 0, 1 / np.maximum(ranks, 1), 0.0)

    monkeypatch.setitem(METRICS, "MRR", Metric(title="Mean reciprocal rank, %", value=value))
    return "MRR"


@pytest.mark.parametrize("averaging", ["pairs", "queries"])
def test_one_entry_of_the_table_of_metrics_is_a_metric_everywhere(
    small_world: PreparedDataset, protocol: Protocol, tmp_path: Path, reciprocal: str, averaging: str
) -> None:
    used = replace(protocol, averaging=averaging, radius_m=3.0, database=Selection(count=6))
    written = stored_result(tmp_path / "run", small_world, used, ranker="constant")
    result = Result.read(tmp_path / "run")
    assert result == written
    with np.load(tmp_path / "run" / RANKS) as ranks:
        for number, (direction, record) in enumerate(result.directions.items()):
            rows = (ranks["query_direction"] == number) & (ranks["query_first_positive_rank"] > 0)
            pair, values = ranks["query_pair"][rows], 1 / ranks["query_first_positive_rank"][rows]
            means = [values[pair == p].mean() for p in np.unique(pair)]
            assert [p.values[reciprocal] for p in record.pairs] == pytest.approx(means)
            assert record.mean.values[reciprocal] == pytest.approx(np.mean(means))
            assert record.pooled.values[reciprocal] == pytest.approx(values.mean())
            low, high = record.intervals[reciprocal]
            assert low <= (np.mean(means) if averaging == "pairs" else values.mean()) <= high
            assert "blocks of" in record.interval_unit
            headline = result.headline(direction).values[reciprocal]
            assert headline == (record.mean if averaging == "pairs" else record.pooled).values[reciprocal]


def test_a_further_metric_has_a_table(
    small_world: PreparedDataset, protocol: Protocol, tmp_path: Path, reciprocal: str
) -> None:
    scorer = Scorer(
        directions=(Direction.CLOUD_TO_CLOUD,), score=lambda _, asked: np.zeros(asked.relation.is_candidate.shape)
    )
    result = stored_result(
        tmp_path / "run", small_world, protocol, scorer=scorer, method=MethodRecord.unregistered("flat", "foreign")
    )
    table = recall_table(Comparison.of([result], alone=True), reciprocal)
    value = result.headline("cloud->cloud").values[reciprocal]
    assert value is not None
    assert table.title == "Mean reciprocal rank, %"
    assert table.rows[0][1].value == pytest.approx(100 * value)
    assert f"{100 * value:.1f}" in screen(table)


def test_the_random_row_is_the_mean_over_all_orders(
    small_world: PreparedDataset, protocol: Protocol, tmp_path: Path
) -> None:
    """Four places a drive have 24 orders; every number of the row is the mean of what they score."""
    used = replace(protocol, database=Selection(count=4))

    def fixed(order: tuple[int, ...]) -> Scorer:
        def score(direction: Direction, asked: Asked) -> np.ndarray:
            return np.tile(np.array(order, dtype=float), (len(asked.query_rows), 1))

        return Scorer(directions=tuple(Direction), score=score)

    scorers = {str(order): fixed(order) for order in permutations(range(4))}
    found = evaluate(small_world.frames, used, scorers)
    for seed in (0, 1):
        result = stored_result(tmp_path / str(seed), small_world, used, ranker="random", seed=seed)
        for direction, record in result.directions.items():
            every = [
                mean_over_pairs([e.recall for e in evaluations if e.direction.label == direction])
                for evaluations in found.values()
            ]
            assert len(every) == 24
            assert list(record.mean.recall_at) == pytest.approx(np.mean([r.recall_at for r in every], axis=0).tolist())
            for name, value in record.mean.values.items():
                assert value == pytest.approx(np.mean([r.values[name] for r in every])), (direction, name)
                low, high = record.intervals[name] or (0.0, 1.0)
                assert low - 1e-12 <= value <= high + 1e-12


def test_what_was_drawn_still_decides_the_galleries(
    small_world: PreparedDataset, protocol: Protocol, tmp_path: Path
) -> None:
    for seed in (0, 1):
        stored_result(tmp_path / str(seed), small_world, protocol, ranker="random", seed=seed)
    with np.load(tmp_path / "0" / RANKS) as one, np.load(tmp_path / "1" / RANKS) as other:
        assert (one["query_top_frame"] != other["query_top_frame"]).any()
        np.testing.assert_array_equal(one["query_n_positives"], other["query_n_positives"])
