"""The doctor at work: what stops a run, what is recorded, what is looked for before training."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from own_folder import cells, describe, write_own

import benchmark
from benchmark.cli.main import main
from benchmark.frames import examining
from benchmark.frames.examining import check_accepted, check_files, examined
from benchmark.frames.preparing import locate, look_at, prepare
from benchmark.frames.sight import blind_to
from benchmark.records.schema import Result
from benchmark.registry import METHODS
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset
from methods.base import Method

Change = Callable[[str, str], str]


@pytest.fixture
def own(tiny_town: PreparedDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two drives of the tiny town as somebody's folder, 40 frames each."""
    monkeypatch.chdir(tmp_path)
    return write_own(tiny_town, tmp_path / "own")


def looks_back(traversal: dict[str, object]) -> None:
    rows = np.diag([-1.0, 1, -1, 1]) @ np.array(traversal["camera_from_lidar"])
    traversal["camera_from_lidar"] = rows.tolist()


BENCH = ("bench", "--method", "height_histogram", "--device", "cpu", "--dataset", "own")


def row() -> Result:
    (folder,) = Path("runs/results").glob("height_histogram-*")
    return Result.read(folder)


# --- bench -----------------------------------------------------------------------------------------


def test_a_good_folder_has_a_row_without_doubts(own: Path) -> None:
    assert main(BENCH) == 0
    assert not [warning for warning in row().warnings if "doubt" in warning]


def test_a_fault_stops_before_anything_is_encoded(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cells(own, "yaw_rad", lambda cell: str(np.degrees(float(cell))))
    assert main(BENCH) == 1
    said = capsys.readouterr().err
    assert "own: this data does not mean what it says: the angle between yaw_rad and the quaternion" in said
    assert "All facts: crossplace data check own" in said
    assert not Path("runs/descriptors").exists()
    assert not Path("runs/results").exists()


def test_a_fault_is_no_doubt_that_could_be_accepted(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cells(own, "yaw_rad", lambda cell: str(np.degrees(float(cell))))
    assert main([*BENCH, "--accept", "yaw-and-quaternion"]) == 1
    assert "yaw-and-quaternion cannot be accepted: it is no doubt but a fault" in capsys.readouterr().err


def test_a_doubt_is_said_and_stands_in_the_result(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    describe(own, looks_back)
    assert main(BENCH) == 0
    (doubt,) = [warning for warning in row().warnings if "doubt" in warning]
    assert doubt.startswith("doubt (camera-ahead): the angle, seen from above, between the camera's view")
    assert doubt in capsys.readouterr().err


def test_an_accepted_doubt_is_recorded_as_such(own: Path) -> None:
    describe(own, looks_back)
    assert main([*BENCH, "--accept", "camera-ahead"]) == 0
    (doubt,) = [warning for warning in row().warnings if "doubt" in warning]
    assert doubt.startswith("accepted doubt (camera-ahead): ")


def test_a_rule_that_does_not_exist_is_refused_before_any_data_is_prepared(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CROSSPLACE_DATA", str(tmp_path))
    assert main(["bench", "--method", "height_histogram", "--accept", "camera-ahed"]) == 1
    assert "unknown rule about data 'camera-ahed'. Did you mean camera-ahead or " in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(CrossplaceError, match="unknown rule"):
        check_accepted(["in-view", "nothing"])


def test_training_stops_at_a_fault_too(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    describe(own, lambda t: t.update(lidar={**t["lidar"], "vertical_fov_deg": [22.5, -22.5]}))  # type: ignore[dict-item]
    assert main(["train", "--method", "range_plain", "--device", "cpu", "--dataset", "own"]) == 1
    assert "vertical field of view of the LiDAR is -45°" in capsys.readouterr().err
    assert not Path("runs/stages").exists()


def test_training_from_python_stops_at_a_fault(own: Path) -> None:
    describe(own, lambda t: t.update(lidar={**t["lidar"], "vertical_fov_deg": [22.5, -22.5]}))  # type: ignore[dict-item]
    with pytest.raises(CrossplaceError, match="vertical field of view"):
        benchmark.load_method("range_plain", dataset="own", device="cpu")
    assert not Path("runs/stages").exists()


def test_foreign_descriptors_are_scored_with_the_same_doubts(own: Path, tmp_path: Path) -> None:
    describe(own, looks_back)
    ids = prepare(locate("own", None)).frames.frame_id
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "frame_ids.txt").write_text("\n".join(ids) + "\n")
    for part in ("images", "clouds"):
        np.save(
            tmp_path / "mine" / f"{part}.npy", np.random.default_rng(0).normal(size=(len(ids), 8)).astype(np.float32)
        )
    assert main(["score", "mine", "--dataset", "own", "--accept", "camera-ahead"]) == 0
    (folder,) = Path("runs/results").glob("mine-*")
    assert [w[:29] for w in Result.read(folder).warnings if "doubt" in w] == ["accepted doubt (camera-ahead)"]


# --- files and sight -------------------------------------------------------------------------------


@pytest.fixture
def copied(own: Path, tiny_town: PreparedDataset) -> Path:
    """The folder with files of its own."""
    shutil.rmtree(own)
    return write_own(tiny_town, own, with_files=True)


def test_a_missing_file_is_found_before_training(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in prepare(locate("own", None)).frames.cloud[[3, 60]].tolist():
        (copied / path).unlink()
    assert main(["bench", "--method", "range_plain", "--device", "cpu", "--dataset", "own"]) == 1
    assert "no such file, or an empty one; 2 of the 160 files that the protocol needs are" in capsys.readouterr().err
    assert not Path("runs/stages").exists()


def test_an_empty_file_is_as_good_as_missing(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = copied / str(prepare(locate("own", None)).frames.cloud[3])
    content = path.read_bytes()
    path.write_bytes(b"")
    assert "missing-files" in look_at(prepare(locate("own", None))).doubts()
    assert main(BENCH) == 1
    assert "0003.npy: no such file, or an empty one; 1 of the 160 files" in capsys.readouterr().err
    assert not Path("runs/descriptors").exists()
    path.write_bytes(content)
    assert main(BENCH) == 0


def test_the_advice_about_a_missing_file_works(copied: Path) -> None:
    path = str(prepare(locate("own", None)).frames.cloud[3])
    (copied / path).unlink()
    assert main(BENCH) == 1
    cells(copied, "cloud", lambda cell: "" if cell == path else cell)
    assert main(BENCH) == 0


def test_paths_of_another_system_are_told(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cells(copied, "cloud", lambda cell: cell.replace("/", "\\"))
    assert main(BENCH) == 1
    assert "write paths with / instead of \\" in capsys.readouterr().err
    cells(copied, "cloud", lambda cell: cell.replace("\\", "/"))
    assert main(BENCH) == 0


def test_a_folder_without_images_and_clouds_is_a_sentence(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for column in ("image", "cloud"):
        cells(own, column, lambda _: "")
    assert main(BENCH) == 1
    assert "has an image or a cloud; fill the columns image and cloud" in capsys.readouterr().err


def test_only_files_of_the_protocol_are_needed(small_world: PreparedDataset, tmp_path: Path) -> None:
    shutil.copytree(small_world.folder, tmp_path / "copy")
    dataset = PreparedDataset.read(tmp_path / "copy")
    (dataset.root / dataset.frames.image[0]).unlink()
    check_files(dataset, np.arange(1, len(dataset.frames)))
    with pytest.raises(CrossplaceError, match=r"morning-0.png: no such file, or an empty one; 1 of the 72 files"):
        check_files(dataset, np.arange(len(dataset.frames)))


def raised(dataset: PreparedDataset, folder: Path) -> PreparedDataset:
    """A copy whose clouds lie a thousand kilometres above the sensor: beyond every range, and out of every view."""
    shutil.copytree(dataset.folder, folder)
    for path in (folder / "clouds").rglob("*.npy"):
        np.save(path, np.load(path) + np.float32([0, 0, 1e6]))
    return PreparedDataset.read(folder)


@pytest.mark.parametrize("name", METHODS.names())
def test_every_method_says_that_it_sees_nothing_of_points_out_of_reach(
    name: str, small_world: PreparedDataset, tmp_path: Path
) -> None:
    kind = METHODS.get(name)
    method: Method = kind(kind.presets["quick"])
    rows = np.arange(len(small_world.frames))
    assert blind_to(method, small_world, rows) == []
    (sentence,) = blind_to(method, raised(small_world, tmp_path / "far"), rows)
    assert sentence.startswith(f"{name} sees no point of the cloud of 16 of 16 frames that were looked at")


def test_a_method_that_sees_nothing_runs_and_says_so(copied: Path) -> None:
    for path in (copied / "clouds").rglob("*.npy"):  # two frames of each drive see the sky alone
        if path.stem in ("0001", "0002"):
            points = np.load(path)
            np.save(path, points[points[:, 2] > 100])
    assert main(BENCH) == 0
    assert [w for w in row().warnings if w.startswith("height_histogram sees no point of the cloud of ")]


# --- kept ------------------------------------------------------------------------------------------


def test_data_is_looked_at_once(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = prepare(locate("own", None))
    first = look_at(dataset)
    monkeypatch.setattr(examining, "examine", lambda _: pytest.fail("looked again"))
    assert look_at(dataset) == first


def test_changed_data_is_looked_at_again(own: Path) -> None:
    first = look_at(prepare(locate("own", None)))
    describe(own, looks_back)
    second = look_at(prepare(locate("own", None)))
    assert first.facts["camera-ahead"] != second.facts["camera-ahead"]


def test_a_damaged_file_of_facts_is_made_again(own: Path, tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    dataset = prepare(locate("own", None))
    first = examined(dataset, tmp_path / "store")
    (path,) = (tmp_path / "store").glob("own-*.json")
    path.write_text(path.read_text().replace("in-view", "in-vieW"))
    assert examined(dataset, tmp_path / "store") == first
    assert "looking at the data again" in said.text


def test_what_names_a_missing_file_is_not_kept(small_world: PreparedDataset, tmp_path: Path) -> None:
    shutil.copytree(small_world.folder, tmp_path / "copy")
    dataset = PreparedDataset.read(tmp_path / "copy")
    away = dataset.root / dataset.frames.image[0]
    content = away.read_bytes()
    away.unlink()
    assert "missing-files" in examined(dataset, tmp_path / "store").doubts()
    away.write_bytes(content)
    assert "missing-files" not in examined(dataset, tmp_path / "store").doubts()


def test_a_store_that_cannot_be_written_does_not_stop_anybody(own: Path, tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file where the folder should be")
    assert examined(prepare(locate("own", None)), tmp_path / "store").facts


# --- data check ------------------------------------------------------------------------------------


def test_data_check_shows_a_folder_of_ones_own(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", "own", "--json", "facts.json"]) == 0
    shown = capsys.readouterr().out
    assert "80 frames, 24 of them read" in shown
    assert "yaw-and-quaternion" in shown
    assert json.loads(Path("facts.json").read_text())["facts"]["in-view"].keys() == {"test-day", "test-evening"}


def test_data_check_shows_every_finding_at_once(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cells(own, "yaw_rad", lambda cell: str(np.degrees(float(cell))))
    describe(own, looks_back)
    describe(own, lambda t: t.update(lidar={**t["lidar"], "max_range_m": 80000.0}))  # type: ignore[dict-item]
    assert main(["data", "check", "own"]) == 1
    shown = capsys.readouterr().out
    for sentence in (
        "FAULT: the angle between yaw_rad",
        "FAULT: max_range_m",
        "doubt (camera-ahead): the angle, seen from above",
    ):
        assert sentence in " ".join(shown.split())
    assert "bench --accept heading-and-track heading-offset camera-ahead" in " ".join(shown.split())


def test_data_check_of_a_registered_dataset_shows_its_facts_once_it_is_prepared(
    tiny_town: PreparedDataset, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["data", "check", "town", "--dataset-options", "preset=tiny"]) == 0
    shown = capsys.readouterr().out
    assert "499 frames" in shown
    assert shown.endswith("next: crossplace bench --dataset town --dataset-options preset=tiny\n")
    assert main(["data", "check", "town", "--dataset-options", "seed=3"]) == 0
    assert "next: crossplace data prepare town --dataset-options seed=3" in capsys.readouterr().out
    assert main(["data", "check", "town", "--dataset-options", "seed=3", "--json", str(tmp_path / "f.json")]) == 1
    assert "facts are those of prepared data; first: crossplace data prepare town" in capsys.readouterr().err


def test_the_folder_of_nobody_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", str(tmp_path)]) == 1
    assert "no dataset.json here" in capsys.readouterr().err


def test_what_a_preparer_made_is_looked_at_at_once(tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    """Clouds of a KITTI sequence in other axes are found at the end of ``data prepare``."""
    from datasets.samples.kitti import RawKitti

    folder = RawKitti(n_frames=8).write_odometry(tmp_path / "raw", "04")
    for path in (folder / "velodyne").glob("*.bin"):
        points = np.fromfile(path, dtype="<f4").reshape(-1, 4)
        points[:, [1, 2]] = points[:, [2, 1]]
        points.tofile(path)
    assert main(["data", "prepare", "kitti", "--source", str(tmp_path / "raw")]) == 1


def test_replaced_rows(small_world: PreparedDataset) -> None:
    """A dataset whose frames were all taken away at one place is no dataset."""
    still = replace(small_world, frames=replace(small_world.frames, position_m=small_world.frames.position_m * 0))
    assert any("path divided by its time" in sentence for sentence in examining.examine(still).faults())


# --- as people read it -----------------------------------------------------------------------------


def checked(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["data", "check", *arguments])
    out, err = capsys.readouterr()
    return code, " ".join(out.split()), err


def test_one_fault_of_many_files_is_one_sentence(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = sorted((copied / "clouds").rglob("*.npy"))
    whole = [np.load(path) for path in paths]
    for path, points in zip(paths, whole, strict=True):
        np.save(path, points.T)
    code, out, err = checked(capsys, "own")
    assert code == 1
    assert out.count("this looks transposed: save points.T") == 1
    assert " more sampled files are so)" in out
    assert "0 of them read" not in out, "images are there"
    assert "transposed" not in err, "a fault is said once"
    assert "faults: 1" in err
    for path in paths:
        np.save(path, np.load(path).T)
    assert checked(capsys, "own")[0] == 0


def test_a_bin_of_another_layout_names_the_layout_and_the_cure_works(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in sorted((copied / "clouds").rglob("*.npy")):
        points = np.random.default_rng(0).random((len(np.load(path)), 4))
        points[:, :3] = np.load(path)[:, :3]
        points.astype("<f8").tofile(path.with_suffix(".bin"))
    cells(copied, "cloud", lambda cell: cell.replace(".npy", ".bin"))
    code, out, _ = checked(capsys, "own")
    assert code == 1
    assert "state bin_layout in dataset.json if they are stored otherwise" in out
    describe(copied, lambda t: t.update(bin_layout={"columns": 4, "dtype": "float64"}))
    assert checked(capsys, "own")[0] == 0


def test_a_stated_image_size_that_is_wrong_is_mended_as_said(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:

    def scaled(traversal: dict[str, object], factor: float) -> None:
        k = traversal["intrinsics"]
        assert isinstance(k, dict)
        whole = {name: int(k[name] * factor) for name in ("width", "height")}
        traversal["intrinsics"] = {name: value * factor for name, value in k.items()} | whole

    describe(copied, lambda t: scaled(t, 2))
    code, out, _ = checked(capsys, "own")
    assert code == 1
    assert "state there the size of the stored images, with fx, fy, cx, cy for it" in out
    describe(copied, lambda t: scaled(t, 0.5))
    assert checked(capsys, "own")[0] == 0


def test_a_root_that_is_not_there_is_named(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    described = json.loads((own / "dataset.json").read_text())
    (own / "dataset.json").write_text(json.dumps(described | {"root": "nowhere"}))
    code, _, err = checked(capsys, "own")
    assert code == 1
    assert "root: own/nowhere: no such folder; state where images and clouds are" in err
    (own / "dataset.json").write_text(json.dumps(described))
    assert checked(capsys, "own")[0] == 0


@pytest.mark.parametrize(
    ("name", "found"), [("own/frames.csv", "a file"), ("nowhere/own", "no such folder"), ("own/images2/", "no such")]
)
def test_what_is_no_folder_is_said_so(name: str, found: str, own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = checked(capsys, name)
    assert code == 1
    assert f"{name}: {found}" in err
    assert "unknown dataset" not in err
