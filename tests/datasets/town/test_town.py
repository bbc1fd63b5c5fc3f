import shutil

import numpy as np
import pytest
from folders import contents, differences

from datasets.base import Selection
from datasets.errors import CrossplaceError
from datasets.files import write_atomically
from datasets.places import same_place
from datasets.prepared import PreparedDataset
from datasets.town import Town, town, writing
from datasets.town.drives import route_of
from datasets.town.streets import DistrictPlan

DISTRICTS = ("train", "validation", "test")

MICRO = town.Preset(
    districts=(DistrictPlan(name="test", columns=3, rows=2, centre_m=(300.0, 0.0), pitch_m=(45.0, 55.0)),),
    lights=("day", "evening", "dusk"),
    spacing_m=100.0,
)


@pytest.fixture
def micro(monkeypatch):
    """A town of one small district with few frames, written in several jobs."""
    monkeypatch.setitem(town.PRESETS, "tiny", MICRO)
    monkeypatch.setattr(writing, "FRAMES_PER_JOB", 3)
    return Town(preset="tiny")


def prepared(dataset, folder, workers):
    folder.mkdir()
    steps = list(dataset.prepare(None, folder, workers=workers))
    assert steps[-1][0] == steps[-1][1]
    return PreparedDataset.read(folder)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The micro town as one process writes it; to be read only."""
    folder = tmp_path_factory.mktemp("whole") / "town"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(town.PRESETS, "tiny", MICRO)
        prepared(Town(preset="tiny"), folder, workers=1)
    return folder


def test_files_do_not_depend_on_the_number_of_workers(micro, whole, tmp_path):
    two = prepared(micro, tmp_path / "two", workers=2)
    assert len(contents(whole)) == 2 * len(two.frames) + 2
    assert differences(contents(tmp_path / "two"), contents(whole)) == []


class Killed(BaseException):
    """What stops a process at once."""


@pytest.mark.parametrize("at", [0, 13])
def test_a_killed_preparation_goes_on_and_gives_the_same_files(micro, whole, tmp_path, monkeypatch, at):
    folder = tmp_path / "killed"
    folder.mkdir()
    written = []

    def killed_in_the_middle(path, content, *, durable):
        if len(written) == at:
            path.parent.mkdir(parents=True, exist_ok=True)
            (path.parent / f".{path.name}.part").write_bytes(content[:100])
            raise Killed
        written.append(path)
        write_atomically(path, content, durable=durable)

    monkeypatch.setattr(writing, "write_atomically", killed_in_the_middle)
    with pytest.raises(Killed):
        list(micro.prepare(None, folder, workers=1))
    assert not (folder / "dataset.json").exists()
    kept = {path: path.stat().st_mtime_ns for path in written}
    monkeypatch.setattr(writing, "write_atomically", write_atomically)
    done = [done for done, _ in micro.prepare(None, folder, workers=2)]
    assert done[2] == at // 2, "frames that were there are counted at once"
    assert {path: path.stat().st_mtime_ns for path in written} == kept
    assert differences(contents(folder), contents(whole)) == []


def test_files_that_a_crash_of_the_machine_left_empty_are_written_again(micro, whole, tmp_path):
    folder = shutil.copytree(whole, tmp_path / "town")
    for path in (folder / "images/test-day/0001.jpg", folder / "clouds/test-day/0002.npy"):
        path.write_bytes(b"")
    list(micro.prepare(None, folder, workers=1))
    assert differences(contents(folder), contents(whole)) == []


def test_a_whole_town_is_not_drawn_again(micro, whole, tmp_path, monkeypatch):
    folder = shutil.copytree(whole, tmp_path / "town")
    monkeypatch.setattr(writing, "_write_frames", lambda job: pytest.fail("drawn again"))
    frames = len(PreparedDataset.read(folder).frames)
    assert list(micro.prepare(None, folder, workers=1))[-1] == (frames, frames)


def test_the_prepared_town_reads_back_as_it_was_driven(micro, whole):
    dataset = PreparedDataset.read(whole)
    assert dataset.fingerprint == micro.fingerprint(None)
    assert dataset.counts == {"kept": len(dataset.frames)}
    assert list(dataset.traversals) == ["test-day", "test-evening", "test-dusk"]
    grey = {}
    for row in range(len(dataset.frames)):
        frame = dataset.frame(row)
        assert len(dataset.load_cloud(frame)) > 3000
        grey.setdefault(frame.traversal, []).append(dataset.load_image(frame).mean())
    assert np.mean(grey["test-dusk"]) < 0.8 * np.mean(grey["test-evening"]) < 0.8 * np.mean(grey["test-day"])
    w, _, _, z = dataset.frames.quaternion_wxyz.T
    turned = np.exp(1j * dataset.frames.yaw_rad)
    np.testing.assert_allclose((w + 1j * z) ** 2, turned, atol=1e-9)
    assert (dataset.frames.position_m[:, 2] == 1.9).all()


def test_clouds_have_intensities_and_noise(micro, whole):
    dataset = PreparedDataset.read(whole)
    drive = micro.drives()[0]
    cloud = np.load(dataset.root / dataset.frame(3).cloud)
    assert (cloud.dtype, cloud.shape[1]) == (np.float32, 4)
    np.testing.assert_array_equal(cloud, drive.scan(drive.lidar, drive.frame_times_s()[3]))
    assert 0 < cloud[:, 3].min() < cloud[:, 3].max() <= 1


def test_stamps_are_when_the_vehicle_was_there_and_drives_are_on_different_days(micro, whole):
    frames = PreparedDataset.read(whole).frames
    starts = []
    for drive in micro.drives():
        part = frames.take(frames.traversal == drive.name)
        starts.append(part.timestamp_ns[0])
        poses = drive.pose_at((part.timestamp_ns - starts[-1]) / 1e9)
        np.testing.assert_allclose(poses[:, :3, 3], part.position_m, atol=1e-6)
        gaps_s = np.diff(part.timestamp_ns) / 1e9
        assert (gaps_s > 100 / 10).all()
        assert np.ptp(gaps_s) > 0.1
    assert (np.diff(starts) >= 24 * 3600 * 1e9).all()


def test_every_test_frame_shows_its_place_to_every_other_drive():
    frames = town.frames_of(Town().drives())
    tested = [frames.take(frames.traversal == name) for name in frames.traversal_names() if name.startswith("test-")]
    assert len(tested) == 5
    for queries in tested:
        for database in tested:
            assert same_place(queries, database, radius_m=20.0, heading_limit_rad=0.5).any(1).all()


def test_every_street_is_revisited_the_other_way_round_within_one_drive():
    frames = town.frames_of(Town().drives()[:1])
    near = same_place(frames, frames, radius_m=6.0, heading_limit_rad=None)
    opposite = ~same_place(frames, frames, radius_m=6.0, heading_limit_rad=2.6)
    assert (near & opposite).any(1).mean() > 0.6  # the others are turning at a junction


def test_small_is_as_large_as_promised():
    count = {drive.name: len(drive.frame_times_s()) for drive in Town().drives()}
    assert len(count) == 3 * 3 + 2
    assert min(n for name, n in count.items() if name.startswith("train-")) > 550
    assert min(n for name, n in count.items() if name.startswith("validation-")) > 100
    assert min(n for name, n in count.items() if name.startswith("test-")) > 250
    assert sum(count.values()) < 4800


def test_large_is_as_large_as_promised():
    drives = Town(preset="large").drives()
    names = [drive.name for drive in drives]
    assert len(set(names)) == len(names) == 24
    assert sum(len(drive.frame_times_s()) for drive in drives) >= 10_000
    driven_m = {name: sum(route_of(d).length_m for d in drives if d.plan.name == name) for name in DISTRICTS}
    assert driven_m["train"] > driven_m["test"] > driven_m["validation"]
    assert sum(driven_m.values()) / 8 > 20_000  # on each day
    assert (drives[0].image_size, drives[0].lidar.block().beams) == ((320, 240), 64)


def test_a_second_day_under_one_light_is_another_traversal():
    first, second = (drive for drive in Town(preset="large").drives() if drive.name in ("test-day", "test-day-2"))
    assert first.light == second.light == "day"
    assert not np.array_equal(route_of(first).yaw_rad[:100], route_of(second).yaw_rad[:100])


@pytest.mark.parametrize("preset", town.PRESETS)
def test_traversal_names_suit_the_protocol(preset):
    names = [drive.name for drive in Town(preset=preset).drives()]
    for district in DISTRICTS:
        found = sum(Selection(traversals=(f"{district}-*",)).includes(name) for name in names)
        chosen = town.PRESETS[preset]
        assert found == len(chosen.lights) + (len(chosen.unseen_lights) if district == "test" else 0)


def test_every_nth_frame_is_a_slice():
    whole, part = Town(preset="tiny").drives()[0], Town(preset="tiny", every=3).drives()[0]
    np.testing.assert_allclose(part.frame_times_s(), whole.frame_times_s()[::3])
    np.testing.assert_allclose(part.pose_at(part.frame_times_s()), whole.pose_at(whole.frame_times_s())[::3])


def test_options_change_the_fingerprint():
    options = [Town(), Town(seed=1), Town(preset="tiny"), Town(every=2)]
    assert len({dataset.fingerprint(None) for dataset in options}) == 4
    assert Town().fingerprint(None) == Town().fingerprint(None)


def test_unknown_options_are_refused_in_a_sentence():
    with pytest.raises(CrossplaceError, match="seed must be 0 or more, found -1"):
        Town(seed=-1)
    with pytest.raises(CrossplaceError, match="every must be 1 or more, found 0"):
        Town(every=0)


def test_nothing_has_to_be_downloaded():
    assert all(finding.ok for finding in Town().check(None))
