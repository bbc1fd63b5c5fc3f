"""Rows as small values: means over seeds, and the published rows that travel with the suite."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import stdev
from typing import Any

import pytest

from benchmark.records import leaderboard as module
from benchmark.records.collection import collect
from benchmark.records.leaderboard import Board, Entry, Value, merged, published, write_leaderboard
from benchmark.records.schema import CostNumber, MethodRecord, PerturbationRecord, Result
from benchmark.registry import DATASETS
from datasets.base import Protocol
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset
from results import stored_result

BLANK = Entry(
    method="vxp",
    preset="quick",
    variant="",
    config_key="c",
    origin="trained",
    learnt=("scratch",),
    shares=(100, 100),
    seeds=(0,),
    perturbation="",
    machine="Test CPU",
    n_counted=10,
    n_queries=12,
    recall={"image->cloud": {"R@1": Value(value=50.0, low=40.0, high=60.0), "R@5": None}},
    cost={"image": CostNumber(value=10.0, unit="ms")},
)


def seed(number: int, percent: float, ms: float = 10.0, **changes: Any) -> Entry:
    recall = {"image->cloud": {"R@1": Value(value=percent, low=0.0, high=100.0), "R@5": Value(value=90.0)}}
    update = {"seeds": (number,), "recall": recall, "cost": {"image": CostNumber(value=ms, unit="ms")}}
    return BLANK.model_copy(update=update | changes)


# --- means over seeds ----------------------------------------------------------------------------


def test_means_by_hand() -> None:
    (found,) = merged([seed(2, 50.0, 12.0), seed(0, 60.0, 90.0), seed(1, 40.0, 14.0)])
    assert found.seeds == (0, 1, 2)
    assert found.recall["image->cloud"]["R@1"] == Value(value=50.0, low=0.0, high=100.0, deviation=10.0)
    assert found.recall["image->cloud"]["R@5"] == Value(value=90.0, deviation=0.0)
    assert found.cost["image"].value == 14.0, "the median, which one noisy machine does not move"
    (even,) = merged([seed(0, 50.0, 12.0), seed(1, 60.0, 14.0)])
    assert even.cost["image"] == CostNumber(value=13.0, unit="ms")
    assert even.percent("image->cloud", "R@1") == 55.0


def test_costs_of_two_machines_are_never_one_number() -> None:
    elsewhere = seed(1, 60.0, 90.0, machine="Other CPU")
    unmeasured = seed(2, 60.0, cost={}, machine="")
    for entries, machine, ms in (
        ([seed(0, 50.0, 12.0), elsewhere, unmeasured], "Test CPU", 12.0),
        ([elsewhere, seed(0, 50.0, 12.0), unmeasured], "Other CPU", 90.0),
        ([unmeasured, seed(0, 50.0, 12.0)], "Test CPU", 12.0),
    ):
        (found,) = merged(entries)
        assert (found.machine, found.cost["image"].value) == (machine, ms)


def test_the_interval_of_a_mean_is_the_mean_of_the_ends() -> None:
    recall = [{"image->cloud": {"R@1": Value(value=v, low=v - 5, high=v + 7)}} for v in (40.0, 50.0)]
    (found,) = merged([seed(number, 0.0, recall=values) for number, values in enumerate(recall)])
    assert found.recall["image->cloud"]["R@1"] == Value(value=45.0, low=40.0, high=52.0, deviation=stdev([40.0, 50.0]))


def test_a_row_names_its_runs_by_seed_and_is_dirty_if_one_is() -> None:
    rows = [seed(1, 50.0, runs=("b",)), seed(0, 60.0, runs=("a",), is_dirty=True)]
    (found,) = merged(rows)
    assert (found.runs, found.is_dirty) == (("a", "b"), True)


def test_one_seed_keeps_its_interval_and_counts_once() -> None:
    assert merged([BLANK]) == [BLANK]
    assert merged([seed(0, 50.0), seed(0, 70.0)]) == [seed(0, 50.0)]


def test_a_value_that_one_seed_lacks_is_none() -> None:
    lacking = seed(1, 0.0, recall={"image->cloud": {"R@1": None, "R@5": Value(value=70.0)}})
    (found,) = merged([seed(0, 60.0), lacking])
    assert found.recall["image->cloud"] == {"R@1": None, "R@5": Value(value=80.0, deviation=stdev([70.0, 90.0]))}
    assert found.percent("image->cloud", "R@1") == found.percent("cloud->image", "R@1") == -1.0


@pytest.mark.parametrize("name", ["method", "preset", "variant", "config_key", "perturbation"])
def test_only_seeds_of_one_configuration_are_merged(name: str) -> None:
    entries = [seed(0, 50.0), seed(1, 60.0, **{name: "other"})]
    assert merged(entries) == entries


@pytest.mark.parametrize("origin", ["given", "untrained", "foreign", "ranker", "nothing to train"])
def test_what_was_not_trained_stays_as_it_is(origin: str) -> None:
    entries = [seed(0, 50.0, origin=origin), seed(1, 60.0, origin=origin)]
    assert merged(entries) == entries


def test_shipped_and_trained_seeds_go_together_and_say_what_they_began_with() -> None:
    other = seed(1, 60.0, learnt=("scratch", "depth by guesses"), shares=(50, 50))
    (found,) = merged([seed(0, 50.0, origin="shipped"), other])
    assert (found.seeds, found.learnt, found.shares) == ((0, 1), ("scratch", "depth by guesses"), (50, 100))


def test_of_one_seed_twice_the_shipped_one_counts_though_it_is_worse() -> None:
    worse = seed(0, 40.0, origin="shipped")
    assert merged([seed(0, 60.0), worse]) == merged([worse, seed(0, 60.0)]) == [worse]


# --- from results --------------------------------------------------------------------------------


@pytest.fixture
def made(small_world: PreparedDataset, protocol: Protocol, tmp_path: Path) -> Callable[..., Result]:
    """The oracle's result as if training had made it."""

    def made(
        name: str = "run", used: Protocol = protocol, dataset: PreparedDataset = small_world, **changes: Any
    ) -> Result:
        method = MethodRecord.unregistered("vxp", "trained").model_copy(
            update={"preset": "quick", "backbone_weights": "none", "share_of_schedule": 1.0} | changes.pop("method", {})
        )
        return stored_result(tmp_path / name, dataset, used, method=method, **changes)

    return made


def test_an_entry_says_what_the_result_says(made: Callable[..., Result]) -> None:
    result = made(seed=3, method={"share_of_schedule": 0.25})
    found = Entry.of(result)
    assert (found.method, found.preset, found.seeds, found.learnt, found.shares) == (
        "vxp",
        "quick",
        (3,),
        ("scratch",),
        (25, 25),
    )
    assert (found.n_counted, found.n_queries, found.machine, found.cost) == (72, 72, "", {})
    first = found.recall["image->cloud"]["R@1"]
    assert first is not None
    ends = result.directions["image->cloud"].intervals["R@1"]
    assert ends is not None
    assert (first.value, first.low, first.high) == (100.0, 100 * ends[0], 100.0)
    assert list(found.recall) == list(result.directions)


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Read the leaderboard from a file of this test."""
    monkeypatch.setattr(module, "files", lambda _: tmp_path / "package")
    (tmp_path / "package").mkdir()
    return tmp_path / "package" / module.LEADERBOARD


def test_rows_come_back_as_they_were_written(made: Callable[..., Result], stored: Path, protocol: Protocol) -> None:
    one, two = made("0", seed=0), made("1", seed=1)
    write_leaderboard([[one, two]], stored)
    (found,) = published(Board.of(one))
    (expected,) = merged([Entry.of(one), Entry.of(two)])
    assert found == expected.model_copy(update={"is_published": True})
    before = stored.read_bytes()
    write_leaderboard([[one, two]], stored)
    assert stored.read_bytes() == before


def test_only_rows_of_exactly_the_same_board(
    made: Callable[..., Result], stored: Path, small_world: PreparedDataset, protocol: Protocol
) -> None:
    here = made("here")
    other_rules = made("rules", replace(protocol, radius_m=14.0))
    other_data = made("data", dataset=replace(small_world, fingerprint="other"))
    write_leaderboard([[here], [other_rules]], stored)
    assert [entry.is_published for entry in published(Board.of(here))] == [True]
    assert len(published(Board.of(other_rules))) == 1
    assert published(Board.of(other_data)) == []


def test_a_board_names_the_options_of_its_data_that_are_not_as_usual(made: Callable[..., Result]) -> None:
    def named(**dataset: Any) -> str:
        one = made()
        return Board.of(one.model_copy(update={"dataset": one.dataset.model_copy(update=dataset)})).data

    usual = {"preset": "small", "seed": 0, "every": 1}
    assert named(name="town", options=usual) == "town"
    assert named(name="town", options=usual | {"preset": "large", "every": 4}) == "town preset=large every=4"
    assert named(name="no-such-dataset", options={"preset": "large"}) == "no-such-dataset"
    for name in DATASETS.names():  # as it is read from a file, where tuples are lists
        options = json.loads(json.dumps(DATASETS.get(name)().options()))
        assert named(name=name, options=options) == name
    assert named(name="kitti", options={"sequences": ["00"]}) == "kitti sequences=['00']"
    assert named(name="vivid", options={"recorded_times_of": ["a=camera"]}) == "vivid recorded_times_of=['a=camera']"


def test_rankers_foreign_descriptors_and_perturbed_frames_are_left_out(
    made: Callable[..., Result], stored: Path, small_world: PreparedDataset, protocol: Protocol, tmp_path: Path
) -> None:
    fog = PerturbationRecord(
        name="fog", version=1, severity=2, value=1.0, unit="m", modality="cloud", sides={}, drawn={}
    )
    left_out = [
        stored_result(tmp_path / "ranker", small_world, protocol, ranker="random"),
        made("foreign", method={"origin": "foreign"}),
        made("perturbed", perturbation=fog),
    ]
    write_leaderboard([left_out], stored)
    assert json.loads(stored.read_bytes()) == []
    write_leaderboard([[*left_out, made("clean")]], stored)
    (found,) = published(Board.of(left_out[0]))
    assert (found.method, found.perturbation) == ("vxp", "")


def test_a_damaged_leaderboard_is_a_sentence(made: Callable[..., Result], stored: Path) -> None:
    stored.write_text('[{"board": 1}]')
    with pytest.raises(CrossplaceError, match=r"leaderboard\.json: not the published rows .* crossplace tables"):
        published(Board.of(made()))


def test_the_leaderboard_of_the_suite_is_that_of_the_committed_results() -> None:
    groups = [group.results for group in collect(Path(__file__).parents[3] / "results").groups]
    assert groups
    for group in groups:
        found = published(Board.of(group[0]))
        names = {r.method.name for r in group if r.method.origin not in ("ranker", "foreign") and not r.perturbation}
        assert {entry.method for entry in found} == names
