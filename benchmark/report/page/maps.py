"""The map of a page: where queries were asked, and what each of them retrieved, as small integers.

Positions are whole decimetres. Answers of a traversal pair are 16-bit integers in base64: for each query its frame,
five retrieved frames, the rank of the first right place, and :func:`_flags`.
"""

import base64
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from benchmark.protocol.ground_truth import facing_rad
from benchmark.records.collection import Group
from benchmark.records.ranks import conditions_in, read_ranks
from benchmark.records.schema import protocol_of
from benchmark.report.comparison import clean_rows
from benchmark.report.page.failures import heading, labels, words_of
from benchmark.report.table import printable
from datasets.base import Protocol
from datasets.places import PLANE, Poses, same_place

COLUMNS = {"query_top_frame", "frame_id", "frame_yaw_rad"}
"""What a map needs of ``ranks.npz``, beside the columns that every one has."""
FRAMES = [f"frame_{name}" for name in ("id", "traversal", "condition", "world", "east_m", "north_m", "yaw_rad")]
N_NEAREST = 5
NONE = 0xFFFF
"""Stands for a frame that is not there; no map holds as many frames."""
MOST_QUERIES = 1500
"""Queries of one traversal pair that are drawn at most: more dots would cover each other."""
BYTES_PER_QUERY = 8 * 2 * 4 / 3
GAP_DM = 500
"""Distance on the map between worlds, whose positions have nothing to do with each other."""


@dataclass(frozen=True, kw_only=True)
class _Answered:
    """One run of a board with its ranks."""

    label: str
    """What tells its row from the others of its board."""
    name: str
    """What its row is called on every board."""
    run_id: str
    ranks: Mapping[str, ndarray]


def map_data(groups: Sequence[Group], budget: float) -> list[dict[str, Any]]:
    """A map for each board that has ranks, as plain data in about ``budget`` bytes, equally shared by the boards.

    Queries are left out evenly where a board's share is too small for all.
    """
    boards = [(group, runs) for group in groups if (runs := [*_answered(group)])]
    return [found for group, runs in boards if (found := _board(group, runs, budget / len(boards)))]


def _answered(group: Group) -> Iterator[_Answered]:
    """The first seed of every row that has nearest frames; more seeds would say little for their bytes."""
    entries = clean_rows(group)
    for entry, name in zip(entries, labels(entries), strict=True):
        run = group.named[entry.runs[0]]
        ranks = read_ranks(run.folder)
        if ranks is not None and ranks.keys() >= COLUMNS and len(ranks["query_frame"]):
            label, whole = f"{name}, seed {entry.seeds[0]}", " ".join(words_of(entry))
            yield _Answered(label=label, name=whole, run_id=entry.runs[0], ranks=ranks)


def _board(group: Group, runs: Sequence[_Answered], budget: float) -> dict[str, Any] | None:
    frames = _all_frames(runs)
    if len(frames["frame_id"]) >= NONE:
        return None
    protocol = protocol_of(group.board.protocol)
    n_bytes = BYTES_PER_QUERY * sum(len(run.ranks["query_frame"]) for run in runs)
    longest = max(_longest_pair(run.ranks) for run in runs)
    step = max(math.ceil(n_bytes / max(budget, 1)), math.ceil(longest / MOST_QUERIES))
    traversals = list(dict.fromkeys(frames["frame_traversal"].tolist()))
    number = {name: place for place, name in enumerate(traversals)}
    conditions = conditions_in(frames)
    pairs = list(dict.fromkeys((q, d) for run in runs for q, d in run.ranks["pairs"].tolist()))
    east, north, world = _on_the_map(frames)
    return {
        "title": printable(heading(group.board)),
        "radius": protocol.radius_m,
        "step": step,
        "traversals": [[printable(name), printable(conditions[name])] for name in traversals],
        "pairs": [[number[q], number[d]] for q, d in pairs],
        "frames": {
            "id": [*map(printable, frames["frame_id"].tolist())],
            "traversal": [number[name] for name in frames["frame_traversal"].tolist()],
            "world": world,
            "east": east,
            "north": north,
        },
        "runs": [
            {
                "label": printable(run.label),
                "name": printable(run.name),
                "id": run.run_id,
                "answers": _answers(run, frames, pairs, protocol, step),
            }
            for run in runs
        ],
    }


def _longest_pair(ranks: Mapping[str, ndarray]) -> int:
    both = ranks["query_direction"] * len(ranks["pairs"]) + ranks["query_pair"]
    return int(np.bincount(both).max())


def _all_frames(runs: Sequence[_Answered]) -> dict[str, ndarray]:
    """The frames of all runs, each once. Runs differ in them where a method lacks a modality."""
    joined = {name: np.concatenate([run.ranks[name] for run in runs]) for name in FRAMES}
    _, first = np.unique(joined["frame_id"], return_index=True)
    return {name: column[np.sort(first)] for name, column in joined.items()}


def _on_the_map(frames: Mapping[str, ndarray]) -> tuple[list[int], list[int], list[int]]:
    """East and north in decimetres, worlds beside each other, and the number of each frame's world."""
    names, world = np.unique(frames["frame_world"], return_inverse=True)
    east, north = (np.round(10 * frames[f"frame_{axis}_m"].astype(np.float64)) for axis in ("east", "north"))
    begin = 0.0
    for number in range(len(names)):
        inside = world == number
        east[inside] += begin - east[inside].min()
        north[inside] -= north[inside].min()
        begin = east[inside].max() + GAP_DM
    return east.astype(int).tolist(), north.astype(int).tolist(), world.tolist()


def _answers(
    run: _Answered, frames: Mapping[str, ndarray], pairs: Sequence[tuple[str, str]], protocol: Protocol, step: int
) -> dict[str, list[str]]:
    """Answers by direction, for each of ``pairs``."""
    ranks = run.ranks
    row_of = {name: row for row, name in enumerate(frames["frame_id"].tolist())}
    new_row = np.array([*(row_of[name] for name in ranks["frame_id"].tolist()), NONE])
    own = {(q, d): number for number, (q, d) in enumerate(ranks["pairs"].tolist())}
    found = {}
    for number, direction in enumerate(ranks["directions"].tolist()):
        of_direction = ranks["query_direction"] == number
        found[direction] = [
            _encoded(ranks, rows[::step], new_row, protocol)
            for pair in pairs
            for rows in [np.flatnonzero(of_direction & (ranks["query_pair"] == own.get(pair, -1)))]
        ]
    return found


def _encoded(
    ranks: Mapping[str, ndarray], rows: Int[ndarray, " n"], new_row: Int[ndarray, " f"], protocol: Protocol
) -> str:
    """Some queries as text: 8 integers each."""
    top = ranks["query_top_frame"][rows, :N_NEAREST]
    top = np.pad(top, ((0, 0), (0, N_NEAREST - top.shape[1])), constant_values=-1)
    first = ranks["query_first_positive_rank"][rows]
    flags = _flags(_is_right(ranks, rows, top, protocol), ranks["query_n_positives"][rows])
    columns = [new_row[ranks["query_frame"][rows]], *new_row[top].T, np.minimum(first, NONE), flags]
    return base64.b64encode(np.stack(columns, axis=1).astype("<u2").tobytes()).decode()


def _is_right(
    ranks: Mapping[str, ndarray], rows: Int[ndarray, " n"], top: Int[ndarray, "n k"], protocol: Protocol
) -> ndarray:
    """Which of the retrieved frames show the place of their query.

    Up to the first right place this follows from its rank, and is exact. Beyond it the protocol's rule decides, on the
    stored positions.
    """
    place = np.arange(1, top.shape[1] + 1)[None, :]
    first = ranks["query_first_positive_rank"][rows][:, None]
    asking, query = np.unique(ranks["query_frame"][rows], return_inverse=True)
    searched, found = np.unique(top, return_inverse=True)
    axes = [axis for axis in protocol.distance_axes if axis in PLANE]
    poses = [_poses(ranks, frames) for frames in (asking, searched)]
    facing = poses[1]._replace(yaw_rad=facing_rad(protocol, poses[1].yaw_rad))
    is_near = same_place(poses[0], facing, protocol.radius_m, protocol.heading_limit_rad, axes)
    near = is_near[query.reshape(-1, 1), found.reshape(top.shape)]
    return (place == first) | ((place > first) & (first > 0) & (top >= 0) & near)


def _poses(ranks: Mapping[str, ndarray], rows: Int[ndarray, " n"]) -> Poses:
    east, north = (ranks[f"frame_{axis}_m"][rows].astype(np.float64) for axis in ("east", "north"))
    position: Float[ndarray, "n 3"] = np.stack([east, north, np.zeros(len(rows))], axis=1)
    return Poses(position, ranks["frame_yaw_rad"][rows].astype(np.float64), ranks["frame_world"][rows])


def _flags(is_right: ndarray, n_positives: Int[ndarray, " n"]) -> Int[ndarray, " n"]:
    """The lower five bits: which retrieved places are right; above them the number of right places, 2047 at most."""
    bits = (is_right * (1 << np.arange(is_right.shape[1]))).sum(axis=1)
    return bits + (np.minimum(n_positives, 2047) << 5)
