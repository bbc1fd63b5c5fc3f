"""Trajectories of TUM and of KITTI: what is read, and that the cure in each sentence works."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from drives import kitti, tum
from scipy.spatial.transform import Rotation

from datasets.errors import CrossplaceError
from datasets.trajectory.poses import read_poses

START_NS = 1_403_636_579_763_555_584
TIMES_NS = START_NS + np.arange(5) * 100_000_001


def some_poses() -> np.ndarray:
    poses = np.tile(np.eye(4), (5, 1, 1))
    poses[:, :3, :3] = Rotation.random(5, random_state=0).as_matrix()
    poses[:, :3, 3] = np.random.default_rng(0).normal(scale=100, size=(5, 3))
    return poses


def sentence(path: Path, times: Path | None = None) -> str:
    with pytest.raises(CrossplaceError) as caught:
        read_poses(path, times, None)
    assert str(path.parent) in str(caught.value)
    return str(caught.value)


def test_tum_poses_keep_their_times_to_the_nanosecond(tmp_path: Path) -> None:
    path, poses = tmp_path / "poses.txt", some_poses()
    path.write_text("\ufeff# a remark\n\n" + tum(TIMES_NS, poses).replace("\n", "  \r\n"))
    found = read_poses(path, None, None)
    assert (found.form, found.times.told()) == ("TUM", "5 times in s (recognised by magnitude)")
    assert found.times.time_ns.tolist() == TIMES_NS.tolist()
    np.testing.assert_allclose(found.world_from_sensor, poses, atol=1e-7)


def test_a_quaternion_is_scalar_last(tmp_path: Path) -> None:
    half = np.sqrt(0.5)
    (tmp_path / "poses.txt").write_text(f"0 1 2 3 0 0 {half} {half}\n")
    found = read_poses(tmp_path / "poses.txt", None, None)
    np.testing.assert_allclose(
        found.world_from_sensor[0], [[0, -1, 0, 1], [1, 0, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]], atol=1e-12
    )
    assert found.times.told() == "1 times in s (usual for such files)"


def test_kitti_poses_take_their_times_from_a_second_file(tmp_path: Path) -> None:
    (tmp_path / "00.txt").write_text(kitti(some_poses()))
    (tmp_path / "times.txt").write_text("0.0\n0.1\n0.25\n0.3\n0.4\n")
    found = read_poses(tmp_path / "00.txt", tmp_path / "times.txt", None)
    assert found.form == "KITTI"
    assert found.times.time_ns.tolist() == [0, 10**8, 25 * 10**7, 3 * 10**8, 4 * 10**8]
    np.testing.assert_allclose(found.world_from_sensor, some_poses(), atol=1e-9)


def test_kitti_poses_without_times_ask_for_them(tmp_path: Path) -> None:
    (tmp_path / "00.txt").write_text(kitti(some_poses()))
    assert sentence(tmp_path / "00.txt") == (
        f"{tmp_path / '00.txt'}: 12 numbers a line are KITTI poses, without times; state a file with one time a line: "
        "--times FILE"
    )


def test_as_many_times_as_poses(tmp_path: Path) -> None:
    (tmp_path / "00.txt").write_text(kitti(some_poses()))
    (tmp_path / "times.txt").write_text("0\n1\n")
    said = sentence(tmp_path / "00.txt", tmp_path / "times.txt")
    assert "2 times for the 5 poses in" in said


def test_tum_poses_want_no_second_file(tmp_path: Path) -> None:
    (tmp_path / "poses.txt").write_text(tum(TIMES_NS, some_poses()))
    (tmp_path / "times.txt").write_text("0\n")
    assert "TUM poses, which have their own times; leave out --times" in sentence(
        tmp_path / "poses.txt", tmp_path / "times.txt"
    )


def lines_changed(change: Callable[[list[str]], list[str]]) -> Callable[[str], str]:
    return lambda text: "\n".join(change(text.splitlines())) + "\n"


SAID_AND_CURE = {
    "header": (
        lambda text: text.replace("# ", ""),
        r"line 1: 'timestamp tx ty tz qx qy qz qw' is a header; begin it with #, or remove the line",
        lambda text: f"# {text}",
    ),
    "commas": (
        lambda text: text.replace(" ", ","),
        "line 2: numbers are separated by commas; expected spaces: replace the commas",
        lambda text: text.replace(",", " "),
    ),
    "no number": (
        lines_changed(lambda lines: [*lines[:3], lines[3].replace(lines[3].split()[5], "nan"), *lines[4:]]),
        "line 4: 'nan' is no finite number; correct it or remove the line",
        lines_changed(lambda lines: lines[:3] + lines[4:]),
    ),
    "unsorted": (
        lines_changed(lambda lines: [lines[0], *lines[:0:-1]]),
        "line 3: earlier than the line before; sort the lines by time",
        lines_changed(sorted),
    ),
    "repeated": (
        lines_changed(lambda lines: [*lines[:3], lines[2], *lines[3:]]),
        "line 4: the same time as the line before; remove one of the two",
        lines_changed(lambda lines: lines[:3] + lines[4:]),
    ),
    "quaternion": (
        lines_changed(lambda lines: [*lines[:3], " ".join([*lines[3].split()[:4], "0 0 0 0"]), *lines[4:]]),
        "line 4: qx qy qz qw have length 0; expected a unit quaternion as the last four numbers",
        lines_changed(lambda lines: lines[:3] + lines[4:]),
    ),
    "cut off": (
        lambda text: text[:-40],
        r"line 6: \d number",
        lines_changed(lambda lines: lines[:-1]),
    ),
}


@pytest.mark.parametrize("name", SAID_AND_CURE)
def test_a_wrong_line_is_named_and_the_cure_works(name: str, tmp_path: Path) -> None:
    damage, said, cure = SAID_AND_CURE[name]
    path = tmp_path / "poses.txt"
    path.write_text(damage(tum(TIMES_NS, some_poses())))
    assert re.search(said, sentence(path)), sentence(path)
    path.write_text(cure(path.read_text()))
    assert len(read_poses(path, None, None).times.written) >= 4


def test_other_numbers_of_columns_are_told_both_forms(tmp_path: Path) -> None:
    (tmp_path / "poses.txt").write_text("0 1 2 3 0 0 0\n1 1 2 3 0 0 0\n")
    assert sentence(tmp_path / "poses.txt").endswith(
        "line 1: 7 number(s); expected 8 numbers (TUM: time x y z qx qy qz qw) or 12 (KITTI: a 3×4 matrix by rows): "
        "write it so"
    )


@pytest.mark.parametrize("text", ["", "\n\n", "# timestamp tx ty tz qx qy qz qw\n"])
def test_a_file_without_poses_is_a_sentence(text: str, tmp_path: Path) -> None:
    (tmp_path / "poses.txt").write_text(text)
    assert "no poses; expected lines of 8 numbers (TUM" in sentence(tmp_path / "poses.txt")


def test_a_matrix_that_is_no_rotation_is_named(tmp_path: Path) -> None:
    poses = some_poses()
    poses[3, 0] *= -1
    (tmp_path / "00.txt").write_text(kitti(poses))
    (tmp_path / "times.txt").write_text("0\n1\n2\n3\n4\n")
    said = sentence(tmp_path / "00.txt", tmp_path / "times.txt")
    assert "line 4: the left 3×3 part is no rotation; expected the first three rows of a rigid transform" in said


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "not readable (No such file or directory)" in sentence(tmp_path / "poses.txt")
