"""What a map holds, read back from its integers and compared with the evaluator's own relations."""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy import ndarray
from reports import change_ranks

from benchmark.protocol.ground_truth import relate
from benchmark.records.collection import collect
from benchmark.records.schema import RANKS
from benchmark.report.page import maps
from benchmark.report.page.maps import NONE, map_data
from datasets.base import Protocol
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset

PLENTY = 1e6


def board_of(folder: Path, budget: float = PLENTY) -> dict[str, Any]:
    (board,) = map_data(collect(folder).groups, budget)
    return board


def answers(board: dict[str, Any], run: int, direction: str = "image->cloud", pair: int = 0) -> ndarray:
    text = board["runs"][run]["answers"][direction][pair]
    return np.frombuffer(base64.b64decode(text), dtype="<u2").reshape(-1, 8).astype(int)


def test_answers_are_those_of_the_ranks_and_right_by_the_protocol(
    stored: Path, small_world: PreparedDataset, protocol: Protocol
) -> None:
    board = board_of(stored)
    assert [run["label"] for run in board["runs"]] == ["first, seed 0", "second, seed 0"]
    row_of = {name: row for row, name in enumerate(small_world.frames.frame_id.tolist())}
    with np.load(stored / "run-1-s0" / RANKS) as ranks:
        chosen = (ranks["query_direction"] == 0) & (ranks["query_pair"] == 2)
        expected = {n: ranks[n][chosen] for n in ("query_frame", "query_top_frame", "query_first_positive_rank")}
        frame_id = ranks["frame_id"]
    found = answers(board, 1, pair=2)
    assert len(found) == 12
    ids = np.array(board["frames"]["id"])
    np.testing.assert_array_equal(ids[found[:, 0]], frame_id[expected["query_frame"]])
    np.testing.assert_array_equal(ids[found[:, 1:6]], frame_id[expected["query_top_frame"][:, :5]])
    np.testing.assert_array_equal(found[:, 6], expected["query_first_positive_rank"])
    for answer in found:
        rows = np.array([row_of[name] for name in ids[answer[:6]]])
        frames = small_world.frames
        right = relate(frames.take(rows[:1]), frames.take(rows[1:]), protocol).is_positive[0]
        assert [bool(answer[7] & (1 << place)) for place in range(5)] == right.tolist()
        all_right = relate(frames.take(rows[:1]), frames, protocol).is_positive[0]
        in_pair = frames.traversal == frames.traversal[rows[1]]
        assert answer[7] >> 5 == (all_right & in_pair).sum()


def test_positions_are_decimetres_from_the_south_west(stored: Path) -> None:
    frames = board_of(stored)["frames"]
    with np.load(stored / "run-0-s0" / RANKS) as ranks:
        places = {
            name: (east, north)
            for name, east, north in zip(
                ranks["frame_id"].tolist(), ranks["frame_east_m"], ranks["frame_north_m"], strict=True
            )
        }
        west, south = ranks["frame_east_m"].min(), ranks["frame_north_m"].min()
    assert min(frames["east"]) == min(frames["north"]) == 0
    for name, east, north in zip(frames["id"], frames["east"], frames["north"], strict=True):
        assert 10 * (places[name][0] - west) == pytest.approx(east, abs=1)
        assert 10 * (places[name][1] - south) == pytest.approx(north, abs=1)


def test_worlds_lie_beside_each_other(stored: Path) -> None:
    with np.load(stored / "run-0-s0" / RANKS) as ranks:
        world = np.where(np.arange(len(ranks["frame_id"])) % 2, "a", "b")
    for folder in stored.glob("run-*"):
        change_ranks(folder, frame_world=world)
    frames = board_of(stored)["frames"]
    east, number = np.array(frames["east"]), np.array(frames["world"])
    assert east[number == 0].max() < east[number == 1].min()


def test_queries_are_left_out_evenly_to_keep_to_a_budget(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = board_of(stored)
    n_bytes = len(json.dumps([run["answers"] for run in whole["runs"]]))
    thin = board_of(stored, n_bytes / 3)
    assert thin["step"] > whole["step"] == 1
    np.testing.assert_array_equal(answers(thin, 1), answers(whole, 1)[:: thin["step"]])
    assert len(json.dumps([run["answers"] for run in thin["runs"]])) < n_bytes / 2
    monkeypatch.setattr(maps, "MOST_QUERIES", 4)
    assert board_of(stored)["step"] == 3


def test_runs_that_know_fewer_frames_share_the_map(stored: Path) -> None:
    """Frames stand in another order and one more is there, as where a method lacks a modality."""
    before = answers(board_of(stored), 0)
    folder = stored / "run-0-s0"
    with np.load(folder / RANKS) as ranks:
        n = len(ranks["frame_id"])
        order = np.roll(np.arange(n), 5)
        inverse = np.argsort(order)
        columns = {name: ranks[name][order] for name in ranks.files if name.startswith("frame_")}
        top = ranks["query_top_frame"]
        columns |= {
            "query_frame": inverse[ranks["query_frame"]],
            "query_top_frame": np.where(top >= 0, inverse[top], -1),
        }
    change_ranks(folder, **columns)
    board = board_of(stored)
    ids = board["frames"]["id"]
    assert len(ids) == len(set(ids)) == n
    with np.load(stored / "run-1-s0" / RANKS) as ranks:
        names = ranks["frame_id"]
    np.testing.assert_array_equal(np.array(ids)[answers(board, 0)[:, :6]], names[before[:, :6]])


def test_a_retrieved_place_that_is_not_there_is_none(stored: Path) -> None:
    with np.load(stored / "run-0-s0" / RANKS) as ranks:
        top = ranks["query_top_frame"].copy()
    top[:, 2:] = -1
    change_ranks(stored / "run-0-s0", query_top_frame=top[:, :3])
    found = answers(board_of(stored), 0)
    assert (found[:, 3:6] == NONE).all()
    assert (found[:, 1:3] != NONE).all()
    assert not (found[:, 7] & 0b11100).any()


def test_rankers_and_results_without_ranks_have_no_map(stored: Path) -> None:
    (stored / "run-0-s0" / RANKS).unlink()
    change_ranks(stored / "run-1-s0", query_top_frame=None)
    assert map_data(collect(stored).groups, PLENTY) == []


def test_damaged_ranks_are_a_sentence(stored: Path) -> None:
    (stored / "run-0-s0" / RANKS).write_bytes(b"PK")
    with pytest.raises(
        CrossplaceError, match=r"run-0-s0/ranks.npz: not readable ranks .* delete .* and run bench again"
    ):
        board_of(stored)
