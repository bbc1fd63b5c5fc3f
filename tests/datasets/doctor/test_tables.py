"""Facts of the table of frames, against values computed by hand."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from datasets.base import Frames
from datasets.doctor.tables import apart, of_places, of_table, yaw_of


def drive(position_m: Any, yaw_rad: Any = None, time_s: Any = None, **columns: Any) -> Frames:
    """Frames along ``position_m``, a second apart, headed along the track."""
    position_m = np.asarray(position_m, dtype=np.float64)
    n = len(position_m)
    if yaw_rad is None:
        steps = np.diff(position_m[:, :2], axis=0, append=2 * position_m[-1:, :2] - position_m[-2:-1, :2])
        yaw_rad = np.arctan2(steps[:, 1], steps[:, 0])
    yaw_rad = np.asarray(yaw_rad, dtype=np.float64)
    time_s = np.arange(n) if time_s is None else np.asarray(time_s)
    quaternion = Rotation.from_euler("z", yaw_rad[:, None]).as_quat()[:, [3, 0, 1, 2]]
    values: dict[str, Any] = {
        "frame_id": np.array([f"f{i}" for i in range(n)], dtype=object),
        "traversal": np.full(n, "a", dtype=object),
        "world": np.full(n, "w", dtype=object),
        "timestamp_ns": np.rint(time_s * 1e9).astype(np.int64),
        "position_m": position_m,
        "quaternion_wxyz": quaternion,
        "yaw_rad": yaw_rad,
        "image": np.array([f"i{i}" for i in range(n)], dtype=object),
        "cloud": np.array([f"c{i}" for i in range(n)], dtype=object),
    }
    return Frames(**values | columns)


def line(n: int, step_m: float = 5.0) -> np.ndarray:
    return np.column_stack([np.arange(n) * step_m + 0.3, np.full(n, 0.7), np.full(n, 0.1)])


def test_a_drive_at_five_metres_a_second() -> None:
    facts = of_table(drive(line(20)))
    assert [facts[name] for name in ("speed", "jump", "pace")] == pytest.approx([5.0] * 3)
    assert facts["climb"] == facts["heading-and-track"] == facts["still"] == 0
    assert facts["yaw-and-quaternion"] == pytest.approx(0, abs=1e-9)
    assert facts["coverage"] == 1
    assert facts["shared-images"] == facts["shared-clouds"] == 0


def test_one_jump_is_not_the_speed() -> None:
    position = line(20)
    position[10:] += [300, 0, 0]
    facts = of_table(drive(position))
    assert facts["jump"] == pytest.approx(305.0)
    assert facts["speed"] == pytest.approx(5.0)


def test_headings_against_the_track() -> None:
    turned = of_table(drive(line(20), yaw_rad=np.full(20, np.radians(-40))))
    assert turned["heading-offset"] == pytest.approx(40)
    assert turned["heading-and-track"] == pytest.approx(0, abs=1e-6), "a LiDAR may stand turned"
    angle = np.linspace(0, 2 * np.pi, 40)
    circle = np.column_stack([50 * np.cos(angle), 50 * np.sin(angle), np.zeros(40)])
    assert of_table(drive(circle, yaw_rad=-angle))["heading-and-track"] > 60, "clockwise from north"
    assert of_table(drive(line(4)))["heading-and-track"] is None, "too few frames"
    assert of_table(drive(line(9, step_m=50.0)))["heading-and-track"] is None, "a corner may lie between"
    assert of_table(drive(np.zeros((9, 3))))["heading-and-track"] is None, "no direction of travel"


def test_on_a_circle_the_chord_has_the_heading_of_its_middle() -> None:
    angle = np.linspace(0, 2 * np.pi, 40)
    circle = np.column_stack([50 * np.cos(angle), 50 * np.sin(angle), np.zeros(40)])
    facts = of_table(drive(circle, yaw_rad=angle + np.pi / 2))
    assert facts["heading-and-track"] == pytest.approx(0, abs=1e-6)
    assert facts["heading-offset"] == pytest.approx(0, abs=1e-6)


def test_yaw_and_quaternion_of_different_headings() -> None:
    facts = of_table(drive(line(20), quaternion_wxyz=np.tile([np.cos(0.15), 0, 0, np.sin(0.15)], (20, 1))))
    assert facts["yaw-and-quaternion"] == pytest.approx(np.degrees(0.3))


@given(st.floats(-3.1, 3.1), st.floats(-1, 1), st.floats(-1, 1))
def test_the_yaw_of_a_quaternion_is_the_direction_of_its_x_axis(yaw: float, pitch: float, roll: float) -> None:
    rotation = Rotation.from_euler("ZYX", [yaw, pitch, roll])
    (found,) = yaw_of(rotation.as_quat()[[3, 0, 1, 2]][None])
    x, y, _ = rotation.apply([1, 0, 0])
    assert found == pytest.approx(np.arctan2(y, x), abs=1e-9)


def test_climb_is_a_share_of_the_path() -> None:
    up = line(20) + np.column_stack([np.zeros(20), np.zeros(20), np.arange(20) * 5.0])
    assert of_table(drive(up))["climb"] == pytest.approx(1 / np.sqrt(2))
    noise = np.random.default_rng(0).normal(scale=0.2, size=(400, 1)) * [0, 0, 1]
    climb = of_table(drive(line(400, step_m=0.5) + noise))["climb"]
    assert climb is not None
    assert climb < 0.1, "height noise between near frames is no slope"


def test_repeated_positions_and_files() -> None:
    position, image = line(20), np.array(["same.png"] * 10 + [f"{i}.png" for i in range(10)], dtype=object)
    position[10:] = position[9]
    facts = of_table(drive(position, image=image))
    assert facts["still"] == pytest.approx(10 / 20)
    assert facts["shared-images"] == pytest.approx(9 / 20)


def test_a_missing_cloud_counts_against_coverage_and_is_not_shared() -> None:
    cloud = np.array(["", "", "", "d"], dtype=object)
    facts = of_table(drive(line(4), cloud=cloud))
    assert facts["coverage"] == 1 / 4
    assert facts["shared-clouds"] == 0
    assert of_table(drive(line(4), cloud=np.full(4, "", dtype=object)))["shared-clouds"] is None


def test_positions_in_eighths_of_a_metre() -> None:
    utm = np.add(line(20), [5e5, 5.7e6, 0])
    assert of_table(drive(utm.astype(np.float32).astype(np.float64)))["resolution"] == 1
    assert of_table(drive(utm + np.random.default_rng(0).normal(size=utm.shape)))["resolution"] == 0


def test_one_frame_has_no_speed() -> None:
    facts = of_table(drive(line(2)).take(np.array([0])))
    assert [facts[name] for name in ("speed", "jump", "pace", "climb", "still", "heading-and-track")] == [None] * 6


def test_share_of_frames_at_the_same_place() -> None:
    # A frame every 6 m: three on either side and itself, fewer near the ends.
    expected = (94 * 7 + 2 * (4 + 5 + 6)) / 100 / 100
    position = line(100, step_m=6.0)
    assert of_places(drive(position))["same-place"] == pytest.approx(expected)
    worlds = np.array(["v", "w"] * 50, dtype=object)
    assert of_places(drive(position, world=worlds))["same-place"] < 2 * expected


def test_traversals_that_all_begin_at_the_origin() -> None:
    position = np.concatenate([line(10) - line(1), line(10) - line(1), line(10)])
    names = np.repeat(np.array(["a", "b", "c"], dtype=object), 10)
    assert of_places(drive(position, traversal=names))["origins"] == 2
    assert of_places(drive(position, traversal=names, world=names))["origins"] == 1
    assert of_places(drive(line(10)))["origins"] is None


def test_rows_apart() -> None:
    assert apart(line(10), 12.0).tolist() == [0, 3, 6, 9]
