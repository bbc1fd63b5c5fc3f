"""Older results with the intervals of today, from the ranks that were stored or published."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmark.records.publish import compact, publish
from benchmark.records.queries import is_expected
from benchmark.records.schema import RANKS, RESULT, SCHEMA, MethodRecord, Result
from benchmark.records.upgrade import upgraded
from datasets.base import Protocol
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset
from datasets.protocols import PROTOCOLS
from results import stored_result

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests" / "golden" / "result-schema-1.0"
EVERY_GOLDEN = sorted(path.parent for path in (ROOT / "tests" / "golden").rglob(RESULT))
COMMITTED = sorted(path.parent for path in (ROOT / "results").rglob(RESULT))


def arrays(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / RANKS, allow_pickle=False) as stored:
        return dict(stored)


def aged(folder: Path, version: str = "1.2", **changes: object) -> Result:
    """Make a stored result one of an older schema."""
    raw = json.loads((folder / RESULT).read_text())
    del raw["seal"]
    raw.update(schema_version=version, **changes)
    for record in raw["directions"].values():
        del record["interval_unit"]
        record["intervals"] = {name: [0.0, 1.0] for name in record["intervals"]}
    (folder / RESULT).write_text(json.dumps(raw))
    return Result.read(folder)


@pytest.mark.parametrize("ranker", ["oracle", "constant", "random"])
@pytest.mark.parametrize("averaging", ["pairs", "queries"])
def test_an_older_result_becomes_what_would_be_recorded_today(
    small_world: PreparedDataset, protocol: Protocol, tmp_path: Path, ranker: str, averaging: str
) -> None:
    new = stored_result(tmp_path / "run", small_world, replace(protocol, averaging=averaging), ranker=ranker)
    old = aged(tmp_path / "run")
    assert old != new
    for ranks in (arrays(tmp_path / "run"), compact(arrays(tmp_path / "run"), is_ranker=ranker == "random")):
        found = upgraded(old, ranks)
        assert found.schema_version == SCHEMA
        for name, record in new.directions.items():
            assert found.directions[name].interval_unit == record.interval_unit
            for metric, ends in record.intervals.items():
                assert found.directions[name].intervals[metric] == pytest.approx(ends), (name, metric)
        same = {name: record.model_dump(exclude={"intervals"}) for name, record in found.directions.items()}
        assert same == {name: record.model_dump(exclude={"intervals"}) for name, record in new.directions.items()}
        assert found.model_dump(exclude={"directions"}) == new.model_dump(exclude={"directions"})


@pytest.mark.parametrize("folder", [*COMMITTED, *EVERY_GOLDEN], ids=lambda folder: folder.name)
def test_committed_results_can_be_brought_up_to_date(folder: Path) -> None:
    """Recalls that are computed from published ranks are the recorded ones; otherwise this raises."""
    before = Result.read(folder)
    after = upgraded(before, arrays(folder))
    for name, record in after.directions.items():
        assert " blocks of " in record.interval_unit
        assert record.mean == before.directions[name].mean
        for metric, value in after.headline(name).values.items():
            low, high = record.intervals[metric] or (1.0, 0.0)
            assert low <= (value or 0.0) <= high
    assert (after.run_id, after.key) == (before.run_id, before.key)


def test_publishing_brings_up_to_date_and_then_changes_nothing(tiny_town: PreparedDataset, tmp_path: Path) -> None:
    method = MethodRecord.unregistered("ours", "foreign")
    new = stored_result(tmp_path / "run", tiny_town, PROTOCOLS["town"], method=method)
    aged(tmp_path / "run", "1.1")
    first = publish(tmp_path / "run", tmp_path / "results")
    assert Result.read(first) == new
    content = {path.name: path.read_bytes() for path in first.iterdir()}
    assert publish(first, tmp_path / "results") == first
    assert {path.name: path.read_bytes() for path in first.iterdir()} == content


def test_real_data_is_brought_up_to_date_from_ranks_that_stay_behind(
    small_world: PreparedDataset, protocol: Protocol, tmp_path: Path
) -> None:
    new = stored_result(tmp_path / "run", small_world, protocol)
    old = aged(tmp_path / "run")
    target = publish(tmp_path / "run", tmp_path / "results")
    assert [path.name for path in target.iterdir()] == [RESULT]
    assert Result.read(target) == new
    (tmp_path / "run" / RANKS).unlink()
    (tmp_path / "run" / RESULT).write_text(json.dumps(json.loads((target / RESULT).read_text())))
    aged(tmp_path / "run")
    assert Result.read(publish(tmp_path / "run", tmp_path / "other")) == old, "without ranks it stays as it is"


def test_a_result_of_a_later_version_is_published_as_it_is(
    small_world: PreparedDataset, protocol: Protocol, tmp_path: Path
) -> None:
    stored_result(tmp_path / "run", small_world, protocol)
    later = aged(tmp_path / "run", "1.10")
    assert Result.read(publish(tmp_path / "run", tmp_path / "results")) == later


def test_ranks_of_another_run_are_refused(small_world: PreparedDataset, protocol: Protocol, tmp_path: Path) -> None:
    for ranker in ("oracle", "constant"):
        stored_result(tmp_path / ranker, small_world, protocol, ranker=ranker)
    old = aged(tmp_path / "oracle")
    with pytest.raises(CrossplaceError, match="the stored ranks do not give the recorded numbers of image->cloud"):
        upgraded(old, arrays(tmp_path / "constant"))
    ranks = arrays(tmp_path / "oracle")
    ranks["pairs"] = np.array([("a", "b")] * len(ranks["pairs"]))
    with pytest.raises(CrossplaceError, match="the ranks hold the pair a and b, but the result does not"):
        upgraded(old, ranks)
    stored_result(tmp_path / "oracle", small_world, protocol)  # as the sentence advises
    assert upgraded(old, arrays(tmp_path / "oracle")).schema_version == SCHEMA


def test_rows_of_chance_were_drawn_before_they_were_expectations() -> None:
    random, other = (MethodRecord.unregistered(name, "ranker") for name in ("random", "constant"))
    assert [is_expected(random, version) for version in ("1.0", "1.1", "1.2", "1.3", "1.10")] == [0, 0, 1, 1, 1]
    assert not is_expected(other, "1.3")
