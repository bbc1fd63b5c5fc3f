"""Bad input, through the command line: one sentence with file, fault and next step, exit code 1, nothing good lost."""

import json
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import folders
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from benchmark.cli.main import main
from benchmark.records.schema import SCHEMA
from benchmark.training.checkpoint import save_weights
from datasets.prepared import PreparedDataset

P2, TR = "700 0 600 70 0 700 180 0 0 0 1 0", "0 -1 0 0 0 0 -1 -0.08 1 0 0 -0.27"
DRIVE = "sequences/00"


@dataclass(frozen=True, kw_only=True)
class Case:
    """How something is broken, and what the sentence must say."""

    name: str
    damage: Callable[[Path], object]
    says: tuple[str, ...]


def write_drive(source: Path) -> None:
    folder, rng = source / DRIVE, np.random.default_rng(0)
    for part in ("image_2", "velodyne"):
        (folder / part).mkdir(parents=True)
    for i in range(4):
        pixels = rng.integers(0, 256, (5, 12, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "image_2" / f"{i:06d}.png")
        rng.normal(size=(7, 4)).astype("<f4").tofile(folder / "velodyne" / f"{i:06d}.bin")
    (folder / "calib.txt").write_text(f"P2: {P2}\nTr: {TR}\n")
    (folder / "times.txt").write_text("0.0\n0.1\n0.2\n0.3\n")
    (folder / "poses.txt").write_text("".join(f"1 0 0 0 0 1 0 0 0 0 1 {i}\n" for i in range(4)))


def cut(name: str, keep: int) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:keep])


def text(name: str, content: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(content)


def without(name: str) -> Callable[[Path], object]:
    return lambda folder: [path.unlink() for path in folder.glob(name)]


def picture(name: str, width: int, height: int) -> Callable[[Path], object]:
    return lambda folder: Image.new("RGB", (width, height)).save(folder / name)


def sentence(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What a command that must fail says: the last line on standard error; nothing on standard output."""
    capsys.readouterr()
    assert main([str(a) for a in arguments]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    *_, last = captured.err.splitlines()
    assert last.startswith("error: ")
    return last


def check(said: str, case: Case) -> None:
    missing = [part for part in case.says if part not in said]
    assert not missing, f"{said!r} lacks {missing}"


def contents(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in folders.contents(folder).items() if "tensorboard" not in name}


# --- raw data ------------------------------------------------------------------------------------

VELODYNE, IMAGE, CALIB, TIMES, POSES = (
    f"{DRIVE}/{name}" for name in ("velodyne/000002.bin", "image_2/000002.png", "calib.txt", "times.txt", "poses.txt")
)
RAW = [
    Case(name="cloud cut off", damage=cut(VELODYNE, 40), says=(VELODYNE, "40 bytes are no whole number", "fetch")),
    Case(name="image cut off", damage=cut(IMAGE, 120), says=(IMAGE, "not a readable image", "fetch")),
    Case(name="no image at all", damage=text(IMAGE, "<html>"), says=(IMAGE, "not a readable image", "write it again")),
    Case(name="image of another size", damage=picture(IMAGE, 9, 5), says=(IMAGE, "9×5 pixels", "12×5", "one size")),
    Case(name="no calibration key", damage=text(CALIB, f"P2: {P2}\n"), says=(CALIB, "Tr is missing", "cvlibs")),
    Case(
        name="no rotation in the calibration",
        damage=text(CALIB, f"P2: {P2}\nTr: {TR.replace('1', '2')}\n"),
        says=(CALIB, "Tr: the left 3×3 part", "no rotation", "fetch the file again"),
    ),
    Case(
        name="no rotation in a pose",
        damage=text(POSES, "1 0 0 0 0 1 0 0 0 0 1 0\n" * 3 + "1 0 0 0 0 1 0 0 0 1 1 0\n"),
        says=(POSES, "line 4", "no rotation", "fetch the file again"),
    ),
    Case(
        name="times and poses of different length",
        damage=text(TIMES, "0.0\n0.1\n0.2\n"),
        says=(POSES, "4 poses for the 3 times", TIMES, "fetch both again"),
    ),
    Case(
        name="stem without a pose line",
        damage=lambda f: [text(TIMES, "0\n1\n")(f), text(POSES, "1 0 0 0 0 1 0 0 0 0 1 0\n" * 2)(f)],
        says=(TIMES, POSES, "2 lines, but there is a frame 000003"),
    ),
    Case(
        name="duplicate stamps",
        damage=text(TIMES, "0.0\n0.1\n0.1\n0.3\n"),
        says=(TIMES, "line 3: the same time as the line before", "fetch the file again"),
    ),
    Case(name="empty traversal", damage=without(f"{DRIVE}/image_2/*"), says=(DRIVE, "no frame with image and cloud")),
    Case(name="not UTF-8", damage=lambda f: (f / CALIB).write_bytes(b"\xff\xfeP"), says=(CALIB, "UTF-8")),
]


@pytest.mark.parametrize("case", RAW, ids=lambda case: case.name)
def test_broken_raw_data(case: Case, capsys: pytest.CaptureFixture[str], tmp_path: Path, data_here: Path) -> None:
    write_drive(tmp_path / "raw")
    case.damage(tmp_path / "raw")
    before = contents(tmp_path / "raw")
    check(sentence(capsys, "data", "prepare", "kitti", "--source", tmp_path / "raw"), case)
    assert contents(tmp_path / "raw") == before
    assert not list(data_here.rglob("dataset.json"))


@pytest.fixture
def data_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``$CROSSPLACE_DATA`` of one test."""
    monkeypatch.setenv("CROSSPLACE_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


# --- prepared data -------------------------------------------------------------------------------


def described(change: Callable[[Any], object]) -> Callable[[Path], object]:
    def damage(folder: Path) -> None:
        raw = json.loads((folder / "dataset.json").read_text())
        change(raw)
        (folder / "dataset.json").write_text(json.dumps(raw))

    return damage


def tabled(change: Callable[[pd.DataFrame], object]) -> Callable[[Path], object]:
    """Change the table as a person does, who takes the hash out of the description."""

    def damage(folder: Path) -> None:
        table = pd.read_csv(folder / "frames.csv", dtype=str, keep_default_na=False)
        change(table)
        table.to_csv(folder / "frames.csv", index=False)
        described(lambda raw: raw.pop("frames_sha256"))(folder)

    return damage


def broken_point(folder: Path) -> None:
    points = np.load(folder / "clouds/evening-3.npy")
    points[7, 1] = np.nan
    np.save(folder / "clouds/evening-3.npy", points)


CLOUD, PNG, MORNING = "clouds/evening-3.npy", "images/evening-3.png", "morning"
PREPARED = [
    Case(name="point not finite", damage=broken_point, says=(CLOUD, "1 of 500 points are not finite", "prepare")),
    Case(name="cloud cut off", damage=cut(CLOUD, 300), says=(CLOUD, "not a readable array")),
    Case(name="image cut off", damage=cut(PNG, 300), says=(PNG, "not a readable image", "prepare")),
    Case(name="image of another size", damage=picture(PNG, 8, 8), says=(PNG, "expected 32×24 pixels", "8×8")),
    Case(
        name="no calibration key",
        damage=described(lambda raw: raw["traversals"][MORNING]["intrinsics"].pop("fx")),
        says=("dataset.json", "traversals.morning.intrinsics.fx: Field required"),
    ),
    Case(
        name="no rotation",
        damage=described(lambda raw: raw["traversals"][MORNING]["camera_from_lidar"][0].__setitem__(1, 3.0)),
        says=("dataset.json: traversals.morning.camera_from_lidar: not a rigid 4×4 transform", "prepare the dataset"),
    ),
    Case(
        name="duplicate stamps",
        damage=tabled(lambda t: t.loc.__setitem__((2, "timestamp_ns"), t.loc[1, "timestamp_ns"])),
        says=("frames.csv: line 4", "same time", "'morning'", "remove repeated"),
    ),
    Case(
        name="empty traversal",
        damage=tabled(lambda t: t.drop(t.index[t["traversal"] == MORNING], inplace=True)),
        says=("frames.csv", "no frame of traversal 'morning'", "add its frames or take it out"),
    ),
    Case(
        name="no frame at all", damage=tabled(lambda t: t.drop(t.index, inplace=True)), says=("frames.csv", "no frame")
    ),
    Case(
        name="no positives at all",
        damage=tabled(lambda t: t.__setitem__("world", t["traversal"])),
        says=("no query has a positive within 20 m", "36 queries"),
    ),
    Case(
        name="table changed behind the description's back",
        damage=lambda f: (f / "frames.csv").write_text((f / "frames.csv").read_text().replace("12.0", "12.5")),
        says=("frames.csv", "frames_sha256", "prepare the dataset again"),
    ),
]


@pytest.mark.parametrize("case", PREPARED, ids=lambda case: case.name)
def test_broken_prepared_data(
    case: Case, capsys: pytest.CaptureFixture[str], tmp_path: Path, small_world: PreparedDataset
) -> None:
    folder = Path(shutil.copytree(small_world.folder, tmp_path / "world"))
    case.damage(folder)
    before = contents(folder)
    arguments = ("--dataset", folder, "--method", "height_histogram", "--device", "cpu", "--runs", tmp_path / "runs")
    said = sentence(capsys, "evaluate", *arguments)
    check(said, case)
    assert contents(folder) == before
    assert not list(tmp_path.rglob("result.json"))


def evaluation(small_world: PreparedDataset, runs: Path) -> tuple[object, ...]:
    return ("evaluate", "--dataset", small_world.folder, "--method", "toy", "--device", "cpu", "--runs", runs)


# --- what training and evaluation left -----------------------------------------------------------


def of_training(name: str, change: Callable[[Path], object], *, interrupted: bool = True) -> Callable[[Path], object]:
    """Change the one file that ``name`` matches below ``runs``; ``interrupted`` training has not finished."""

    def damage(runs: Path) -> None:
        (report,) = runs.glob("training/*/training.json")
        if interrupted:
            report.unlink()
        (file,) = runs.glob(name)
        change(file)

    return damage


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-9] ^= 4
    file.write_bytes(content)


def other_state(file: Path) -> None:
    """A checkpoint of another network under this one's name."""
    save_file({"module.weight": nn.Linear(2, 2).weight.data}, file)


RUN = [
    Case(
        name="progress cut off",
        damage=of_training("stages/toy-teach-*/progress.json", lambda f: f.write_text(f.read_text()[:50])),
        says=("stages/toy-teach-", "progress.json", "damaged training state", "delete", "to start over"),
    ),
    Case(
        name="progress of another run",
        damage=of_training("stages/toy-teach-*/progress.json", lambda f: f.write_text(f.read_text().replace("9", "8"))),
        says=("stages/toy-teach-", "progress.json", "damaged training state", "seal", "to start over"),
    ),
    Case(
        name="a bit of the tensors",
        damage=of_training("stages/toy-teach-*/epoch-*", flip),
        says=(
            "stages/toy-teach-",
            "progress.json",
            "epoch-0003.safetensors",
            "damaged since it was written",
            "to start over",
        ),
    ),
    Case(
        name="tensors cut off",
        damage=of_training("stages/toy-align-*/epoch-*", lambda f: f.write_bytes(f.read_bytes()[:-10])),
        says=("stages/toy-align-", "progress.json", "no readable safetensors", "to start over"),
    ),
    Case(
        name="checkpoint of another method",
        damage=of_training("stages/toy-teach-*/epoch-*", other_state),
        says=("stages/toy-teach-", "progress.json", "another method or configuration", "to start over"),
    ),
    Case(
        name="best weights cut off",
        damage=of_training("stages/toy-teach-*/best*", lambda f: f.write_bytes(f.read_bytes()[:100])),
        says=("stages/toy-teach-", "best.safetensors", "no readable safetensors", "train anew"),
    ),
    Case(
        name="weights of another configuration",
        damage=of_training("training/*/weights*", lambda f: save_weights(nn.Linear(2, 2), f), interrupted=False),
        says=("weights.safetensors", "another method or configuration"),
    ),
    Case(
        name="a bit of the weights",
        damage=of_training("training/*/weights*", flip, interrupted=False),
        says=("weights.safetensors", "damaged since it was written", "train anew"),
    ),
    Case(
        name="training report cut off",
        damage=of_training("training/*/training.json", lambda f: f.write_text("{"), interrupted=False),
        says=("training.json", "not valid JSON", "delete it and train again"),
    ),
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first test leaves its runs for the others to copy."""
    return tmp_path_factory.mktemp("trained") / "runs"


@pytest.mark.parametrize("case", RUN, ids=lambda case: case.name)
def test_broken_training(
    case: Case,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    toy: Any,
    small_world: PreparedDataset,
    trained: Path,
) -> None:
    if not trained.is_dir():
        assert main(["train", *map(str, evaluation(small_world, trained)[1:])]) == 0
    runs = Path(shutil.copytree(trained, tmp_path / "runs"))
    case.damage(runs)
    before = contents(runs)
    check(sentence(capsys, *evaluation(small_world, runs)), case)
    assert contents(runs) == before


def test_a_result_of_a_newer_schema(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "town" / "run").mkdir(parents=True)
    (tmp_path / "town" / "run" / "result.json").write_text('{"schema_version": "2.0"}')
    said = sentence(capsys, "tables", "--results", tmp_path)
    for part in (
        "town/run/result.json",
        "result schema 2.0",
        f"this version reads {SCHEMA}",
        "update crossplace, or take",
    ):
        assert part in said
    shutil.rmtree(tmp_path / "town")
    said = sentence(capsys, "tables", "--results", tmp_path)
    assert said == (
        f"error: {tmp_path}: no results here; run crossplace bench and crossplace publish, or name another folder "
        "(--results)"
    )
    assert not [*tmp_path.iterdir()], "nothing is written about nothing"


def test_backbone_weights_of_another_network(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, small_world: PreparedDataset
) -> None:
    save_file({"weight": nn.Linear(2, 2).weight.data}, tmp_path / "other.safetensors")
    said = sentence(
        capsys,
        *("train", "--dataset", small_world.folder, "--device", "cpu", "--runs", tmp_path / "runs"),
        *("--weights", tmp_path / "other.safetensors"),
    )
    for part in ("other.safetensors", "could not be loaded into resnet18", "Expected a checkpoint of this very"):
        assert part in said


# --- disks ---------------------------------------------------------------------------------------


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mount a small file system in memory with these options."""
    mounted: list[Path] = []

    def mount(options: str) -> Path:
        folder = tmp_path / "disk"
        folder.mkdir(exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"no right to mount a file system here ({error})")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def file_limit() -> Iterator[Callable[[int], None]]:
    """Limit the size of every file that this process writes, as ``ulimit -f`` does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda n_bytes: resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_keeps_what_was_finished(
    capsys: pytest.CaptureFixture[str],
    toy: Any,
    small_world: PreparedDataset,
    mount: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    disk = mount("size=16k")
    said = sentence(capsys, *evaluation(small_world, disk / "runs"))
    for part in (str(disk), "cannot be written", "No space left", "free space", "--runs", "same command again"):
        assert part in said
    assert not list(disk.rglob(".*.safetensors.*")), "no part of a file is left"
    subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)
    assert main([str(a) for a in evaluation(small_world, disk / "runs")]) == 0


def test_a_read_only_disk(
    capsys: pytest.CaptureFixture[str],
    toy: Any,
    small_world: PreparedDataset,
    mount: Callable[[str], Path],
) -> None:
    said = sentence(capsys, *evaluation(small_world, mount("ro,size=1m") / "runs"))
    for part in ("disk/runs", "cannot be written", "Read-only file system", "mount it writable", "--runs"):
        assert part in said


def test_a_limit_on_file_sizes_keeps_what_was_finished(
    capsys: pytest.CaptureFixture[str],
    toy: Any,
    small_world: PreparedDataset,
    file_limit: Callable[[int], None],
    tmp_path: Path,
) -> None:
    file_limit(1500)
    said = sentence(capsys, *evaluation(small_world, tmp_path / "runs"))
    for part in ("safetensors", "cannot be written", "File too large", "ulimit -f", "same command again"):
        assert part in said
    file_limit(resource.RLIM_INFINITY)
    assert main([str(a) for a in evaluation(small_world, tmp_path / "runs")]) == 0


def test_a_dataset_that_does_not_fit_is_a_sentence(
    capsys: pytest.CaptureFixture[str], mount: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers of the generator write by themselves; their error comes back as the same sentence."""
    disk = mount("size=200k")
    monkeypatch.setenv("CROSSPLACE_DATA", str(disk))
    said = sentence(capsys, "data", "prepare", "town", "--dataset-options", "preset=tiny")
    for part in (f"{disk}/prepared/town-", "cannot be written", "free space", "$CROSSPLACE_DATA"):
        assert part in said
