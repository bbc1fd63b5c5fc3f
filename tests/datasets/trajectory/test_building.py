"""From a trajectory and stamped files to a prepared folder: the town goes out as a person's drive and comes back."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from drives import NS_IN, poses_of, write_drive
from PIL import Image
from scipy.spatial.transform import Rotation

from datasets import prepared
from datasets.errors import CrossplaceError
from datasets.files import write_atomically
from datasets.prepared import PreparedDataset
from datasets.trajectory.building import UNDO, add_traversal
from datasets.trajectory.drive import Drive

START_NS = 1_403_636_579_000_000_000
TRAVERSAL = "train-day"


@pytest.fixture(scope="module")
def town_drive(tiny_town: PreparedDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first traversal of the town as a person has it; for reading only."""
    return write_drive(tiny_town, TRAVERSAL, tmp_path_factory.mktemp("person") / "monday")


def drive_in(folder: Path, **changes: Any) -> Drive:
    found = Drive(
        trajectory=folder / "poses.txt",
        calibration=folder / "calibration.yaml",
        images=folder / "camera",
        clouds=folder / "lidar",
        traversal="monday",
        world="town",
    )
    return replace(found, **changes)


def sentence(folder: Path, drive: Drive) -> str:
    with pytest.raises(CrossplaceError) as caught:
        add_traversal(folder, drive)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- the town goes out and comes back ------------------------------------------------------------


def same_drive(found: PreparedDataset, name: str, town: PreparedDataset) -> None:
    times_ns, poses = poses_of(town, TRAVERSAL)
    found_ns, found_poses = poses_of(found, name)
    assert found_ns.tolist() == times_ns.tolist()
    np.testing.assert_allclose(found_poses, poses, atol=1e-6)
    back = found.frames.take(found.frames.traversal == name)
    there = town.frames.take(town.frames.traversal == TRAVERSAL)
    np.testing.assert_allclose(back.yaw_rad, there.yaw_rad, atol=1e-6)
    one, other = found.traversals[name], town.traversals[TRAVERSAL]
    assert (one.lidar, one.georeferenced, one.condition) == (other.lidar, False, "unstated")
    np.testing.assert_allclose(one.camera_from_lidar, other.camera_from_lidar, atol=1e-9)
    assert one.intrinsics is not None
    assert other.intrinsics is not None
    np.testing.assert_allclose(one.intrinsics.fractions(), other.intrinsics.fractions(), atol=1e-9)


def test_a_tum_drive_of_the_town_comes_back(tiny_town: PreparedDataset, town_drive: Path, tmp_path: Path) -> None:
    found, told = add_traversal(tmp_path / "own", drive_in(town_drive))
    same_drive(found, "monday", tiny_town)
    n = int((tiny_town.frames.traversal == TRAVERSAL).sum())
    assert {reason: count for reason, count in found.counts.items() if count} == {"kept": n}
    assert (found.name, found.version) == ("own", 1)
    assert told == [
        f"{town_drive / 'poses.txt'}: TUM, {n} times in s (recognised by magnitude)",
        f"{town_drive / 'camera'}: {n} times in ns (recognised by magnitude)",
        f"{town_drive / 'lidar'}: {n} times in ns (recognised by magnitude)",
    ]
    np.testing.assert_array_equal(found.load_cloud(found.frame(3)), tiny_town.load_cloud(tiny_town.frame(3)))
    np.testing.assert_array_equal(found.load_image(found.frame(3)), tiny_town.load_image(tiny_town.frame(3)))
    assert {path.name for path in (tmp_path / "own").iterdir()} == {"dataset.json", "frames.csv"}, "nothing is copied"


def test_a_kitti_drive_of_the_town_comes_back_from_poses_of_its_camera(
    tiny_town: PreparedDataset, tmp_path: Path
) -> None:
    person = write_drive(tiny_town, TRAVERSAL, tmp_path / "person", of="camera", unit="us")
    found, told = add_traversal(tmp_path / "own", drive_in(person, times=person / "times.txt"))
    same_drive(found, "monday", tiny_town)
    assert "KITTI" in told[0]
    assert "times in us (recognised by magnitude)" in told[1]


def test_poses_of_a_body_come_back_by_either_transform(
    tiny_town: PreparedDataset, town_drive: Path, tmp_path: Path
) -> None:
    times_ns, world_from_lidar = poses_of(tiny_town, TRAVERSAL)
    lidar_from_body = np.eye(4)
    lidar_from_body[:3, :3] = Rotation.from_euler("xyz", [10, 20, 60], degrees=True).as_matrix()
    lidar_from_body[:3, 3] = [1, -2, 0.5]
    from drives import tum

    (tmp_path / "poses.txt").write_text(tum(times_ns, world_from_lidar @ lidar_from_body))
    content = yaml.safe_load((town_drive / "calibration.yaml").read_text()) | {"trajectory_of": "body"}
    inverse = np.linalg.inv(lidar_from_body)
    for key, matrix in (("lidar_from_body", lidar_from_body), ("body_from_lidar", inverse)):
        (tmp_path / "c.yaml").write_text(yaml.safe_dump(content | {key: matrix.tolist()}))
        drive = drive_in(town_drive, trajectory=tmp_path / "poses.txt", calibration=tmp_path / "c.yaml")
        same_drive(add_traversal(tmp_path / key, drive)[0], "monday", tiny_town)


def test_files_below_the_folder_are_named_relative_to_it(tiny_town: PreparedDataset, tmp_path: Path) -> None:
    person = write_drive(tiny_town, TRAVERSAL, tmp_path / "own" / "monday")
    found, _ = add_traversal(tmp_path / "own", drive_in(person))
    assert found.frames.image[0].startswith("monday/camera/")
    (tmp_path / "own").rename(tmp_path / "moved")
    moved = PreparedDataset.read(tmp_path / "moved")
    assert len(moved.load_cloud(moved.frame(0)))


def test_files_beside_the_folder_are_named_from_the_root_also_if_given_relatively(
    tiny_town: PreparedDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_drive(tiny_town, TRAVERSAL, tmp_path / "monday")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    found, _ = add_traversal(Path("own"), drive_in(Path("../monday")))
    assert found.frames.cloud[0].startswith(f"{tmp_path}/monday/lidar/")
    found, _ = add_traversal(Path(), drive_in(Path("../monday")), name="own")
    assert found.frames.cloud[0].startswith(f"{tmp_path}/monday/lidar/")
    assert len(found.load_cloud(found.frame(0)))


# --- several drives in a folder ------------------------------------------------------------------


def test_a_further_drive_joins_the_folder_and_the_first_stays_as_it_is(
    tiny_town: PreparedDataset, town_drive: Path, tmp_path: Path
) -> None:
    evening = write_drive(tiny_town, "train-evening", tmp_path / "evening")
    first, _ = add_traversal(tmp_path / "own", drive_in(town_drive, condition="day"), name="mine")
    both, _ = add_traversal(tmp_path / "own", drive_in(evening, traversal="tuesday", condition="dusk"))
    assert both.name == "mine"
    assert both.frames.traversal_names() == ["monday", "tuesday"]
    assert {name: t.condition for name, t in both.traversals.items()} == {"monday": "day", "tuesday": "dusk"}
    assert both.counts["kept"] == len(both.frames)
    kept = both.frames.take(both.frames.traversal == "monday")
    np.testing.assert_array_equal(kept.position_m, first.frames.position_m)


def test_a_traversal_is_written_anew_only_if_asked(town_drive: Path, tmp_path: Path) -> None:
    folder, drive = tmp_path / "own", drive_in(town_drive)
    once, _ = add_traversal(folder, drive)
    said = sentence(folder, drive)
    assert said.endswith(
        "traversal 'monday' is there already; choose another --traversal, or write it anew with --replace"
    )
    again, _ = add_traversal(folder, replace(drive, condition="snow"), replace=True)
    assert again.counts == once.counts
    assert again.traversals["monday"].condition == "snow"
    assert len(add_traversal(folder, replace(drive, traversal="copy"))[0].traversals) == 2


@pytest.mark.parametrize("replaces", [False, True])
def test_a_call_that_dies_between_its_two_files_is_mended_by_the_same_call(
    replaces: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, further = by_hand(tmp_path / "p", [0, 1], [100, 200]), by_hand(tmp_path / "q", [0, 1], [300, 400, 500])
    further = replace(further, traversal="monday" if replaces else "tuesday")
    own, expected = tmp_path / "own", tmp_path / "expected"
    for folder in (own, expected):
        add_traversal(folder, first, name="own")
        add_traversal(folder, replace(first, traversal="sunday"))
    add_traversal(expected, further, replace=replaces)

    def dying(path: Path, content: bytes) -> None:
        if path.name == "dataset.json":
            raise KeyboardInterrupt
        write_atomically(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(prepared, "write_atomically", dying)
        with pytest.raises(KeyboardInterrupt):
            add_traversal(own, further, replace=replaces)
    with pytest.raises(CrossplaceError, match="from-trajectory was interrupted, give it again") as caught:
        PreparedDataset.read(own)
    assert f"delete {own}" not in str(caught.value)
    add_traversal(own, further, replace=replaces)
    (own / UNDO).write_text("what a call leaves that dies after its two files")
    for folder in (own, expected):
        add_traversal(folder, replace(first, traversal="wednesday"))
    assert {path.name for path in own.iterdir()} == {"dataset.json", "frames.csv"}
    for name in ("dataset.json", "frames.csv"):
        assert (own / name).read_bytes() == (expected / name).read_bytes()


@pytest.mark.parametrize("last", ["frames.csv", "dataset.json"])
def test_a_table_that_a_person_edits_after_an_interruption_is_never_taken_back(
    last: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive, own = by_hand(tmp_path / "p", [0, 1], [100, 200]), tmp_path / "own"
    add_traversal(own, drive)

    def dying(path: Path, content: bytes) -> None:
        if path.name == last:
            raise KeyboardInterrupt
        write_atomically(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(prepared, "write_atomically", dying)
        with pytest.raises(KeyboardInterrupt):
            add_traversal(own, replace(drive, traversal="tuesday"))
    edited = (own / "frames.csv").read_bytes().replace(b"town", b"city")
    (own / "frames.csv").write_bytes(edited)
    with pytest.raises(CrossplaceError):
        add_traversal(own, replace(drive, traversal="wednesday"))
    assert (own / "frames.csv").read_bytes() == edited


def test_a_table_that_was_changed_is_written_again_as_said_and_no_image_is_lost(tmp_path: Path) -> None:
    drive = by_hand(tmp_path / "own" / "monday", [0, 1], [100, 200], [100, 200])
    found, _ = add_traversal(tmp_path / "own", drive)
    table = tmp_path / "own" / "frames.csv"
    before = table.read_bytes()
    table.write_bytes(before.replace(b"town", b"city"))
    with pytest.raises(
        CrossplaceError, match=r"delete dataset\.json and frames\.csv in .*own, nothing else, and give the"
    ):
        PreparedDataset.read(found.folder)
    table.unlink()
    (tmp_path / "own" / "dataset.json").unlink()
    again, _ = add_traversal(tmp_path / "own", drive)
    assert table.read_bytes() == before
    assert again.load_image(again.frame(0)).shape == (6, 8, 3)


def test_a_folder_of_another_maker_is_left_alone(
    small_world: PreparedDataset, town_drive: Path, tmp_path: Path
) -> None:
    before = (small_world.folder / "dataset.json").read_bytes()
    assert "a prepared folder of another maker; choose another folder" in sentence(
        small_world.folder, drive_in(town_drive)
    )
    assert (small_world.folder / "dataset.json").read_bytes() == before


# --- by hand -------------------------------------------------------------------------------------


def by_hand(folder: Path, pose_s: list[float], cloud_ms: list[int], image_ms: list[int] | None = None) -> Drive:
    """A LiDAR that moves 10 m/s east and turns 90°/s left, seen at ``pose_s``; clouds and images after the start."""
    lines = []
    for s in pose_s:
        x, y, z, w = Rotation.from_euler("z", 90 * s, degrees=True).as_quat()
        lines.append(f"{START_NS / 1e9 + s:.3f} {10 * s} 0 1.5 {x} {y} {z} {w}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "poses.txt").write_text("\n".join(lines) + "\n")
    (folder / "calibration.yaml").write_text("trajectory_of: lidar\n")
    (folder / "lidar").mkdir()
    for ms in cloud_ms:
        np.save(folder / "lidar" / f"{START_NS // 10**6 + ms}.npy", np.ones((3, 3)))
    if image_ms is not None:
        (folder / "camera").mkdir()
        for ms in image_ms:
            Image.new("RGB", (8, 6)).save(folder / "camera" / f"{START_NS // 10**6 + ms}.png")
    return drive_in(folder, images=None if image_ms is None else folder / "camera")


def test_poses_between_poses_by_hand(tmp_path: Path) -> None:
    found, _ = add_traversal(tmp_path / "own", by_hand(tmp_path / "p", [0, 1], [0, 250, 1000]))
    np.testing.assert_allclose(found.frames.position_m, [[0, 0, 1.5], [2.5, 0, 1.5], [10, 0, 1.5]], atol=1e-9)
    np.testing.assert_allclose(found.frames.yaw_rad, np.radians([0, 22.5, 90]), atol=1e-9)
    assert found.frames.frame_id.tolist() == [f"monday/{START_NS // 10**6 + ms}" for ms in (0, 250, 1000)]
    assert found.frames.image.tolist() == ["", "", ""]


def test_frames_outside_and_in_gaps_are_dropped_and_counted(tmp_path: Path) -> None:
    drive = by_hand(tmp_path / "p", [0, 1, 2, 5, 6], [-500, 500, 2000, 2001, 4999, 5000, 5500, 6001, 7000])
    found, _ = add_traversal(tmp_path / "own", drive)
    assert [int(frame.split("/")[1]) - START_NS // 10**6 for frame in found.frames.frame_id] == [500, 2000, 5000, 5500]
    assert found.counts == {
        "kept": 4,
        "dropped_outside_trajectory": 3,
        "dropped_trajectory_gap": 2,
        "dropped_no_image": 0,
        "other_files": 0,
    }
    patient, _ = add_traversal(tmp_path / "patient", replace(drive, longest_gap_s=3.0))
    assert patient.counts["dropped_trajectory_gap"] == 0


def test_a_cloud_takes_the_nearest_image_within_the_limit(tmp_path: Path) -> None:
    drive = by_hand(tmp_path / "p", [0, 1], [100, 200, 300, 400], [49, 170, 270, 451])
    found, _ = add_traversal(tmp_path / "own", drive)
    start = START_NS // 10**6
    assert [Path(path).stem for path in found.frames.image] == [str(start + ms) for ms in (170, 270)]
    assert [Path(path).stem for path in found.frames.cloud] == [str(start + ms) for ms in (200, 300)]
    assert found.counts["dropped_no_image"] == 2
    wide, _ = add_traversal(tmp_path / "wide", replace(drive, max_apart_ms=51.0))
    assert [Path(path).stem for path in wide.frames.image] == [str(start + ms) for ms in (49, 170, 270, 451)]


def test_a_drive_has_a_world_of_its_own_unless_one_is_named(tmp_path: Path) -> None:
    drive = by_hand(tmp_path / "p", [0, 1], [100])
    assert add_traversal(tmp_path / "own", replace(drive, world=""))[0].frames.world.tolist() == ["monday"]
    assert add_traversal(tmp_path / "town", drive)[0].frames.world.tolist() == ["town"]


def test_images_alone_are_frames_too(tmp_path: Path) -> None:
    drive = replace(by_hand(tmp_path / "p", [0, 1], [100], [0, 500]), clouds=None)
    found, _ = add_traversal(tmp_path / "own", drive)
    assert found.frames.cloud.tolist() == ["", ""]
    np.testing.assert_allclose(found.frames.position_m[:, 0], [0, 5], atol=1e-9)


def test_nothing_left_says_why(tmp_path: Path) -> None:
    drive = by_hand(tmp_path / "p", [0, 1, 9, 10], [2000, 3000, 5000])
    said = sentence(tmp_path / "own", drive)
    assert "no frame is left of 3 (dropped trajectory gap 3); the trajectory is from 1403636579.000 s to" in said
    assert len(add_traversal(tmp_path / "own", replace(drive, longest_gap_s=8.0))[0].frames) == 3


# --- times that do not meet ----------------------------------------------------------------------


def renamed(folder: Path, change: Callable[[int], str]) -> None:
    for path in [*folder.iterdir()]:
        path.rename(folder / f"{change(int(path.stem))}{path.suffix}")


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_times_since_a_start_name_both_intervals_and_the_unit_that_fits(unit: str, tmp_path: Path) -> None:
    drive = by_hand(tmp_path / "p", [0, 1], [250, 500])
    renamed(tmp_path / "p" / "lidar", lambda ms: str((ms - START_NS // 10**6) * 10**6 // NS_IN[unit] + 1))
    drive.trajectory.write_text(drive.trajectory.read_text().replace("1403636579.", "0.").replace("1403636580.", "1."))
    said = sentence(tmp_path / "own", drive)
    assert "are no times since 1970 in any unit; state their unit with --time-unit" in said
    said = sentence(tmp_path / "own", replace(drive, time_unit="s"))
    found = re.search(
        r"(\S+) s to (\S+) s \(in s, as --time-unit says\), but .*: (\S+) s to (\S+) s \(in s, usual", said
    )
    assert found, said
    assert [float(number) for number in found.groups()[2:]] == [0.0, 1.0]
    advised = re.search(r"would fit: --time-unit (\w+)$", said)
    assert advised, said
    assert len(add_traversal(tmp_path / "own", replace(drive, time_unit=advised[1]))[0].frames) == 2


def test_clocks_that_never_meet_are_told_so(tmp_path: Path) -> None:
    drive = by_hand(tmp_path / "p", [0, 1], [250])
    renamed(tmp_path / "p" / "lidar", lambda ms: str(ms + 10**9))
    assert sentence(tmp_path / "own", drive).endswith("have no moment in common; write the times of both by one clock")
    both = by_hand(tmp_path / "q", [0, 1], [250], [250])
    renamed(tmp_path / "q" / "camera", lambda ms: str(ms + 10**9))
    assert "have no moment in common" in sentence(tmp_path / "own", both)


# --- a calibration that cannot be ----------------------------------------------------------------


def test_a_world_of_a_camera_is_recognised_and_the_advice_works(tiny_town: PreparedDataset, tmp_path: Path) -> None:
    person = write_drive(tiny_town, TRAVERSAL, tmp_path / "person", of="camera")
    path = person / "calibration.yaml"
    path.write_text(path.read_text().replace("world_axes: camera", "world_axes: z_up"))
    drive = drive_in(person, times=person / "times.txt")
    said = sentence(tmp_path / "own", drive)
    assert re.search(
        r"the LiDAR's up is \d+° off the world's \(median\); expected z up for both; with world_axes: camera in", said
    )
    path.write_text(path.read_text().replace("world_axes: z_up", "world_axes: camera"))
    same_drive(add_traversal(tmp_path / "own", drive)[0], "monday", tiny_town)


def test_a_transform_that_is_turned_round_is_found(tiny_town: PreparedDataset, tmp_path: Path) -> None:
    person = write_drive(tiny_town, TRAVERSAL, tmp_path / "person", of="camera")
    path = person / "calibration.yaml"
    path.write_text(path.read_text().replace("camera_from_lidar", "lidar_from_camera"))
    drive = drive_in(person, times=person / "times.txt")
    assert "look at trajectory_of and the transforms in" in sentence(tmp_path / "own", drive)


def test_a_scalar_first_quaternion_is_found(tmp_path: Path) -> None:
    drive = by_hand(tmp_path / "p", [0, 0.1], [0, 100])
    lines = [line.split() for line in drive.trajectory.read_text().splitlines()]
    drive.trajectory.write_text("".join(f"{' '.join([*w[:4], w[7], *w[4:7]])}\n" for w in lines))
    assert "at the order qx qy qz qw" in sentence(tmp_path / "own", drive)


def test_images_of_another_size_are_found(town_drive: Path, tmp_path: Path) -> None:
    content = yaml.safe_load((town_drive / "calibration.yaml").read_text())
    content["camera"] |= {"width": 320, "height": 240}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(content))
    said = sentence(tmp_path / "own", drive_in(town_drive, calibration=tmp_path / "c.yaml"))
    assert "160×120 pixels, but the calibration is of 320×240; correct camera in the calibration" in said


def test_raw_points_of_a_stated_layout_are_read(tmp_path: Path) -> None:
    drive = by_hand(tmp_path / "p", [0, 1], [100])
    np.arange(35, dtype=np.float32).tofile(drive.trajectory.parent / "lidar" / f"{START_NS // 10**6 + 200}.bin")
    (drive.trajectory.parent / "lidar" / f"{START_NS // 10**6 + 100}.npy").unlink()
    assert '"bin_layout": {"columns": 5, "dtype": "float32"}' in sentence(tmp_path / "own", drive)
    drive.calibration.write_text("trajectory_of: lidar\nbin_layout: {columns: 5, dtype: float32}\n")
    found, _ = add_traversal(tmp_path / "own", drive)
    assert found.load_cloud(found.frame(0)).tolist() == np.arange(35).reshape(-1, 5)[:, :3].tolist()
    described = json.loads((tmp_path / "own" / "dataset.json").read_text())
    assert described["traversals"]["monday"]["bin_layout"] == {"columns": 5, "dtype": "float32"}


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"traversal": "two words"}, "--traversal 'two words': expected letters, digits"),
        ({"traversal": ""}, "--traversal '': expected letters"),
        ({"world": "a/b"}, "--world 'a/b': expected letters"),
        ({"max_apart_ms": -1.0}, "--max-apart-ms -1: expected a number from 0"),
        ({"longest_gap_s": float("nan")}, "--longest-gap-s nan: expected a number from 0"),
        ({"images": None, "clouds": None}, "neither images nor clouds; state --images FOLDER, --clouds FOLDER or both"),
    ],
)
def test_options_that_cannot_be(changes: dict[str, Any], fault: str, town_drive: Path, tmp_path: Path) -> None:
    assert fault in sentence(tmp_path / "own", drive_in(town_drive, **changes))
    assert not (tmp_path / "own").exists()
