"""The calibration in YAML: strict, with either direction of a transform."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from datasets.base import BinLayout, Intrinsics, Lidar
from datasets.errors import CrossplaceError
from datasets.trajectory.calibration import Calibration, read_calibration

CAMERA_FROM_LIDAR = np.array([[0.0, -1, 0, 0.1], [0, 0, -1, 0.2], [1, 0, 0, 0.3], [0, 0, 0, 1]])
CAMERA = {"width": 8, "height": 6, "fx": 5.0, "fy": 5.5, "cx": 3.5, "cy": 2.5}


def read(folder: Path, **content: Any) -> Calibration:
    (folder / "c.yaml").write_text(yaml.safe_dump({"trajectory_of": "lidar"} | content))
    return read_calibration(folder / "c.yaml")


def test_least_and_most(tmp_path: Path) -> None:
    least = read(tmp_path)
    assert (least.camera, least.matrix_of_camera(), least.world_axes, least.georeferenced) == (
        None,
        None,
        "z_up",
        False,
    )
    np.testing.assert_array_equal(least.sensor_from_lidar(), np.eye(4))
    most = read(
        tmp_path,
        world_axes="camera",
        georeferenced=True,
        camera=CAMERA,
        camera_from_lidar=CAMERA_FROM_LIDAR.tolist(),
        body_from_lidar=np.eye(4).tolist(),
        lidar={"beams": 16, "vertical_fov_deg": [-15, 15], "max_range_m": 100, "form": "scan"},
        bin_layout={"columns": 5},
    )
    assert most.lidar == Lidar(beams=16, vertical_fov_deg=(-15.0, 15.0), max_range_m=100.0, form="scan")
    assert most.bin_layout == BinLayout(columns=5, dtype="float32")


def test_zero_at_the_centre_of_the_first_pixel_is_moved_to_its_edge(tmp_path: Path) -> None:
    at_edge = Intrinsics(fx=5.0, fy=5.5, cx=4.0, cy=3.0, width=8, height=6)
    for camera in (CAMERA, CAMERA | {"zero": "centre"}, CAMERA | {"zero": "edge", "cx": 4.0, "cy": 3.0}):
        found = read(tmp_path, camera=camera).camera
        assert found is not None
        assert found.intrinsics() == at_edge


@pytest.mark.parametrize(("sensor", "key"), [("camera", "camera_from_lidar"), ("body", "body_from_lidar")])
def test_either_direction_of_a_transform_is_the_same(sensor: str, key: str, tmp_path: Path) -> None:
    inverse = f"lidar_from_{sensor}"
    one = read(tmp_path, trajectory_of=sensor, **{key: CAMERA_FROM_LIDAR.tolist()})
    other = read(tmp_path, trajectory_of=sensor, **{inverse: np.linalg.inv(CAMERA_FROM_LIDAR).tolist()})
    for found in (one, other):
        np.testing.assert_allclose(found.sensor_from_lidar(), CAMERA_FROM_LIDAR, atol=1e-12)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ({"trajectory_of": "imu"}, "trajectory_of: Input should be 'lidar', 'camera' or 'body'"),
        ({"trajectory_of": "camera"}, "trajectory_of is camera: expected camera_from_lidar or lidar_from_camera"),
        ({"trajectory_of": "body"}, "trajectory_of is body: expected body_from_lidar or lidar_from_body"),
        (
            {"camera_from_lidar": [[1, 0, 0, 0]]},
            "camera_from_lidar: not a rigid 4×4 transform (four rows of four numbers",
        ),
        ({"camera_from_lidar": (2 * CAMERA_FROM_LIDAR).tolist()}, "camera_from_lidar: not a rigid 4×4 transform"),
        ({"camera": {k: v for k, v in CAMERA.items() if k != "fy"}}, "camera.fy: Field required"),
        ({"camera": CAMERA | {"fx": 0}}, "camera.fx: Input should be greater than 0"),
        ({"camera": CAMERA | {"fx": float("nan")}}, "camera.fx: Input should be"),
        ({"camera": CAMERA | {"k1": 0.1}}, "camera.k1: Extra inputs are not permitted"),
        ({"extrinsics": 1}, "extrinsics: Extra inputs are not permitted (the keys are trajectory_of, world_axes, "),
        ({"world_axis": "z_up"}, "world_axis: Extra inputs are not permitted (did you mean world_axes?)"),
        ({"bin_layout": {"columns": 2}}, "bin_layout.columns: Input should be greater than or equal to 3"),
        (
            {"camera_from_lidar": CAMERA_FROM_LIDAR.tolist(), "lidar_from_camera": np.eye(4).tolist()},
            "camera_from_lidar and lidar_from_camera are each other's inverse; expected one of them",
        ),
    ],
)
def test_a_fault_is_named_with_its_place(content: dict[str, Any], fault: str, tmp_path: Path) -> None:
    with pytest.raises(CrossplaceError, match=re.escape(f"{tmp_path / 'c.yaml'}: {fault}")) as caught:
        read(tmp_path, **content)
    assert str(caught.value).endswith("; correct it (docs/your-data.md shows one)")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "expected keys with values, such as trajectory_of: lidar"),
        ("- a\n", "expected keys with values"),
        ("a: b: c\n", "not valid YAML at line 1, column 5"),
        ("a: [1, 2\n", "not valid YAML at line 2"),
        ("a: 2011-13-45\n", "not valid YAML"),
        ("a: !!python/object/apply:os.system ['true']\n", "not valid YAML at line 1"),
        ("trajectory_of: lidar\n1: 2\n", "Keys should be strings"),
    ],
)
def test_what_is_no_such_yaml_is_a_sentence(text: str, fault: str, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(CrossplaceError, match=re.escape(fault)) as caught:
        read_calibration(tmp_path / "c.yaml")
    assert "\n" not in str(caught.value)


def test_numbers_with_an_exponent_but_no_point_are_numbers(tmp_path: Path) -> None:
    """YAML 1.1 reads 1e-3 as a text."""
    (tmp_path / "c.yaml").write_text(
        "trajectory_of: lidar\ncamera: {width: 8, height: 6, fx: 5e2, fy: 5e2, cx: 4, cy: 3}\n"
        "camera_from_lidar: [[1, 0, 0, 1e-3], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]\n"
    )
    found = read_calibration(tmp_path / "c.yaml")
    assert found.camera is not None
    assert found.camera.fx == 500
    assert found.matrix_of_camera()[0, 3] == 1e-3
