"""The town in ViViD++'s bags, prepared: the same places, headings, clouds and projections as the town itself."""

import numpy as np
import pytest
from raw_vivid import SMALL, SmallVivid

from datasets.prepared import PreparedDataset
from datasets.samples.vivid import BOOT_S, Car, write_bag
from datasets.town import Town
from datasets.town.camera import PinholeCamera
from datasets.town.light import LIGHTS

RUNS = {"campus_day1": "day", "campus_evening": "evening"}
TIMES_S = np.arange(8) * 2.5 + 3.0
"""Through streets and junctions of the test district."""


@pytest.fixture(scope="module")
def cars() -> dict[str, Car]:
    drives = {drive.light: drive for drive in Town(preset="tiny").drives() if drive.plan.name == "test"}
    return {run: Car(drive=drives[light], calibration=SMALL) for run, light in RUNS.items()}


@pytest.fixture(scope="module")
def prepared(cars: dict[str, Car], tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    raw, out = tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("prepared")
    for run, car in cars.items():
        write_bag(raw / f"{run}.bag", car.messages(TIMES_S))
    dataset = SmallVivid(image_width=128)
    findings = dataset.check(raw)
    assert all(finding.ok for finding in findings), findings
    assert list(dataset.prepare(raw, out, workers=1))[-1] == (16, 16)
    return PreparedDataset.read(out)


def frames_of(prepared: PreparedDataset, run: str) -> np.ndarray:
    return np.flatnonzero(prepared.frames.traversal == run)


def test_every_cloud_is_a_frame_and_what_is_left_out_is_counted(
    prepared: PreparedDataset, cars: dict[str, Car]
) -> None:
    counts = {name: n for name, n in prepared.counts.items() if n}
    n_pulses = 16 * 32 * 256
    assert counts.pop("points_not_finite") == 16 * len(range(0, 32 * 256, 97))
    assert 0 < counts.pop("points_without_return") < n_pulses / 2
    assert counts == {"kept": 16}
    assert {name: t.condition for name, t in prepared.traversals.items()} == RUNS | {"campus_day1": "day"}


@pytest.mark.parametrize("run", RUNS)
def test_places_times_and_headings_are_the_towns(prepared: PreparedDataset, cars: dict[str, Car], run: str) -> None:
    frames = prepared.frames.take(frames_of(prepared, run))
    poses = cars[run].drive.pose_at(TIMES_S)
    assert np.abs(frames.position_m - (poses[:, :3, 3] + cars[run].town_at_m)).max() < 0.03
    seconds = (frames.timestamp_ns - round(BOOT_S * 1e6) * 1000) / 1e9 - 100
    assert np.abs(seconds - TIMES_S).max() < 1e-6
    yaw = np.arctan2(poses[:, 1, 0], poses[:, 0, 0])
    difference = np.angle(np.exp(1j * (frames.yaw_rad - yaw)))
    assert np.abs(difference).max() < np.deg2rad(8), "the car points up to 3° off its path, and a chord cuts corners"
    assert set(frames.world) == {"vivid"}


@pytest.mark.parametrize("run", RUNS)
def test_clouds_are_the_towns(prepared: PreparedDataset, cars: dict[str, Car], run: str) -> None:
    for row, time in zip(frames_of(prepared, run), TIMES_S, strict=True):
        scan = cars[run].scan(time)
        keep = scan.any(axis=1)
        keep[::97] = False
        cloud = prepared.load_cloud(prepared.frame(int(row)))
        np.testing.assert_allclose(cloud, scan[keep], atol=1e-5)


@pytest.mark.parametrize("run", RUNS)
def test_images_are_what_a_pinhole_camera_takes_there(
    prepared: PreparedDataset, cars: dict[str, Car], run: str
) -> None:
    car = cars[run]
    for row, time in list(zip(frames_of(prepared, run), TIMES_S, strict=True))[::3]:
        frame = prepared.frame(int(row))
        pinhole = PinholeCamera(intrinsics=frame.intrinsics, camera_from_lidar=frame.camera_from_lidar)
        late = time + 0.01
        light, scene = LIGHTS[car.drive.light], car.drive.scene_at(late)
        expected = pinhole.image(scene, car.pose_at(late), light, np.random.default_rng(0)).astype(float)
        found = prepared.load_image(frame).astype(float)
        is_seen = found.any(axis=2)
        assert is_seen.mean() > 0.9
        error = np.abs(found - expected)[is_seen].mean()
        elsewhere = np.abs(np.roll(found, 3, axis=1) - expected)[is_seen].mean()
        assert error < 0.5 * elsewhere, "three pixels aside is a worse fit"


@pytest.mark.parametrize("run", RUNS)
def test_points_project_to_where_the_camera_sees_them(
    prepared: PreparedDataset, cars: dict[str, Car], run: str
) -> None:
    for row, time in zip(frames_of(prepared, run), TIMES_S, strict=True):
        frame = prepared.frame(int(row))
        k, camera_from_lidar = frame.intrinsics, frame.camera_from_lidar
        depth = PinholeCamera(intrinsics=k, camera_from_lidar=camera_from_lidar).depth(
            cars[run].drive.scene_at(time), cars[run].pose_at(time)
        )
        points = prepared.load_cloud(frame) @ camera_from_lidar[:3, :3].T + camera_from_lidar[:3, 3]
        points = points[points[:, 2] > 1]
        u, v = points[:, 0] / points[:, 2] * k.fx + k.cx, points[:, 1] / points[:, 2] * k.fy + k.cy
        is_in = (u > 0) & (v > 0) & (u < k.width) & (v < k.height)
        seen = depth[v[is_in].astype(int), u[is_in].astype(int)]
        assert is_in.sum() > 500
        assert (np.abs(seen - points[is_in, 2]) < 0.05 * seen).mean() > 0.85
