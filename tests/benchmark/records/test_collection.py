"""Which results may stand together: boards apart, repetitions and contradictions refused with both folders named."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmark.records.collection import collect
from benchmark.records.schema import RESULT, CostRecord, MethodRecord, Result
from datasets.base import Protocol
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset
from results import stored_result

COST = CostRecord(image=None, cloud=None, parameters=1, peak_mib=1.0, peak_of="a test", descriptor_bytes=4)
METHOD = MethodRecord.unregistered("vxp", "trained").model_copy(update={"weights_sha256": "a"})


@pytest.fixture
def write(small_world: PreparedDataset, protocol: Protocol, tmp_path: Path) -> Callable[..., Path]:
    """Write the oracle's result as if a method had made it, with changes; returns its folder."""

    def write(name: str, method: MethodRecord = METHOD, *, at_1: float | None = None, **changes: Any) -> Path:
        folder = tmp_path / "runs" / name
        result = stored_result(folder, small_world, protocol, method=method, cost=changes.pop("cost", None))
        changed = result.model_copy(update=changes)
        if at_1 is not None:
            headline = changed.headline("image->cloud")
            headline.values["R@1"] = at_1
        (folder / RESULT).write_text(changed.model_dump_json())
        return folder

    return write


def refusal(folder: Path) -> str:
    with pytest.raises(CrossplaceError) as caught:
        collect(folder)
    return str(caught.value)


def test_seeds_weights_and_perturbations_stand_beside_each_other(write: Callable[..., Path], tmp_path: Path) -> None:
    write("a")
    write("b", seed=1)
    write("c", METHOD.model_copy(update={"weights_sha256": "b"}))
    write("d", METHOD.model_copy(update={"variant": "x"}))
    (group,) = collect(tmp_path).groups
    assert set(group.folders) == {"a", "b", "c", "d"}
    assert all((folder / RESULT).is_file() for folder in group.folders.values())


def test_the_same_result_twice_is_refused_with_both_folders(write: Callable[..., Path], tmp_path: Path) -> None:
    one, other = write("a"), write("b")
    said = refusal(tmp_path)
    assert said.startswith(f"{one} and {other} hold the same result, measured on the same machine")
    (other / RESULT).unlink()
    assert len(collect(tmp_path).groups[0].runs) == 1, "the advice helps"


def test_of_a_result_with_and_without_cost_the_one_with_cost_counts(write: Callable[..., Path], tmp_path: Path) -> None:
    write("a")
    write("b", cost=COST)
    (group,) = collect(tmp_path).groups
    assert set(group.folders) == {"b"}


@pytest.mark.parametrize(
    ("machine", "difference", "is_refused"),
    [("Test CPU", 1e-6, True), ("Other GPU", 0.004, False), ("Other GPU", 0.02, True)],
)
def test_the_same_weights_with_another_recall_contradict(
    write: Callable[..., Path], tmp_path: Path, machine: str, difference: float, *, is_refused: bool
) -> None:
    one = write("a", at_1=0.5, cost=COST)
    other = write("b", at_1=0.5 + difference, cost=COST, environment={"device": machine, "threads": 2})
    if not is_refused:
        assert len(collect(tmp_path).groups[0].runs) == 2, "two machines: two costs"
        return
    said = refusal(tmp_path)
    assert re.search(f"^{one} and {other} contradict each other.*R@1 of image->cloud", said)


def test_foreign_descriptors_of_one_name_are_told_apart_by_their_content(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    foreign = MethodRecord.unregistered("ours", "foreign")
    write("a", foreign, key="1", at_1=0.2)
    write("b", foreign, key="2", at_1=0.3)
    assert len(collect(tmp_path).groups[0].runs) == 2


def test_boards_are_apart_by_data_and_protocol(write: Callable[..., Path], tmp_path: Path) -> None:
    first = Result.read(write("a"))
    write("b", protocol=first.protocol | {"version": 2})
    write("c", dataset=first.dataset.model_copy(update={"fingerprint": "other"}))
    assert [len(group.runs) for group in collect(tmp_path).groups] == [1, 1, 1]


def test_boards_stand_in_the_order_of_data_protocol_and_version_whatever_runs_they_hold(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    first = Result.read(write("a"))
    protocols = [("town-night", 1), ("town", 3), ("town", 2)]
    for (name, version), folder in zip(protocols, "bcd", strict=True):
        write(folder, protocol=first.protocol | {"name": name, "version": version})
    write("e", dataset=first.dataset.model_copy(update={"name": "avenue"}))
    boards = [group.board for group in collect(tmp_path).groups]
    named = [(board.dataset, board.protocol["name"], board.protocol["version"]) for board in boards]
    assert named == sorted(named)
    assert len(named) == 5
