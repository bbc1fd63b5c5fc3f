"""Exported lists: complete enough to evaluate with, and the same bytes every time."""

import csv
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from folders import contents, differences
from pydantic import TypeAdapter

from benchmark.evaluation.estimates import Estimate
from benchmark.evaluation.evaluate import Scorer, evaluate, from_ranker
from benchmark.keys import plain
from benchmark.protocol.directions import Direction
from benchmark.protocol.ground_truth import Asked
from benchmark.protocol.lists import SUMS, export
from datasets.base import Protocol, Selection
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset


@pytest.fixture
def revisiting(protocol: Protocol) -> Protocol:
    """All rules that decide what may be found."""
    return replace(
        protocol, pairs="within", radius_m=13.0, min_gap_s=0.5, earlier_only=True, query=Selection(rows=(1, 9))
    )


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_equal_data_give_equal_bytes_with_sums(
    small_world: PreparedDataset, protocol: Protocol, tmp_path: Path
) -> None:
    counts = export(small_world, protocol, tmp_path / "a")
    assert export(small_world, protocol, tmp_path / "b") == counts
    found = contents(tmp_path / "a")
    assert differences(contents(tmp_path / "b"), found) == []
    sums = dict(reversed(line.split("  ")) for line in found.pop(SUMS).decode().splitlines())
    assert sums == {name: hashlib.sha256(content).hexdigest() for name, content in found.items()}
    assert set(found) == {
        *("protocol.json", "queries.csv", "database.csv"),
        *(
            f"positives/{a}--{b}.json"
            for a in ("morning", "evening", "midnight")
            for b in ("morning", "evening", "midnight")
            if a != b
        ),
    }
    assert counts == {"queries": 36, "database": 36, "pairs": 6, "asked": 72, "with_positive": 72}


def test_lists_hold_ids_and_times_but_no_positions(
    small_world: PreparedDataset, protocol: Protocol, tmp_path: Path
) -> None:
    export(small_world, protocol, tmp_path / "lists")
    frames = small_world.frames
    for name in ("queries.csv", "database.csv"):
        rows = table(tmp_path / "lists" / name)
        assert [tuple(row.values()) for row in rows] == list(
            zip(frames.frame_id, frames.traversal, map(str, frames.timestamp_ns.tolist()), strict=True)
        )
    written = json.loads((tmp_path / "lists" / "protocol.json").read_text())
    assert written["protocol"] == plain(protocol)
    assert written["dataset"] == {"name": "small_world", "version": 1, "fingerprint": small_world.fingerprint}


@pytest.mark.parametrize("direction", [Direction.IMAGE_TO_CLOUD, Direction.CLOUD_TO_CLOUD])
@pytest.mark.parametrize("which", ["protocol", "revisiting"])
def test_the_lists_alone_give_the_same_recall(
    small_world: PreparedDataset, which: str, direction: Direction, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Another evaluator: reads the files, decides candidates from ids and times, sorts, and counts."""
    protocol: Protocol = request.getfixturevalue(which)
    lists = tmp_path / "lists"
    export(small_world, protocol, lists)
    written: dict[str, Any] = json.loads((lists / "protocol.json").read_text())["protocol"]
    assert TypeAdapter(Protocol).validate_python(written) == protocol
    expected, distances_between = drawn_at_random(small_world, protocol, direction)
    queries, database = table(lists / "queries.csv"), table(lists / "database.csv")
    for (asking, searched), recall_at in expected.items():
        right = json.loads((lists / "positives" / f"{asking}--{searched}.json").read_text())
        asked = [row for row in queries if row["traversal"] == asking]
        places = [row for row in database if row["traversal"] == searched]
        assert list(right) == [row["frame_id"] for row in asked]
        distances = distances_between[asking, searched]
        ranks = []
        for i, row in enumerate(asked):
            order = []
            for j, place in enumerate(places):
                later_s = (int(row["timestamp_ns"]) - int(place["timestamp_ns"])) / 1e9
                may = row["frame_id"] != place["frame_id"]
                may = may and (written["min_gap_s"] is None or abs(later_s) > written["min_gap_s"])
                may = may and (not written["earlier_only"] or later_s > 0)
                if may:
                    order.append((distances[i, j], j))
            hits = [
                n for n, (_, j) in enumerate(sorted(order), start=1) if places[j]["frame_id"] in right[row["frame_id"]]
            ]
            if right[row["frame_id"]]:
                ranks.append(hits[0])
        found = [sum(rank <= n for rank in ranks) / len(ranks) for n in range(1, 26)]
        assert found == pytest.approx(recall_at)
        assert 0 < recall_at[0] < 1


Named = tuple[str, str]


def drawn_at_random(
    dataset: PreparedDataset, protocol: Protocol, direction: Direction
) -> tuple[dict[Named, tuple[float | None, ...]], dict[Named, np.ndarray]]:
    """Recalls and distances, by traversals, of random numbers that know nothing of what is right."""
    ranker, distances = from_ranker("random", 1), {}

    def remember(direction: Direction, asked: Asked) -> np.ndarray:
        names = asked.pair.query_traversal, asked.pair.database_traversal
        drawn = ranker.score(direction, asked)
        assert isinstance(drawn, Estimate)
        distances[names] = drawn.exact(*np.indices(drawn.key.shape))
        return distances[names]

    scorer = Scorer(directions=(direction,), score=remember)  # what is drawn counts, and not what is expected
    found = evaluate(dataset.frames, protocol, {"random": scorer})["random"]
    return {(e.pair.query_traversal, e.pair.database_traversal): e.recall.recall_at for e in found}, distances


def test_names_of_traversals_may_hold_anything(
    small_world: PreparedDataset, protocol: Protocol, tmp_path: Path
) -> None:
    named = small_world.frames.traversal.copy()
    named[named == "morning"], named[named == "evening"] = "../a b", "a/b"
    frames = replace(small_world.frames, traversal=named)
    export(replace(small_world, frames=frames), protocol, tmp_path / "lists")
    names = [path.name for path in (tmp_path / "lists" / "positives").iterdir()]
    assert len(names) == 6
    assert "..%2Fa%20b--a%2Fb.json" in names


def test_a_folder_that_is_not_empty_is_refused(
    small_world: PreparedDataset, protocol: Protocol, tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(CrossplaceError, match=r"is not empty: .* --output"):
        export(small_world, protocol, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(CrossplaceError, match="is not empty"):
        export(small_world, protocol, tmp_path / "mine.txt")
