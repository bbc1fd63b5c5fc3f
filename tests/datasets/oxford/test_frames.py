"""Which images are places, and where places and sweeps are taken to be."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.oxford.calibration import INS_FROM_CLOUD
from datasets.oxford.frames import FRAMES_PER_JOB, Recipe, find_places, jobs_of
from datasets.oxford.layout import find_runs
from datasets.oxford.poses import Trajectory
from datasets.oxford.submap import Crop
from datasets.samples.oxford import RawRun


def recipe(source: Path, **changes: object) -> Recipe:
    usual = {
        "models": source / "models",
        "poses": "ins",
        "bridge_bad_ins": False,
        "as_published": False,
        "spacing_m": 5.0,
        "ahead_s": 20.0,
        "crop": Crop(),
        "image_size": (80, 60),
        "seed": 0,
    }
    return Recipe(**usual | changes)  # type: ignore[arg-type]


def test_places_have_the_pose_of_the_camera_and_the_rest_is_counted(official: Path, run: RawRun) -> None:
    places = find_places(find_runs(official)[run.name], recipe(official))
    truth = run.world_from_cloud(places.stamps_ns // 1000)
    np.testing.assert_allclose(places.world_from_body, truth, atol=1e-3)
    covered = len(run.image_stamps_us) - places.counts["dropped_outside_poses"]
    assert places.counts["dropped_outside_poses"] == 3  # 2.5 images a second, half a second at either end
    assert places.counts["images_between_places"] + len(places.stamps_ns) == covered


def test_as_published_places_are_an_image_ahead_and_at_the_ins(official: Path, run: RawRun) -> None:
    found = find_runs(official)[run.name]
    places = find_places(found, recipe(official, as_published=True))
    stamps = found.image_stamps
    following = stamps[np.searchsorted(stamps, places.stamps_ns) + 1]
    ins = (run.world_from_cloud(following // 1000) @ np.linalg.inv(INS_FROM_CLOUD))[:, :3, 3]
    late = np.linalg.norm(places.world_from_body[:, :3, 3] - ins, axis=1)
    assert late.max() < 0.02 * 11, "up to one sample of 20 ms at up to 11 m/s too early"
    assert late.max() > 0.05, "not interpolated"
    up = places.world_from_body[:, 2, 2]
    assert (up > 0.99).all(), "z of the body is up"


def test_jobs_are_consecutive_places_with_the_sweeps_that_they_may_need(official: Path, run: RawRun) -> None:
    places = find_places(find_runs(official)[run.name], recipe(official, ahead_s=2.0))
    jobs = jobs_of(places, recipe(official, ahead_s=2.0), official)
    assert [stamp for job in jobs for stamp in job.stamps_ns] == places.stamps_ns.tolist()
    assert max(len(job.stamps_ns) for job in jobs) == FRAMES_PER_JOB
    for job in jobs:
        first, last = job.stamps_ns[0], job.stamps_ns[-1] + 2 * 10**9
        expected = [s for s in places.run.sweep_stamps.tolist() if first <= s <= last]
        assert job.sweeps_ns.tolist() == expected
        assert "image_stamps" not in vars(job.run), "no listing travels to a worker"


@pytest.mark.parametrize("changes", [{"as_published": True}, {}])
def test_times_without_a_pose_leave_nothing(official: Path, run: RawRun, changes: dict[str, bool]) -> None:
    made = recipe(official, **changes)
    trajectory = made.trajectory(find_runs(official)[run.name])
    stamps, poses = made.placed(trajectory, np.empty(0, dtype=np.int64))
    assert len(stamps) == len(poses) == 0


@given(st.integers(0, 10**6), st.integers(2, 12))
def test_as_published_sweeps_are_named_one_behind_their_poses(seed: int, n: int) -> None:
    """The published lists, step by step: the origin goes in front of the names, and out of the poses."""
    random = np.random.default_rng(seed)
    known = np.cumsum(random.integers(1, 30, 20)) * 10**6
    poses = np.tile(np.eye(4), (20, 1, 1))
    poses[:, :3, 3] = random.normal(size=(20, 3))
    trajectory = Trajectory(time_ns=known, world_from_ins=poses, is_good=np.ones(20, dtype=bool), n_not_finite=0)
    stamps = np.sort(random.choice(np.arange(known[0], known[-1], 10**5), n, replace=False))

    names = [int(s) for s in stamps]
    origin = names[0]
    names.insert(0, origin)
    sampled = []
    for name in names:
        before = [i for i, time in enumerate(known) if time <= name]
        sampled.append(poses[before[-1]])
    sampled = sampled[1:]
    published = [(names[i], sampled[i]) for i in range(len(sampled))][1:]  # no sweep is named by the origin

    found = recipe(Path(), as_published=True).placed(trajectory, stamps)
    assert found[0].tolist() == [name for name, _ in published]
    np.testing.assert_array_equal(found[1], [pose for _, pose in published])
