"""Where queries fail, counted from stored ranks."""

from pathlib import Path

import numpy as np
import pytest
from reports import change_ranks, method

from benchmark.records.collection import collect
from benchmark.records.schema import RANKS
from benchmark.report.page.failures import NO_RANKS, failure_tables
from datasets.base import Protocol
from datasets.prepared import PreparedDataset
from results import stored_result


def test_every_wrong_query_is_counted_once(stored: Path) -> None:
    (group,) = collect(stored).groups
    table = failure_tables(group)[0]
    assert [column.name for column in table.columns] == ["query → database", "first", "second"]
    names = [row[0].words for row in table.rows]
    assert sorted(names) == sorted(
        f"{q} → {d}" for q in ("day", "dusk", "night") for d in ("day", "dusk", "night") if q != d
    )
    assert all(row[1].value == 0 and row[1].under == "0 of 24" for row in table.rows), "the oracle never fails"
    for name, row in zip(names, table.rows, strict=True):
        misses = sum(misses_of(stored / f"run-1-s{seed}", *name.split(" → ")) for seed in range(2))
        assert row[2].value == pytest.approx(100 * misses / 24)
        assert row[2].under == f"{misses} of 24"


def misses_of(folder: Path, query: str, database: str) -> int:
    """A plain loop over the queries of the first direction."""
    count = 0
    with np.load(folder / RANKS) as ranks:
        condition = dict(zip(ranks["frame_traversal"].tolist(), ranks["frame_condition"].tolist(), strict=True))
        for row in range(len(ranks["query_frame"])):
            one, other = ranks["pairs"][ranks["query_pair"][row]].tolist()
            if ranks["query_direction"][row] == 0 and (condition[one], condition[other]) == (query, database):
                count += int(ranks["query_first_positive_rank"][row] > 1)
    return count


def test_queries_without_a_right_place_count_as_the_protocol_says(stored: Path, small_world: PreparedDataset) -> None:
    for folder in stored.glob("run-0-*"):
        with np.load(folder / RANKS) as ranks:
            rank = ranks["query_first_positive_rank"].copy()
        rank[0] = 0
        change_ranks(folder, query_first_positive_rank=rank)
    (group,) = collect(stored).groups
    first = failure_tables(group)[0].rows[0][1]
    assert first.under == "0 of 22"


def test_a_result_without_ranks_says_why(stored: Path) -> None:
    for folder in stored.glob("run-1-*"):
        (folder / RANKS).unlink()
    (group,) = collect(stored).groups
    table = failure_tables(group)[0]
    assert [row[2].reason for row in table.rows] == [NO_RANKS] * 6
    for folder in stored.glob("run-0-*"):
        (folder / RANKS).unlink()
    (group,) = collect(stored).groups
    assert failure_tables(group) == []


def test_an_untrained_network_has_a_column_of_its_own(
    stored: Path, small_world: PreparedDataset, protocol: Protocol
) -> None:
    control = method("first", origin="untrained")
    stored_result(stored / "control", small_world, protocol, ranker="constant", method=control)
    (group,) = collect(stored).groups
    names = [column.name for column in failure_tables(group)[0].columns]
    assert sorted(names[1:]) == ["first", "first untrained", "second"]
