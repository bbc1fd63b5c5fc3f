"""The stored form of a cost: sealed, versioned, and read again as it was written."""

import json
from pathlib import Path

import pytest

from benchmark.records.cost import CostSheet, Measure, agreement, apart, sheets_in
from datasets.errors import CrossplaceError
from datasets.files import write_atomically

GOLDEN = Path(__file__).parents[2] / "golden"
SHEETS = sorted((GOLDEN / "cost-schema-1.0").glob("*.json"))
SCHEMA = GOLDEN / "cost-schema-1.0.schema.json"


@pytest.fixture
def sheet() -> CostSheet:
    return CostSheet.read(GOLDEN / "cost-schema-1.0" / "vxp-quick.json")


def test_the_schema_is_the_one_that_files_of_this_version_have() -> None:
    """Where this fails, a field was changed: raise the schema's version, and keep the old golden files readable."""
    assert CostSheet.model_json_schema() == json.loads(SCHEMA.read_text())


@pytest.mark.parametrize("path", SHEETS, ids=lambda path: path.stem)
def test_a_stored_sheet_is_read_and_written_with_the_same_bytes(path: Path, tmp_path: Path) -> None:
    CostSheet.read(path).write(tmp_path / path.name)
    assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_a_sheet_is_found_by_its_key_alone(sheet: CostSheet, tmp_path: Path) -> None:
    path = sheet.path_in(tmp_path)
    assert path == tmp_path / "cost" / "amd-epyc-2-threads" / "vxp-quick.json"
    assert CostSheet.found(path, sheet.key) is None
    sheet.write(path)
    assert CostSheet.found(path, sheet.key) == sheet
    assert CostSheet.found(path, "another") is None
    assert sheets_in(tmp_path) == [sheet]


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({}, "AMD EPYC, 2 threads"),
        ({"threads": 1}, "AMD EPYC, 1 thread"),
        ({"precision": "bf16-mixed", "tf32": True}, "AMD EPYC, 2 threads, bf16-mixed, TF32"),
        ({"chosen_backend": "sparse convolutions by spconv"}, "AMD EPYC, 2 threads, sparse convolutions by spconv"),
    ],
)
def test_everything_that_is_not_usual_is_another_setting(sheet: CostSheet, changes: dict, setting: str) -> None:
    changed = sheet.model_copy(update={"environment": sheet.environment | changes})
    assert changed.setting == setting
    assert (changed.path_in(Path()) == sheet.path_in(Path())) == (not changes)


def test_frames_of_another_dataset_are_another_setting(sheet: CostSheet) -> None:
    kitti = sheet.model_copy(update={"inputs": sheet.inputs.model_copy(update={"dataset": "kitti"})})
    assert kitti.setting == "AMD EPYC, 2 threads, frames of kitti"


def test_damage_and_a_newer_schema_are_sentences_and_their_cures_help(sheet: CostSheet, tmp_path: Path) -> None:
    path = sheet.path_in(tmp_path)
    sheet.write(path)
    write_atomically(path, path.read_bytes().replace(b"0.951", b"0.851"))
    with pytest.raises(CrossplaceError, match=r"damaged or edited.*; take .* away and run crossplace cost again"):
        sheets_in(tmp_path)
    path.unlink()
    assert sheets_in(tmp_path) == []
    sheet.model_copy(update={"schema_version": "2.0"}).write(path)
    with pytest.raises(CrossplaceError, match=r"cost schema 2\.0, but this version reads 1\.0; update crossplace"):
        sheets_in(tmp_path)
    sheet.model_copy(update={"schema_version": "1.7"}).write(path)
    assert sheets_in(tmp_path)[0].method == "vxp"


def latency(part: str, value: float) -> Measure:
    return Measure(part=part, quantity="latency", unit="ms", values={"p50": value})


def test_two_sessions_agree_within_ten_percent_in_either_direction() -> None:
    before = [latency("a", 10.0), latency("b", 10.0), latency("c", 10.0), latency("gone", 1.0)]
    after = [latency("a", 10.9), latency("b", 9.2), latency("c", 11.1), latency("new", 1.0)]
    exact = Measure(part="a", quantity="parameters", unit="M", values={"value": 1.0})
    assert agreement([*before, exact], [*after, exact]) == {
        ("a", "latency"): True,
        ("b", "latency"): True,
        ("c", "latency"): False,
    }


@pytest.mark.parametrize(
    ("numbers", "share"), [([2.0, 2.0], 0.0), ([0.0, 0.0], 0.0), ([0.0, 1.0], float("inf")), ([4.0, 5.0, 4.5], 0.25)]
)
def test_how_far_numbers_are_apart(numbers: list[float], share: float) -> None:
    assert apart(numbers) == share
