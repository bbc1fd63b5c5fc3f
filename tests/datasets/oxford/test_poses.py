"""Poses of INS and RTK: by hand, against scipy, and on the real trajectories."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation, Slerp

from datasets.errors import CrossplaceError
from datasets.oxford.layout import find_runs
from datasets.oxford.poses import CONVERGENCE_RAD, Trajectory, _world_from_ins, read_trajectory

T = 1_403_772_868_000_000
GOOD, BAD = "INS_SOLUTION_GOOD", "INS_BAD_GPS_AGREEMENT"
INS = "timestamp,ins_status,latitude,northing,easting,down,utm_zone,roll,pitch,yaw"
REAL = ("2014-06-23-15-36-04", "2014-06-23-15-41-25", "2014-06-26-08-53-56", "2014-06-26-09-24-58")


def row(time: float, north: float = 0, east: float = 0, down: float = 0, *rpy: float, status: str = GOOD) -> str:
    roll, pitch, yaw = rpy or (0.0, 0.0, 0.0)
    return f"{T + round(time * 1e6)},{status},51.7,{north},{east},{down},30U,{roll},{pitch},{yaw}"


def write(path: Path, rows: Sequence[str], header: str = INS) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def heading_of(trajectory: Trajectory) -> np.ndarray:
    return np.arctan2(trajectory.world_from_ins[:, 1, 0], trajectory.world_from_ins[:, 0, 0])


def test_north_east_down_and_clockwise_become_east_north_up_and_counter_clockwise(tmp_path: Path) -> None:
    rows = [row(0, 10, 20, -30), row(1, 10, 20, -30, 0, 0, np.pi / 2), row(2, 10, 20, -30, 0.1, 0.2, 0.3)]
    found = read_trajectory(write(tmp_path / "ins.csv", rows), "ins", convergence_rad=0.0)
    np.testing.assert_array_equal(found.time_ns, (T + np.array([0, 10**6, 2 * 10**6])) * 1000)
    np.testing.assert_allclose(found.world_from_ins[:, :3, 3], [[20, 10, 30]] * 3)
    np.testing.assert_allclose(heading_of(found)[:2], [np.pi / 2, 0], atol=1e-12)  # north, east
    # Forward, right and down of a level vehicle that heads north.
    np.testing.assert_allclose(found.world_from_ins[0, :3, :3].T, [[0, 1, 0], [1, 0, 0], [0, 0, -1]], atol=1e-12)
    # Nose up by a positive pitch, right side down by a positive roll.
    assert found.world_from_ins[2, 2, 0] == pytest.approx(np.sin(0.2))
    assert found.world_from_ins[2, 2, 1] == pytest.approx(-np.sin(0.1) * np.cos(0.2))


@given(*[st.floats(-3.1, 3.1)] * 3)
def test_turns_are_yaw_after_pitch_after_roll(roll: float, pitch: float, yaw: float) -> None:
    cr, sr, cp, sp, cy, sy = (f(a) for a in (roll, pitch, yaw) for f in (np.cos, np.sin))
    rx = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    ry = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    rz = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    found = _world_from_ins(np.array([[1.0, 2.0, 3.0, roll, pitch, yaw]]), 0.0)[0]
    ned = rz @ ry @ rx
    np.testing.assert_allclose(found[:3, :3], [ned[1], ned[0], -ned[2]], atol=1e-12)
    np.testing.assert_array_equal(found[:3, 3], [2, 1, -3])


def test_yaw_from_true_north_becomes_one_from_grid_north(tmp_path: Path) -> None:
    """East of the zone's central meridian grid north lies clockwise of true north: angles from it are less."""
    path = write(tmp_path / "ins.csv", [row(0, 0, 0, 0, 0.0, 0.0, 0.5)])
    assert heading_of(read_trajectory(path, "ins"))[0] == pytest.approx(np.pi / 2 - (0.5 - np.radians(1.37)))


def test_grid_north_in_oxford_is_that_of_pyproj() -> None:
    utm = pytest.importorskip("pyproj").Proj("EPSG:32630")
    for corner in ((619_400, 5_734_500), (619_400, 5_736_600), (620_900, 5_734_500), (620_900, 5_736_600)):
        longitude_latitude = utm(*corner, inverse=True)
        assert utm.get_factors(*longitude_latitude).meridian_convergence == pytest.approx(
            np.degrees(CONVERGENCE_RAD), abs=0.02
        )


def test_columns_are_found_by_name(tmp_path: Path) -> None:
    mixed = "yaw, pitch,roll,ins_status,down,easting,northing,timestamp"
    path = write(tmp_path / "ins.csv", [f"0.3,0.2,0.1,{GOOD},-30,20,10,{T}"], mixed)
    expected = read_trajectory(write(tmp_path / "usual.csv", [row(0, 10, 20, -30, 0.1, 0.2, 0.3)]), "ins")
    np.testing.assert_array_equal(read_trajectory(path, "ins").world_from_ins, expected.world_from_ins)


def test_rtk_has_no_status_and_a_yaw_that_is_270_degrees_less(tmp_path: Path) -> None:
    header = "timestamp,latitude,longitude,altitude,northing,easting,down,utm_zone,velocity_north,roll,pitch,yaw"
    path = write(tmp_path / "rtk.csv", [f"{T},51,-1,60,10,20,-30,30U,0,0,0,{0.3 - 3 * np.pi / 2}"], header)
    found = read_trajectory(path, "rtk")
    assert heading_of(found)[0] == pytest.approx(np.pi / 2 - 0.3 + CONVERGENCE_RAD)
    assert found.is_good.all()


def test_rows_with_numbers_that_are_none_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = [row(0), row(1, north=np.nan), row(2), row(3, 0, 0, 0, 0, 0, np.inf)]
    found = read_trajectory(write(tmp_path / "ins.csv", rows), "ins")
    assert (len(found.time_ns), found.n_not_finite) == (2, 2)


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        ([row(0), row(1), row(0.5)], "line 4: not later than the latest line before, as 1 of 3 lines"),
        ([row(0), row(0)], "line 3: not later"),
        ([row(0), row(1, 0, 0, 0, 0, 0, 90.0)], "line 3: no angles in radians"),
        ([row(0), row(1, 5000)], "line 3: more than 1000 m"),
        ([row(0), row(1).replace("51.7,", "")], "line 3: expected 10 fields"),
        ([row(0), row(1).replace(str(T)[:6], "")], "line 3: timestamp"),
        ([row(0, north=np.nan)], "no row with a pose"),
        ([], "no row with a pose"),
        ([row(0), row(1).replace(",0,", ",far,")], "line 3: column northing: found 'far', expected a number"),
    ],
)
def test_damage_is_a_sentence_with_its_line(tmp_path: Path, rows: list[str], what: str) -> None:
    with pytest.raises(CrossplaceError, match=what):
        read_trajectory(write(tmp_path / "ins.csv", rows), "ins")


JUMBLED: dict[str, Callable[[list[str]], list[str]]] = {
    "a row twice": lambda rows: [*rows[:100], rows[99], *rows[100:]],
    "two rows exchanged": lambda rows: [*rows[:100], rows[101], rows[100], *rows[102:]],
    "a row far too late in the file": lambda rows: [*rows[:100], *rows[101:], rows[100]],
    "a block again": lambda rows: [*rows[:200], *rows[196:]],
}


@pytest.mark.parametrize("name", JUMBLED)
def test_a_few_rows_out_of_order_are_left_out_and_counted(name: str, tmp_path: Path) -> None:
    rows = [row(i / 50, north=i / 10) for i in range(500)]
    whole = read_trajectory(write(tmp_path / "whole.csv", rows), "ins")
    found = read_trajectory(write(tmp_path / "ins.csv", JUMBLED[name](rows)), "ins")
    assert 0 < found.n_out_of_order < 5
    assert found.n_not_finite == 0
    assert (np.diff(found.time_ns) > 0).all()
    kept = np.isin(whole.time_ns, found.time_ns)
    assert kept.sum() == len(found.time_ns) >= 499
    np.testing.assert_array_equal(found.world_from_ins, whole.world_from_ins[kept])


def test_many_rows_out_of_order_are_a_file_joined_wrongly(tmp_path: Path) -> None:
    rows = [row(i / 50, north=i / 10) for i in range(500)]
    with pytest.raises(CrossplaceError, match="line 502: not later than the latest line before, as 6 of 506 lines"):
        read_trajectory(write(tmp_path / "ins.csv", rows + rows[:6]), "ins")
    assert read_trajectory(write(tmp_path / "ins.csv", rows + rows[:5]), "ins").n_out_of_order == 5


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "ins.csv", [], INS.replace("easting", "eastings"))
    with pytest.raises(CrossplaceError, match="column 'easting' is missing"):
        read_trajectory(path, "ins")


def test_headings_across_the_direction_of_travel_are_refused(tmp_path: Path) -> None:
    rows = [row(i / 10, north=i) for i in range(50)]
    assert read_trajectory(write(tmp_path / "ins.csv", rows), "ins", convergence_rad=0.0).heading_error_rad() == 0
    with pytest.raises(CrossplaceError, match="headings are 90° off"):
        read_trajectory(write(tmp_path / "rtk.csv", rows), "rtk", convergence_rad=0.0)


def test_a_vehicle_at_rest_has_no_direction_of_travel(tmp_path: Path) -> None:
    rows = [row(i / 10, 0.001 * i, 0, 0, 0, 0, 2.0) for i in range(50)]
    assert read_trajectory(write(tmp_path / "ins.csv", rows), "ins").heading_error_rad() == 0


@pytest.fixture
def bumpy(tmp_path: Path) -> Trajectory:
    """A second apart, north by the square of the time; two bad rows in the middle; then nothing for 11 s."""
    rows = [row(i, north=i * i, status=BAD if i in (2, 3) else GOOD) for i in range(6)] + [row(16, 300)]
    return read_trajectory(write(tmp_path / "ins.csv", rows), "ins")


def at(*seconds: float) -> np.ndarray:
    return np.array([T * 1000 + round(s * 1e9) for s in seconds])


def test_poses_of_bad_status_are_kept_or_bridged(bumpy: Trajectory) -> None:
    assert bumpy.at(at(2.5))[0, 1, 3] == pytest.approx(6.5)
    bridged = bumpy.bridged()
    assert len(bridged.time_ns) == 5
    assert bridged.at(at(2.5))[0, 1, 3] == pytest.approx(8.5)
    assert bumpy.longest_bad_s() == pytest.approx(1.0)
    assert bridged.longest_bad_s() == 0


def test_times_before_after_and_in_long_gaps_are_not_covered(bumpy: Trajectory) -> None:
    times = at(-0.001, 0, 0.5, 5, 5.1, 15.9, 16, 16.001)
    # The end of a gap belongs to the gap: its pose is known, but nothing around it.
    assert bumpy.covers(times).tolist() == [False, True, True, True, False, False, False, False]


def test_the_latest_pose_is_the_one_at_or_before(bumpy: Trajectory) -> None:
    assert bumpy.latest(at(0, 0.9, 1.0, 4.99))[:, 1, 3].tolist() == [0, 0, 1, 16]


def test_a_single_pose_covers_its_own_time(tmp_path: Path) -> None:
    single = read_trajectory(write(tmp_path / "ins.csv", [row(1, 7)]), "ins")
    assert single.covers(at(0.9, 1, 1.1)).tolist() == [False, True, False]
    assert single.at(at(1))[0, 1, 3] == 7


# --- real trajectories ---------------------------------------------------------------------------


def independent(folder: Path, stamps_us: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions east, north, up and rotations by columns, np.interp and scipy alone."""
    table = pd.read_csv(folder / "gps" / "ins.csv")
    start = table.timestamp[0]
    known, wanted = (table.timestamp - start).to_numpy() / 1e6, (stamps_us - start) / 1e6
    columns = [table.easting, table.northing, -table.down]
    position = np.column_stack([np.interp(wanted, known, column) for column in columns])
    table["yaw"] -= np.radians(1.37)  # grid north
    ned = Slerp(known, Rotation.from_euler("xyz", table[["roll", "pitch", "yaw"]].to_numpy()))(wanted)
    axes = Rotation.from_matrix([[0, 1, 0], [1, 0, 0], [0, 0, -1]])
    return position, (axes * ned).as_matrix()


@pytest.mark.data
@pytest.mark.parametrize("name", REAL)
def test_poses_at_images_equal_an_independent_computation(robotcar: Path, name: str) -> None:
    run = find_runs(robotcar / "loop")[name]
    trajectory = read_trajectory(run.gps / "ins.csv", "ins")
    stamps = run.missing_images  # listed, and there are no images
    inside = stamps[trajectory.covers(stamps)]
    poses = trajectory.at(inside)
    position, rotation = independent(robotcar / "loop" / name, inside // 1000)
    np.testing.assert_allclose(poses[:, :3, 3], position, rtol=0, atol=1e-6)
    np.testing.assert_allclose(poses[:, :3, :3], rotation, rtol=0, atol=1e-6)
    assert trajectory.heading_error_rad() < np.radians(3)


@pytest.mark.data
@pytest.mark.parametrize("name", REAL)
def test_the_car_drives_where_it_heads_on_the_grid(robotcar: Path, name: str) -> None:
    """On straight road: the INS is turned 0.005 rad clockwise (extrinsics), and as published another 1.37°.

    North and east of the velocities are true ones, as that of yaw; those of positions are the grid's.
    """
    path = robotcar / "loop" / name / "gps" / "ins.csv"
    table = pd.read_csv(path)
    step, straight = 50, np.radians(2)  # a second
    yaw = np.unwrap(table.yaw)
    along = table[["easting", "northing"]].to_numpy()
    east, north = (along[step:] - along[:-step]).T
    rows = np.flatnonzero((np.hypot(east, north) > 4) & (np.abs(yaw[step:] - yaw[:-step]) < straight))
    middle = rows + step // 2
    true_course = np.arctan2(table.velocity_east, table.velocity_north).to_numpy()[middle]
    grid_course = np.arctan2(east, north)[rows]

    def ahead_deg(heading: np.ndarray, course: np.ndarray) -> float:
        return float(np.degrees(np.median(np.angle(np.exp(1j * (heading - course))))))

    assert ahead_deg(true_course, grid_course) == pytest.approx(1.37, abs=0.2)
    assert ahead_deg(yaw[middle], true_course) == pytest.approx(0.29, abs=0.5)
    grid_heading = np.pi / 2 - heading_of(read_trajectory(path, "ins"))
    assert ahead_deg(grid_heading[middle], grid_course) == pytest.approx(0.29, abs=0.6)


@pytest.mark.data
def test_images_outside_of_the_poses_are_as_many_as_measured(robotcar: Path) -> None:
    shares = {}
    for name, run in find_runs(robotcar / "loop").items():
        trajectory = read_trajectory(run.gps / "ins.csv", "ins")
        stamps = run.missing_images
        shares[name] = (~trajectory.covers(stamps)).mean()
        assert 0.02 < (~trajectory.is_good).mean() < 0.09
    assert shares.keys() == set(REAL)
    assert max(shares.values()) == shares["2014-06-23-15-41-25"] == pytest.approx(13 / 3356)  # 0.39 %
    assert sorted(shares.values())[:2] == [0, 0]


@pytest.mark.data
def test_the_loop_runs_overlap_completely_within_25_m(robotcar: Path) -> None:
    tracks = []
    for run in find_runs(robotcar / "loop").values():
        trajectory = read_trajectory(run.gps / "ins.csv", "ins")
        stamps = run.missing_images
        tracks.append(trajectory.at(stamps[trajectory.covers(stamps)])[:, :2, 3])
    trees = [cKDTree(track) for track in tracks]
    for track in tracks:
        for tree in trees:
            assert tree.query(track)[0].max() <= 25.0
