"""``data fetch``, ``data sample`` and ``data list`` as a person meets them, against a server on this machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from http_store import HttpStore, serving, zipped
from small_stores import kitti_files

from benchmark.cli import fetching
from benchmark.cli.main import main
from datasets.errors import CrossplaceError
from datasets.fetching.kitti import KittiStore
from datasets.fetching.manifest import Manifest
from datasets.prepared import PreparedDataset
from datasets.samples.kitti import RawKitti
from datasets.samples.writing import write_sample


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CROSSPLACE_DATA", str(tmp_path / "data"))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def server() -> Iterator[HttpStore]:
    with serving(HttpStore(kitti_files({"04": 40, "07": 30}))) as store:
        yield store


def archives_of(raw: Path) -> dict[str, bytes]:
    """A download as the archives that it was unpacked from."""
    contents: dict[str, dict[str, bytes]] = {"calib": {}, "poses": {}, "color": {}, "velodyne": {}}
    of_suffix = {".png": "color", ".bin": "velodyne"}
    for path in sorted(raw.rglob("*.*")):
        name = "poses" if path.parent.name == "poses" else of_suffix.get(path.suffix, "calib")
        contents[name][f"dataset/{path.relative_to(raw).as_posix()}"] = path.read_bytes()
    return {f"/data_odometry_{name}.zip": zipped(files) for name, files in contents.items()}


def test_a_download_is_fetched_found_and_prepared(
    server: HttpStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Frames 4 m apart, of which every other one is wished for, up to 21 m."""
    RawKitti(n_frames=8, spacing_m=4.0, lidar_points=500).write_odometry(tmp_path / "raw", "04")
    server.files = archives_of(tmp_path / "raw")
    wish = ["--runs", "04", "--spacing", "7.9", "--limit-m", "21", "--mirror", server.address, "--yes"]
    assert main(["data", "fetch", "kitti", *wish]) == 0
    said = capsys.readouterr().out
    assert said.index("licence   CC BY-NC-SA 3.0") < said.index("plan      6 files of frames, 6 of them to come")
    assert "next: crossplace bench --dataset kitti" in said
    assert main(["data", "check", "kitti"]) == 0
    assert "fetched in part (04: a frame every 7.9 m of the first 21 m)" in capsys.readouterr().out
    assert main(["data", "prepare", "kitti"]) == 0
    (folder,) = (tmp_path / "data" / "prepared").glob("kitti-*")
    prepared = PreparedDataset.read(folder)
    assert prepared.frames.frame_id.tolist() == ["04/000000", "04/000002", "04/000004"]
    assert prepared.origin is not None
    assert main(["data", "list"]) == 0
    assert main(["data", "list", "kitti"]) == 0


def test_a_script_gets_one_sentence_with_the_command_to_give(
    capsys: pytest.CaptureFixture[str], server: HttpStore
) -> None:
    assert main(["bench", "--dataset", "kitti"]) == 1
    said = capsys.readouterr().err
    assert said.endswith("or fetch a part (about 1.6 GB under CC BY-NC-SA 3.0 (no commercial use)): "
                         "crossplace data fetch kitti --yes\n")  # fmt: skip
    assert main(["data", "fetch", "kitti", "--mirror", server.address]) == 1
    assert "no terminal to ask on; add --yes if you agree" in capsys.readouterr().err
    assert not server.seen
    small = ["--runs", "07", "--limit-m", "10"]
    assert main(["data", "fetch", "kitti", *small, "--mirror", server.address, "--yes"]) == 0
    assert server.seen


@pytest.mark.parametrize("answer", [True, False])
def test_a_person_is_asked_and_the_command_goes_on(
    answer: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server: HttpStore, capsys: pytest.CaptureFixture[str]
) -> None:
    RawKitti(n_frames=8, spacing_m=4.0, lidar_points=500).write_odometry(tmp_path / "raw", "04")
    RawKitti(n_frames=8, spacing_m=4.0, lidar_points=500).write_odometry(tmp_path / "raw", "07")
    server.files = archives_of(tmp_path / "raw")
    monkeypatch.setattr(KittiStore, "address", server.address)
    monkeypatch.setattr(fetching, "is_asked", lambda: True)
    monkeypatch.setattr(fetching, "confirmed", lambda question: answer)
    assert main(["data", "prepare", "kitti"]) == (0 if answer else 1)
    out, err = capsys.readouterr()
    assert "cite" in out
    assert ("16 frames kept" in out) == answer
    assert ("nothing was fetched" in err) != answer
    assert bool(server.seen) == answer


def test_an_unfinished_fetch_is_no_source(server: HttpStore, capsys: pytest.CaptureFixture[str]) -> None:
    wish = ["--runs", "07", "--limit-m", "10", "--mirror", server.address, "--yes"]
    server.fault = lambda path, number: "403" if "velodyne" in path else ""
    assert main(["data", "fetch", "kitti", *wish]) == 1
    assert main(["data", "prepare", "kitti"]) == 1
    assert (
        "the last fetch did not finish; give its command again, or crossplace data fetch kitti --yes"
        in capsys.readouterr().err
    )
    server.fault = lambda path, number: ""
    assert main(["data", "fetch", "kitti", *wish]) == 0
    manifest = Manifest.found(Path("data/raw/kitti"))
    assert manifest is not None
    assert manifest.is_complete


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["fetch", "oxford"], "unknown dataset that can be fetched 'oxford'"),
        (["fetch", "kitti", "--preset", "maxi"], "unknown preset of kitti 'maxi'. Did you mean mini"),
        (["fetch", "kitti", "--connections", "0"], "--connections must be 1 to 64"),
        (["fetch", "kitti", "--limit-m", "0"], "--limit-m must be more than 0 metres"),
        (["fetch", "kitti", "--spacing", "-1"], "--spacing must be 0 (every frame) or more"),
        (["fetch", "kitti", "--runs", "17"], "17 cannot be fetched"),
        (["list", "oxford"], "unknown dataset that can be fetched 'oxford'"),
        (["sample", "town", "new"], "unknown sample 'town'"),
        (["sample", "kitti", "."], "there is something already; name a new folder"),
    ],
)
def test_wrong_words_are_refused_in_a_sentence(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.txt").write_text("x")
    assert main(["data", *words]) == 1
    assert said in capsys.readouterr().err


def test_a_sample_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    steps = write_sample("vivid", tmp_path / "sample")
    next(steps)
    assert not (tmp_path / "sample").exists()
    steps.close()
    with pytest.raises(CrossplaceError, match="name a new folder"):
        list(write_sample("vivid", Path(__file__)))
