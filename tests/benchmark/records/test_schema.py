"""The result artifact: everything that DESIGN promises is in it, and can be worked out again from it alone."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from benchmark.evaluation.evaluate import from_ranker
from benchmark.evaluation.intervals import block_units, mean_interval
from benchmark.keys import plain
from benchmark.records.schema import RANKS, RESULT, CostRecord, MethodRecord, Result, TimingRecord
from datasets.base import OnePercent, Protocol, Selection
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset
from datasets.protocols import PROTOCOLS
from results import stored_result

TIMING = TimingRecord(
    preprocess_ms=1.0, encode_ms=2.0, total_ms=3.0, total_p95_ms=4.0, event_total_ms=None, n_samples=30
)
COST = CostRecord(image=TIMING, cloud=None, parameters=7, peak_mib=8.5, peak_of="a test", descriptor_bytes=16)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., tuple[Result, dict[str, np.ndarray]]]:
    """Write the result of the random ranker and read both files back."""

    def write(dataset: PreparedDataset, protocol: Protocol, **changes: Any) -> tuple[Result, dict[str, np.ndarray]]:
        folder = tmp_path / "run"
        values: dict[str, Any] = {
            "scorer": replace(from_ranker("random", 3), by_chance=False),  # the numbers of the ranks that are stored
            "method": MethodRecord.unregistered("random", "ranker"),
            "cost": COST,
            "seed": 3,
            "environment": {"device": "a test", "threads": 2},
            "warnings": ["one", "two"],
        }
        written = stored_result(folder, dataset, protocol, **values | changes)
        read = Result.read(folder)
        assert read == written
        with np.load(folder / RANKS, allow_pickle=False) as ranks:
            return read, dict(ranks)

    return write


@pytest.fixture
def sparse(protocol: Protocol) -> Protocol:
    """Queries without positives (the north of the midnight drive is not searched) and a one percent of two places."""
    return replace(
        protocol,
        database=Selection(count=6),
        radius_m=3.0,
        one_percent=OnePercent(share=0.3),
    )


# --- what it says --------------------------------------------------------------------------------


def test_the_json_holds_everything_that_a_number_depends_on(
    write: Callable[..., Any], small_world: PreparedDataset, protocol: Protocol, tmp_path: Path
) -> None:
    result, _ = write(small_world, protocol)
    raw = json.loads((tmp_path / "run" / RESULT).read_text())
    assert raw["schema_version"] == "1.3"
    assert (raw["run_id"], raw["key"], raw["seed"], raw["warnings"]) == ("run", "key", 3, ["one", "two"])
    assert raw["harness"].keys() == {"version", "git_revision", "dirty"}
    assert raw["environment"] == {"device": "a test", "threads": 2}
    assert raw["protocol"] == plain(protocol)
    assert raw["method"]["name"] == "random"
    assert raw["dataset"] == {
        "name": "small_world",
        "version": 1,
        "options": {},
        "fingerprint": small_world.fingerprint,
        "counts": {"kept": 36},
        "is_real": True,
        "conditions": {"morning": "day", "evening": "dusk", "midnight": "night"},
    }
    assert result.cost == COST
    assert list(raw["directions"]) == ["image->cloud", "cloud->image", "image->image", "cloud->cloud"]
    direction = raw["directions"]["image->cloud"]
    assert len(direction["pairs"]) == 6
    assert len(direction["mean"]["recall_at"]) == 25
    assert direction["intervals"].keys() == {"R@1", "R@5", "R@1%"}
    assert direction["mean"]["values"].keys() == {"R@1", "R@5", "R@1%"}
    assert raw["cost"]["numbers"]["image"] == {"value": 3.0, "unit": "ms"}


def test_the_arrays_are_complete_and_hold_no_objects(
    write: Callable[..., Any], small_world: PreparedDataset, protocol: Protocol
) -> None:
    _, ranks = write(small_world, protocol)
    assert ranks.keys() == {
        *("directions", "pairs"),
        *(f"frame_{name}" for name in ("id", "traversal", "condition", "world", "east_m", "north_m", "yaw_rad")),
        *(f"query_{name}" for name in ("direction", "pair", "frame", "n_positives", "n_candidates", "retrieved_m")),
        *(f"query_{name}" for name in ("first_positive_rank", "top_frame", "top_distance")),
        *("query_best_positive_distance", "query_best_negative_distance"),
    }
    lengths = {name: len(array) for name, array in ranks.items()}
    assert {n for name, n in lengths.items() if name.startswith("frame_")} == {36}
    assert {n for name, n in lengths.items() if name.startswith("query_")} == {4 * 6 * 12}
    assert ranks["query_top_frame"].shape == (288, 25)


def test_the_frames_are_those_of_the_dataset(
    write: Callable[..., Any], small_world: PreparedDataset, protocol: Protocol
) -> None:
    one = replace(protocol, query=Selection(traversals=("midnight",)), database=Selection(traversals=("evening",)))
    _, ranks = write(small_world, one)
    frames = small_world.frames.take(np.arange(12, 36))
    assert ranks["frame_id"].tolist() == frames.frame_id.tolist()
    assert ranks["frame_condition"].tolist() == ["dusk"] * 12 + ["night"] * 12
    np.testing.assert_array_equal(ranks["frame_east_m"], frames.position_m[:, 0])
    np.testing.assert_array_equal(ranks["frame_north_m"], frames.position_m[:, 1])
    np.testing.assert_array_equal(ranks["frame_yaw_rad"], frames.yaw_rad)
    assert set(ranks["frame_traversal"][ranks["query_frame"]]) == {"midnight"}
    found = ranks["query_top_frame"]
    assert set(ranks["frame_traversal"][found[found >= 0]]) == {"evening"}


# --- what follows from it ------------------------------------------------------------------------


def of_pair(ranks: dict[str, np.ndarray], direction: str, query: str, database: str) -> np.ndarray:
    """Which rows of the ``query_`` arrays belong to one pair in one direction."""
    pairs = ranks["pairs"][ranks["query_pair"]]
    chosen: np.ndarray = ranks["directions"][ranks["query_direction"]] == direction
    return chosen & (pairs[:, 0] == query) & (pairs[:, 1] == database)


def share(ranks: np.ndarray, depth: int) -> float:
    return sum(1 <= rank <= depth for rank in ranks.tolist()) / len(ranks)


@pytest.mark.parametrize("no_positive", ["skip", "miss"])
def test_every_recall_can_be_worked_out_again_from_the_ranks(
    write: Callable[..., Any], small_world: PreparedDataset, sparse: Protocol, no_positive: Any
) -> None:
    result, ranks = write(small_world, replace(sparse, no_positive=no_positive))
    for label, direction in result.directions.items():
        found, hits = [], []
        for pair in direction.pairs:
            first = ranks["query_first_positive_rank"][of_pair(ranks, label, pair.query, pair.database)]
            counted = first if no_positive == "miss" else first[first > 0]
            assert (pair.n_queries, pair.n_counted, pair.n_database) == (12, len(counted), 6)
            assert pair.n_without_positives == (first == 0).sum() > 0
            assert list(pair.recall_at) == pytest.approx([share(counted, depth) for depth in range(1, 26)])
            assert pair.one_percent_depth == 2
            assert pair.recall_at_one_percent == pytest.approx(share(counted, 2))
            depths = {"R@1": 1, "R@5": 5, "R@1%": 2}
            assert pair.values == pytest.approx({name: share(counted, depth) for name, depth in depths.items()})
            found.append([share(counted, depth) for depth in range(1, 26)])
            hits.append(counted)
        assert list(direction.mean.recall_at) == pytest.approx(np.mean(found, axis=0).tolist())
        assert list(direction.pooled.recall_at) == pytest.approx([share(np.concatenate(hits), d) for d in range(1, 26)])
        assert direction.mean.n_pairs == 6


def test_the_retrieved_distance_follows_from_the_poses(
    write: Callable[..., Any], small_world: PreparedDataset, protocol: Protocol
) -> None:
    _, ranks = write(small_world, protocol)
    asked, found = ranks["query_frame"], ranks["query_top_frame"][:, 0]
    offset = [ranks[f"frame_{axis}_m"][asked] - ranks[f"frame_{axis}_m"][found] for axis in ("east", "north")]
    np.testing.assert_allclose(ranks["query_retrieved_m"], np.hypot(*offset), rtol=1e-6)
    is_right = ranks["query_retrieved_m"] <= 13
    is_right &= ranks["frame_yaw_rad"][asked] == ranks["frame_yaw_rad"][found]
    np.testing.assert_array_equal(is_right, ranks["query_first_positive_rank"] == 1)


def test_no_distance_leads_into_another_world(
    write: Callable[..., Any], small_world: PreparedDataset, protocol: Protocol
) -> None:
    world = small_world.frames.world.copy()
    world[18:24] = "elsewhere"  # the second half of the evening
    dataset = replace(small_world, frames=replace(small_world.frames, world=world))
    _, ranks = write(dataset, protocol)
    is_apart = ranks["frame_world"][ranks["query_frame"]] != ranks["frame_world"][ranks["query_top_frame"][:, 0]]
    assert 0 < is_apart.sum() < len(is_apart)
    np.testing.assert_array_equal(np.isnan(ranks["query_retrieved_m"]), is_apart)


def test_best_distances_and_ranks_follow_from_the_top_list(
    write: Callable[..., Any], small_world: PreparedDataset, protocol: Protocol
) -> None:
    """Twelve places fit into the list of 25, so that the list says everything."""
    _, ranks = write(small_world, protocol)
    for row in range(len(ranks["query_frame"])):
        top, distance = ranks["query_top_frame"][row], ranks["query_top_distance"][row]
        assert ((top >= 0) == np.isfinite(distance)).all()
        assert (top >= 0).sum() == ranks["query_n_candidates"][row] == 12
        asked, top = ranks["query_frame"][row], top[:12]
        metres = np.hypot(*(ranks[f"frame_{a}_m"][top] - ranks[f"frame_{a}_m"][asked] for a in ("east", "north")))
        is_right = (metres <= 13) & (ranks["frame_yaw_rad"][top] == ranks["frame_yaw_rad"][asked])
        assert is_right.sum() == ranks["query_n_positives"][row]
        assert ranks["query_first_positive_rank"][row] == 1 + np.argmax(is_right)
        assert ranks["query_best_positive_distance"][row] == distance[:12][is_right].min()
        assert ranks["query_best_negative_distance"][row] == distance[:12][~is_right].min()


@pytest.mark.parametrize("averaging", ["pairs", "queries"])
def test_the_intervals_follow_from_ranks_and_poses(
    write: Callable[..., Any], small_world: PreparedDataset, sparse: Protocol, averaging: Any
) -> None:
    fewer = replace(small_world, frames=small_world.frames.take(np.arange(31)))  # pairs of different weight
    result, ranks = write(fewer, replace(sparse, averaging=averaging))
    for number, (label, direction) in enumerate(result.directions.items()):
        rows = (ranks["query_direction"] == number) & (ranks["query_first_positive_rank"] > 0)
        first, pair, asked = (ranks[f"query_{n}"][rows] for n in ("first_positive_rank", "pair", "frame"))
        places = np.stack([ranks["frame_east_m"], ranks["frame_north_m"]], axis=1)[asked]
        weights = np.array([1 / (pair == p).sum() for p in pair]) if averaging == "pairs" else np.ones(len(pair))
        hits = {name: (first <= depth).astype(float) for name, depth in {"R@1": 1, "R@5": 5, "R@1%": 2}.items()}
        units = block_units(ranks["frame_world"][asked], places, np.stack([*hits.values()], axis=1), weights)
        assert direction.interval_unit == units.words
        for name, values in hits.items():
            expected = mean_interval(values, units, weights)
            assert direction.intervals[name] == pytest.approx((expected.low, expected.high)), (label, name)
        record = direction.mean if averaging == "pairs" else direction.pooled
        low, high = direction.intervals["R@5"]
        assert low <= record.recall_at[4] <= high


def test_the_constant_ranker_finds_the_first_place(
    write: Callable[..., Any], small_world: PreparedDataset, protocol: Protocol
) -> None:
    result, ranks = write(small_world, protocol, scorer=from_ranker("constant", 0))
    assert set(ranks["frame_id"][ranks["query_top_frame"][:, 0]]) == {"morning-0", "evening-0", "midnight-0"}
    assert result.directions["image->image"].mean.recall_at[0] == pytest.approx(2 / 12)


# --- reading -------------------------------------------------------------------------------------


def no_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def test_what_is_not_a_number_is_null_and_never_nan(
    write: Callable[..., Any], small_world: PreparedDataset, protocol: Protocol, tmp_path: Path
) -> None:
    """At midnight nothing is right, and one block alone has no interval."""
    world = np.where(small_world.frames.traversal == "midnight", "elsewhere", "small").astype(object)
    dataset = replace(small_world, frames=replace(small_world.frames, world=world))
    here = Selection(regions=(), spacing_m=1000.0)
    result, ranks = write(dataset, replace(protocol, query=here))
    raw = json.loads((tmp_path / "run" / RESULT).read_text(), parse_constant=no_constant)
    pair = next(p for p in raw["directions"]["image->cloud"]["pairs"] if p["query"] == "midnight")
    assert pair["recall_at"] == [None] * 25
    assert pair["recall_at_one_percent"] is None
    assert pair["values"] == {"R@1": None, "R@5": None, "R@1%": None}
    assert raw["directions"]["image->cloud"]["intervals"] == {"R@1": None, "R@5": None, "R@1%": None}
    assert result.directions["image->cloud"].mean.n_pairs == 2
    assert math.isnan(ranks["query_best_positive_distance"][ranks["query_n_positives"] == 0][0])


@pytest.fixture
def folder(write: Callable[..., Any], small_world: PreparedDataset, protocol: Protocol, tmp_path: Path) -> Path:
    write(small_world, protocol)
    return tmp_path / "run"


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a stored result as another version might write it, which seals what it writes."""
    raw = json.loads((folder / RESULT).read_text())
    del raw["seal"]
    change(raw)
    (folder / RESULT).write_text(json.dumps(raw))


def test_keys_of_a_later_minor_version_are_accepted(folder: Path) -> None:
    before = Result.read(folder)

    def add(raw: dict[str, Any]) -> None:
        raw["schema_version"] = "1.7"
        for part in (raw, raw["method"], raw["directions"]["image->cloud"], raw["directions"]["image->cloud"]["mean"]):
            part["energy_j"] = 3

    edit(folder, add)
    assert Result.read(folder) == before.model_copy(update={"schema_version": "1.7"})


def test_results_from_before_perturbations_are_of_clean_frames(folder: Path) -> None:
    before = Result.read(folder)

    def age(raw: dict[str, Any]) -> None:
        raw["schema_version"] = "1.0"
        del raw["perturbation"]

    edit(folder, age)
    assert Result.read(folder) == before.model_copy(update={"schema_version": "1.0"})
    assert before.perturbation is None


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS.keys())
def test_every_protocol_comes_back_from_json_as_it_was(protocol: Protocol) -> None:
    raw = json.loads(json.dumps(plain(protocol), allow_nan=False))
    assert TypeAdapter(Protocol).validate_python(raw) == protocol


def test_a_result_holds_its_protocol_in_full(
    write: Callable[..., Any], small_world: PreparedDataset, protocol: Protocol
) -> None:
    used = Selection(traversals=("evening",), rows=(1, 9), also=(Selection(traversals=("midnight",), spacing_m=20.0),))
    rules = replace(
        protocol, query=used, distance_axes=("east", "up"), search_depth=5, absent=("noon",), is_ranked=False
    )
    result, _ = write(small_world, rules)
    assert TypeAdapter(Protocol).validate_python(result.protocol) == rules


def test_protocols_of_older_results_equal_those_of_new_ones(folder: Path, protocol: Protocol) -> None:
    """The fields that protocols got later are not in old files; their defaults say what was done then."""
    raw = json.loads((folder / RESULT).read_text())
    raw["protocol"] = plain(protocol, with_defaults=False)
    del raw["seal"]
    assert "search_depth" not in raw["protocol"]
    assert "also" not in raw["protocol"]["split"]["train"]
    (folder / RESULT).write_text(json.dumps(raw))
    assert Result.read(folder).protocol == plain(protocol)


def test_a_result_of_the_first_schema_still_loads() -> None:
    stored = Path(__file__).parents[2] / "golden" / "result-schema-1.0"
    assert Result.read(stored).perturbation is None
    assert {record.interval_unit for record in Result.read(stored).directions.values()} == {""}


@pytest.mark.parametrize("version", ["2.0", "0.9", "10.0", 2, None])
def test_another_major_version_is_refused(folder: Path, version: object) -> None:
    edit(folder, lambda raw: raw.update(schema_version=version))
    with pytest.raises(CrossplaceError, match=rf"result\.json: result schema {version}, but this version reads 1\.3"):
        Result.read(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: raw.pop("schema_version"), "no result: expected an object with schema_version"),
        (lambda raw: raw.pop("seed"), r"result\.json: seed: Field required"),
        (lambda raw: raw["method"].update(share_of_schedule="all"), r"result\.json: method\.share_of_schedule: "),
        (
            lambda raw: raw["cost"].update(peak_mib=math.inf),
            r"result\.json: not valid JSON \(Infinity is not a finite number",
        ),
    ],
    ids=["no version", "no seed", "wrong type", "infinite"],
)
def test_a_broken_result_names_file_and_key(folder: Path, change: Callable[..., Any], message: str) -> None:
    edit(folder, change)
    with pytest.raises(CrossplaceError, match=message):
        Result.read(folder)


@pytest.mark.parametrize("content", [None, "{", "[]"], ids=["absent", "cut off", "a list"])
def test_what_is_no_result_is_named(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / RESULT).write_text(content)
    with pytest.raises(
        CrossplaceError, match=r"(result\.json: (not readable|not valid JSON|no result)|no result\.json in it; name)"
    ):
        Result.read(tmp_path)


def test_arrays_of_objects_are_never_written(write: Callable[..., Any], folder: Path, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="pickled"):
        Result.read(folder).write(tmp_path / "other", {"names": np.array(["a", None], dtype=object)})
    assert not (tmp_path / "other" / RESULT).exists()
