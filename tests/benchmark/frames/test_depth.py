"""Files of depth that cannot be right are refused before anything is trained, and the cure in each sentence works."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from depth_files import describe
from PIL import Image
from scipy.interpolate import NearestNDInterpolator

from benchmark.frames.depth import FEWEST_POINTS, SAMPLE, TURNS, depth_faults
from benchmark.request import DataOptions, MethodOptions, Request
from benchmark.runs.plan import Plan
from benchmark.runs.run import train
from datasets.base import Intrinsics
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset
from datasets.projection import project

Change = Callable[[np.ndarray], np.ndarray]
"""From metres to what is stored."""


def truth(dataset: PreparedDataset, row: int) -> np.ndarray:
    """Depth of a whole image: at each pixel that of the nearest point of the LiDAR."""
    frame = dataset.frame(row)
    assert frame.intrinsics is not None
    assert frame.camera_from_lidar is not None
    pixels, depth_m = project(dataset.load_cloud(frame).astype(np.float64), frame.intrinsics, frame.camera_from_lidar)
    right, down = np.meshgrid(np.arange(frame.intrinsics.width) + 0.5, np.arange(frame.intrinsics.height) + 0.5)
    return NearestNDInterpolator(pixels, depth_m)(right, down)


@pytest.fixture(scope="module")
def metres(tiny_town: PreparedDataset) -> dict[str, np.ndarray]:
    """True depth of the first traversal, by frame."""
    name = tiny_town.frames.traversal[0]
    rows = np.flatnonzero(tiny_town.frames.traversal == name)
    return {tiny_town.frames.frame_id[row]: truth(tiny_town, int(row)) for row in rows}


def rows_of(dataset: PreparedDataset, metres: dict[str, np.ndarray]) -> np.ndarray:
    return np.flatnonzero(np.isin(dataset.frames.frame_id.astype(str), list(metres)))


def write(folder: Path, metres: dict[str, np.ndarray], change: Change, unit_m: float = 1.0) -> None:
    describe(folder, format="npy", unit_m=unit_m)
    for frame_id, depth_m in metres.items():
        path = folder / f"{frame_id}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, change(depth_m).astype(np.float32))


def fault(dataset: PreparedDataset, folder: Path, metres: dict[str, np.ndarray]) -> str:
    found = depth_faults(dataset, folder, rows_of(dataset, metres))
    assert len(found) <= 1
    return found[0] if found else ""


def half(depth_m: np.ndarray) -> np.ndarray:
    return depth_m[::2, ::2]


@pytest.mark.parametrize(
    ("change", "unit_m"),
    [
        (lambda d: d, 1.0),
        (lambda d: d * 256, 1 / 256),
        (half, 1.0),
        (lambda d: 1.6 * d, 1.0),
        (lambda d: 0.6 * d, 1.0),
        (lambda d: np.where(np.arange(d.shape[1]) % 3 == 0, d, 0), 1.0),
        (lambda d: np.where(d < 60, d, np.inf), 1.0),
    ],
    ids=["metres", "in 1/256", "half the size", "far", "near", "every third column", "endless sky"],
)
def test_depth_that_may_be_right_passes(
    change: Change, unit_m: float, tiny_town: PreparedDataset, metres: dict[str, np.ndarray], tmp_path: Path
) -> None:
    write(tmp_path, metres, change, unit_m)
    assert fault(tiny_town, tmp_path, metres) == ""


@pytest.mark.parametrize("factor", [1 / 256, 0.01, 0.4, 3.3, 256, 1000, 65_536])
def test_another_unit_is_found_and_the_unit_that_is_proposed_fits(
    factor: float, tiny_town: PreparedDataset, metres: dict[str, np.ndarray], tmp_path: Path
) -> None:
    write(tmp_path, metres, lambda d: d * factor)
    said = re.search(
        r"depth is (\S+) times the LiDAR's .* unit_m in depth.json is 1, and (\S+) would fit",
        fault(tiny_town, tmp_path, metres),
    )
    assert said
    assert float(said[1]) == pytest.approx(factor, rel=0.1)
    describe(tmp_path, format="npy", unit_m=float(said[2]))
    assert fault(tiny_town, tmp_path, metres) == ""


@pytest.mark.parametrize("scale", [1.0, 30.0, 300.0, 65_536.0])
def test_inverse_depth_is_found_whatever_its_scale_and_advice_ends_in_metres(
    scale: float, tiny_town: PreparedDataset, metres: dict[str, np.ndarray], tmp_path: Path
) -> None:
    write(tmp_path, metres, lambda d: scale / d)
    said = fault(tiny_town, tmp_path, metres)
    assert "depth does not rise with the LiDAR's (rank correlation -" in said
    assert "for inverse depth (disparity), store its reciprocal" in said
    write(tmp_path, metres, lambda d: 1 / (scale / d))
    if unit := re.search(r"unit_m in depth.json is 1, and (\S+) would fit", fault(tiny_town, tmp_path, metres)):
        assert scale > 1
        describe(tmp_path, format="npy", unit_m=float(unit[1]))
    assert fault(tiny_town, tmp_path, metres) == ""


def test_depth_that_is_the_same_everywhere_is_found(
    tiny_town: PreparedDataset, metres: dict[str, np.ndarray], tmp_path: Path
) -> None:
    write(tmp_path, metres, lambda d: np.full_like(d, 12.0))
    assert "depth does not rise with the LiDAR's (rank correlation 0.00)" in fault(tiny_town, tmp_path, metres)


@pytest.mark.parametrize("name", ["depth[:, ::-1]", "depth[::-1]", "depth[::-1, ::-1]"])
@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_turned_depth_is_found_and_the_advised_turn_is_right(
    name: str, noise: float, tiny_town: PreparedDataset, metres: dict[str, np.ndarray], tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    noisy = {name: d * np.exp(random.normal(scale=noise, size=d.shape)) for name, d in metres.items()}
    write(tmp_path, noisy, lambda d: d)
    assert fault(tiny_town, tmp_path, metres) == ""
    write(tmp_path, noisy, TURNS[name])
    said = fault(tiny_town, tmp_path, metres)
    assert "depth is turned: its rank correlation with the LiDAR's is" in said
    assert said.endswith(f"after a turn: save {name}")
    write(tmp_path, noisy, lambda d: TURNS[name](TURNS[name](d)))
    assert fault(tiny_town, tmp_path, metres) == ""


def test_transposed_depth_of_a_square_image_is_found(
    tiny_town: PreparedDataset, metres: dict[str, np.ndarray], tmp_path: Path
) -> None:
    """The town's images, cut to squares, with the intrinsics of the cut."""
    k = next(iter(tiny_town.traversals.values())).intrinsics
    assert k is not None
    square = Intrinsics(fx=k.fx, fy=k.fy, cx=k.cx - 20, cy=k.cy, width=120, height=120)
    frames = replace(tiny_town.frames, image=tiny_town.frames.image.copy())
    for row in rows_of(tiny_town, metres):
        frames.image[row] = str(tmp_path / f"{row}.png")
        Image.fromarray(tiny_town.load_image(tiny_town.frame(int(row)))[:, 20:140]).save(frames.image[row])
    traversals = {name: replace(t, intrinsics=square) for name, t in tiny_town.traversals.items()}
    world = replace(tiny_town, frames=frames, traversals=traversals)
    write(tmp_path, metres, lambda d: d[:, 20:140])
    assert fault(world, tmp_path, metres) == ""
    write(tmp_path, metres, lambda d: d[:, 20:140].T)
    assert fault(world, tmp_path, metres).endswith("after a turn: save depth.T")


def test_transposed_depth_is_recognised_and_its_cure_works(
    tiny_town: PreparedDataset, metres: dict[str, np.ndarray], tmp_path: Path
) -> None:
    write(tmp_path, metres, np.transpose)
    said = fault(tiny_town, tmp_path, metres)
    assert "120×160 pixels of depth are of another aspect ratio than the image's 160×120" in said
    assert "this looks transposed: save depth.T" in said
    write(tmp_path, metres, lambda d: d.T.T)
    assert fault(tiny_town, tmp_path, metres) == ""


@pytest.mark.parametrize(
    "change", [lambda d: d[10:], lambda d: d[:, :-8], lambda d: np.pad(d, 4)], ids=["rows", "columns", "padded"]
)
def test_cropped_depth_is_found(
    change: Change, tiny_town: PreparedDataset, metres: dict[str, np.ndarray], tmp_path: Path
) -> None:
    write(tmp_path, metres, change)
    found = fault(tiny_town, tmp_path, metres)
    if change(np.zeros((120, 160))).shape == (128, 168):
        assert found == "", "1.6 % is what rounding of sizes does"
    else:
        assert "write the depth of the whole image again, uncut" in found


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan])
def test_files_without_a_known_pixel_are_found_and_counted(
    value: float, tiny_town: PreparedDataset, metres: dict[str, np.ndarray], tmp_path: Path
) -> None:
    write(tmp_path, metres, lambda d: np.full_like(d, value))
    n = min(SAMPLE, len(metres))
    assert fault(tiny_town, tmp_path, metres).endswith(
        f".npy: no pixel is known; 0, negative and non-finite numbers mean unknown: write it again ({n} of {n} files "
        "looked at have such a fault)"
    )


@pytest.mark.parametrize(("factor", "is_right"), [(1.0, True), (0.001, False), (256.0, False)])
def test_without_a_lidar_the_median_must_be_that_of_a_street(
    factor: float, is_right: bool, tiny_town: PreparedDataset, metres: dict[str, np.ndarray], tmp_path: Path
) -> None:
    frames = replace(tiny_town.frames, cloud=np.full_like(tiny_town.frames.cloud, ""))
    write(tmp_path, metres, lambda d: d * factor)
    found = fault(replace(tiny_town, frames=frames), tmp_path, metres)
    assert is_right is (found == "")
    assert is_right or "expected 0.5 to 300 m: correct unit_m in depth.json, which is 1" in found
    describe(tmp_path, format="npy", unit_m=1 / factor)
    assert fault(replace(tiny_town, frames=frames), tmp_path, metres) == ""


def test_too_few_known_points_say_nothing(
    tiny_town: PreparedDataset, metres: dict[str, np.ndarray], tmp_path: Path
) -> None:
    def one_pixel(depth_m: np.ndarray) -> np.ndarray:
        found = np.zeros_like(depth_m)
        found[60, 80] = 100.0
        return found

    assert FEWEST_POINTS > SAMPLE
    write(tmp_path, metres, one_pixel)
    assert fault(tiny_town, tmp_path, metres) == ""


def test_a_missing_file_is_named(tiny_town: PreparedDataset, metres: dict[str, np.ndarray], tmp_path: Path) -> None:
    describe(tmp_path, format="npy")
    with pytest.raises(CrossplaceError, match=r"no depth file .*\.npy; write one for every frame with an image"):
        fault(tiny_town, tmp_path, metres)


def test_frames_without_images_need_no_depth(tiny_town: PreparedDataset, tmp_path: Path) -> None:
    frames = replace(tiny_town.frames, image=np.full_like(tiny_town.frames.image, ""))
    describe(tmp_path)
    assert depth_faults(replace(tiny_town, frames=frames), tmp_path, np.arange(len(frames))) == []


def test_wrong_depth_ends_a_run_before_training_and_right_depth_does_not(
    tiny_town: PreparedDataset, tmp_path: Path
) -> None:
    everything = {
        frame_id: truth(tiny_town, row) for row, frame_id in enumerate(tiny_town.frames.frame_id)
    }  # a plan may ask for any of them
    folder = tmp_path / "depth"
    folder.mkdir()
    describe(folder, unit_m=1.0)
    for frame_id, depth_m in everything.items():
        (folder / f"{frame_id}.png").parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((depth_m * 256).astype(np.uint16)).save(folder / f"{frame_id}.png")
    request = Request(
        data=DataOptions(dataset="town", dataset_options=("preset=tiny",)),
        method=MethodOptions(name="lc2", depth=str(folder), untrained=True),
    )
    with pytest.raises(CrossplaceError, match=r"times the LiDAR's \(median\).*would fit \(docs/depth\.md\)"):
        train(Plan(request))
    description = json.loads((folder / "depth.json").read_text())
    (folder / "depth.json").write_text(json.dumps(description | {"unit_m": 1 / 256}))
    assert train(Plan(request)).config.depth.source.folder == str(folder)
