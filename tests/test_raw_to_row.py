"""From a raw download to a row: what a person types, on the town as each dataset would have recorded it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from raw_vivid import SMALL, SmallVivid

from benchmark.cli.main import main
from benchmark.records.schema import Result
from benchmark.registry import DATASETS
from datasets.protocols import PROTOCOLS
from datasets.samples.boreas import run_through
from datasets.samples.kitti import RawKitti
from datasets.samples.oxford import RawRun, write_official
from datasets.samples.vivid import Car, write_bag
from datasets.town import Town

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CROSSPLACE_DATA", str(tmp_path / "data"))


def row_of(*arguments: str) -> Result:
    """The result of a method without training, after the doctor has found nothing."""
    dataset, source, *more = arguments
    assert main(["data", "check", dataset, "--source", source]) == 0
    row = ["bench", "--method", "height_histogram", "--device", "cpu", "--dataset", dataset, "--source", source, *more]
    assert main(row) == 0
    (folder,) = Path("runs/results").glob("height_histogram-*")
    return Result.read(folder)


def test_oxford(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two of the 23 runs, in the first of the four squares."""
    early = RawRun(name="2014-11-14-16-34-33", end_s=32.0)
    late = replace(early, name="2014-12-09-13-21-02", light="evening", clock_us=86_400_000_000, drive_number=1)
    square = PROTOCOLS["oxford-vxp"].query.regions[0]
    east_m, north_m = np.mean(
        [run.drive.pose_at(np.linspace(8, 32, 9))[:, :2, 3].mean(0) for run in (early, late)], axis=0
    )
    at = (square.east_m - east_m, square.north_m - north_m, 110.0)
    runs = [replace(run, origin_m=at) for run in (early, late)]
    for run in runs:
        write_official(tmp_path / "raw", run)
    result = row_of("oxford", "raw")
    assert [(p.query, p.database) for p in result.directions["cloud->cloud"].pairs] == [
        ("2014-11-14-16-34-33", "2014-12-09-13-21-02"),
        ("2014-12-09-13-21-02", "2014-11-14-16-34-33"),
    ]
    assert result.directions["image->cloud"].mean.n_counted > 10
    assert "oxford-vxp v1 · PARTIAL: 21 test traversals are absent" in capsys.readouterr().out
    assert any("2015-11-13-10-28-08" in warning for warning in result.warnings)


def test_kitti(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A tour that drives every street in both directions stands for 00; 03 trains and 10 validates."""
    RawKitti(n_frames=1000, lidar_points=1500).write_odometry(tmp_path / "raw", "00")
    for name in ("03", "10"):
        RawKitti(n_frames=3, lidar_points=1500).write_odometry(tmp_path / "raw", name)
    result = row_of("kitti", "raw", "--protocol", "kitti-revisit")
    found = result.directions["cloud->cloud"].pooled
    assert 10 < found.n_counted < found.n_queries
    assert "kitti-revisit v1 · PARTIAL: 6 test traversals are absent" in capsys.readouterr().out


def test_vivid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """By day, on another day and by night on a campus; the camera's images are small."""
    monkeypatch.setitem(DATASETS.entries, "vivid", f"{SmallVivid.__module__}:{SmallVivid.__name__}")
    (drive,) = (d for d in Town(preset="tiny").drives() if d.name == "test-day")
    for run, light, late_s in (("day1", "day", 0.0), ("day2", "evening", 0.5), ("night", "night", 1.0)):
        car = Car(drive=replace(drive, light=light), calibration=SMALL)
        write_bag(tmp_path / "raw" / f"campus_{run}.bag", car.messages(np.arange(10) * 2.0 + 3.0 + late_s))
    result = row_of("vivid", "raw")
    assert {(p.query, p.database) for p in result.directions["image->cloud"].pairs} == {
        ("campus_day1", "campus_day2"),
        ("campus_day2", "campus_day1"),
        ("campus_night", "campus_day2"),
        ("campus_day2", "campus_night"),
    }
    assert "vivid-vxp v1 · PARTIAL" in capsys.readouterr().out
    assert any("trained on" in warning for warning in result.warnings), "day1 asks, is searched and is trained on"


def test_boreas(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two of the eight runs, through all three districts, which lie where the protocol trains, selects and asks."""
    by_day = [drive for drive in Town(preset="tiny").drives() if drive.light == "day"]
    by_night = [replace(drive, light="night") for drive in by_day]
    first = run_through(by_day, "2020-12-18-13-44", 14)
    second = run_through(by_night, "2021-09-14-20-00", 14, start_us=1_631_664_049_000_000, again=first)
    for run in (first, second):
        run.write(tmp_path / "raw")
    result = row_of("boreas", "raw")
    assert {(p.query, p.database) for p in result.directions["image->cloud"].pairs} == {
        ("2020-12-18-13-44", "2021-09-14-20-00"),
        ("2021-09-14-20-00", "2020-12-18-13-44"),
    }
    assert result.directions["cloud->cloud"].mean.n_counted > 10
    assert "boreas-5m v1 · PARTIAL: 6 test traversals are absent" in capsys.readouterr().out
    (leak,) = [warning for warning in result.warnings if warning.startswith("leak")]
    assert "queries" not in leak, "they are apart from places of training; the searched runs are whole"
