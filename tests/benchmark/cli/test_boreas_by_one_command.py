"""``bench --dataset boreas`` on a machine without data: asked, fetched, prepared and scored by one command.

The store is a server on this machine. Its pose tables name thousands of files, which are rendered when asked for.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Lock

import pytest
from http_store import HttpStore, serving

from benchmark.cli import fetching
from benchmark.cli.main import main
from datasets.boreas.layout import CAMERA, LIDAR, folder_of
from datasets.fetching.boreas import BoreasStore
from datasets.fetching.store import Wish
from datasets.samples.boreas import RUNS, RawBoreas, run_through
from datasets.town import Town
from datasets.town.lidar import SpinningLidar, evenly

FEW = SpinningLidar(elevations_deg=evenly(-20.0, 10.0, 8), azimuths=120, max_range_m=120.0)
SENSOR_FILE = re.compile(rf"/boreas-(?P<run>[-\d]+)/(?P<sensor>{LIDAR}|{CAMERA})/(?P<stamp>\d+)\.(bin|png)")


class Rendered(dict[str, bytes]):
    """Tables and calibration of runs, and their images and sweeps as soon as somebody wants them."""

    def __init__(self, runs: list[RawBoreas], folder: Path) -> None:
        for run in runs:
            run.write_texts(folder)
        super().__init__({f"/{path.relative_to(folder).as_posix()}": path.read_bytes() for path in folder.rglob("*.*")})
        self.runs, self.scratch, self.lock = {run.name: run for run in runs}, folder, Lock()

    def get(self, path: str, default: bytes | None = None) -> bytes | None:  # type: ignore[override]
        with self.lock:  # the town keeps one district at a time, which two threads would build in turn
            self._render(path)
        return super().get(path, default)

    def _render(self, path: str) -> None:
        asked = SENSOR_FILE.fullmatch(path)
        if path not in self and asked:
            run, stamp = self.runs[asked["run"]], int(asked["stamp"])
            stamps = run.sweep_stamps_us if asked["sensor"] == LIDAR else run.image_stamps_us
            (piece,) = [number for number, of_piece in enumerate(stamps) if stamp in of_piece]
            target = self.scratch / Path(path).name
            (run.write_sweep if asked["sensor"] == LIDAR else run.write_image)(target, piece, stamp)
            self[path] = target.read_bytes()


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpStore]:
    drives = {drive.name: drive for drive in Town(preset="tiny").drives()}
    runs = []
    for number, name in enumerate(RUNS):  # by the same light, so that both drive the same tour
        through = [
            replace(drives[f"{district}-day"], spacing_m=5.5, image_size=(64, 54)) for district in ("train", "test")
        ]
        run = run_through(through, name, 12, start_us=1_623_966_720_000_000 + number * 10**13)
        runs.append(replace(run, lidar=FEW, sectors=2))
    (tmp_path / "store").mkdir()
    monkeypatch.setenv("CROSSPLACE_DATA", str(tmp_path / "data"))
    with serving(HttpStore(Rendered(runs, tmp_path / "store"))) as server:
        monkeypatch.setattr(BoreasStore, "address", server.address)
        smallest = Wish(runs=tuple(RUNS), spacing_m=10.0)
        monkeypatch.setattr(BoreasStore, "presets", {**BoreasStore.presets, "mini": smallest})
        yield server


@pytest.mark.slow
def test_one_command_asks_fetches_prepares_and_prints_a_row(
    store: HttpStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fetching, "is_asked", lambda: True)
    monkeypatch.setattr(fetching, "confirmed", lambda question: True)
    assert main(["bench", "--method", "height_histogram", "--dataset", "boreas"]) == 0
    out = capsys.readouterr().out
    assert out.index("licence   CC BY 4.0") < out.index("plan ") < out.index("image→cloud")
    assert "fetched in part" in out
    assert out.index("Bounds of R@1") < out.index("as papers print it")
    assert "81.75" in out, "the best published number across sessions"
    for run in RUNS:
        stamps = {path.stem for path in (tmp_path / "data/raw/boreas" / folder_of(run) / "lidar").iterdir()}
        assert 5 < len(stamps) < 30, "frames every 10 m, not every sweep of the tables"
