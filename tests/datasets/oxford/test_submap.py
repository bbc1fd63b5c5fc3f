"""Sweeps to submaps, against loops over points."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from datasets.errors import CrossplaceError
from datasets.oxford.submap import Crop, accumulated, read_sweep, submap


def random_poses(random: np.random.Generator, n: int) -> np.ndarray:
    poses = np.tile(np.eye(4), (n, 1, 1))
    poses[:, :3, :3] = Rotation.random(n, random_state=int(random.integers(10**6))).as_matrix()
    poses[:, :3, 3] = random.normal(scale=30, size=(n, 3))
    return poses


@given(st.integers(0, 10**6), st.integers(0, 6))
def test_points_are_moved_one_by_one(seed: int, n_sweeps: int) -> None:
    random = np.random.default_rng(seed)
    sweeps = [random.normal(scale=20, size=(random.integers(0, 9), 2)) for _ in range(n_sweeps)]
    poses = random_poses(random, n_sweeps) if n_sweeps else np.empty((0, 4, 4))
    expected = [(pose @ [x, y, 0, 1])[:3] for sweep, pose in zip(sweeps, poses, strict=True) for x, y in sweep]
    np.testing.assert_allclose(accumulated(sweeps, poses), np.array(expected).reshape(-1, 3), atol=1e-9)


@given(st.integers(0, 10**6))
def test_the_crop_keeps_what_is_strictly_inside_in_its_order(seed: int) -> None:
    points = np.random.default_rng(seed).integers(-3, 4, (40, 3)).astype(float)
    crop = Crop(ahead_m=3.0, aside_m=2.0, above_m=1.0, depth_at_least_m=1.0)
    expected = [p for p in points.tolist() if 0 < p[0] < 3 and -2 < p[1] < 2 and -1 < p[2] < 1]
    assert crop(points).tolist() == expected


def test_the_published_crop() -> None:
    assert Crop() == Crop(ahead_m=50.0, aside_m=25.0, above_m=25.0, depth_at_least_m=30.0)


def street(tilt_deg: float = 0.0, n_ground: int = 3000, length_m: float = 49.0) -> np.ndarray:
    """A floor 1.5 m below, and a wall at its left."""
    random = np.random.default_rng(0)
    floor = random.uniform((0.1, -5, -1.55), (length_m, 5, -1.45), (n_ground, 3))
    wall = random.uniform((0.1, 7.9, 0), (length_m, 8.1, 9), (500, 3))
    turn = Rotation.from_euler("x", tilt_deg, degrees=True).as_matrix()
    return np.concatenate([floor, wall]) @ turn.T


def made(points: np.ndarray, crop: Crop | None = None, seed: int = 0) -> object:
    return submap(points, crop or Crop(), np.random.default_rng(seed))


def test_the_ground_is_taken_away() -> None:
    points = street()
    np.testing.assert_array_equal(made(points), points[3000:])


@pytest.mark.parametrize(
    ("points", "reason"),
    [
        (np.empty((0, 3)), "empty_submap"),
        (-street(), "empty_submap"),
        (street(length_m=29.9), "too_shallow"),
        (street(tilt_deg=30), "no_ground_plane"),  # cos 30° = 0.87
        (street()[3000:], "no_ground_plane"),  # the wall is the largest plane
        (street()[:3000], "only_ground"),
        (np.array([[40.0, 0, 0], [41, 0, 0]]), "no_ground_plane"),
    ],
)
def test_what_is_no_submap_has_a_reason(points: np.ndarray, reason: str) -> None:
    assert made(points) == reason


def test_a_slope_within_the_limit_is_ground() -> None:
    assert len(made(street(tilt_deg=20))) == 500  # type: ignore[arg-type]  # cos 20° = 0.94


def test_depth_is_measured_after_the_crop() -> None:
    points = np.concatenate([street(length_m=20), [[49.0, 26.0, 0.0]]])
    assert made(points) == "too_shallow"


def test_equal_seeds_give_equal_submaps() -> None:
    points = np.random.default_rng(0).uniform((1, -9, -2), (49, 9, 1), (2000, 3))
    np.testing.assert_array_equal(made(points, seed=3), made(points, seed=3))


def test_a_sweep_is_triplets_of_doubles_without_the_broken_ones(tmp_path: Path) -> None:
    path = tmp_path / "1.bin"
    np.array([[1, 2, 0.5], [np.nan, 2, 0.5], [3, np.inf, 0.5], [4, 5, np.nan]]).astype("<f8").tofile(path)
    points, n_broken = read_sweep(path)
    assert points.tolist() == [[1, 2], [4, 5]]
    assert n_broken == 2


def test_an_empty_sweep_has_no_points(tmp_path: Path) -> None:
    (tmp_path / "1.bin").touch()
    assert len(read_sweep(tmp_path / "1.bin")[0]) == 0


def test_a_sweep_that_is_cut_off_or_gone_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "1.bin").write_bytes(bytes(25))
    with pytest.raises(CrossplaceError, match=r"1\.bin: 25 bytes are no whole number"):
        read_sweep(tmp_path / "1.bin")
    with pytest.raises(CrossplaceError, match=r"2\.bin: not readable \(No such file"):
        read_sweep(tmp_path / "2.bin")
