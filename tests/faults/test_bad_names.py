"""Names that come with data and become folders: none leads outside, and the sentence says how to mend it."""

import json
import shutil
from pathlib import Path
from typing import Any

import folders
import numpy as np
import pytest

from benchmark.cli.main import main
from benchmark.descriptors.files import read_manifest
from benchmark.records.schema import Result
from datasets.errors import CrossplaceError
from datasets.files import LONGEST_NAME_BYTES, folder_name, name_fault
from datasets.kitti import Kitti
from datasets.prepared import PreparedDataset
from datasets.vivid import Vivid

BAD = [
    *("", ".", "..", "../../../outside", "/tmp/outside", "a/b", "a\\b", "-rf", ".hidden", "a\nb", "a\0b", "\ud800"),
    *("n" * (LONGEST_NAME_BYTES + 1), "ü" * (LONGEST_NAME_BYTES // 2 + 1), "a\u202eb"),
]


@pytest.mark.parametrize("name", BAD)
def test_a_name_that_cannot_be_a_folder_is_refused(name: str) -> None:
    fault = name_fault(name)
    assert "cannot be the name of a folder, because it" in fault
    assert fault.isprintable()


@pytest.mark.parametrize("name", ["day", "2014-06-26-09-31-18", "Köln 3", "00", "a.b", "夜", "n" * LONGEST_NAME_BYTES])
def test_a_name_that_can_be_a_folder_is_taken(name: str, tmp_path: Path) -> None:
    assert name_fault(name) == ""
    (tmp_path / name).mkdir()
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("text", [*BAD, "my method (v2)"])
def test_any_text_can_be_made_a_name(text: str) -> None:
    assert name_fault(folder_name(text)) == ""


def rename(folder: Path, old: str, new: str) -> None:
    """Give a traversal another name in both tables."""
    described = json.loads((folder / "dataset.json").read_text())
    described["traversals"][new] = described["traversals"].pop(old)
    described.pop("frames_sha256", None)
    (folder / "dataset.json").write_text(json.dumps(described))
    (folder / "frames.csv").write_text((folder / "frames.csv").read_text().replace(f",{old},", f",{new},"))


def evaluate(folder: Path, runs: Path) -> int:
    arguments = ("--dataset", folder, "--method", "height_histogram", "--device", "cpu", "--runs", runs)
    return main(["evaluate", *map(str, arguments)])


@pytest.mark.parametrize("name", ["../../../outside", "/outside", ".."])
def test_a_traversal_that_leads_outside_writes_nothing_and_can_be_renamed(
    name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, small_world: PreparedDataset
) -> None:
    folder = Path(shutil.copytree(small_world.folder, tmp_path / "world"))
    rename(folder, "morning", name)
    before = folders.contents(folder)
    assert evaluate(folder, tmp_path / "runs") == 1
    said = capsys.readouterr().err.splitlines()[-1]
    for part in ("dataset.json: traversals", name, "cannot be the name of a folder", "rename", "frames.csv"):
        assert part in said
    assert folders.contents(folder) == before
    assert {path.name for path in tmp_path.iterdir()} <= {"world", "runs"}
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {"declared"}  # what the method needs, not the data
    rename(folder, name, "forenoon")
    assert evaluate(folder, tmp_path / "runs") == 0


def test_a_dataset_whose_name_leads_outside(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, small_world: PreparedDataset
) -> None:
    folder = Path(shutil.copytree(small_world.folder, tmp_path / "world"))
    described = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps(described | {"name": "../../outside"}))
    assert evaluate(folder, tmp_path / "runs") == 1
    said = capsys.readouterr().err
    assert "dataset.json: name: '../../outside' cannot be the name of a folder" in said
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {"declared"}


def test_records_and_descriptors_of_others_are_held_by_the_same_rule(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, small_world: PreparedDataset
) -> None:
    runs = tmp_path / "runs"
    assert evaluate(small_world.folder, runs) == 0
    run = next(path.parent for path in runs.glob("results/height*/result.json"))
    for change in ({"run_id": "../../outside"}, {"dataset": {"name": "../../outside"}}):
        record: dict[str, Any] = json.loads((run / "result.json").read_text())
        del record["seal"]
        for key, value in change.items():
            record[key] = record[key] | value if isinstance(value, dict) else value
        other = tmp_path / "other"
        other.mkdir(exist_ok=True)
        (other / "result.json").write_text(json.dumps(record))
        with pytest.raises(CrossplaceError, match=r"outside' cannot be the name of a folder"):
            Result.read(other)
        assert main(["publish", str(other), "--results", str(tmp_path / "results")]) == 1
        assert not (tmp_path / "results").exists()
    capsys.readouterr()
    described = {"fusion": {"descriptor": "../../outside", "top": 5}}
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "descriptors.json").write_text(json.dumps(described))
    assert main(["score", str(foreign), "--dataset", str(small_world.folder), "--runs", str(runs)]) == 1
    assert "fusion.descriptor: '../../outside' cannot be the name of a folder" in capsys.readouterr().err
    (foreign / "manifest.json").write_text(json.dumps({"files": {"../../outside": "0"}}))
    with pytest.raises(CrossplaceError, match=r"manifest\.json: '\.\./\.\./outside' cannot be"):
        read_manifest(foreign)


def test_a_method_may_be_called_anything(tmp_path: Path, small_world: PreparedDataset) -> None:
    frames, foreign = small_world.frames, tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "frame_ids.txt").write_text("".join(f"{i}\n" for i in frames.frame_id))
    for name in ("images", "clouds"):
        np.save(foreign / f"{name}.npy", np.random.default_rng(0).normal(size=(len(frames), 4)))
    (foreign / "descriptors.json").write_text(json.dumps({"method": "../../" + "ours, with words " * 30}))
    runs = tmp_path / "runs"
    assert main(["score", str(foreign), "--dataset", str(small_world.folder), "--runs", str(runs)]) == 0
    assert [path.name[:10] for path in (runs / "results").glob("ours*")] == ["ours_with_"]


def test_names_in_options_of_datasets(tmp_path: Path) -> None:
    for name in ("sequences", "velodyne_points"):
        (tmp_path / name).mkdir()
    for dataset in (Kitti(sequences=("../../outside",)), Vivid(runs=("../../outside",))):
        (tmp_path / "sequences" / "00").mkdir(exist_ok=True)
        with pytest.raises(CrossplaceError, match=r"'\.\./\.\./outside' cannot be the name of a folder"):
            dataset.fingerprint(tmp_path)
