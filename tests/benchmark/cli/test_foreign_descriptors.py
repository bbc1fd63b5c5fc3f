"""Descriptors that anyone made, evaluated by a command."""

import csv
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from commands import DIRECTIONS, crossplace, results_in, sentence

from datasets.prepared import PreparedDataset


def naive_ranks(folder: Path, query: np.ndarray, database: np.ndarray) -> dict[tuple[str, str], int]:
    """(query frame, traversal searched) → rank of the first frame within 20 m and 0.5 rad, by the dot product.

    Reads the table by itself and knows nothing of the harness. Descriptors are (frames, views, size), by row.
    """
    with (folder / "frames.csv").open() as file:
        frames = list(csv.DictReader(file))
    poses = [tuple(float(frame[name]) for name in ("east_m", "north_m", "yaw_rad")) for frame in frames]
    ranks = {}
    for q, asking in enumerate(frames):
        for traversal in {frame["traversal"] for frame in frames} - {asking["traversal"]}:
            searched = [i for i, frame in enumerate(frames) if frame["traversal"] == traversal]
            likeness = {i: max(float(a @ b) for a in query[q] for b in database[i]) for i in searched}
            order = sorted(searched, key=lambda i: (-likeness[i], i))
            (east, north, yaw), ranks[asking["frame_id"], traversal] = poses[q], 0
            for rank, i in enumerate(order, start=1):
                is_near = math.hypot(poses[i][0] - east, poses[i][1] - north) <= 20
                if is_near and abs(poses[i][2] - yaw) < 0.5:
                    ranks[asking["frame_id"], traversal] = rank
                    break
    return ranks


@pytest.fixture
def foreign(small_world: PreparedDataset, tmp_path: Path) -> Callable[..., Path]:
    """Write descriptors as another program would: integers as floats, several views, ids in an order of their own."""

    def foreign(**arrays: np.ndarray) -> Path:
        folder = tmp_path / "ours"
        folder.mkdir()
        order = np.random.default_rng(1).permutation(36)
        ids = small_world.frames.frame_id[order]
        (folder / "frame_ids.txt").write_text("\n".join(ids) + "\n")
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array[order])
        (folder / "descriptors.json").write_text('{"method": "Ours / v2", "distance": "dot"}')
        return folder

    return foreign


def whole_numbers(seed: int, views: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-3, 4, (36, views, 3)).astype(np.float32)


def ranks_of(folder: Path, direction: str) -> dict[tuple[str, str], int]:
    with np.load(folder / "ranks.npz", allow_pickle=False) as file:
        ranks = dict(file)
    rows = np.flatnonzero(ranks["directions"][ranks["query_direction"]] == direction)
    searched = ranks["pairs"][ranks["query_pair"]][:, 1]
    return {
        (str(ranks["frame_id"][ranks["query_frame"][row]]), str(searched[row])): int(
            ranks["query_first_positive_rank"][row]
        )
        for row in rows
    }


def test_foreign_descriptors_get_the_ranks_of_naive_loops(
    small_world: PreparedDataset, foreign: Callable[..., Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    images, clouds = whole_numbers(2, views=2), whole_numbers(3, views=1)
    folder = foreign(images=images, clouds=clouds[:, 0])
    crossplace("evaluate", "--descriptors", folder, "--dataset", small_world.folder)
    result = results_in(tmp_path / "runs")["Ours / v2"]
    run = tmp_path / "runs" / "results" / result.run_id
    assert result.run_id.startswith("Ours_v2-own-data-20m-")
    by_modality = {"image": images, "cloud": clouds}
    for direction in DIRECTIONS:
        query, _, database = direction.partition("->")
        assert ranks_of(run, direction) == naive_ranks(small_world.folder, by_modality[query], by_modality[database])
    out = capsys.readouterr().out
    assert "Ours / v2" in out
    assert (result.cost, result.method.origin) == (None, "foreign")


def test_clouds_alone_are_evaluated_among_themselves(
    small_world: PreparedDataset, foreign: Callable[..., Path], tmp_path: Path
) -> None:
    folder = foreign(clouds=whole_numbers(3, views=1))
    crossplace("evaluate", "--descriptors", folder, "--dataset", small_world.folder)
    assert list(results_in(tmp_path / "runs")["Ours / v2"].directions) == ["cloud->cloud"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "frame_ids.txt").write_text("a\n"), "clouds.npy: expected floats of shape (1, size)"),
        (lambda f: (f / "descriptors.json").write_text("{"), "descriptors.json: not valid JSON"),
        (
            lambda f: np.save(f / "clouds.npy", np.full((36, 2), np.nan)),
            "clouds.npy: row 0 is not finite (36 such rows)",
        ),
        (lambda f: (f / "frame_ids.txt").unlink(), "no frame_ids.txt here or below"),
        (lambda f: (f / "clouds.npy").unlink(), "no query"),
    ],
    ids=["length", "json", "not finite", "no ids", "no arrays"],
)
def test_broken_descriptors_are_one_sentence(
    small_world: PreparedDataset,
    foreign: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    damage: Callable[[Path], object],
    message: str,
) -> None:
    folder = foreign(clouds=whole_numbers(3, views=1))
    damage(folder)
    assert message in sentence(capsys, "evaluate", "--descriptors", folder, "--dataset", small_world.folder)


def test_missing_frames_are_one_sentence(
    small_world: PreparedDataset, foreign: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = foreign(clouds=whole_numbers(3, views=1))
    ids = (folder / "frame_ids.txt").read_text().split()
    (folder / "frame_ids.txt").write_text("\n".join("other" if i == "evening-4" else i for i in ids) + "\n")
    said = sentence(capsys, "evaluate", "--descriptors", folder, "--dataset", small_world.folder)
    assert "no cloud descriptor for 1 of 12 frames that the protocol needs, first 'evening-4'" in said
