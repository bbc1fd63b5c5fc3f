"""Local maps beside naive loops: which sweeps, which points, and what stays out."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmark.frames import local_maps
from benchmark.frames.local_maps import LocalMaps, MapSettings, seen_by_several, thinned
from benchmark.protocol.map_sweeps import MapSweeps
from datasets.base import Frames
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset, world_from_lidar
from datasets.resolving import own_data

ALL_POINTS = MapSettings(voxel_m=1e-4, own_m=0.0, far_m=1e3, reach_m=40.0)


def sweeps_of(dataset: PreparedDataset, **changes: object) -> MapSweeps:
    protocol = replace(own_data(dataset), **changes)  # type: ignore[arg-type]
    rows = np.arange(len(dataset.frames))
    return MapSweeps(frames=dataset.frames, protocol=protocol, query_rows=rows, database_rows=rows)


def naive_map(dataset: PreparedDataset, centre_m: np.ndarray, rows: list[int], reach_m: float) -> np.ndarray:
    """All points of the sweeps near a place, in the world, by a loop over the files."""
    poses, found = world_from_lidar(dataset.frames), []
    for row in rows:
        for point in dataset.load_cloud(dataset.frame(row)).astype(float):
            moved = poses[row, :3, :3] @ point + poses[row, :3, 3]
            if np.hypot(*(moved - centre_m)[:2]) <= reach_m:
                found.append(moved)
    return np.array(found)


def ordered(points: np.ndarray) -> np.ndarray:
    return points[np.lexsort(np.round(points, 3).T)]


def test_a_map_is_the_sweeps_of_the_other_drives(small_world: PreparedDataset, tmp_path: Path) -> None:
    row = 5
    sweeps, centre_m = sweeps_of(small_world).of(row), np.array([61.2, 0.7, 0.3])
    found = LocalMaps(small_world, tmp_path, ALL_POINTS).around(centre_m, sweeps)
    others = [i for i, name in enumerate(small_world.frames.traversal) if name != "morning"]
    assert sweeps.tolist() == others
    assert found.origin_m.tolist() == [61, 1, 0]
    expected = naive_map(small_world, centre_m, others, 40.0)
    assert len(found.points_m) == len(expected)
    np.testing.assert_allclose(ordered(found.points_m + found.origin_m), ordered(expected), atol=2e-3)


def test_the_map_is_cropped_round_the_rough_pose_alone(small_world: PreparedDataset, tmp_path: Path) -> None:
    maps, sweeps = LocalMaps(small_world, tmp_path, replace(ALL_POINTS, reach_m=15.0)), sweeps_of(small_world).of(3)
    for rough_m in (np.array([36.0, 0, 0]), np.array([40.5, 2.5, 0])):
        found = maps.around(rough_m, sweeps)
        from_rough_m = np.hypot(*(found.points_m + found.origin_m - rough_m)[:, :2].T)
        assert 14 < from_rough_m.max() <= 15.001


def test_whole_chunks_are_files_that_a_second_run_reads(
    small_world: PreparedDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweeps, centre_m = sweeps_of(small_world).of(0), np.array([0.0, 0, 0])
    first = LocalMaps(small_world, tmp_path).around(centre_m, sweeps)
    files = sorted(tmp_path.rglob("*.npy"))
    assert len(files) == 2, "a file for each of the two other drives"
    monkeypatch.setattr(LocalMaps, "_accumulated", lambda *_: pytest.fail("accumulated again"))
    again = LocalMaps(small_world, tmp_path).around(centre_m, sweeps)
    np.testing.assert_array_equal(first.points_m, again.points_m)
    other = replace(small_world, fingerprint="other")
    assert LocalMaps(other, tmp_path).folder != files[0].parent
    assert LocalMaps(small_world, tmp_path, MapSettings(voxel_m=0.2)).folder != files[0].parent
    assert LocalMaps(small_world, tmp_path, MapSettings(reach_m=20.0)).folder == files[0].parent


def test_memory_is_bounded_and_changes_no_point(
    small_world: PreparedDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_maps, "CHUNK", 3)
    sweeps, centre_m = sweeps_of(small_world).of(0), np.array([40.0, 0, 0])
    free, bounded = LocalMaps(small_world, tmp_path), LocalMaps(small_world, tmp_path, most_bytes=1)
    np.testing.assert_array_equal(free.around(centre_m, sweeps).points_m, bounded.around(centre_m, sweeps).points_m)
    assert len(free._kept) > 1
    assert len(bounded._kept) == 1


def test_a_sweep_that_is_left_out_leaves_neither_points_nor_holes(small_world: PreparedDataset, tmp_path: Path) -> None:
    """Within one drive: the map without a sweep is the map of a drive that never had it."""
    sweeps = sweeps_of(small_world, pairs="within")
    row, centre_m = 4, small_world.frames.position_m[4]
    assert sweeps.of(row).tolist() == [r for r in range(12) if r != row]
    coarse = MapSettings(voxel_m=2.0)
    LocalMaps(small_world, tmp_path, coarse).around(centre_m, np.arange(12))  # the whole chunk becomes a file
    found = LocalMaps(small_world, tmp_path, coarse).around(centre_m, sweeps.of(row))
    blanked = np.array([cloud if i != row else "" for i, cloud in enumerate(small_world.frames.cloud)], dtype=object)
    without = replace(small_world, frames=replace(small_world.frames, cloud=blanked), fingerprint="without")
    expected = LocalMaps(without, tmp_path, coarse).around(centre_m, sweeps.of(row))
    np.testing.assert_array_equal(found.points_m, expected.points_m)
    assert row not in found.sweeps


def test_a_gap_in_time_keeps_neighbours_out(small_world: PreparedDataset) -> None:
    sweeps = sweeps_of(small_world, pairs="within", min_gap_s=2.0)  # frames are a second apart
    assert sweeps.of(5).tolist() == [0, 1, 2, 8, 9, 10, 11]
    earlier = sweeps_of(small_world, pairs="within", min_gap_s=2.0, earlier_only=True)
    assert earlier.of(5).tolist() == [0, 1, 2]


def test_other_worlds_and_frames_without_a_cloud_stay_out(small_world: PreparedDataset) -> None:
    frames: Frames = small_world.frames
    world, cloud = frames.world.copy(), frames.cloud.copy()
    world[13], cloud[14] = "elsewhere", ""
    changed = replace(small_world, frames=replace(frames, world=world, cloud=cloud))
    assert not {13, 14} & set(sweeps_of(changed).of(0).tolist())


def test_leaks_are_found_in_a_finished_map(small_world: PreparedDataset) -> None:
    across, within = sweeps_of(small_world), sweeps_of(small_world, pairs="within")
    across.check(3, across.of(3))
    within.check(3, within.of(3))
    with pytest.raises(CrossplaceError, match="holds its own sweep"):
        within.check(3, np.array([2, 3]))
    with pytest.raises(CrossplaceError, match="holds a sweep of its own drive"):
        across.check(3, np.array([2, 20]))


def test_the_vehicle_and_far_points_are_left_out(small_world: PreparedDataset, tmp_path: Path) -> None:
    maps = LocalMaps(small_world, tmp_path, MapSettings(voxel_m=1e-4, own_m=5.0, far_m=12.0))
    found = maps.around(small_world.frames.position_m[0], np.array([12]))
    cloud = small_world.load_cloud(small_world.frame(12))
    kept = [p for p in cloud if max(abs(p[0]), abs(p[1])) > 5.0 and np.linalg.norm(p) <= 12.0]
    assert 0 < len(kept) < len(cloud)
    assert len(found.points_m) == len(kept)


def test_one_point_a_voxel_on_the_grid_of_the_world() -> None:
    random = np.random.default_rng(0)
    points = random.uniform(-3, 3, (500, 3)).astype(np.float32)
    kept, seen = [], set()
    start_m, beyond_m = np.array([10.3, -4.6, 0.0]), np.array([0.3, 0.4, 0.0])
    for point in points.astype(float):
        cell = tuple(np.floor((point + beyond_m) / 0.5).astype(int))
        if cell not in seen:
            seen.add(cell)
            kept.append(point)
    np.testing.assert_allclose(thinned(points, 0.5, start_m), np.array(kept), atol=1e-6)
    assert len(thinned(points[:0], 0.5)) == 0


def test_what_one_drive_alone_saw_is_no_agreement() -> None:
    wall = np.column_stack([np.linspace(0, 10, 50), np.zeros(50), np.ones(50)])
    car = np.array([[5.0, 3.0, 0.5]])
    points = np.concatenate([wall, car, wall + 0.05]).astype(np.float32)
    drive = np.repeat([0, 1], [51, 50])
    asked = np.concatenate([wall, car]).astype(np.float32)
    assert seen_by_several(asked, points, drive, 2).tolist() == [True] * 50 + [False]
    assert seen_by_several(asked, points, drive, 1).all()


def test_agreement_takes_away_what_stood_in_one_drive(small_world: PreparedDataset, tmp_path: Path) -> None:
    centre_m, sweeps = small_world.frames.position_m[0], sweeps_of(small_world).of(0)
    all_of_it = LocalMaps(small_world, tmp_path).around(centre_m, sweeps).points_m
    agreed = LocalMaps(small_world, tmp_path, MapSettings(agreement=2)).around(centre_m, sweeps).points_m
    assert 0 < len(agreed) < len(all_of_it)


def test_nothing_near_is_an_empty_map(small_world: PreparedDataset, tmp_path: Path) -> None:
    found = LocalMaps(small_world, tmp_path).around(np.array([5000.0, 0, 0]), np.arange(12))
    assert found.points_m.shape == (0, 3)
    assert found.sweeps.tolist() == []
    assert not list(tmp_path.iterdir())
