import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from datasets.base import Frames, Intrinsics, Lidar, Traversal
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset, make_fingerprint, quaternion_wxyz, write_prepared
from datasets.readers import read_points

CAMERA_FROM_LIDAR = np.array([[0.0, -1, 0, 0.1], [0, 0, -1, 0.2], [1, 0, 0, 0.3], [0, 0, 0, 1]])
DAY = Traversal(
    name="day",
    condition="day",
    georeferenced=True,
    intrinsics=Intrinsics(fx=100.0, fy=101.0, cx=4.0, cy=3.0, width=8, height=6),
    camera_from_lidar=CAMERA_FROM_LIDAR,
    lidar=Lidar(beams=64, vertical_fov_deg=(-24.9, 2.0), max_range_m=120.0, form="scan"),
)
BARE = Traversal(
    name="bare", condition="night", georeferenced=False, intrinsics=None, camera_from_lidar=None, lidar=None
)


def column(*values):
    return np.array(values, dtype=object)


def three_frames():
    return Frames(
        frame_id=column("day/1", "day/2", "NA"),
        traversal=column("day", "day", "bare"),
        world=column("oxford", "oxford", "0042"),
        timestamp_ns=np.array([1_415_985_057_262_127_001, 1_415_985_057_262_127_002, 3]),
        position_m=np.array([[620084.402381, 5735712.768124, 1 / 3], [0.1, 0.2, 0.3], [0.0, -1e-7, 9.0]]),
        quaternion_wxyz=np.array([[1.0, 0, 0, 0], [0.5, 0.5, 0.5, 0.5], [0.6, 0, 0, 0.8]]),
        yaw_rad=np.array([0.1, -3.14159265358979, 2.0]),
        image=column("images/1.png", "images/2.png", ""),
        cloud=column("clouds/1.npy", "", "clouds/3.bin"),
    )


@pytest.fixture
def folder(tmp_path):
    write_prepared(
        tmp_path,
        name="toy",
        version=3,
        options={"spacing_m": 5.0, "runs": ("a", "b")},
        fingerprint="f00d",
        traversals=[DAY, BARE],
        frames=three_frames(),
        counts={"kept": 3, "no points": 1},
    )
    (tmp_path / "images").mkdir()
    (tmp_path / "clouds").mkdir()
    return tmp_path


def edit_description(folder, change):
    path = folder / "dataset.json"
    described = json.loads(path.read_text())
    change(described)
    path.write_text(json.dumps(described))


def edit_frames(folder, change):
    path = folder / "frames.csv"
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    change(table)
    table.to_csv(path, index=False)


# --- what is written is what is read -------------------------------------------------------------


def test_frames_survive_the_round_trip_exactly(folder):
    found, expected = PreparedDataset.read(folder).frames, three_frames()
    for name in ("frame_id", "traversal", "world", "timestamp_ns", "image", "cloud"):
        assert getattr(found, name).tolist() == getattr(expected, name).tolist()
    for name in ("position_m", "quaternion_wxyz", "yaw_rad"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_positions_survive_to_the_last_bit(tmp_path):
    # Many decimal numbers come back off by one bit from pandas' default parser.
    n = 500
    frames = three_frames().take(np.zeros(n, dtype=np.int64))
    frames.frame_id[:] = [f"day/{i}" for i in range(n)]
    frames.position_m[:] = np.random.default_rng(0).normal(scale=1e6, size=(n, 3))
    frames.timestamp_ns[:] = np.arange(n)
    write_prepared(
        tmp_path, name="toy", version=1, options={}, fingerprint="", traversals=[DAY], frames=frames, counts={}
    )
    np.testing.assert_array_equal(PreparedDataset.read(tmp_path).frames.position_m, frames.position_m)


def test_the_description_survives_the_round_trip(folder):
    found = PreparedDataset.read(folder)
    assert (found.name, found.version, found.fingerprint) == ("toy", 3, "f00d")
    assert found.options == {"spacing_m": 5.0, "runs": ["a", "b"]}
    assert found.counts == {"kept": 3, "no points": 1}
    assert found.traversals["bare"] == BARE
    day = found.traversals["day"]
    assert (day.condition, day.georeferenced, day.intrinsics, day.lidar) == ("day", True, DAY.intrinsics, DAY.lidar)
    np.testing.assert_array_equal(day.camera_from_lidar, CAMERA_FROM_LIDAR)


def test_one_frame_carries_the_calibration_of_its_traversal(folder):
    dataset = PreparedDataset.read(folder)
    frame = dataset.frame(dataset.frames.frame_id.tolist().index("day/2"))
    assert (frame.frame_id, frame.timestamp_ns, frame.position_m) == (
        "day/2",
        1_415_985_057_262_127_002,
        (0.1, 0.2, 0.3),
    )
    assert frame.intrinsics == DAY.intrinsics
    assert dataset.frame(dataset.frames.frame_id.tolist().index("NA")).intrinsics is None


def test_paths_are_relative_to_the_folder_or_to_a_stated_root(folder, tmp_path_factory):
    assert PreparedDataset.read(folder).root.resolve() == folder.resolve()
    raw = tmp_path_factory.mktemp("raw")
    edit_description(folder, lambda d: d.update(root=str(raw)))
    assert PreparedDataset.read(folder).root == raw


def test_a_folder_that_was_not_finished_is_no_dataset(folder):
    (folder / "dataset.json").unlink()
    with pytest.raises(CrossplaceError, match=r"no dataset\.json here"):
        PreparedDataset.read(folder)


# --- a broken description ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda d: d.update(schema_version=2), "expected schema_version 1, found 2"),
        (lambda d: d.pop("schema_version"), "expected schema_version 1, found None"),
        (lambda d: d.pop("counts"), "counts: Field required"),
        (lambda d: d.update(licence="?"), "licence: Extra inputs"),
        (lambda d: d["traversals"].pop("bare"), "'bare' is not described"),
        (lambda d: d["traversals"]["day"]["intrinsics"].pop("fy"), r"traversals\.day\.intrinsics\.fy: Field required"),
        (
            lambda d: d["traversals"]["day"]["lidar"].update(colour="red"),
            r"traversals\.day\.lidar\.colour: Extra inputs",
        ),
        (
            lambda d: d["traversals"]["day"]["lidar"].pop("vertical_fov_deg"),
            r"day\.lidar\.vertical_fov_deg: Field required",
        ),
        (lambda d: d["traversals"]["day"]["camera_from_lidar"].pop(), r"\.day\.camera_from_lidar: not a rigid"),
        (lambda d: d["traversals"]["day"]["camera_from_lidar"][0].pop(), r"\.day\.camera_from_lidar: not a rigid"),
        (
            lambda d: d["traversals"]["day"]["camera_from_lidar"][0].__setitem__(1, -2.0),
            r"\.day\.camera.*: not a rigid",
        ),
        (lambda d: d["traversals"]["day"]["camera_from_lidar"][0].__setitem__(1, 1.0), r"_from_lidar: not a rigid"),
    ],
)
def test_a_fault_in_the_description_is_named(folder, change, fault):
    edit_description(folder, change)
    with pytest.raises(CrossplaceError, match=fault):
        PreparedDataset.read(folder)


@pytest.mark.parametrize(("text", "fault"), [("{", "not valid JSON"), ("[]", "expected schema_version 1, found None")])
def test_a_description_that_is_no_json_object_is_refused(folder, text, fault):
    (folder / "dataset.json").write_text(text)
    with pytest.raises(CrossplaceError, match=fault):
        PreparedDataset.read(folder)


# --- a broken table ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda t: t.drop(columns="qz", inplace=True), "column 'qz' is missing"),
        (lambda t: t.__setitem__("frame_id", ["x", "y", "x"]), "frame_id 'x' appears twice"),
        (
            lambda t: t.__setitem__("east_m", ["1", "2", "nan"]),
            "line 4: column east_m: found 'nan', expected a finite",
        ),
        (lambda t: t.__setitem__("yaw_rad", ["1", "", "3"]), "line 3: column yaw_rad: found an empty cell"),
        (lambda t: t.__setitem__("north_m", ["1", "far", "3"]), "line 3: column north_m: found 'far'"),
        (lambda t: t.__setitem__("timestamp_ns", ["1", "soon", "3"]), "line 3: column timestamp_ns: found 'soon'"),
        (lambda t: t.__setitem__("timestamp_ns", ["1", "2.5", "3"]), "expected whole nanoseconds"),
    ],
)
def test_a_fault_in_the_table_is_named(folder, change, fault):
    edit_frames(folder, change)
    with pytest.raises(CrossplaceError, match=fault):
        PreparedDataset.read(folder)


def test_a_missing_table_is_named(folder):
    (folder / "frames.csv").unlink()
    with pytest.raises(CrossplaceError, match=r"frames\.csv: not readable \(No such file"):
        PreparedDataset.read(folder)


# --- images and clouds ---------------------------------------------------------------------------


def test_images_are_read_as_rgb_whatever_they_were(folder):
    Image.fromarray(np.full((6, 8), 7, dtype=np.uint8)).save(folder / "images" / "1.png")
    dataset = PreparedDataset.read(folder)
    pixels = dataset.load_image(dataset.frame(0))
    assert pixels.shape == (6, 8, 3)
    assert (pixels == 7).all()


def test_an_image_of_another_size_than_its_intrinsics_is_refused(folder):
    Image.new("RGB", (9, 6)).save(folder / "images" / "1.png")
    dataset = PreparedDataset.read(folder)
    with pytest.raises(CrossplaceError, match=r"expected 8×6 pixels .* found 9×6"):
        dataset.load_image(dataset.frame(0))


@pytest.mark.parametrize("content", [None, b"", b"no picture"])
def test_an_unreadable_image_is_named(folder, content):
    if content is not None:
        (folder / "images" / "1.png").write_bytes(content)
    dataset = PreparedDataset.read(folder)
    with pytest.raises(CrossplaceError, match=r"1\.png: not a readable image"):
        dataset.load_image(dataset.frame(0))


def test_clouds_are_read_as_xyz_from_both_forms(folder):
    points = np.arange(12, dtype=np.float32).reshape(3, 4)
    np.save(folder / "clouds" / "1.npy", points.astype(np.float64))
    points.tofile(folder / "clouds" / "3.bin")
    dataset = PreparedDataset.read(folder)
    for row in (0, 2):
        found = dataset.load_cloud(dataset.frame(row))
        assert found.dtype == np.float32
        assert found.tolist() == points[:, :3].tolist()


def test_a_prepared_cloud_with_broken_points_is_an_error(folder):
    points = np.zeros((5, 3), dtype=np.float32)
    points[1, 0], points[3, 2] = np.nan, np.inf
    np.save(folder / "clouds" / "1.npy", points)
    dataset = PreparedDataset.read(folder)
    with pytest.raises(CrossplaceError, match=r"1\.npy: 2 of 5 points are not finite"):
        dataset.load_cloud(dataset.frame(0))


def test_a_truncated_scan_is_named(tmp_path):
    path = tmp_path / "scan.bin"
    np.zeros(15, dtype=np.float32).tofile(path)
    with pytest.raises(CrossplaceError, match="60 bytes are no whole number"):
        read_points(path)


@pytest.mark.parametrize("array", [np.zeros((4, 2)), np.zeros(12), np.zeros((4, 3), dtype=np.int64)])
def test_an_array_of_another_form_is_no_cloud(tmp_path, array):
    np.save(tmp_path / "cloud.npy", array)
    with pytest.raises(CrossplaceError, match=r"expected (\(n, ≥3\)|floats)"):
        read_points(tmp_path / "cloud.npy")


@pytest.mark.parametrize("name", ["cloud.npy", "cloud.bin"])
def test_a_missing_cloud_is_named(tmp_path, name):
    with pytest.raises(CrossplaceError, match=f"{name}: not (a )?readable"):
        read_points(tmp_path / name)


@pytest.mark.parametrize("content", [b"", b"no array at all", b"\x93NUMPY\x01\x00"])
def test_a_damaged_array_is_named(tmp_path, content):
    (tmp_path / "cloud.npy").write_bytes(content)
    with pytest.raises(CrossplaceError, match="not a readable array"):
        read_points(tmp_path / "cloud.npy")


def test_pickled_clouds_are_never_opened(tmp_path):
    np.save(tmp_path / "cloud.npy", np.array([{"x": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(CrossplaceError, match="not a readable array"):
        read_points(tmp_path / "cloud.npy")


# --- fingerprints and rotations ------------------------------------------------------------------


def test_the_fingerprint_follows_everything_that_decides_the_data():
    base = make_fingerprint("toy", 1, {"a": 1, "b": 2}, ["x 3"])
    assert base == make_fingerprint("toy", 1, {"b": 2, "a": 1}, ["x 3"])
    others = [("tog", 1, {"a": 1, "b": 2}, ["x 3"]), ("toy", 2, {"a": 1, "b": 2}, ["x 3"])]
    others += [("toy", 1, {"a": 1, "b": 3}, ["x 3"]), ("toy", 1, {"a": 1, "b": 2}, ["x 4"])]
    assert base not in {make_fingerprint(*other) for other in others}


def test_quaternions_are_scalar_first_with_a_non_negative_scalar():
    turns = Rotation.from_euler("z", [[0], [90], [270]], degrees=True).as_matrix()
    half = np.sqrt(0.5)
    np.testing.assert_allclose(
        quaternion_wxyz(turns), [[1, 0, 0, 0], [half, 0, 0, half], [half, 0, 0, -half]], atol=1e-12
    )


def test_mercator_positions_are_kept_and_may_be_unknown(small_world: PreparedDataset, tmp_path: Path) -> None:
    frames = small_world.frames
    mercator_m = np.arange(2.0 * len(frames)).reshape(-1, 2)
    mercator_m[1] = np.nan
    traversals = [replace(t, mercator_scale=0.655) for t in small_world.traversals.values()]
    write_prepared(
        tmp_path,
        name="own",
        version=1,
        options={},
        fingerprint="f",
        traversals=traversals,
        frames=replace(frames, mercator_m=mercator_m),
        counts={},
    )
    read = PreparedDataset.read(tmp_path)
    np.testing.assert_array_equal(read.frames.mercator_m, mercator_m)
    np.testing.assert_array_equal(read.frames.take(np.array([1, 2])).mercator_m, mercator_m[1:3])
    assert {t.mercator_scale for t in read.traversals.values()} == {0.655}
    both = Frames.concatenate([read.frames, small_world.frames]).mercator_m
    assert both is not None
    assert np.isnan(both[len(frames) :]).all()
    csv = (tmp_path / "frames.csv").read_text()
    (tmp_path / "frames.csv").write_text(csv.replace("4.0,5.0", "4.0,"))
    with pytest.raises(CrossplaceError, match="line 4: one of mercator_east_m and mercator_north_m is empty"):
        PreparedDataset.read(tmp_path)
