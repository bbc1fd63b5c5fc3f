"""Raw files of a drive through the town, prepared: the same places, poses, surfaces and pictures as the town itself."""

import json
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from shutil import copytree, rmtree

import numpy as np
import pytest
from scipy.ndimage import minimum_filter
from scipy.spatial import cKDTree

from benchmark.frames.preparing import make_dataset
from datasets.base import Intrinsics
from datasets.errors import CrossplaceError
from datasets.oxford import Oxford
from datasets.oxford.submap import Crop
from datasets.pixels import resize
from datasets.prepared import PreparedDataset
from datasets.readers import read_image
from datasets.samples.oxford import CAMERA_FROM_CLOUD, LIDAR_FROM_CLOUD, UTM_M, RawRun
from datasets.town.camera import PinholeCamera
from datasets.town.light import LIGHTS

Prepare = Callable[..., PreparedDataset]


def stamps_us(dataset: PreparedDataset) -> np.ndarray:
    return dataset.frames.timestamp_ns // 1000


def contents(dataset: PreparedDataset) -> dict[str, bytes]:
    """All files but the one that names the options and the source's fingerprint."""
    files = [path for path in dataset.folder.rglob("*") if path.is_file() and path.name != "dataset.json"]
    return {str(path.relative_to(dataset.folder)): path.read_bytes() for path in files}


# --- round trip ----------------------------------------------------------------------------------


def test_places_and_poses_are_those_of_the_town(prepared: PreparedDataset, run: RawRun) -> None:
    frames = prepared.frames
    assert len(frames) >= 10
    assert set(frames.world) == {"oxford"}
    truth = run.world_from_cloud(stamps_us(prepared))
    np.testing.assert_allclose(frames.position_m, truth[:, :3, 3], atol=1e-3)
    heading = np.arctan2(truth[:, 1, 0], truth[:, 0, 0])
    np.testing.assert_allclose(np.angle(np.exp(1j * (frames.yaw_rad - heading))), 0, atol=1e-3)
    step = np.hypot(*np.diff(frames.position_m[:, :2], axis=0).T)
    assert (step > 4.5).all(), "5 m of path, less around a corner"
    assert frames.frame_id[0] == f"{run.name}/{stamps_us(prepared)[0]}"


def test_every_image_is_kept_or_counted(prepared: PreparedDataset, run: RawRun) -> None:
    counts = dict(prepared.counts)
    assert counts.pop("points_not_finite") == counts.pop("pose_rows_not_finite") == 0
    assert sum(counts.values()) == len(run.image_stamps_us)
    assert counts["kept"] == len(prepared.frames)
    assert counts["dropped_outside_poses"] == 3
    assert counts["dropped_too_shallow"] > 0, "the last places have no road ahead of them"


def accumulation(run: RawRun, source: Path, stamp_us: int) -> np.ndarray:
    """Points of the sweeps of the next 20 s, while there are poses, in the camera's frame, by the town's own poses."""
    points, last_us = [], int(run.stamps_us(run.poses_per_s, late_s=0.5)[-1]) - 4000
    for path in sorted((source / run.name / "lms_front").iterdir()):
        if stamp_us <= int(path.stem) <= min(stamp_us + 20 * 10**6, last_us):
            sweep = np.fromfile(path).reshape(-1, 3)
            (pose,) = run.drive.pose_at(run.seconds(np.array([int(path.stem)])))
            flat = np.column_stack([sweep[:, :2], np.zeros(len(sweep)), np.ones(len(sweep))])
            points.append((pose @ run.lms.lidar_from_sensor @ flat.T).T[:, :3] + UTM_M)
    (here,) = np.linalg.inv(run.world_from_cloud(np.array([stamp_us])))
    return np.concatenate(points) @ here[:3, :3].T + here[:3, 3]


def test_submaps_are_the_surfaces_ahead_without_the_ground(
    prepared: PreparedDataset, run: RawRun, official: Path
) -> None:
    for row in range(0, len(prepared.frames), 4):
        found = prepared.load_cloud(prepared.frame(row))
        assert found.dtype == np.float32
        expected = Crop()(accumulation(run, official, int(stamps_us(prepared)[row])))
        distance, _ = cKDTree(expected).query(found)
        assert distance.max() < 0.02
        well_inside = (expected[:, 0] < 49.9) & (expected[:, 0] > 0.1) & (np.abs(expected[:, 1]) < 24.9)
        expected = expected[well_inside]  # at the limits of the crop a millimetre decides
        kept = cKDTree(found).query(expected)[0] < 0.02
        (here,) = run.world_from_cloud(stamps_us(prepared)[[row]])
        up_m = expected @ here[2, :3] + here[2, 3] - UTM_M[2]
        # The ground of the town is flat; the plane through three noisy points is not quite.
        assert (np.abs(up_m[~kept]) < 0.45).all(), "only ground was taken away"
        assert (np.abs(up_m[kept]) > 0.05).mean() > 0.98, "and nearly all of it"


def ideal(k: Intrinsics) -> PinholeCamera:
    return PinholeCamera(
        intrinsics=k, camera_from_lidar=CAMERA_FROM_CLOUD @ np.linalg.inv(LIDAR_FROM_CLOUD), spots=((0.5, 0.5),)
    )


def test_projected_points_are_where_the_camera_sees_surfaces(prepared: PreparedDataset, run: RawRun) -> None:
    seen, in_front, total = 0, 0, 0
    for row in range(0, len(prepared.frames), 3):
        frame = prepared.frame(row)
        assert frame.intrinsics is not None
        assert frame.camera_from_lidar is not None
        time = float(run.seconds(np.array([frame.timestamp_ns // 1000]))[0])
        (pose,) = run.drive.pose_at(np.array([time]))
        depth = ideal(frame.intrinsics).depth(run.drive.scene_at(time), pose)
        points = prepared.load_cloud(frame).astype(float) @ frame.camera_from_lidar[:3, :3].T
        points += frame.camera_from_lidar[:3, 3]
        k = frame.intrinsics
        u, v = k.fx * points[:, 0] / points[:, 2] + k.cx, k.fy * points[:, 1] / points[:, 2] + k.cy
        inside = (u >= 0) & (u < k.width) & (v >= 0) & (v < k.height)
        pixel = v[inside].astype(int), u[inside].astype(int)
        z = points[inside, 2]
        tolerance = 0.15 + 0.03 * z
        seen += int((np.abs(z - depth[pixel]) < tolerance).sum())
        in_front += int((z < minimum_filter(depth, 3)[pixel] - tolerance).sum())  # the pixels are coarse
        total += len(z)
    assert total > 2000
    assert seen / total > 0.5, f"{seen / total:.2f} of the points are on what is seen; others are hidden behind it"
    assert in_front / total < 0.03, f"{in_front / total:.3f} are in front of what is seen, such as cars that came later"


def test_images_are_those_of_an_ideal_camera(prepared: PreparedDataset, run: RawRun) -> None:
    """Half a pixel of the raw image more or less to any side is worse."""
    raw = run.camera.intrinsics
    shifts = {"none": (0.0, 0.0), "right": (0.5, 0.0), "left": (-0.5, 0.0), "down": (0.0, 0.5), "up": (0.0, -0.5)}
    errors = dict.fromkeys(shifts, 0.0)
    for row in range(0, len(prepared.frames), 3):
        frame = prepared.frame(row)
        stored = prepared.load_image(frame).astype(float)
        time = float(run.seconds(np.array([frame.timestamp_ns // 1000]))[0])
        (pose,) = run.drive.pose_at(np.array([time]))
        for name, (x, y) in shifts.items():
            camera = ideal(replace(raw, cx=raw.cx + x, cy=raw.cy + y))
            light = LIGHTS[run.light]
            picture = camera.image(run.drive.scene_at(time), pose, light, np.random.default_rng(0))
            small = resize(picture, stored.shape[1], stored.shape[0]).astype(float)
            errors[name] += float(np.abs(small - stored)[3:-3, 3:-3].mean())
    assert min(errors, key=lambda name: errors[name]) == "none", errors


def test_calibration_of_the_stored_image(prepared: PreparedDataset, run: RawRun) -> None:
    (traversal,) = prepared.traversals.values()
    k, raw = traversal.intrinsics, run.camera.intrinsics
    assert k is not None
    np.testing.assert_allclose(k.fractions(), raw.fractions(), atol=1e-7)
    assert (k.width, k.height) == (80, 60)
    np.testing.assert_array_equal(traversal.camera_from_lidar, CAMERA_FROM_CLOUD)
    assert traversal.lidar is not None
    assert traversal.lidar.form == "submap"
    assert (traversal.name, traversal.condition, traversal.georeferenced) == (run.name, "day", True)


def test_the_rearranged_layout_gives_the_same_frames(
    prepared: PreparedDataset, rearranged: Path, prepare: Prepare
) -> None:
    other = prepare(rearranged)
    assert other.counts == prepared.counts
    np.testing.assert_array_equal(other.frames.position_m, prepared.frames.position_m)
    for row in range(len(prepared.frames)):
        one, two = prepared.frame(row), other.frame(row)
        np.testing.assert_array_equal(prepared.load_cloud(one), other.load_cloud(two))
        difference = np.abs(prepared.load_image(one).astype(int) - other.load_image(two))
        assert difference.mean() < 6, "but for the colours that the filters hide"


@pytest.mark.parametrize(
    ("options", "within_m"), [({"poses": "rtk"}, 1e-3), ({"bridge_bad_ins": True}, 5e-3)], ids=["rtk", "bridged"]
)
def test_other_poses_are_the_same_places(
    options: dict[str, object], within_m: float, official: Path, run: RawRun, prepare: Prepare
) -> None:
    found = prepare(official, spacing_m=25.0, **options)
    assert len(found.frames) >= 2
    truth = run.world_from_cloud(stamps_us(found))
    np.testing.assert_allclose(found.frames.position_m, truth[:, :3, 3], atol=within_m)


def test_as_published_submaps_are_smeared(official: Path, run: RawRun, prepare: Prepare) -> None:
    published = prepare(official, as_published=True, spacing_m=25.0)
    frame = published.frame(0)
    expected = Crop()(accumulation(run, official, frame.timestamp_ns // 1000))
    distance, _ = cKDTree(expected).query(published.load_cloud(frame))
    assert distance.max() > 0.2, "each sweep is placed where the next one was taken"


# --- what else must hold -------------------------------------------------------------------------


def test_neither_workers_nor_a_second_run_change_a_byte(
    prepared: PreparedDataset, official: Path, prepare: Prepare
) -> None:
    again = prepare(official, workers=2)
    assert contents(again) == contents(prepared)
    assert not any(path.name.startswith(".") for path in again.folder.rglob("*"))


def test_a_prepared_folder_can_be_moved(prepared: PreparedDataset, tmp_path: Path) -> None:
    copytree(prepared.folder, tmp_path / "moved")
    moved = PreparedDataset.read(tmp_path / "moved")
    assert moved.root.resolve() == tmp_path / "moved"
    assert not any(Path(path).is_absolute() for path in (*moved.frames.image, *moved.frames.cloud))
    np.testing.assert_array_equal(moved.load_cloud(moved.frame(0)), prepared.load_cloud(prepared.frame(0)))


def test_a_few_runs_of_many_can_be_named(official: Path, run: RawRun, tmp_path: Path, prepare: Prepare) -> None:
    source = copytree(official, tmp_path / "two")
    other = "2014-12-10-18-10-50"
    copytree(source / run.name, source / other)
    both = prepare(source, spacing_m=20.0)
    assert both.frames.traversal_names() == [run.name, other]
    assert both.traversals[other].condition == "night"
    one = prepare(source, spacing_m=20.0, runs=(other,))
    assert one.frames.traversal_names() == [other]
    rmtree(source / run.name / "lms_front")
    findings = Oxford().check(source)
    assert all(finding.ok for finding in findings)
    assert findings[-2].what.endswith("left out")
    assert "2014-12-02-15-30-08, " in findings[-1].what
    assert other not in findings[-1].what
    assert prepare(source, spacing_m=20.0).frames.traversal_names() == [other]


def test_a_check_of_a_whole_download_counts_everything(official: Path, run: RawRun) -> None:
    models, found, absent = Oxford().check(official)
    assert (models.ok, found.ok, absent.ok) == (True, True, True)
    assert "19,200 pixels" in models.what
    for words in ("40 of 40 images", "160 of 160 sweeps", "750 poses of INS in 15 s (4.0% of bad", "poses of RTK"):
        assert words in found.what
    assert "with 92.50% of the images" in found.what
    assert absent.what.startswith("of the 23 published test runs not here: 2014-11-14-16-34-33, 2014-11-18-13-20-12, ")
    assert len(Oxford(runs=(run.name,)).check(official)) == 2, "who names runs knows what is missing"


def test_a_check_names_everything_at_once(official: Path, run: RawRun, tmp_path: Path) -> None:
    source = copytree(official, tmp_path / "broken")
    rmtree(source / "models")
    (source / run.name / "lms_front.timestamps").write_text("no times\n")
    (source / run.name / "gps" / "ins.csv").write_text("timestamp\n")
    wrong = [finding.what for finding in Oxford().check(source) if not finding.ok]
    for words in ("copy them from https://", "lms_front.timestamps: line 1", "column 'northing' is missing"):
        assert any(words in what for what in wrong), words
    with pytest.raises(CrossplaceError, match=r"copy them from .* more: see `crossplace data check oxford`"):
        list(Oxford().prepare(source, tmp_path))


def test_a_check_of_nothing_says_what_is_expected_and_where_it_is(tmp_path: Path) -> None:
    for source, words in ((None, "--source is needed"), (tmp_path, "no run found")):
        (finding,) = Oxford().check(source)
        assert not finding.ok
        assert words in finding.what
        assert "robotcar-dataset.robots.ox.ac.uk" in finding.what


def test_named_runs_must_exist_and_be_complete(official: Path, run: RawRun, tmp_path: Path) -> None:
    (finding,) = Oxford(runs=("2015-01-01-00-00-00",)).check(official)
    assert "no run 2015-01-01-00-00-00; found: " in finding.what
    source = tmp_path / "poses only"
    copytree(official / run.name / "gps", source / run.name / "gps")
    copytree(official / "models", source / "models")
    for oxford in (Oxford(runs=(run.name,)), Oxford()):
        wrong = [finding.what for finding in oxford.check(source) if not finding.ok]
        assert len(wrong) == 3, "the run's line, no images, no sweeps"
    with pytest.raises(
        CrossplaceError, match=r"none of .* has images, sweeps and gps/ins\.csv; expected .*; from https"
    ):
        list(Oxford().prepare(source, tmp_path))


def test_images_without_a_pose_at_all_are_a_fault(official: Path, run: RawRun, tmp_path: Path) -> None:
    source = copytree(official, tmp_path / "other poses")
    path = source / run.name / "gps" / "ins.csv"
    path.write_text(path.read_text().replace("\n1403772", "\n1403773"))
    assert any("are both of one run?" in finding.what for finding in Oxford().check(source))


def test_missing_images_and_sweeps_are_counted(
    official: Path, run: RawRun, prepared: PreparedDataset, tmp_path: Path, prepare: Prepare
) -> None:
    source = copytree(official, tmp_path / "partial")
    (source / run.name / "stereo" / "centre" / f"{stamps_us(prepared)[3]}.png").unlink()
    for path in sorted((source / run.name / "lms_front").iterdir())[:60]:
        path.unlink()
    found = prepare(source, ahead_s=2.0)
    assert found.counts["dropped_no_image"] == 1
    assert found.counts["dropped_no_sweeps"] > 0
    assert sum(n for name, n in found.counts.items() if "not_finite" not in name) == len(run.image_stamps_us)


def repeated(path: Path, start: int, n: int) -> None:
    """Repeat ``n`` lines of a table."""
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[: start + n], *lines[start : start + n], *lines[start + n :]]) + "\n")


def test_rows_that_are_published_twice_are_counted(
    official: Path, run: RawRun, tmp_path: Path, prepare: Prepare
) -> None:
    source = copytree(official, tmp_path / "twice")
    repeated(source / run.name / "gps" / "ins.csv", 300, 3)
    found = prepare(source, spacing_m=40.0)
    assert found.counts["pose_rows_out_of_order"] == 3
    whole = prepare(official, spacing_m=40.0)
    assert "pose_rows_out_of_order" not in whole.counts
    np.testing.assert_array_equal(found.frames.position_m, whole.frames.position_m)


@pytest.mark.parametrize("fault", ["poses", "list of images"])
def test_a_run_that_is_published_broken_can_be_left_out(
    fault: str, official: Path, run: RawRun, tmp_path: Path, prepare: Prepare
) -> None:
    source, other = copytree(official, tmp_path / "two"), "2014-12-10-18-10-50"
    copytree(source / run.name, source / other)
    if fault == "poses":
        repeated(source / other / "gps" / "ins.csv", 300, 200)
    else:
        (source / other / "stereo.timestamps").write_text("no times\n")
    wrong = [finding.what for finding in Oxford().check(source) if not finding.ok]
    assert any("fetch the file again" in what for what in wrong)
    assert f"leave {other} out: --dataset-options 'runs=[\"{run.name}\"]'" in wrong[-1]
    with pytest.raises(CrossplaceError, match=r"--dataset-options 'runs=") as raised:
        prepare(source)
    *_, option = shlex.split(str(raised.value).partition("--dataset-options ")[2])
    dataset = make_dataset("oxford", [option])
    assert all(finding.ok for finding in dataset.check(source))
    assert dataset == Oxford(runs=(run.name,))


def test_nothing_left_is_a_sentence_with_the_reasons(official: Path, tmp_path: Path) -> None:
    with pytest.raises(CrossplaceError, match=r"no frame is left of 15 places tried \(.*dropped_too_shallow 8"):
        list(Oxford(depth_at_least_m=49.99, crop_m=(50.0, 0.5, 0.5)).prepare(official, tmp_path, workers=1))


def test_the_fingerprint_covers_texts_tables_and_the_list_of_files(official: Path, run: RawRun, tmp_path: Path) -> None:
    source = copytree(official, tmp_path / "copy")
    before = Oxford().fingerprint(source)
    assert before == Oxford().fingerprint(official)
    assert Oxford(seed=1).fingerprint(source) != before
    changed = {before}
    for path in ("gps/ins.csv", "stereo.timestamps", "../models/stereo_narrow_left.txt"):
        with (source / run.name / path).open("a") as file:
            file.write(" ")
        changed.add(Oxford().fingerprint(source))
    next((source / run.name / "lms_front").iterdir()).unlink()
    changed.add(Oxford().fingerprint(source))
    assert len(changed) == 5


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"spacing_m": 0.0}, "spacing_m must be positive"),
        ({"ahead_s": float("nan")}, "ahead_s must be positive"),
        ({"crop_m": (50.0, -1.0, 25.0)}, "crop_m must be positive"),
        ({"image_size": (0, 240)}, "image_size must be positive"),
        ({"seed": -1}, "seed must be 0 or more"),
        ({"poses": "rtk", "bridge_bad_ins": True}, "rtk.csv has no status"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(CrossplaceError, match=words):
        Oxford(**options)  # type: ignore[arg-type]


def test_models_may_lie_elsewhere(official: Path, tmp_path: Path, prepare: Prepare) -> None:
    source = copytree(official, tmp_path / "source")
    (source / "models").rename(tmp_path / "sdk")
    found = prepare(source, models=str(tmp_path / "sdk"), spacing_m=40.0)
    assert json.loads((found.folder / "dataset.json").read_text())["options"]["models"] == str(tmp_path / "sdk")
    assert read_image(found.root / found.frames.image[0]).shape == (60, 80, 3)
