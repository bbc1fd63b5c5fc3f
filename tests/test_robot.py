"""The robot of docs/robot.md: its drive, its commands, and the node of ROS 2 without ROS."""

import ast
import importlib.util
import re
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from localizers import half_at
from rich.console import Console

from benchmark.deploy.localizer import Localizer
from benchmark.deploy.pose_graph import read_g2o, solved
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset
from methods.height_histogram import HeightHistogram

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "robot.md").read_text()


def module_at(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


drive = module_at(DOCS / "example-robot" / "drive.py")
core = module_at(DOCS / "example-ros2" / "crossplace_ros" / "core.py")

# --- the drive -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_drive_is_straightened_by_its_map(tiny_town: PreparedDataset, tmp_path: Path) -> None:
    console = Console(record=True, width=80)
    outcome = drive.run(drive.Drive(preset="tiny", to=tmp_path), console)
    assert outcome.n_frames == (tiny_town.frames.traversal == "test-evening").sum()
    assert outcome.n_sure >= 10
    assert outcome.n_sure_and_right / outcome.n_sure >= 0.7, "probabilities mean what they say"
    assert outcome.drift_m > 8
    assert outcome.left_m < outcome.drift_m / 4
    graph = read_g2o(tmp_path / "drive.g2o")
    n_map = int((tiny_town.frames.traversal == "test-day").sum())
    assert graph.is_fixed.tolist() == [True] * (n_map + 1) + [False] * (outcome.n_frames - 1)
    assert len(graph.edges) == outcome.n_frames - 1 + outcome.n_sure
    robust = replace(graph, edges=[replace(edge, is_robust=edge.start < n_map) for edge in graph.edges])
    truth_m = tiny_town.frames.position_m[tiny_town.frames.traversal == "test-evening", :2]
    off_m = np.hypot(*(solved(robust)[-len(truth_m) :, :2] - truth_m).T)
    assert np.sqrt(np.square(off_m).mean()) == pytest.approx(outcome.left_m, rel=0.01)
    seen = console.export_text()
    assert "test-evening in a map of test-day" in seen
    assert f"{outcome.n_sure} of {outcome.n_frames} frames are sure (at least 0.7)." in seen


def test_the_python_of_the_page_runs(tiny_town: PreparedDataset, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}
    blocks = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    exec(compile("".join(blocks), "docs/robot.md", "exec"), names)
    assert names["town"].folder == tiny_town.folder
    assert 0 < names["place"].probability < 1
    assert names["place"].traversal == "test-day"
    assert len(names["again"]) == len(names["localizer"]) + 1
    assert names["closure"].name == names["name"], "the same place, an hour later"


# --- ROS 2 ---------------------------------------------------------------------------------------


def image_message(pixels: np.ndarray, encoding: str, padding: int = 0) -> SimpleNamespace:
    height, width, *_ = pixels.shape
    rows = pixels.reshape(height, -1)
    padded = np.pad(rows, ((0, 0), (0, padding)), constant_values=77)
    return SimpleNamespace(
        encoding=encoding, height=height, width=width, step=padded.shape[1], data=padded.tobytes(), is_bigendian=0
    )


def test_images_of_every_encoding_are_read() -> None:
    rgb = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    alpha = np.full((2, 3, 1), 9, dtype=np.uint8)
    stored = {
        "rgb8": rgb,
        "bgr8": rgb[..., ::-1],
        "rgba8": np.concatenate([rgb, alpha], axis=2),
        "bgra8": np.concatenate([rgb[..., ::-1], alpha], axis=2),
    }
    assert {*stored, "mono8"} == {*core.CHANNELS}
    for encoding, pixels in stored.items():
        for padding in (0, 5):
            assert (core.image_array(image_message(pixels, encoding, padding)) == rgb).all()
    grey = rgb[..., 0]
    assert (core.image_array(image_message(grey, "mono8", 2)) == grey[..., None]).all()


def test_images_that_cannot_be_read_are_said() -> None:
    message = image_message(np.zeros((2, 3, 3), dtype=np.uint8), "bayer_rggb8")
    with pytest.raises(CrossplaceError, match="'bayer_rggb8' is not supported; publish one of rgb8, bgr8"):
        core.image_array(message)
    message = image_message(np.zeros((2, 3, 3), dtype=np.uint8), "rgb8")
    message.data = message.data[:-1]
    with pytest.raises(CrossplaceError, match="17 bytes for 2 rows of 9; look at the driver"):
        core.image_array(message)


def cloud_message(points: np.ndarray, order: str = "<", dtype: str = "f4", height: int = 1) -> SimpleNamespace:
    """Points with an intensity before them, four bytes behind each, and eight behind each row."""
    number = {"f4": 7, "f8": 8}[dtype]
    size = np.dtype(dtype).itemsize
    layout = {"names": ["i", "x", "y", "z"], "formats": ["u2", *[order + dtype] * 3]}
    point = np.dtype(layout | {"offsets": [0, 2, 2 + size, 2 + 2 * size], "itemsize": 6 + 3 * size})
    table = np.zeros(len(points), dtype=point)
    for axis, column in zip("xyz", points.T, strict=True):
        table[axis] = column
    fields = [
        SimpleNamespace(name=n, offset=point.fields[n][1], datatype=number if n != "i" else 4) for n in point.names
    ]
    width = len(points) // height
    rows = [table[row * width : (row + 1) * width].tobytes() + b"\xff" * 8 for row in range(height)]
    return SimpleNamespace(
        fields=fields,
        width=width,
        height=height,
        point_step=point.itemsize,
        row_step=width * point.itemsize + 8,
        data=b"".join(rows),
        is_bigendian=order == ">",
    )


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("height", [1, 3])
def test_clouds_of_every_layout_are_read(order: str, dtype: str, height: int) -> None:
    points = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
    assert (core.cloud_array(cloud_message(points, order, dtype, height)) == points).all()
    holes = points.copy()
    holes[4, 1] = np.nan
    assert (core.cloud_array(cloud_message(holes, order, dtype, height)) == np.delete(points, 4, axis=0)).all()


def test_a_cloud_without_an_axis_is_said() -> None:
    message = cloud_message(np.zeros((2, 3)))
    message.fields = message.fields[:3]
    with pytest.raises(CrossplaceError, match="no field 'z' among i, x, y; publish points with x, y and z"):
        core.cloud_array(message)


def test_a_covariance_turns_with_the_place() -> None:
    planar = ((4.0, 0.0, 0.1), (0.0, 1.0, 0.2), (0.1, 0.2, 0.01))
    ahead = np.array(core.in_world(planar, 0.0)).reshape(6, 6)
    assert np.diag(ahead).tolist() == [4.0, 1.0, 4.0, 0.01, 0.01, 0.01]
    assert (ahead[0, 5], ahead[1, 5]) == (0.1, 0.2)
    north = np.array(core.in_world(planar, np.pi / 2)).reshape(6, 6)
    assert north[0, 0] == pytest.approx(1.0)
    assert north[1, 1] == pytest.approx(4.0)
    assert (north[0, 5], north[1, 5]) == pytest.approx((-0.2, 0.1))  # forward is north, left is west
    assert (north == north.T).all()


def test_the_core_answers_if_it_is_sure(small_world: PreparedDataset) -> None:
    localizer = Localizer.build(HeightHistogram().eval(), small_world, ["morning"])
    frame = small_world.frame(12)
    message, cloud = image_message(small_world.load_image(frame), "rgb8"), cloud_message(small_world.load_cloud(frame))
    assert core.Core(localizer).on_image(message) is None, "without a calibration nothing is sure"
    localizer.calibrations |= {"image": half_at(100.0), "cloud": half_at(1e-9)}
    answering = core.Core(localizer)
    found, (best,) = answering.on_image(message), localizer.query(image=small_world.load_image(frame), top=1)
    assert (found.frame_id, found.position, found.probability) == ("small", best.position_m, best.probability)
    assert found.quaternion_xyzw == (*best.quaternion_wxyz[1:], best.quaternion_wxyz[0])
    assert found.covariance == core.in_world(half_at(1.0).covariance, best.yaw_rad)
    assert answering.on_cloud(cloud) is None
    localizer.calibrations["cloud"] = half_at(100.0)
    assert answering.on_cloud(cloud).frame_id == "small"


def test_the_node_uses_what_the_core_has_and_the_package_names_it() -> None:
    package = DOCS / "example-ros2"
    tree = ast.parse((package / "crossplace_ros" / "node.py").read_text())
    imported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "crossplace_ros.core"
        for alias in node.names
    }
    assert imported == {"Core", "Pose"}
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    fields = {node.attr for node in attributes if isinstance(node.value, ast.Name) and node.value.id == "found"}
    assert fields == {*core.Pose.__dataclass_fields__}
    asked = {node.attr for node in attributes if node.attr.startswith("on_")}
    assert asked == {name for name in vars(core.Core) if name.startswith("on_")}
    assert "localizer = crossplace_ros.node:main" in (package / "setup.py").read_text()
    assert [node.name for node in tree.body if isinstance(node, ast.FunctionDef)] == ["main"]
