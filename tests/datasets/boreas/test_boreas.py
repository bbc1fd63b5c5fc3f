"""Boreas' preparer on runs of a second: options, what is refused and how it is mended, and hand-computed places."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_boreas import CAMERA, RUN, SPEED_M_S, START_US, prepared, world_from_vehicle, write_run

from datasets.boreas.boreas import Boreas
from datasets.boreas.choosing import Recording, Rules, choose, spaced
from datasets.boreas.layout import COLUMNS, CONDITIONS, POSES, WITHOUT_POSES, file_of, folder_of, name_of
from datasets.boreas.poses import read_poses, rotation
from datasets.boreas.sweeps import read_sweep
from datasets.errors import CrossplaceError
from datasets.protocols import PROTOCOLS
from datasets.samples.boreas import VEHICLE_FROM_LIDAR, table_lines

ALL = Boreas(spacing_m=0.0)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    write_run(tmp_path / "raw")
    return tmp_path / "raw"


def refused(dataset: Boreas, raw: Path, tmp_path: Path) -> str:
    """The sentence of ``prepare``, which ``check`` says too."""
    out = tmp_path / "refused"
    out.mkdir(exist_ok=True)
    with pytest.raises(CrossplaceError) as caught:
        list(dataset.prepare(raw, out, workers=1))
    findings = dataset.check(raw)
    assert not all(finding.ok for finding in findings)
    assert any(str(caught.value).startswith(finding.what) for finding in findings if not finding.ok)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- places --------------------------------------------------------------------------------------


def test_a_frame_is_a_sweep_with_its_pose_at_the_image(raw: Path, tmp_path: Path) -> None:
    dataset = prepared(ALL, raw, tmp_path / "out")
    sweeps = START_US + 100_000 * np.arange(12)
    assert (dataset.frames.timestamp_ns == sweeps * 1000).all()
    north = 20.0 + (0.02 + np.arange(12) / 10) * SPEED_M_S
    np.testing.assert_allclose(dataset.frames.position_m[:, 1], north, atol=1e-9)
    np.testing.assert_allclose(dataset.frames.position_m[:, [0, 2]], np.tile([-300.0, 1.0], (12, 1)), atol=1e-9)
    np.testing.assert_allclose(dataset.frames.yaw_rad, np.pi / 2, atol=1e-9)
    assert dataset.counts == {
        "kept": 12, "dropped_no_pose": 0, "dropped_no_image": 0, "dropped_outside_poses": 0, "thinned": 0,
        "dropped_no_points": 0, "points_not_finite": 0, "points_without_return": 0, "points_beyond": 0,
    }  # fmt: skip
    assert set(dataset.frames.frame_id) == {f"{RUN}/{stamp}" for stamp in sweeps}
    assert dataset.traversals[RUN].condition == "rain"


@pytest.mark.parametrize("correct_motion", [True, False])
def test_points_are_where_the_lidar_was(raw: Path, tmp_path: Path, correct_motion: bool) -> None:
    """A point ahead that was measured t after the sweep is 10 (t − 0.02) m further from the body at the image."""
    dataset = prepared(replace(ALL, correct_motion=correct_motion), raw, tmp_path / "out")
    stamp = START_US + 500_000
    values = np.fromfile(raw / folder_of(RUN) / file_of("lidar", stamp), dtype="<f4").reshape(-1, 6)
    expected = values[:, :3].astype(np.float64) @ VEHICLE_FROM_LIDAR[:3, :3].T
    driven_m = SPEED_M_S * ((values[:, 5] if correct_motion else 0.0) - 0.02)
    expected[:, 0] += driven_m
    np.testing.assert_allclose(dataset.load_cloud(dataset.frame(5)), expected, atol=0.006)


def test_a_late_camera_moves_place_and_cloud_alike(raw: Path, tmp_path: Path) -> None:
    """The pose is looked up 30.5 ms later: 0.305 m further north, and the same points so much further back."""
    as_published = prepared(ALL, raw, tmp_path / "a")
    late = prepared(replace(ALL, camera_late_ms=30.5), raw, tmp_path / "b")
    moved = late.frames.position_m - as_published.frames.position_m
    np.testing.assert_allclose(moved, np.tile([0, 0.305, 0], (12, 1)), atol=1e-9)
    back = late.load_cloud(late.frame(3)) - as_published.load_cloud(as_published.frame(3))
    np.testing.assert_allclose(back, np.tile([-0.305, 0, 0], (len(back), 1)), atol=1e-4)


def test_rotation_is_roll_pitch_heading_with_transposed_matrices() -> None:
    """A real row of the radar, which hangs upside down; signs worked out by hand for single angles."""
    (radar,) = rotation(np.array([[3.1202, -0.0113, 0.2008]]))
    assert radar[2, 2] == pytest.approx(-1.0, abs=1e-3)
    c, s = np.cos(0.3), np.sin(0.3)
    by_hand = [
        [[1, 0, 0], [0, c, s], [0, -s, c]],
        [[c, 0, -s], [0, 1, 0], [s, 0, c]],
        [[c, s, 0], [-s, c, 0], [0, 0, 1]],
    ]
    np.testing.assert_allclose(rotation(0.3 * np.eye(3)), by_hand, atol=1e-12)
    (both,) = rotation(np.array([[0.1, 0.2, 0.3]]))
    one, two, three = rotation(np.diag([0.1, 0.2, 0.3]))
    np.testing.assert_allclose(both, one @ two @ three, atol=1e-12)


def test_tables_are_read_as_they_were_written(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    stamps = START_US + 100_000 * np.arange(20)
    poses = np.tile(np.eye(4), (20, 1, 1))
    poses[:, :3, :3] = rotation(random.uniform(-1.5, 1.5, (20, 3)))
    poses[:, :3, 3] = random.uniform(-2, 2, (20, 3))
    path = tmp_path / "lidar_poses.csv"
    path.write_text("\n".join([",".join(COLUMNS), *table_lines(stamps, poses)]) + "\n")
    found = read_poses(path)
    np.testing.assert_allclose(found.world_from_sensor, poses, atol=1e-12)
    assert found.time_us.tolist() == stamps.tolist()


# --- choosing ------------------------------------------------------------------------------------


def test_spacing_is_as_the_crow_flies_from_the_last_kept() -> None:
    plane = np.array([[0.0, 0], [3, 0], [3, 3.9], [3, 4], [0, 4], [3, 9]])
    assert spaced(plane, 5.0).tolist() == [0, 3, 5]
    assert spaced(plane, 0.0).tolist() == list(range(6))
    assert spaced(plane[:0], 5.0).tolist() == []


def test_what_was_fetched_by_the_rule_is_kept_by_the_rule(tmp_path: Path) -> None:
    whole = Recording(write_run(tmp_path / "whole", n=60))
    listed = choose(whole, Rules(spacing_m=3.0), listed=True)
    fetched = tmp_path / "fetched" / folder_of(RUN)
    for part in ("applanix", "calib"):
        shutil.copytree(whole.folder / part, fetched / part)
    for sensor, stamps in (("lidar", listed.lidar_us), ("camera", listed.camera_us)):
        for stamp in stamps.tolist():
            (fetched / sensor).mkdir(exist_ok=True)
            (fetched / file_of(sensor, stamp)).touch()
    again = choose(Recording(fetched), Rules(spacing_m=3.0))
    assert again.lidar_us.tolist() == listed.lidar_us.tolist()
    assert again.camera_us.tolist() == listed.camera_us.tolist()
    assert len(listed.lidar_us) == pytest.approx(6.8 * SPEED_M_S / 3.0, abs=1.5)


def test_sweeps_without_image_or_pose_are_counted(raw: Path, tmp_path: Path) -> None:
    folder = raw / folder_of(RUN)
    (folder / file_of("camera", START_US + 520_000)).unlink()
    shutil.copy(folder / file_of("lidar", START_US), folder / file_of("lidar", START_US + 33))
    dataset = prepared(ALL, raw, tmp_path / "out")
    assert {name: n for name, n in dataset.counts.items() if n} == {
        "kept": 11,
        "dropped_no_image": 1,
        "dropped_no_pose": 1,
    }


@pytest.mark.parametrize(("missing", "kept"), [(8, 16), (12, 10)])
def test_gaps_in_the_poses_are_bridged_up_to_a_second(missing: int, kept: int, tmp_path: Path) -> None:
    """Sweeps without a pose are dropped, and beyond a second the two beside the gap, of which half a sweep is in it."""
    folder = write_run(tmp_path / "raw", n=24)
    path = folder / POSES["lidar"]
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:10], *lines[10 + missing :]]) + "\n")
    dataset = prepared(ALL, tmp_path / "raw", tmp_path / "out")
    assert (dataset.counts["kept"], dataset.counts["dropped_no_pose"]) == (kept, missing)
    stamp = dataset.frames.timestamp_ns[3] // 1000
    values = np.fromfile(folder / file_of("lidar", int(stamp)), dtype="<f4").reshape(-1, 6)
    expected = values[:, :3].astype(np.float64) @ VEHICLE_FROM_LIDAR[:3, :3].T
    expected[:, 0] += SPEED_M_S * (values[:, 5] - 0.02)
    np.testing.assert_allclose(dataset.load_cloud(dataset.frame(3)), expected, atol=0.006)


def test_the_limit_between_sweep_and_image_is_inclusive(raw: Path, tmp_path: Path) -> None:
    assert "no frame is left" in refused(replace(ALL, image_within_ms=19.9), raw, tmp_path)
    assert prepared(replace(ALL, image_within_ms=20.0), raw, tmp_path / "out").counts["kept"] == 12


def test_points_are_cropped_and_returns_at_the_sensor_left_out(raw: Path, tmp_path: Path) -> None:
    path = raw / folder_of(RUN) / file_of("lidar", START_US)
    values = np.fromfile(path, dtype="<f4").reshape(-1, 6)
    values[0, :3], values[1, 0], values[2, :3] = 0, np.nan, (81, 0, 0)
    values.tofile(path)
    dataset = prepared(replace(ALL, within_m=80.0), raw, tmp_path / "out")
    assert len(dataset.load_cloud(dataset.frame(0))) == 37
    kinds = ("points_not_finite", "points_without_return", "points_beyond")
    assert [dataset.counts[kind] for kind in kinds] == [1, 1, 1]


def test_images_are_stored_at_the_width_asked_for(raw: Path, tmp_path: Path) -> None:
    dataset = prepared(replace(ALL, image_width=16), raw, tmp_path / "out")
    frame = dataset.frame(0)
    assert frame.intrinsics == CAMERA.intrinsics.resized(16, 12)
    assert dataset.load_image(frame).shape == (12, 16, 3)


def test_a_first_frame_of_a_spaced_run_is_that_of_the_protocols(raw: Path, tmp_path: Path) -> None:
    """Prepared frames are at least the spacing apart, so that a protocol of this spacing keeps them all."""
    from benchmark.protocol.selection import select

    dataset = prepared(Boreas(spacing_m=5.0), write_run(tmp_path / "long", n=40).parent, tmp_path / "out")
    steps = np.linalg.norm(np.diff(dataset.frames.position_m[:, :2], axis=0), axis=1)
    assert (steps >= 5.0).all()
    database = replace(PROTOCOLS["boreas-5m"].database, traversals=("*",))
    assert len(select(dataset.frames, database)) == len(dataset.frames) == 8


# --- what is refused, and its cure ---------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"spacing_m": -1.0},
        {"image_width": 0},
        {"within_m": 0.0},
        {"image_within_ms": float("nan")},
        {"spacing_m": float("inf")},
    ],
)
def test_impossible_options_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(CrossplaceError, match="boreas: "):
        Boreas(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("run", WITHOUT_POSES)
def test_runs_without_poses_are_refused_by_name_with_the_reason(run: str, raw: Path, tmp_path: Path) -> None:
    (raw / folder_of(run)).mkdir()
    for dataset in (ALL, replace(ALL, runs=(run, RUN))):
        sentence = refused(dataset, raw, tmp_path)
        assert folder_of(run) in sentence
        assert "no poses: its authors keep them back" in sentence
        assert f'runs=["{RUN}"]' in sentence
    assert prepared(replace(ALL, runs=(RUN,)), raw, tmp_path / "cured").counts["kept"] == 12


def test_runs_are_named_with_or_without_the_prefix(raw: Path, tmp_path: Path) -> None:
    assert prepared(replace(ALL, runs=(folder_of(RUN),)), raw, tmp_path / "out").traversals.keys() == {RUN}
    assert name_of(RUN) == name_of(folder_of(RUN)) == RUN


@pytest.mark.parametrize(
    ("runs", "match"),
    [
        (("2024-12-03-12-54",), "unknown run 2024-12-03-12-54"),
        (("2021-09-14-20-00",), "no such folder"),
        (("../x",), "unknown run"),
    ],
)
def test_runs_that_are_not_there_or_unknown(runs: tuple[str, ...], match: str, raw: Path, tmp_path: Path) -> None:
    assert match in refused(replace(ALL, runs=runs), raw, tmp_path)


def test_other_folders_are_no_runs(raw: Path, tmp_path: Path) -> None:
    (raw / "boreas-objects-v1").mkdir()
    (raw / "boreas-2024-12-03-12-54").mkdir()
    assert prepared(ALL, raw, tmp_path / "out").traversals.keys() == {RUN}
    assert "no run found" in refused(ALL, tmp_path / "nowhere", tmp_path)
    assert "--source is needed" in ALL.check(None)[0].what


def change_table(folder: Path, sensor: str, change: Callable[[list[str]], None], rows: slice = slice(None)) -> None:
    path = folder / POSES[sensor]
    header, *lines = path.read_text().splitlines()
    cells = [line.split(",") for line in lines]
    for row in cells[rows]:
        change(row)
    path.write_text("\n".join([header, *(",".join(row) for row in cells)]) + "\n")


def in_seconds(row: list[str]) -> None:
    row[0] = f"{int(row[0]) / 1e6:.6f}"


def in_nanoseconds(row: list[str]) -> None:
    row[0] += "000"


def on_utm(row: list[str]) -> None:
    row[1], row[2] = repr(float(row[1]) + 623_426), repr(float(row[2]) + 4_848_821)


def in_degrees(row: list[str]) -> None:
    row[7:10] = [repr(float(np.degrees(float(cell)))) for cell in row[7:10]]


def turned(row: list[str]) -> None:
    row[9] = repr(float(row[9]) + 1.2)


def not_finite(row: list[str]) -> None:
    row[8] = "nan"


FAULTS: dict[str, tuple[Callable[[list[str]], None], slice, str]] = {
    "seconds": (in_seconds, slice(None), "times are seconds since 1970"),
    "nanoseconds": (in_nanoseconds, slice(None), "times are nanoseconds since 1970"),
    "UTM": (on_utm, slice(None), "which is UTM"),
    "degrees": (in_degrees, slice(None), "no angles in radians"),
    "heading": (turned, slice(None), "with the calibration, the vehicle's"),
    "nan": (not_finite, slice(3, 4), "line 5: a number of the pose is not finite"),
    "jump": (on_utm, slice(3, 4), "line 5: more than 50 m a second from the line before"),
    "one in seconds": (in_seconds, slice(3, 4), "line 5: GPSTime is no time in microseconds"),
}


@pytest.mark.parametrize("sensor", POSES)
@pytest.mark.parametrize("fault", FAULTS)
def test_tables_that_mean_something_else(fault: str, sensor: str, raw: Path, tmp_path: Path) -> None:
    """Each sentence names the table and says to take that of the store, which the test does."""
    change, rows, match = FAULTS[fault]
    folder = raw / folder_of(RUN)
    as_in_store = (folder / POSES[sensor]).read_text()
    change_table(folder, sensor, change, rows)
    sentence = refused(ALL, raw, tmp_path)
    assert match in sentence
    assert str(folder / POSES[sensor]) in sentence
    assert "fetch" in sentence or "take" in sentence
    (folder / POSES[sensor]).write_text(as_in_store)
    assert prepared(ALL, raw, tmp_path / "cured").counts["kept"] == 12


@pytest.mark.parametrize(
    ("name", "text", "match"),
    [
        ("calib/P_camera.txt", "1461 0 1230 0\n0 1461 1035 0\n0 0 1 0\n0 0 0 1\n", "do not fit images of 32×24 pixels"),
        ("calib/P_camera.txt", "0 0 0 0\n" * 4, "no camera matrix"),
        ("calib/T_camera_lidar.txt", "1 0 0 0\n0 2 0 0\n0 0 1 0\n0 0 0 1\n", "no rigid transform"),
        ("calib/T_applanix_lidar.txt", "one\n", "words that are no numbers"),
        ("calib/T_applanix_lidar.txt", "1 0 0\n", "expected four lines of four numbers"),
        ("calib/T_applanix_lidar.txt", "1 0 0 0\n0 0 -1 0\n0 1 0 0\n0 0 0 1\n", "does not stand upright"),
        ("calib/T_applanix_lidar.txt", "1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n", "off its direction of travel"),
        ("applanix/lidar_poses.csv", "GPSTime,easting\n1,2\n", "column 'northing' is missing"),
        ("applanix/lidar_poses.csv", ",".join(COLUMNS) + "\n", "no pose"),
    ],
)
def test_broken_texts(name: str, text: str, match: str, raw: Path, tmp_path: Path) -> None:
    path = raw / folder_of(RUN) / name
    whole = path.read_text()
    path.write_text(text)
    assert match in refused(ALL, raw, tmp_path)
    path.write_text(whole)
    assert prepared(ALL, raw, tmp_path / "cured").counts["kept"] == 12


@pytest.mark.parametrize("name", ["applanix/camera_poses.csv", "calib/P_camera.txt", "camera", "lidar"])
def test_missing_parts_are_named(name: str, raw: Path, tmp_path: Path) -> None:
    path = raw / folder_of(RUN) / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert name.split("/")[-1] in refused(ALL, raw, tmp_path)


def test_several_faults_are_said_at_once(raw: Path) -> None:
    folder = raw / folder_of(RUN)
    change_table(folder, "lidar", on_utm)
    change_table(folder, "camera", in_seconds)
    (folder / "calib" / "P_camera.txt").unlink()
    shutil.rmtree(folder / "camera")
    said = [finding.what for finding in ALL.check(raw) if not finding.ok]
    for words in ("no calib/P_camera.txt", "which is UTM", "seconds since 1970", "no images"):
        assert any(words in sentence for sentence in said)


def test_a_run_with_a_fault_can_be_left_out(raw: Path, tmp_path: Path) -> None:
    other = write_run(raw, name="2021-09-14-20-00")
    (other / "calib" / "P_camera.txt").unlink()
    offer = f'runs=["{RUN}"]'
    assert any(offer in finding.what for finding in ALL.check(raw))
    assert offer in refused(ALL, raw, tmp_path)
    assert prepared(replace(ALL, runs=(RUN,)), raw, tmp_path / "cured").traversals.keys() == {RUN}


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "0 bytes are no whole number"),
        (bytes(25), "25 bytes are no whole number"),
        (np.ones((6, 4), dtype="<f4").tobytes() + bytes(24), "expected a beam from 0 to 127"),
        (np.full((6, 6), 9.5, dtype="<f8").tobytes(), "another layout"),
        (np.array([[1, 1, 1, 9, 5, 1.6e9]], dtype="<f4").tobytes(), "at most 0.06 s"),
    ],
)
def test_sweeps_in_another_layout(content: bytes, match: str, raw: Path, tmp_path: Path) -> None:
    path = raw / folder_of(RUN) / file_of("lidar", START_US + 300_000)
    path.write_bytes(content)
    with pytest.raises(CrossplaceError, match=match):
        read_sweep(path)
    out = tmp_path / "broken"
    out.mkdir()
    with pytest.raises(CrossplaceError, match=str(path)):
        list(ALL.prepare(raw, out, workers=1))
    path.unlink()
    assert prepared(ALL, raw, tmp_path / "cured").counts["kept"] == 11


def test_an_image_of_another_size_is_named(raw: Path, tmp_path: Path) -> None:
    path = raw / folder_of(RUN) / file_of("camera", START_US + 320_000)
    Image.new("RGB", (16, 12)).save(path)
    out = tmp_path / "broken"
    out.mkdir()
    with pytest.raises(CrossplaceError, match=r"16×12 pixels, but the run's first image has 32×24"):
        list(ALL.prepare(raw, out, workers=1))
    path.unlink()
    assert prepared(ALL, raw, tmp_path / "cured").counts["kept"] == 11


def test_no_sweep_near_an_image(raw: Path, tmp_path: Path) -> None:
    assert "no frame is left of 12 sweeps (dropped no image 12)" in refused(
        replace(ALL, image_within_ms=10.0), raw, tmp_path
    )
    assert prepared(replace(ALL, image_within_ms=30.0), raw, tmp_path / "cured").counts["kept"] == 12


# --- the dataset ---------------------------------------------------------------------------------


def test_the_fingerprint_changes_with_options_tables_and_files(raw: Path) -> None:
    folder, known = raw / folder_of(RUN), {ALL.fingerprint(raw), replace(ALL, camera_late_ms=30.5).fingerprint(raw)}
    assert len(known) == 2
    (folder / file_of("lidar", START_US)).unlink()
    known.add(ALL.fingerprint(raw))
    (folder / "calib" / "T_camera_lidar.txt").write_text((folder / "calib" / "T_camera_lidar.txt").read_text() + "\n")
    known.add(ALL.fingerprint(raw))
    assert len(known) == 4
    assert ALL.fingerprint(raw) in known


def test_check_says_what_is_there(raw: Path) -> None:
    findings = ALL.check(raw)
    assert all(finding.ok for finding in findings)
    assert findings[0].what == f"run {RUN} (rain), 12 of 22 images, 12 of 22 sweeps"
    assert f"{len(CONDITIONS) - 1} of {len(CONDITIONS)} runs not here" in findings[1].what


def test_runs_with_and_without_poses_are_44_and_night_snow_and_rain_are_known() -> None:
    assert len(CONDITIONS) + len(set(WITHOUT_POSES)) == 44
    assert not set(CONDITIONS) & set(WITHOUT_POSES)
    assert {CONDITIONS[run] for run in PROTOCOLS["boreas-5m"].query.traversals} == {"day", "snow", "rain", "night"}
    for protocol in PROTOCOLS.values():
        if protocol.dataset == "boreas":
            assert {*protocol.query.traversals, *protocol.database.traversals} <= CONDITIONS.keys()


def test_options_are_plain_data() -> None:
    assert json.loads(json.dumps(ALL.options()))["spacing_m"] == 0


def test_the_writer_of_tables_agrees_with_the_vehicle(raw: Path) -> None:
    recording = Recording(raw / folder_of(RUN))
    stamps = recording.lidar.time_us
    expected = world_from_vehicle(stamps) @ VEHICLE_FROM_LIDAR
    np.testing.assert_allclose(recording.lidar.world_from_sensor, expected, atol=1e-9)
