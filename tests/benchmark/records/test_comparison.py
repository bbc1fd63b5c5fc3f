"""Differences between stored results."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmark.evaluation.evaluate import from_ranker
from benchmark.protocol.directions import Direction
from benchmark.records.comparison import StoredRun, differences
from benchmark.records.schema import RANKS, RESULT, PerturbationRecord, Result
from datasets.base import Protocol
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset
from results import stored_result

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
    oracle, constant = write("oracle"), write("constant")
    found = differences([oracle], [constant], depth=3)["image->image"]
    with np.load(constant / RANKS) as ranks:
        rows = (ranks["query_direction"] == ranks["directions"].tolist().index("image->image")) & (
            ranks["query_first_positive_rank"] > 0
        )
        pair, hit = ranks["query_pair"][rows], ranks["query_first_positive_rank"][rows] <= 3
    by_pair = [hit[pair == p].mean() for p in np.unique(pair)]
    assert found.value == pytest.approx(1 - np.mean(by_pair))
    assert found.interval.low <= found.value <= found.interval.high
    reverse = differences([constant], [oracle], depth=3)["image->image"]
    expected = (-found.value, -found.interval.high, -found.interval.low)
    assert (reverse.value, reverse.interval.low, reverse.interval.high) == pytest.approx(expected)


@pytest.mark.parametrize("depth", [1, 3])
def test_against_chance_the_difference_is_that_to_its_expectation(write: Write, depth: int) -> None:
    """Whatever was drawn: 1 − C(N − P, k) / C(N, k) for each query."""
    oracle, random = write("oracle"), write("random")
    found = differences([oracle], [random], depth=depth)["image->image"]
    with np.load(random / RANKS) as ranks:
        rows = ranks["query_direction"] == ranks["directions"].tolist().index("image->image")
        pair, right, searched = (ranks[f"query_{n}"][rows] for n in ("pair", "n_positives", "n_candidates"))
    chance = np.array(
        [
            1 - math.comb(n - p, depth) / math.comb(n, depth)
            for p, n in zip(right.tolist(), searched.tolist(), strict=True)
        ]
    )
    expected = np.mean([1 - chance[pair == p].mean() for p in np.unique(pair)])
    assert found.value == pytest.approx(expected)
    assert found.value == pytest.approx(1 - Result.read(random).headline("image->image").recall_at[depth - 1])
    assert found.interval.low <= found.value <= found.interval.high


def test_against_chance_in_a_search_of_limited_depth(write: Write, protocol: Protocol) -> None:
    limited = replace(protocol, pairs="within", min_gap_s=0.5, search_depth=3)
    oracle, random = write("oracle", limited), write("random", limited)
    for depth in (1, 5, 20):
        for direction, difference in differences([oracle], [random], depth).items():
            best, chance = (Result.read(run).headline(direction).recall_at[depth - 1] for run in (oracle, random))
            assert best is not None
            assert chance is not None
            assert difference.value == pytest.approx(best - chance)
            assert 0 < chance < best


def test_the_seed_of_chance_does_not_matter(write: Write, small_world: PreparedDataset, protocol: Protocol) -> None:
    one = write("random")
    stored_result(one.with_name("other-seed"), small_world, protocol, ranker="random", seed=1)
    found = differences([one], [one.with_name("other-seed")])
    assert {(d.value, d.interval.low, d.interval.high) for d in found.values()} == {(0.0, 0.0, 0.0)}


def test_several_seeds_count_by_their_mean(write: Write) -> None:
    oracle, constant, random = write("oracle"), write("constant"), write("random")
    together = differences([oracle, constant], [random])["image->cloud"].value
    apart = [differences([run], [random])["image->cloud"].value for run in (oracle, constant)]
    assert together == pytest.approx(np.mean(apart))


def test_seeds_count_by_their_mean_on_both_sides(write: Write) -> None:
    one, two, other = write("oracle"), write("constant"), write("random")
    mirrored = differences([other], [one, two])["image->cloud"].value
    assert mirrored == pytest.approx(-differences([one, two], [other])["image->cloud"].value)


def test_only_like_is_compared_with_like(write: Write, protocol: Protocol) -> None:
    one, other = write("oracle"), write("oracle", replace(protocol, radius_m=protocol.radius_m + 1))
    with pytest.raises(CrossplaceError, match="differ in dataset or protocol"):
        differences([one], [other])


def test_seeds_that_were_perturbed_differently_are_no_seeds(write: Write) -> None:
    one, two = write("oracle"), write("constant")
    raw = json.loads((two / RESULT).read_text())
    del raw["seal"]
    raw["perturbation"] = PerturbationRecord(
        name="fog", version=1, severity=2, value=1.0, unit="m", modality="cloud", sides={}, drawn={}
    ).model_dump()
    (two / RESULT).write_text(json.dumps(raw))
    with pytest.raises(CrossplaceError, match="are perturbed differently; only seeds go together"):
        differences([one, two], [one])
    assert differences([two], [one])["image->cloud"].value < 0, "a perturbed run beside a clean one is fine"


def test_only_directions_that_all_have_are_compared(
    write: Write, small_world: PreparedDataset, protocol: Protocol
) -> None:
    one, alone = write("oracle"), write("oracle").with_name("alone")
    scorer = replace(from_ranker("constant", 0), directions=(Direction.CLOUD_TO_CLOUD,))
    stored_result(alone, small_world, protocol, scorer=scorer)
    assert list(differences([one], [alone])) == list(differences([alone], [one])) == ["cloud->cloud"]
    other = write("oracle").with_name("other")
    scorer = replace(from_ranker("constant", 0), directions=(Direction.IMAGE_TO_IMAGE,))
    stored_result(other, small_world, protocol, scorer=scorer)
    with pytest.raises(CrossplaceError, match="have no direction in common"):
        differences([other], [alone])


def test_faults_are_sentences(write: Write) -> None:
    one = write("oracle")
    with pytest.raises(CrossplaceError, match=r"no direction 'sound->cloud'; found image->cloud"):
        StoredRun.read(one).queries("sound->cloud")
    (one / RANKS).write_bytes(b"PK")
    with pytest.raises(CrossplaceError, match=r"ranks\.npz: not readable ranks .* run bench again"):
        differences([one], [one])
    (one / RANKS).unlink()
    with pytest.raises(CrossplaceError, match=r"no ranks\.npz"):
        differences([one], [one])
