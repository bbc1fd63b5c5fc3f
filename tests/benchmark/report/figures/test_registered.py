"""The picture of a finished registration: three queries that nobody chose, from the start, as found, and as true."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark.cli.registration import Register, RegistrarOptions
from benchmark.evaluation.registration import pose_errors
from benchmark.records.registration import POSES
from benchmark.report.figures import registered
from benchmark.report.figures.local_map import Panel
from benchmark.request import DataOptions, MachineOptions, RegistrationOptions
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset


def command(world: PreparedDataset, runs: Path, name: str, picture: Path) -> Register:
    return Register(
        data=DataOptions(dataset=str(world.folder)),
        method=RegistrarOptions(name=name),
        machine=MachineOptions(runs=runs, device="cpu"),
        how=RegistrationOptions(queries=9),
        picture=picture,
    )


def test_the_picture_shows_quartiles_with_their_errors(
    small_world: PreparedDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With ``keep`` the found pose is the start, and the lines are the quartiles of the starts' errors."""
    shown: list[list[Panel]] = []
    draw_sheet = registered.sheet_of
    monkeypatch.setattr(registered, "sheet_of", lambda data, lines: (shown.extend(lines), draw_sheet(data, lines))[1])
    command(small_world, tmp_path, "keep", tmp_path / "picture.png")()
    (path,) = tmp_path.rglob(POSES)
    with np.load(path) as stored:
        off_m = np.sort(pose_errors(stored["rough"][:, 0], stored["truth"]).translation_m)
    captions = [[panel.caption for panel in line] for line in shown]
    assert [float(line[0].split()[1]) for line in captions] == [round(float(off_m[i]), 2) for i in (2, 4, 6)]
    assert [line[1].removeprefix("keep") for line in captions] == [line[0].removeprefix("start") for line in captions]
    assert all(line[2] == "truth" for line in captions)
    for start, found, truth in shown:
        assert np.allclose(start.map_from_camera, found.map_from_camera, atol=1e-4)
        assert not np.allclose(start.map_from_camera, truth.map_from_camera, atol=1e-2)
        assert np.abs(truth.map_from_camera[:3, 3]).max() < 5, "counted from the map's own origin"
    with Image.open(tmp_path / "picture.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert pixels.std() > 10, "empty"
    assert pixels.shape[1] > 1500


def test_another_ending_is_refused_before_anything_is_done(small_world: PreparedDataset, tmp_path: Path) -> None:
    with pytest.raises(CrossplaceError, match=r"picture\.svg: .* \.png or \.jpg"):
        command(small_world, tmp_path, "keep", tmp_path / "picture.svg")()
    assert not [*tmp_path.iterdir()]


def test_poses_that_are_gone_are_named(tmp_path: Path) -> None:
    with pytest.raises(CrossplaceError, match="run crossplace register again"):
        registered._first_poses(tmp_path / POSES)


def test_without_a_pose_there_is_nothing_to_draw(tmp_path: Path) -> None:
    none = np.full((4, 1, 4, 4), np.nan)
    np.savez(tmp_path / POSES, query_row=np.arange(4), truth=none[:, 0], rough=none, pose=none)
    with pytest.raises(CrossplaceError, match="leave --picture out"):
        registered._first_poses(tmp_path / POSES)
