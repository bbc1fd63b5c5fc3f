"""True depth of the town's images: files that agree with the LiDAR of the prepared town."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark.frames.depth import depth_faults
from benchmark.frames.preparing import locate, prepare
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset
from datasets.projection import project
from datasets.town.depth import UNIT_M, write_depth
from datasets.town.town import Town
from methods.layers.depth.files import described_files

FEW = Town(preset="tiny", every=20)


@pytest.fixture(scope="module")
def frames(data_folder: Path) -> PreparedDataset:
    return prepare(locate("town", None, ["preset=tiny", "every=20"]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, frames: PreparedDataset) -> Path:
    path = tmp_path_factory.mktemp("depth")
    assert len(list(write_depth(FEW, path, workers=1))) == len(frames.frames)
    return path


def stored_m(folder: Path, frame_id: str) -> np.ndarray:
    return np.asarray(Image.open(folder / f"{frame_id}.png")).astype(np.float64) * UNIT_M


def test_there_is_a_file_for_every_image_and_their_description(folder: Path, frames: PreparedDataset) -> None:
    assert {path.stem for path in folder.glob("*.png")} == set(frames.frames.frame_id.tolist())
    assert json.loads((folder / "depth.json").read_text())["unit_m"] == 1 / 256
    assert "true depth of the town, version 2" in described_files(folder).made_by


def test_depth_is_that_of_the_lidar_at_its_points(folder: Path, frames: PreparedDataset) -> None:
    assert depth_faults(frames, folder, np.arange(len(frames.frames))) == []
    off = []
    for row in range(len(frames.frames)):
        frame = frames.frame(row)
        assert frame.intrinsics is not None
        assert frame.camera_from_lidar is not None
        points = frames.load_cloud(frame).astype(np.float64)
        pixels, lidar_m = project(points, frame.intrinsics, frame.camera_from_lidar)
        column, line = np.floor(pixels).astype(int).T
        seen_m = stored_m(folder, frame.frame_id)[line, column]
        off += (seen_m[seen_m > 0] / lidar_m[seen_m > 0] - 1).tolist()
    assert abs(np.median(off)) < 0.005
    assert np.mean(np.abs(off) < 0.05) > 0.9  # the others are edges, within a pixel of something nearer or farther


def test_the_sky_is_unknown_and_the_road_is_known(folder: Path, frames: PreparedDataset) -> None:
    for frame_id in frames.frames.frame_id.tolist():
        depth_m = stored_m(folder, frame_id)
        assert (depth_m[-1] > 0).all()
        assert depth_m.max() < 256
    assert any((stored_m(folder, frame_id)[0] == 0).any() for frame_id in frames.frames.frame_id.tolist())


def test_files_that_are_there_are_kept_and_the_others_do_not_depend_on_the_workers(
    folder: Path, tmp_path: Path
) -> None:
    first, *others = sorted(path.name for path in folder.glob("*.png"))
    (tmp_path / first).write_bytes(b"kept")
    (tmp_path / others[0]).touch()  # empty, as a crash of the machine may leave it
    list(write_depth(FEW, tmp_path, workers=2))
    assert (tmp_path / first).read_bytes() == b"kept"
    for name in [*others, "depth.json"]:
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_depth_of_another_town_is_never_mixed_in(folder: Path) -> None:
    with pytest.raises(CrossplaceError, match="holds depth of something else"):
        next(write_depth(Town(preset="tiny", every=10), folder))
