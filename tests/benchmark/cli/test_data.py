"""``crossplace data``: what a person types is what the makers of prepared folders get."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from benchmark.cli.data import DriveOptions
from benchmark.cli.main import main
from datasets.prepared import PreparedDataset
from datasets.trajectory.drive import Drive

TUM = "1403636579.0 0 0 0 0 0 0 1\n1403636580.0 10 0 0 0 0 0 1\n"


def person(folder: Path) -> list[str]:
    """Options of a drive with one cloud."""
    (folder / "lidar").mkdir()
    (folder / "poses.txt").write_text(TUM)
    (folder / "calibration.yaml").write_text("trajectory_of: lidar\n")
    np.save(folder / "lidar" / "1403636579500.npy", np.ones((3, 3)))
    named = {"trajectory": "poses.txt", "calibration": "calibration.yaml", "clouds": "lidar"}
    return [f"--{key}={folder / name}" for key, name in named.items()] + ["--traversal=monday"]


def test_the_options_of_a_drive_are_its_fields_with_their_defaults() -> None:
    options, drive = ({f.name: f.default for f in fields(kind)} for kind in (DriveOptions, Drive))
    assert options == drive


def test_a_drive_becomes_a_folder_and_says_what_was_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = person(tmp_path)
    assert main(["data", "from-trajectory", str(tmp_path / "own"), *options, "--name", "mine", "--world", "w"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said == [
        f"{tmp_path / 'poses.txt'}: TUM, 2 times in s (recognised by magnitude)",
        f"{tmp_path / 'lidar'}: 1 times in ms (recognised by magnitude)",
        f"{tmp_path / 'own'}: 1 frame kept, 1 traversal, 0 m, 0 min",
    ]
    found = PreparedDataset.read(tmp_path / "own")
    assert (found.name, found.frames.world.tolist()) == ("mine", ["w"])
    np.testing.assert_allclose(found.frames.position_m, [[5, 0, 0]], atol=1e-9)


def test_a_registered_name_is_refused_and_another_one_accepted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["data", "from-trajectory", str(tmp_path / "kitti"), *person(tmp_path)]
    assert main(command) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert said == "error: the name 'kitti' belongs to a registered dataset; choose another one with --name"
    assert main([*command, "--name", "my-kitti"]) == 0
