"""Registration as a person asks for it."""

from pathlib import Path

import pytest
from commands import crossplace, results_in, sentence

from benchmark.records.registration import RegistrationRecord
from benchmark.registry import REGISTRARS
from datasets.prepared import PreparedDataset


def test_a_row_goes_on_to_poses(
    small_world: PreparedDataset, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    row = ("bench", "--method", "height_histogram", "--dataset", small_world.folder, "--device", "cpu")
    crossplace(*row, "--register", "oracle", "--queries", "7")
    out = capsys.readouterr().out
    assert "retrieved: the frame that height_histogram quick retrieved first" in out
    assert "Does registration re-rank?" in out
    (path,) = tmp_path.glob("runs/registration/oracle-*/registration.json")
    record = RegistrationRecord.read(path)
    assert record.start.result == results_in(tmp_path / "runs")["height_histogram"].run_id
    assert record.all.end.accuracy.n_queries == 7
    assert record.all.end.accuracy.recall["0.25 m 2°"] == 1.0
    assert "unknown registrar 'orcle'. Did you mean oracle" in sentence(capsys, *row, "--register", "orcle")


@pytest.mark.parametrize(("what", "words"), [("registrars", "Rough pose as it is"), ("starts", "±0.6 m, ±2°")])
def test_registrars_and_starts_are_listed(what: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    crossplace("list", what)
    assert words in capsys.readouterr().out


@pytest.mark.data
def test_registration_runs_on_real_frames(kitti_mini: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The bounds on the maps of other sweeps, which must hold the walls that the query's own sweep saw."""
    for name, best in (("keep", 0.0), ("oracle", 1.0)):
        options = ("--dataset", "kitti", "--source", kitti_mini, "--device", "cpu", "--queries", "4")
        crossplace("register", "--method", name, *options)
        out = capsys.readouterr().out
        assert "SMOKE RUN: recall means nothing" in out
        (path,) = (tmp_path / "runs" / "registration").glob(f"{name}-*/registration.json")
        record = RegistrationRecord.read(path)
        assert record.all.end.accuracy.recall["0.25 m 2°"] == best
        assert record.all.end.accuracy.n_queries == 4
        assert record.maps.n_empty == 0
        assert record.maps.median_points > 50_000
        assert record.maps.least_gap_s is not None
        assert record.maps.least_gap_s > 0.5, "frames are half a second apart, and none is its own map"


@pytest.mark.data
@pytest.mark.parametrize("name", sorted({*REGISTRARS.names()} - {"keep", "oracle"}))
def test_every_registrar_runs_on_real_frames(name: str, kitti_mini: Path, tmp_path: Path) -> None:
    options = ("--dataset", "kitti", "--source", kitti_mini, "--device", "cpu", "--queries", "2", "--untrained")
    crossplace("register", "--method", name, *options)
    (path,) = (tmp_path / "runs" / "registration").glob(f"{name}-*/registration.json")
    record = RegistrationRecord.read(path)
    assert (record.all.end.accuracy.n_queries, record.all.end.accuracy.n_missing) == (2, 0)
