"""What is committed of a result: small, and with every number as it was."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.evaluation.intervals import map_blocks
from benchmark.records.comparison import differences
from benchmark.records.publish import KEPT_BITS, N_NEAREST, coarse, compact, publish, zipped
from benchmark.records.ranks import COLUMNS
from benchmark.records.schema import OLD_NAMES, RANKS, RESULT, MethodRecord, Result
from datasets.base import Protocol
from datasets.prepared import PreparedDataset
from datasets.protocols import PROTOCOLS
from results import stored_result

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests" / "golden" / "result-schema-1.0"
COMMITTED = sorted(path.parent for path in (ROOT / "results").rglob(RESULT))
NAMES = ["R@1", "R@5", "R@1%"]


def arrays(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / RANKS, allow_pickle=False) as stored:
        return dict(stored)


@pytest.mark.parametrize("distance", [0.0, 1.0, 1e-3, 1.23456, -7.891, 1000.7, 2.0])
def test_a_coarse_distance_is_within_two_percent(distance: float) -> None:
    found = float(coarse(np.array([distance]))[0])
    assert abs(found - distance) <= 0.02 * abs(distance)
    assert (found == distance) == (distance in (0.0, 1.0, 2.0))


@given(distance=st.floats(1e-3, 6e4), other=st.floats(1e-3, 6e4))
def test_coarse_distances_keep_their_order(distance: float, other: float) -> None:
    one, two = coarse(np.array([distance, other])).tolist()
    assert abs(one - distance) <= 2.0 ** -(KEPT_BITS + 1) * distance * 1.01
    assert (one <= two) if distance <= other else (one >= two)


def test_what_is_nowhere_stays_nowhere() -> None:
    assert np.isnan(coarse(np.array([np.nan], dtype=np.float32))[0])


def test_everything_that_a_number_needs_is_kept(
    small_world: PreparedDataset, protocol: Protocol, tmp_path: Path
) -> None:
    stored_result(tmp_path / "run", small_world, protocol, ranker="random")
    whole = arrays(tmp_path / "run")
    found = compact(whole)
    assert whole.keys() - found.keys() == {"query_retrieved_m"}
    for name in found:
        if name.endswith("_distance"):
            expected = whole[name][:, :N_NEAREST] if whole[name].ndim == 2 else whole[name]
            np.testing.assert_allclose(found[name].astype(float), expected, rtol=0.02)
        elif name == "query_top_frame":
            np.testing.assert_array_equal(found[name], whole[name][:, :N_NEAREST])
        elif whole[name].dtype.kind == "f":
            np.testing.assert_allclose(found[name], whole[name], rtol=1e-6)
        else:
            np.testing.assert_array_equal(found[name], whole[name])
    of_ranker = compact(whole, is_ranker=True)
    assert set(COLUMNS) <= of_ranker.keys()
    assert not [name for name in of_ranker if "top" in name or "best" in name]


def test_differences_do_not_change(small_world: PreparedDataset, protocol: Protocol, tmp_path: Path) -> None:
    for ranker in ("oracle", "constant", "random"):
        stored_result(tmp_path / ranker, small_world, protocol, ranker=ranker)
        small = tmp_path / "small" / ranker
        small.mkdir(parents=True)
        (small / RESULT).write_bytes((tmp_path / ranker / RESULT).read_bytes())
        (small / RANKS).write_bytes(zipped(compact(arrays(tmp_path / ranker), is_ranker=ranker == "random")))
    for one, other in (("oracle", "random"), ("constant", "oracle"), ("random", "constant")):
        for depth in (1, 5):
            whole = differences([tmp_path / one], [tmp_path / other], depth)
            assert differences([tmp_path / "small" / one], [tmp_path / "small" / other], depth) == whole


def test_equal_arrays_are_equal_bytes_that_numpy_reads(tmp_path: Path) -> None:
    content = {"names": np.array(["a", "bc"]), "table": np.arange(6, dtype=np.uint8).reshape(3, 2), "none": np.zeros(0)}
    assert zipped(content) == zipped(content)
    (tmp_path / RANKS).write_bytes(zipped(content))
    found = arrays(tmp_path)
    assert found.keys() == content.keys()
    for name, array in content.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


@pytest.mark.parametrize(
    ("values", "dtype"),
    [([0, 255], "u1"), ([0, 256], "u2"), ([-1, 127], "i1"), ([-1, 128], "i2"), ([0, 70_000], "u4"), ([], "i8")],
)
def test_integers_take_the_least_room(values: list[int], dtype: str) -> None:
    column = np.array(values, dtype=np.int64)
    found = compact({"query_frame": column})["query_frame"]
    assert found.dtype == np.dtype(dtype)
    assert found.tolist() == values


def test_a_result_of_real_data_is_published_without_ranks(
    small_world: PreparedDataset, protocol: Protocol, tmp_path: Path
) -> None:
    """Data that someone brought counts as real."""
    result = stored_result(tmp_path / "run", small_world, protocol)
    assert result.dataset.is_real
    target = publish(tmp_path / "run", tmp_path / "results")
    assert [path.name for path in target.iterdir()] == [RESULT]
    assert Result.read(target) == result


def test_published_ranks_of_generated_data_are_compact(tiny_town: PreparedDataset, tmp_path: Path) -> None:
    method = MethodRecord.unregistered("ours", "foreign")
    stored_result(tmp_path / "run", tiny_town, PROTOCOLS["town"], method=method)
    target = publish(tmp_path / "run", tmp_path / "results")
    found, whole = arrays(target), arrays(tmp_path / "run")
    assert found["query_top_frame"].shape[1] == N_NEAREST
    np.testing.assert_array_equal(found["query_first_positive_rank"], whole["query_first_positive_rank"])
    assert (target / RESULT).read_bytes() == (tmp_path / "run" / RESULT).read_bytes()
    assert (target / RANKS).stat().st_size < 0.6 * (tmp_path / "run" / RANKS).stat().st_size


# --- what is committed ---------------------------------------------------------------------------


@pytest.mark.parametrize("folder", [*COMMITTED, GOLDEN], ids=lambda folder: folder.name)
def test_committed_results_have_the_metrics_of_today(folder: Path) -> None:
    result, raw = Result.read(folder), json.loads((folder / RESULT).read_text())
    for name, record in result.directions.items():
        stored = raw["directions"][name]
        for recall, old in (
            (record.mean, stored["mean"]),
            (record.pooled, stored["pooled"]),
            *zip(record.pairs, stored["pairs"], strict=True),
        ):
            assert list(recall.values) == NAMES
            expected = [old["recall_at"][0], old["recall_at"][4], old["recall_at_one_percent"]]
            assert list(recall.values.values()) == pytest.approx(expected)
        assert list(record.intervals) == NAMES
        ends = {OLD_NAMES.get(metric, metric): found for metric, found in stored["intervals"].items()}
        assert {metric: list(found or []) for metric, found in record.intervals.items()} == {
            metric: list(found or []) for metric, found in ends.items()
        }
    if result.cost:
        found = {name: number.value for name, number in result.cost.numbers.items()}
        assert found["place"] == result.cost.descriptor_bytes / 1024
        assert found["peak"] == result.cost.peak_mib
        assert found.get("image") == (result.cost.image.total_ms if result.cost.image else None)


@pytest.mark.parametrize("folder", COMMITTED, ids=lambda folder: folder.name)
def test_committed_ranks_are_small(folder: Path) -> None:
    n_queries = sum(d.pooled.n_queries for d in Result.read(folder).directions.values())
    assert (folder / RANKS).stat().st_size <= max(100 * 1024, 14 * n_queries)


def test_ranks_of_the_first_schema_still_compare_and_compact() -> None:
    whole = arrays(GOLDEN)
    assert set(COLUMNS) <= whole.keys()
    assert set(COLUMNS) <= compact(whole).keys()
    assert {found.value for found in differences([GOLDEN], [GOLDEN]).values()} == {0.0}


def test_distances_that_half_precision_cannot_hold_stay_finite() -> None:
    found = coarse(np.array([1e5, 0.5, np.nan]))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [1e5, 0.5, np.nan], rtol=0.02)
    assert coarse(np.array([1.0])).dtype == np.float16


def test_positions_are_published_as_intervals_take_them() -> None:
    east_m = np.array([620_000 - 1e-6, 12.0])
    found = compact({"frame_east_m": east_m})["frame_east_m"]
    assert found.dtype == np.float32
    for positions in (east_m, found):
        block, _ = map_blocks(np.full(2, "w"), np.column_stack([positions, positions]), 50.0)
        assert block.tolist() == [1, 0]
