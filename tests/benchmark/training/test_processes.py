"""Training on two processes gives what one process gives, for every stage of every method."""

import csv
import json
from pathlib import Path
from typing import Any

import many_processes
import pytest
import torch
from safetensors.torch import load_file

from benchmark.registry import METHODS
from benchmark.training.processes import Processes
from datasets.prepared import PreparedDataset
from methods.batch import Batch, collate, load_sample
from methods.learning.losses import pair_masks
from methods.whole_batch import Share, all_frames, drawn_rows, own_rows, sharing

RELATIVE = 1e-9
OTHERS = ("vxp:joint", "lc2:vlad.epochs=1", "modalink:nmf-per-batch")
"""Stages, and parts of stages, that no quick preset has."""
NAMES = [name for name in METHODS.names() if METHODS.get(name).is_trainable]


# --- shares --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_rows", "size", "expected"),
    [
        (6, 2, [range(3), range(3, 6)]),
        (7, 3, [range(3), range(3, 5), range(5, 7)]),
        (3, 3, [range(1), range(1, 2), range(2, 3)]),
        (2, 3, [range(2), range(2), range(2)]),
        (5, 1, [range(5)]),
    ],
    ids=["even", "uneven", "one each", "too few: all have all", "one process"],
)
def test_every_process_holds_consecutive_rows(n_rows: int, size: int, expected: list[range]) -> None:
    rows = list(range(n_rows))
    assert [rows[Processes(rank, size).own(n_rows)] for rank in range(size)] == [list(some) for some in expected]


def shares(dataset: PreparedDataset, n: int, size: int) -> list[Share]:
    frames = tuple(dataset.frame(row) for row in range(n))
    return [Share(frames=frames, rows=Processes(rank, size).own(n), is_first=rank == 0) for rank in range(size)]


def test_a_process_finds_its_rows_in_every_block_of_the_whole_batch(small_world: PreparedDataset) -> None:
    """Five images and then five clouds, of which the second process has the last two each."""
    whole = torch.arange(10)
    found = []
    for share in shares(small_world, 5, 2):
        with sharing(share):
            found.append(own_rows(whole).tolist())
    assert found == [[0, 1, 2, 5, 6, 7], [3, 4, 8, 9]]
    assert own_rows(whole) is whole, "one process has all rows"


def test_what_is_drawn_for_a_row_does_not_depend_on_the_number_of_processes(small_world: PreparedDataset) -> None:
    torch.manual_seed(0)
    expected = torch.rand(5, 2), torch.rand(())
    for size in (1, 2, 3):
        parts, after = [], []
        for share in shares(small_world, 5, size):
            torch.manual_seed(0)
            with sharing(share):
                parts.append(drawn_rows(lambda n: torch.rand(n, 2), share.rows.stop - share.rows.start))
            after.append(torch.rand(()))
        assert torch.equal(torch.cat(parts), expected[0])
        assert all(torch.equal(number, expected[1]) for number in after), "all generators go on alike"


def test_a_loss_sees_the_frames_of_all(small_world: PreparedDataset) -> None:
    batch: Batch = collate([load_sample(small_world, small_world.frame(row), ()) for row in (3, 4)])
    share = shares(small_world, 5, 2)[1]
    assert all_frames(batch) == batch.frames
    with sharing(share):
        positive, _ = pair_masks(all_frames(batch), many_processes.SPLIT, "cpu")
    assert positive.shape == (5, 5)


# --- steps ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def work(small_world: PreparedDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes leave, which are started once; and trainings of one process before and after them.

    Some trainings are stopped in the second epoch of the second stage, to be continued by another number of processes.
    """
    folder, data = tmp_path_factory.mktemp("processes"), small_world.folder
    with many_processes.in_double():
        many_processes.trained(data, folder / "one")
        many_processes.trained(data, folder / "one-then-two", stop_at=many_processes.STOP)
    assert epochs_in(folder / "one-then-two" / "local") == 1
    many_processes.started(2, str(data), str(folder), *NAMES, *OTHERS)
    assert epochs_in(folder / "two-then-one" / "local") == 1
    with many_processes.in_double():
        many_processes.trained(data, folder / "two-then-one")
    return folder


def epochs_in(stage: Path) -> int:
    return int(json.loads((stage / "progress.json").read_text())["epoch"])


@pytest.fixture(scope="module")
def differences(work: Path) -> dict[str, Any]:
    """Differences between two processes and one, by method and stage."""
    found: dict[str, Any] = json.loads((work / "differences.json").read_text())
    return found


@pytest.mark.parametrize("name", [*NAMES, *OTHERS])
def test_two_processes_give_the_loss_and_gradients_of_one(name: str, differences: dict[str, Any]) -> None:
    """In double precision, on augmented frames, with shares of three and of two frames."""
    stages = many_processes.fresh(name).stages(many_processes.SPLIT)
    everywhere = {stage for found in differences.values() for stage in found}
    assert {stage.name for stage in stages} <= everywhere, "stages that methods share are tried once"
    assert {stage.name for stage in stages if not stage.is_shared} <= differences[name].keys()
    for stage, found in differences[name].items():
        assert found.pop("largest gradient") > 1e-6, f"{stage}: a step that teaches nothing proves nothing"
        assert {"loss", "sum", "gradient"} <= found.keys()
        assert all(off <= RELATIVE for off in found.values()), (stage, found)


# --- trainings -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["two", "two-then-one", "one-then-two"])
def test_a_training_does_not_depend_on_the_number_of_processes(name: str, work: Path) -> None:
    """Parameters, measured statistics, and what every epoch came to."""
    expected, found = (load_file(work / folder / "weights.safetensors") for folder in ("one", name))
    assert expected.keys() == found.keys()
    for key, tensor in expected.items():
        largest = max(float(tensor.abs().max()), 1e-3)
        assert float((found[key] - tensor).abs().max()) <= RELATIVE * largest, key
    for stage in ("teacher", "local", "global"):
        expected_rows, rows = (metrics(work / folder / stage) for folder in ("one", name))
        assert len(expected_rows) == len(rows) == 2
        for before, after in zip(expected_rows, rows, strict=True):
            assert after == pytest.approx(before, rel=RELATIVE)


def test_batches_have_grown_alike(work: Path) -> None:
    sizes = [json.loads((work / name / "teacher" / "progress.json").read_text()) for name in ("one", "two")]
    assert [progress["sampler"] for progress in sizes] == 2 * [{"batch_size": 11}]


def metrics(folder: Path) -> list[dict[str, float]]:
    """``metrics.csv`` without what the clock says."""
    with (folder / "metrics.csv").open() as file:
        return [{k: float(v) for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]
