import hashlib

import numpy as np
import pytest

from datasets.base import Selection
from datasets.errors import CrossplaceError
from datasets.places import same_place
from datasets.prepared import PreparedDataset
from datasets.town import Town, drives, town
from datasets.town.streets import DistrictPlan

MICRO = town.Preset(
    districts=(DistrictPlan(name="test", columns=3, rows=2, centre_m=(300.0, 0.0), pitch_m=(45.0, 55.0)),),
    lights=("day", "evening", "dusk"),
    spacing_m=60.0,
)


@pytest.fixture
def micro(monkeypatch):
    """A town of one small district with few frames, written in several jobs."""
    monkeypatch.setitem(town.PRESETS, "tiny", MICRO)
    monkeypatch.setattr(drives, "FRAMES_PER_JOB", 5)
    return Town(preset="tiny")


def prepared(dataset, folder, workers):
    folder.mkdir()
    steps = list(dataset.prepare(None, folder, workers=workers))
    assert steps[-1][0] == steps[-1][1]
    return PreparedDataset.read(folder)


def contents(folder):
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def test_files_do_not_depend_on_the_number_of_workers(micro, tmp_path):
    one = prepared(micro, tmp_path / "one", workers=1)
    prepared(micro, tmp_path / "two", workers=2)
    assert len(contents(tmp_path / "one")) == 2 * len(one.frames) + 2
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_the_prepared_town_reads_back_as_it_was_driven(micro, tmp_path):
    dataset = prepared(micro, tmp_path / "town", workers=1)
    assert dataset.fingerprint == micro.fingerprint(None)
    assert dataset.counts == {"kept": len(dataset.frames)}
    assert list(dataset.traversals) == ["test-day", "test-evening", "test-dusk"]
    grey = {}
    for row in range(len(dataset.frames)):
        frame = dataset.frame(row)
        assert len(dataset.load_cloud(frame)) > 3000
        grey.setdefault(frame.traversal, []).append(dataset.load_image(frame).mean())
    assert np.mean(grey["test-dusk"]) < 0.7 * np.mean(grey["test-evening"]) < 0.7 * np.mean(grey["test-day"])
    w, _, _, z = dataset.frames.quaternion_wxyz.T
    turned = np.exp(1j * dataset.frames.yaw_rad)
    np.testing.assert_allclose((w + 1j * z) ** 2, turned, atol=1e-9)
    assert (dataset.frames.position_m[:, 2] == 1.9).all()


def test_time_runs_at_8_m_s_and_drives_are_on_different_days(micro, tmp_path):
    frames = prepared(micro, tmp_path / "town", workers=1).frames
    for name in frames.traversal_names():
        gaps_s = np.diff(frames.timestamp_ns[frames.traversal == name]) / 1e9
        np.testing.assert_allclose(gaps_s, 60.0 / 8.0)
    starts = [frames.timestamp_ns[frames.traversal == name][0] for name in frames.traversal_names()]
    assert (np.diff(starts) >= 24 * 3600 * 1e9).all()


def test_every_test_frame_shows_its_place_to_every_other_drive():
    frames = town.frames_of(Town().drives())
    tested = [frames.take(frames.traversal == name) for name in frames.traversal_names() if name.startswith("test-")]
    assert len(tested) == 4
    for queries in tested:
        for database in tested:
            assert same_place(queries, database, radius_m=20.0, heading_limit_rad=0.5).any(1).all()


def test_every_street_is_revisited_the_other_way_round_within_one_drive():
    frames = town.frames_of(Town().drives()[:1])
    near = same_place(frames, frames, radius_m=6.0, heading_limit_rad=None)
    opposite = ~same_place(frames, frames, radius_m=6.0, heading_limit_rad=2.6)
    assert (near & opposite).any(1).mean() > 0.6  # the others are turning at a junction


def test_small_is_as_large_as_promised():
    count = {drive.name: len(drive.distances_m()) for drive in Town().drives()}
    assert len(count) == 12
    assert min(n for name, n in count.items() if name.startswith("train-")) > 550
    assert min(n for name, n in count.items() if name.startswith("validation-")) > 100
    assert min(n for name, n in count.items() if name.startswith("test-")) > 250
    assert sum(count.values()) < 4800


def test_traversal_names_suit_the_protocol():
    names = [drive.name for drive in Town().drives()]
    for district in ("train", "validation", "test"):
        assert sum(Selection(traversals=(f"{district}-*",)).includes(name) for name in names) == 4


def test_options_change_the_fingerprint():
    options = [Town(), Town(seed=1), Town(preset="tiny")]
    assert len({dataset.fingerprint(None) for dataset in options}) == 3
    assert Town().fingerprint(None) == Town().fingerprint(None)


def test_unknown_options_are_refused_in_a_sentence():
    with pytest.raises(CrossplaceError, match="seed must be 0 or more, found -1"):
        Town(seed=-1)


def test_nothing_has_to_be_downloaded():
    assert all(finding.ok for finding in Town().check(None))
