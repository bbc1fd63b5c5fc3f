"""A part of a result is what a run of that part alone would have recorded."""

from dataclasses import replace
from pathlib import Path

import pytest
from synthetic import noisy

from benchmark.records.part import of_pairs
from benchmark.records.schema import RANKS
from datasets.base import Protocol
from datasets.prepared import PreparedDataset
from results import stored_result

PARTS = {
    "one pair": (("morning", "evening"),),
    "both orders": (("morning", "evening"), ("evening", "morning")),
    "all": tuple((a, b) for a in ("morning", "evening", "midnight") for b in ("morning", "evening", "midnight")),
}


@pytest.mark.parametrize("averaging", ["pairs", "queries"])
@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_what_its_pairs_alone_give(
    part: str, averaging: str, small_world: PreparedDataset, protocol: Protocol, tmp_path: Path
) -> None:
    whole_rule = replace(protocol, averaging=averaging)
    pairs = PARTS[part]
    whole = stored_result(tmp_path / "whole", small_world, whole_rule, scorer=noisy(small_world, 8.0, 1))
    alone_rule = replace(whole_rule, pairs=tuple(pair for pair in pairs if pair[0] != pair[1]))
    alone = stored_result(tmp_path / "alone", small_world, alone_rule, scorer=noisy(small_world, 8.0, 1))
    found = of_pairs(whole, tmp_path / "whole", pairs)
    for direction, record in alone.directions.items():
        other = found.directions[direction]
        assert sorted(other.pairs, key=str) == sorted(record.pairs, key=str)
        assert found.headline(direction).values == pytest.approx(alone.headline(direction).values)
        assert other.interval_unit == record.interval_unit
        for name, ends in record.intervals.items():
            assert other.intervals[name] == (None if ends is None else pytest.approx(ends))


def test_without_ranks_a_part_has_its_values_and_no_interval(
    small_world: PreparedDataset, protocol: Protocol, tmp_path: Path
) -> None:
    folder = tmp_path / "whole"
    whole = stored_result(folder, small_world, protocol, scorer=noisy(small_world, 8.0, 1))
    with_ranks = of_pairs(whole, folder, PARTS["one pair"])
    (folder / RANKS).unlink()
    without = of_pairs(whole, folder, PARTS["one pair"])
    for direction in whole.directions:
        assert without.headline(direction) == with_ranks.headline(direction)
        assert not without.directions[direction].intervals
        assert with_ranks.directions[direction].intervals["R@1"]
    assert of_pairs(whole, folder, PARTS["all"]) == whole


def test_a_result_without_the_pairs_has_no_values(
    small_world: PreparedDataset, protocol: Protocol, tmp_path: Path
) -> None:
    whole = stored_result(tmp_path / "whole", small_world, protocol, scorer=noisy(small_world, 8.0, 1))
    part = of_pairs(whole, tmp_path / "whole", (("noon", "dawn"),))
    for direction in whole.directions:
        assert part.headline(direction).values["R@1"] is None
        assert part.headline(direction).n_queries == 0
