"""The town in the layout of Boreas, prepared: the same places, headings, clouds and projections as the town itself."""

from pathlib import Path

import numpy as np
import pytest

from datasets.boreas.boreas import Boreas
from datasets.boreas.choosing import Recording, Rules, choose
from datasets.prepared import PreparedDataset
from datasets.projection import project
from datasets.samples.boreas import Piece, RawBoreas
from datasets.town import Town
from datasets.town.camera import PinholeCamera

TIMES_S = tuple((np.arange(5) * 2.5 + 3.0).tolist())
"""Through streets and junctions of the test district."""
RUNS = {"2020-12-18-13-44": "day", "2021-09-14-20-00": "night"}
CONDITIONS = {"2020-12-18-13-44": "snow", "2021-09-14-20-00": "night"}
AT_M = (-300.0, -600.0)


@pytest.fixture(scope="module")
def recorded() -> dict[str, RawBoreas]:
    drives = {drive.light: drive for drive in Town(preset="tiny").drives() if drive.plan.name == "test"}
    day = drives["day"]
    found = {}
    for run, light in RUNS.items():
        drive = drives.get(light, day)
        found[run] = RawBoreas(name=run, pieces=(Piece(drive=drive, times_s=TIMES_S, at_m=AT_M),))
    return found


@pytest.fixture(scope="module")
def raw(recorded: dict[str, RawBoreas], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    for run in recorded.values():
        run.write(folder)
    return folder


def prepared_with(raw: Path, out: Path, **options: object) -> PreparedDataset:
    out.mkdir(exist_ok=True)
    dataset = Boreas(**options)  # type: ignore[arg-type]
    findings = dataset.check(raw)
    assert all(finding.ok for finding in findings), findings
    list(dataset.prepare(raw, out, workers=1))
    return PreparedDataset.read(out)


@pytest.fixture(scope="module")
def prepared(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    return prepared_with(raw, tmp_path_factory.mktemp("prepared"))


def test_every_sweep_with_an_image_is_a_frame(prepared: PreparedDataset) -> None:
    assert {name: n for name, n in prepared.counts.items() if n and name != "points_beyond"} == {"kept": 10}
    assert {name: t.condition for name, t in prepared.traversals.items()} == CONDITIONS
    assert set(prepared.frames.world) == {"boreas"}


def test_places_and_headings_are_the_towns_at_the_moment_of_the_image(
    prepared: PreparedDataset, recorded: dict[str, RawBoreas]
) -> None:
    for name, run in recorded.items():
        frames = prepared.frames.take(prepared.frames.traversal == name)
        images = np.array([image for _, _, image in run.frames_us])
        truth = run.world_from_vehicle(0, images)
        assert np.abs(frames.position_m - truth[:, :3, 3]).max() < 1e-3
        yaw = np.arctan2(truth[:, 1, 0], truth[:, 0, 0])
        assert np.abs(np.angle(np.exp(1j * (frames.yaw_rad - yaw)))).max() < 1e-4
        assert (frames.timestamp_ns == [sweep * 1000 for _, sweep, _ in run.frames_us]).all()


def seen_rightly(prepared: PreparedDataset, recorded: dict[str, RawBoreas], within: float = 0.05) -> float:
    """Share of the projected points whose depth is that of the surface the camera sees at their pixel."""
    right, n = 0, 0
    for name, run in recorded.items():
        drive = run.pieces[0].drive
        rows = np.flatnonzero(prepared.frames.traversal == name)
        for row, (_, _, image_us) in zip(rows, run.frames_us, strict=True):
            frame = prepared.frame(int(row))
            assert frame.intrinsics is not None
            assert frame.camera_from_lidar is not None
            time = float(run.drive_s(0, np.array(image_us)))
            (pose,) = drive.pose_at(np.array([time]))
            camera = PinholeCamera(intrinsics=frame.intrinsics, camera_from_lidar=run.camera.camera_from_lidar)
            depth = camera.depth(drive.scene_at(time), pose)
            pixels, depth_m = project(prepared.load_cloud(frame), frame.intrinsics, frame.camera_from_lidar)
            is_near = (depth_m > 1) & (depth_m < 40)
            u, v = pixels[is_near].astype(int).T
            right += int((np.abs(depth[v, u] - depth_m[is_near]) < within * depth_m[is_near]).sum())
            n += int(is_near.sum())
    assert n > 500
    return right / n


def test_points_project_to_where_the_camera_sees_them(
    prepared: PreparedDataset, recorded: dict[str, RawBoreas], raw: Path, tmp_path: Path
) -> None:
    """Without the correction, the vehicle's way during a sweep is in the clouds."""
    corrected = seen_rightly(prepared, recorded)
    as_stored = seen_rightly(prepared_with(raw, tmp_path / "raw", correct_motion=False), recorded)
    assert corrected > 0.95
    assert as_stored < corrected - 0.02


def test_between_sweep_and_image_the_vehicle_drives_on(recorded: dict[str, RawBoreas], raw: Path) -> None:
    """What the static calibration alone would get wrong, 30 ms of way."""
    run = next(iter(recorded.values()))
    recording = Recording(raw / f"boreas-{run.name}")
    chosen = choose(recording, Rules(spacing_m=0.0, correct_motion=False))
    rows = np.searchsorted(recording.lidar.time_us, chosen.lidar_us)
    at_sweep = recording.lidar.world_from_sensor[rows] @ np.linalg.inv(recording.calibration.body_from_lidar)
    driven_m = np.linalg.norm((at_sweep - chosen.world_from_body)[:, :3, 3], axis=1)
    assert (driven_m > 0.05).all()
    assert driven_m.max() > 0.15


def test_clouds_are_placed_as_points_in_the_world(prepared: PreparedDataset, recorded: dict[str, RawBoreas]) -> None:
    """Each stored point is where the surface was, by a computation of its own: sweep, then truth at its own time."""
    for name, run in recorded.items():
        rows = np.flatnonzero(prepared.frames.traversal == name)
        for row, (_, sweep_us, image_us) in list(zip(rows, run.frames_us, strict=True))[::2]:
            points = run.sweep(0, sweep_us)
            points = points[np.hypot(points[:, 0], points[:, 1]) <= 80]
            homogeneous = np.column_stack([points[:, :3], np.ones(len(points))])
            c, s = np.cos(-0.8265), np.sin(-0.8265)
            turned = homogeneous @ np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]).T
            times_us = sweep_us + np.rint(points[:, 5] * 1e6)
            poses = run.world_from_vehicle(0, times_us)
            world = np.einsum("nij,nj->ni", poses, turned)
            (here,) = run.world_from_vehicle(0, np.array([image_us]))
            expected = world @ np.linalg.inv(here).T
            found = prepared.load_cloud(prepared.frame(int(row)))
            assert found.shape == (len(points), 3)
            error_m = np.linalg.norm(found - expected[:, :3], axis=1)
            # Between two poses of the table, 0.1 s apart, the town's vehicle may begin to turn.
            assert np.median(error_m) < 0.01
            assert np.quantile(error_m, 0.9) < 0.08


def test_images_keep_their_size_if_they_are_small(prepared: PreparedDataset, recorded: dict[str, RawBoreas]) -> None:
    frame = prepared.frame(0)
    assert frame.intrinsics == next(iter(recorded.values())).camera.intrinsics
    assert prepared.load_image(frame).shape == (120, 160, 3)
