"""A whole look at datasets: which facts there are, what good data has, what cannot be read."""

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy import ndarray
from PIL import Image
from raw_vivid import SMALL, SmallVivid

from datasets.base import Frames
from datasets.boreas.boreas import Boreas
from datasets.doctor.examination import Examination
from datasets.doctor.examine import enter, examine
from datasets.doctor.rules import RULES
from datasets.doctor.tables import of_places, of_table
from datasets.errors import CrossplaceError
from datasets.files import read_as
from datasets.kitti import Kitti
from datasets.oxford import Oxford
from datasets.oxford.poses import CONVERGENCE_RAD, read_trajectory
from datasets.prepared import PreparedDataset, frames_at
from datasets.samples.boreas import run_through
from datasets.samples.kitti import RawKitti
from datasets.samples.oxford import RawRun, write_official
from datasets.samples.vivid import Car, write_bag
from datasets.town import Town
from datasets.town.town import PRESETS


def prepared(dataset: object, source: Path | None, folder: Path) -> PreparedDataset:
    folder.mkdir()
    list(dataset.prepare(source, folder, workers=1))  # type: ignore[attr-defined]
    return PreparedDataset.read(folder)


# --- good data -------------------------------------------------------------------------------------


def without_verdict(found: Examination) -> None:
    print("\n".join(margins(found.facts)))  # noqa: T201 - pytest shows it with -rP
    assert [*found.faults(), *found.doubts().values()] == []


def margins(facts: dict[str, dict[str, float]]) -> list[str]:
    """A line a rule: the value nearest to a limit, and the limits."""
    lines = []
    for name, values in facts.items():
        rule, ends = RULES[name], sorted(values.values())
        lines.append(f"{name:20} {ends[0]:10.3f} to {ends[-1]:10.3f}   expected {rule.expected}")
    return lines


def test_the_tiny_town(tiny_town: PreparedDataset) -> None:
    without_verdict(examine(tiny_town))


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["small", "large"])
def test_the_sensors_of_every_preset_of_the_town(preset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one small district, by the first light and in winter: a whole preset takes minutes."""
    small = replace(
        PRESETS[preset], districts=PRESETS["tiny"].districts[2:], lights=("day",), unseen_lights=("winter",)
    )
    monkeypatch.setitem(PRESETS, preset, small)
    without_verdict(examine(prepared(Town(preset=preset), None, tmp_path / "town")))


def test_real_kitti_frames(kitti_mini: Path, tmp_path: Path) -> None:
    found = examine(prepared(Kitti(), kitti_mini, tmp_path / "kitti"))
    without_verdict(found)
    assert found.n_sampled == 22


def test_the_town_as_kitti_would_have_recorded_it(tmp_path: Path) -> None:
    RawKitti(n_frames=12).write_odometry(tmp_path / "raw", "04")
    without_verdict(examine(prepared(Kitti(sequences=("04",)), tmp_path / "raw", tmp_path / "kitti")))


@pytest.mark.slow
def test_the_town_as_robotcar_would_have_recorded_it(tmp_path: Path) -> None:
    write_official(tmp_path / "raw", RawRun())
    without_verdict(examine(prepared(Oxford(image_size=(160, 120)), tmp_path / "raw", tmp_path / "oxford")))


@pytest.mark.slow
def test_the_town_as_vivid_would_have_recorded_it(tmp_path: Path) -> None:
    (drive,) = (d for d in Town(preset="tiny").drives() if d.name == "test-day")
    for run, light in (("day1", "day"), ("night", "night")):
        write_bag(
            tmp_path / "raw" / f"campus_{run}.bag",
            Car(drive=replace(drive, light=light), calibration=SMALL).messages(np.arange(10) * 2.0 + 3),
        )
    without_verdict(examine(prepared(SmallVivid(), tmp_path / "raw", tmp_path / "vivid")))


@pytest.mark.slow
def test_the_town_as_boreas_would_have_recorded_it(tmp_path: Path) -> None:
    by_day = [d for d in Town(preset="tiny").drives() if d.light == "day"]
    run_through(by_day, "2021-06-17-17-52", 10).write(tmp_path / "raw")
    without_verdict(examine(prepared(Boreas(), tmp_path / "raw", tmp_path / "boreas")))


def drive(world_from_lidar: ndarray, time_ns: ndarray, name: str) -> Frames:
    names = [f"{name}{i}" for i in range(len(time_ns))]
    return frames_at(
        world_from_lidar,
        time_ns,
        traversal=name,
        world=name,
        frame_id=names,
        image=names,
        cloud=[f"{n}c" for n in names],
    )


def facts_of(frames: Frames) -> Examination:
    """What the table says."""
    facts: dict[str, dict[str, float]] = defaultdict(dict)
    for name in frames.traversal_names():
        enter(facts, name, of_table(frames.take(frames.traversal == name)))
    enter(facts, "", of_places(frames))
    return Examination(version=1, fingerprint="", n_sampled=0, facts=facts, unreadable=[], reading="")


def judged(frames: Frames) -> None:
    """No verdict on what the table says."""
    without_verdict(facts_of(frames))


def test_real_trajectories_of_robotcar(real_data: Callable[[str], Path]) -> None:
    parts = []
    for run in sorted((real_data("robotcar-trajectories") / "loop").iterdir()):
        trajectory = read_trajectory(run / "gps" / "ins.csv", "ins", convergence_rad=CONVERGENCE_RAD)
        stamps_ns = np.loadtxt(run / "stereo.timestamps", dtype=np.int64)[:, 0] * 1000
        stamps_ns = stamps_ns[trajectory.covers(stamps_ns)][::8]
        parts.append(drive(trajectory.at(stamps_ns), stamps_ns, run.name))
    judged(Frames.concatenate(parts))


def boreas(folder: Path, *, as_published: bool) -> Frames:
    """Three runs, with rotations as published or the other way round."""
    parts = []
    for path in sorted(folder.glob("boreas-*.txt")):
        rows = np.loadtxt(path)
        poses = rows[:, 1:].reshape(-1, 4, 4)
        if not as_published:
            poses[:, :3, :3] = poses[:, :3, :3].transpose(0, 2, 1)
        parts.append(drive(poses, (rows[:, 0] * 1000).astype(np.int64), path.stem))
    assert len(parts) == 3
    return Frames.concatenate(parts)


def test_real_trajectories_of_boreas(real_data: Callable[[str], Path]) -> None:
    judged(boreas(real_data("boreas-trajectories"), as_published=False))


def test_the_republished_rotations_of_boreas_are_those_from_the_map_to_the_lidar(
    real_data: Callable[[str], Path],
) -> None:
    """Real data that means something else: heading *plus* direction of travel is constant all along the route.

    In the pose files of the dataset itself (heading, velocities) the difference is constant, as it must be.
    """
    frames = boreas(real_data("boreas-trajectories"), as_published=True)
    (rule,) = facts_of(frames).doubts()
    assert rule == "heading-and-track"


def test_real_trajectories_of_kitti(real_data: Callable[[str], Path]) -> None:
    folder, parts = real_data("kitti-odometry-poses"), []
    ahead_from_camera = np.array([[0, 0, 1.0, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
    for name in (f"{number:02d}" for number in range(11)):
        rows = np.loadtxt(folder / f"{name}.txt").reshape(-1, 3, 4)
        poses = np.tile(np.eye(4), (len(rows), 1, 1))
        poses[:, :3] = rows
        time_ns = np.rint(np.loadtxt(folder / f"times_{name}.txt") * 1e9).astype(np.int64)
        parts.append(drive(ahead_from_camera @ poses @ ahead_from_camera.T, time_ns, name))
    judged(Frames.concatenate(parts))


# --- the look itself -------------------------------------------------------------------------------


def test_every_rule_is_measured_and_every_fact_has_a_rule(tiny_town: PreparedDataset) -> None:
    found = set(examine(tiny_town).facts)
    aside = {name: replace(t, camera_from_lidar=np.eye(4)) for name, t in tiny_town.traversals.items()}
    found |= set(examine(replace(tiny_town, traversals=aside)).facts)  # a fact of cameras that do not look ahead
    assert found == set(RULES)


def test_the_same_data_gives_the_same_facts(small_world: PreparedDataset) -> None:
    assert examine(small_world) == examine(small_world)


def test_an_examination_is_a_sealed_file(small_world: PreparedDataset, tmp_path: Path) -> None:
    found, path = examine(small_world), tmp_path / "facts.json"
    path.write_bytes(found.as_json())
    assert read_as(path, Examination, "") == found
    content = json.loads(path.read_text())
    content["facts"]["in-view"]["morning"] = 50.0
    path.write_text(json.dumps(content))
    with pytest.raises(CrossplaceError, match="seal"):
        read_as(path, Examination, "")


def copied(dataset: PreparedDataset, folder: Path) -> PreparedDataset:
    import shutil

    shutil.copytree(dataset.folder, folder)
    return PreparedDataset.read(folder)


def test_files_that_are_missing_are_counted_and_those_that_are_damaged_are_named(
    small_world: PreparedDataset, tmp_path: Path
) -> None:
    dataset = copied(small_world, tmp_path / "copy")
    (dataset.root / dataset.frames.cloud[0]).unlink()
    (dataset.root / dataset.frames.image[5]).write_bytes(b"no picture")
    found = examine(dataset)
    assert found.facts["missing-files"] == {"morning": 1.0, "evening": 0.0, "midnight": 0.0}
    assert "missing-files" in found.doubts()
    (sentence,) = found.unreadable
    assert "morning-5.png: not a readable image" in sentence
    assert sentence in found.faults()


def test_a_dataset_without_images_clouds_and_calibration_is_looked_at(small_world: PreparedDataset) -> None:
    bare = replace(
        small_world,
        frames=replace(small_world.frames, cloud=np.full(len(small_world.frames), "", dtype=object)),
        traversals={
            name: replace(t, intrinsics=None, camera_from_lidar=None, lidar=None)
            for name, t in small_world.traversals.items()
        },
    )
    found = examine(bare)
    assert "coverage" in found.doubts()
    assert not {"in-view", "points", "clouds-and-poses", "field-of-view", "shared-clouds"} & set(found.facts)


def test_images_with_a_tag_that_turns_them(small_world: PreparedDataset, tmp_path: Path) -> None:
    dataset = copied(small_world, tmp_path / "copy")
    for path in dataset.frames.image.tolist():
        picture = Image.open(dataset.root / path)
        exif = picture.getexif()
        exif[0x0112] = 6
        picture.save(dataset.root / path, exif=exif)
    found = examine(dataset)
    assert found.facts["turned-images"] == dict.fromkeys(dataset.traversals, 100.0)
    assert "turned-images" in found.doubts()


def test_hundreds_of_traversals_are_looked_at_in_bounded_time(small_world: PreparedDataset) -> None:
    frames, n = small_world.frames, len(small_world.frames)
    many = [
        replace(
            frames,
            frame_id=np.array([f"{k}/{name}" for name in frames.frame_id], dtype=object),
            traversal=np.array([f"{k}/{name}" for name in frames.traversal], dtype=object),
        )
        for k in range(60)
    ]
    traversals = {
        f"{k}/{name}": replace(t, name=f"{k}/{name}") for k in range(60) for name, t in small_world.traversals.items()
    }
    found = examine(replace(small_world, frames=Frames.concatenate(many), traversals=traversals))
    assert len(found.facts["speed"]) == 180
    assert len(found.facts["points"]) <= 48
    assert found.n_sampled <= 48 * 2
    assert n == 36
