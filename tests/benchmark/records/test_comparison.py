"""Differences between stored results."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from results import stored_result

from benchmark.cli.main import main
from benchmark.records.comparison import differences
from benchmark.records.schema import RANKS
from datasets.base import Protocol
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset

Write = Callable[..., Path]


@pytest.fixture
def write(small_world: PreparedDataset, protocol: Protocol, tmp_path: Path) -> Write:
    """Store the result of a trivial ranker; returns its folder."""

    def write(ranker: str, protocol: Protocol = protocol) -> Path:
        folder = tmp_path / f"{ranker}-{protocol.radius_m:g}"
        stored_result(folder, small_world, protocol, ranker=ranker)
        return folder

    return write


def test_a_result_does_not_differ_from_itself(write: Write) -> None:
    folder = write("random")
    found = differences([folder], [folder])
    assert list(found) == ["image->cloud", "cloud->image", "image->image", "cloud->cloud"]
    assert {(d.value, d.interval.low, d.interval.high) for d in found.values()} == {(0.0, 0.0, 0.0)}


def test_the_difference_is_that_of_the_headlines_and_lies_in_its_interval(write: Write) -> None:
    oracle, random = write("oracle"), write("random")
    difference, interval = recall_difference([oracle], [random], "image->image", depth=3)
    with np.load(random / RANKS) as ranks:
        rows = (ranks["query_direction"] == ranks["directions"].tolist().index("image->image")) & (
            ranks["query_first_positive_rank"] > 0
        )
        pair, hit = ranks["query_pair"][rows], ranks["query_first_positive_rank"][rows] <= 3
    by_pair = [hit[pair == p].mean() for p in np.unique(pair)]
    assert difference == pytest.approx(1 - np.mean(by_pair))
    assert interval.low <= difference <= interval.high
    reverse, mirrored = recall_difference([random], [oracle], "image->image", depth=3)
    assert (reverse, mirrored.low, mirrored.high) == pytest.approx((-difference, -interval.high, -interval.low))


def test_several_seeds_count_by_their_mean(write: Write) -> None:
    oracle, constant, random = write("oracle"), write("constant"), write("random")
    together, _ = recall_difference([oracle, constant], [random], "image->cloud")
    apart = [recall_difference([run], [random], "image->cloud")[0] for run in (oracle, constant)]
    assert together == pytest.approx(np.mean(apart))


def test_only_like_is_compared_with_like(write: Write, protocol: Protocol) -> None:
    one, other = write("oracle"), write("oracle", replace(protocol, radius_m=protocol.radius_m + 1))
    with pytest.raises(CrossplaceError, match="differ in dataset or protocol"):
        recall_difference([one], [other], "image->cloud")


def test_faults_are_sentences(write: Write) -> None:
    one = write("oracle")
    with pytest.raises(CrossplaceError, match=r"no direction 'sound->cloud'; found image->cloud"):
        recall_difference([one], [one], "sound->cloud")
    (one / RANKS).unlink()
    with pytest.raises(CrossplaceError, match=r"no ranks\.npz"):
        recall_difference([one], [one], "image->cloud")


def test_the_command_prints_a_line_a_direction(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(write("oracle")), "--against", str(write("random"))]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["image->cloud", "cloud->image", "image->image", "cloud->cloud"]
    assert all("R@1 +" in line and "percentage points" in line for line in lines)


def test_seeds_count_by_their_mean_on_both_sides(write: Write) -> None:
    one, two, other = write("oracle"), write("constant"), write("random")
    mirrored, _ = recall_difference([other], [one, two], "image->cloud")
    difference, _ = recall_difference([one, two], [other], "image->cloud")
    assert mirrored == pytest.approx(-difference)
