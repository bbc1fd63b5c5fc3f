"""Where a difference lies, and how the rows of a table stand."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmark.records.comparison import StoredRun, differences, ranking
from benchmark.records.schema import RANKS, RESULT, Result
from benchmark.records.whereabouts import whereabouts
from benchmark.report.compare import compared
from datasets.base import Protocol
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset
from results import stored_result

Write = Callable[..., Path]


@pytest.fixture
def write(small_world: PreparedDataset, protocol: Protocol, tmp_path: Path) -> Write:
    def write(ranker: str, **changes: object) -> Path:
        folder = tmp_path / f"{ranker}-{len(list(tmp_path.iterdir()))}"
        stored_result(folder, small_world, replace(protocol, **changes), ranker=ranker)
        return folder

    return write


@pytest.fixture
def many(small_world: PreparedDataset, protocol: Protocol, tmp_path: Path) -> Write:
    """Results of twelve traversals, each a quarter of a drive of the small world."""
    frames = small_world.frames
    names = np.array([f"{name}-{k % 4}" for name, k in zip(frames.traversal, np.arange(36), strict=True)], dtype=object)
    traversals = {
        name: replace(small_world.traversals[name.rsplit("-", 1)[0]]) for name in dict.fromkeys(names.tolist())
    }
    dataset = replace(small_world, frames=replace(frames, traversal=names), traversals=traversals)

    def write(ranker: str, **changes: object) -> Path:
        folder = tmp_path / f"many-{ranker}"
        stored_result(folder, dataset, replace(protocol, radius_m=40.0, **changes), ranker=ranker)
        return folder

    return write


@pytest.mark.parametrize("averaging", ["pairs", "queries"])
def test_parts_sum_to_the_difference(write: Write, averaging: str) -> None:
    one, other = write("oracle", averaging=averaging), write("constant", averaging=averaging)
    whole, parts = differences([one], [other]), whereabouts([one], [other])
    for direction, found in parts.items():
        for kind in (found.pairs, found.conditions, found.places):
            assert sum(part.contribution for part in kind) == pytest.approx(whole[direction].value)
            shares = [abs(part.contribution) for part in kind]
            assert shares == sorted(shares, reverse=True)
            assert sum(part.n_queries for part in kind) == Result.read(one).headline(direction).n_counted


def test_parts_by_hand(write: Write) -> None:
    one, other = write("oracle"), write("constant")
    found = whereabouts([one], [other])["image->cloud"]
    pairs = {(p.query, p.database): p for p in Result.read(other).directions["image->cloud"].pairs}
    for part in found.pairs:
        assert part.difference == pytest.approx(1 - pairs[part.query, part.database].recall_at[0])
        assert part.contribution == pytest.approx(part.difference / 6)
    assert {(part.query, part.database) for part in found.conditions} == {
        (a, b) for a in ("day", "dusk", "night") for b in ("day", "dusk", "night") if a != b
    }
    ranks = np.load(one / RANKS)
    for place in found.places:
        east, north = (ranks[f"frame_{axis}_m"] for axis in ("east", "north"))
        inside = (east >= place.east_m - 1e-3) & (east < place.east_m + place.side_m - 1e-3)
        inside &= (north >= place.north_m - 1e-3) & (north < place.north_m + place.side_m - 1e-3)
        asked = ranks["query_direction"] == ranks["directions"].tolist().index("image->cloud")
        assert inside[ranks["query_frame"][asked]].sum() == place.n_queries


def test_rows_stand_best_first_with_letters(write: Write) -> None:
    groups = [[write("random")], [write("oracle")], [write("constant"), write("constant")], [write("oracle")]]
    found = ranking(groups)["image->image"]
    assert found.rows[:2] == (1, 3)
    assert found.values[:2] == (1.0, 1.0)
    assert found.letters[0] == found.letters[1] == "a"
    assert found.p_values[0][1] == 1
    matrix = np.array(found.p_values)
    np.testing.assert_array_equal(matrix, matrix.T)
    raw = differences(groups[1], groups[0])["image->image"].p_value
    assert raw <= matrix[found.rows.index(0), 0] <= 6 * raw
    assert ranking(groups, "R@1%").keys() == ranking(groups, "R@3").keys() == ranking(groups).keys()
    alone = ranking(groups[:1])["image->image"]
    assert (alone.rows, alone.letters, alone.unit) == ((0,), ("a",), "")


def test_many_traversals_are_compared_without_ranks(many: Write) -> None:
    """Published results of real data have none."""
    one, other = many("oracle"), many("constant")
    with_ranks, queries = differences([one], [other]), StoredRun.read(one).queries("image->cloud")
    value = np.average(
        StoredRun.read(one).values("image->cloud", "R@1") - StoredRun.read(other).values("image->cloud", "R@1"),
        weights=queries.weights("pairs"),
    )
    for folder in (one, other):
        (folder / RANKS).unlink()
    found = differences([one], [other])
    assert found == with_ranks
    assert found["image->cloud"].unit == "12 traversals"
    assert found["image->cloud"].value == pytest.approx(value)
    assert ranking([[one], [other]])["image->cloud"].letters == ("a", "b")
    with pytest.raises(CrossplaceError, match=r"results lack R@30 of some .* from R@1 to R@25"):
        differences([one], [other], 30)
    assert differences([one], [other], 25)["image->cloud"].value == 0
    with pytest.raises(CrossplaceError, match=r"no ranks\.npz; .* compare the folders below runs/"):
        whereabouts([one], [other])
    with pytest.raises(CrossplaceError, match=r"unknown direction 'image->clout'\. Did you mean image->cloud"):
        list(compared([one, other], direction="image->clout"))
    *_, difference, unknown = compared([one, other])
    assert difference.rows[0][1].value == pytest.approx(100 * value)
    assert unknown.title == "Where it lies is not known"
    assert [row[0].words for row in unknown.rows] == [str(one), str(other)]


def test_few_traversals_need_ranks(write: Write) -> None:
    one, other = write("oracle"), write("constant")
    (other / RANKS).unlink()
    with pytest.raises(CrossplaceError, match=r"no ranks\.npz"):
        differences([one], [other])


def test_a_metric_that_is_not_there_is_named(write: Write) -> None:
    with pytest.raises(CrossplaceError, match=r"no metric R@many; there are R@1, R@5, R@1%, and R@N of every N"):
        ranking([[write("oracle")], [write("constant")]], "R@many")


def test_rows_that_lack_a_direction_are_left_out_of_it(write: Write) -> None:
    one, other = write("oracle"), write("constant")
    raw = json.loads((other / RESULT).read_text())
    del raw["seal"], raw["directions"]["image->image"]
    (other / RESULT).write_text(json.dumps(raw))
    found = ranking([[one], [other]])
    assert found["image->image"].rows == (0,)
    assert found["image->cloud"].rows == (0, 1)
