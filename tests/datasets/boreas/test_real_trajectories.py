"""The protocols and the readers on real trajectories of Boreas, against a script and against published numbers."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from brute_force_boreas import ALL, RULES, count, rows_of, thinned
from real_poses import frames_of

from benchmark.protocol.ground_truth import relations
from benchmark.protocol.leaks import find_leaks
from benchmark.protocol.selection import select
from datasets.base import Frames, Protocol
from datasets.boreas.choosing import Recording, heading_error_rad, spaced
from datasets.boreas.layout import POSES
from datasets.boreas.poses import read_poses
from datasets.boreas.protocols import BOREAS, RANGEBEV_RECTANGLES
from datasets.errors import CrossplaceError
from datasets.protocols import PROTOCOLS

pytestmark = pytest.mark.data
STAND_INS = {"2020-11-26-13-58": "2020-12-18-13-44", "2021-01-26-11-22": "2021-09-14-20-00"}
"""Runs of the eight for those that are here: by name alone."""


@pytest.fixture(scope="module")
def folder(real_data: Callable[[str], Path]) -> Path:
    return real_data("boreas-trajectories")


@pytest.fixture(scope="module")
def drives(folder: Path) -> dict[str, np.ndarray]:
    return {file: np.loadtxt(folder / f"{file}.txt") for file in ALL}


def frames_under(drives: dict[str, np.ndarray], names: dict[str, str]) -> Frames:
    parts = []
    for file, rows in drives.items():
        run, stamps = file.removeprefix("boreas-"), rows[:, 0].astype(np.int64)
        poses = rows[:, 1:].reshape(-1, 4, 4)
        parts.append(frames_of(names.get(run, run), "boreas", [str(s) for s in stamps], stamps * 1000, poses))
    return Frames.concatenate(parts)


@pytest.fixture(scope="module")
def frames(drives: dict[str, np.ndarray]) -> Frames:
    return frames_under(drives, {})


@pytest.fixture(scope="module")
def renamed(drives: dict[str, np.ndarray]) -> Frames:
    return frames_under(drives, STAND_INS)


def counted(frames: Frames, protocol: Protocol) -> dict[tuple[str, str], list[int]]:
    found: dict[tuple[str, str], list[int]] = {}
    query, database = select(frames, protocol.query), select(frames, protocol.database)
    for asked in relations(frames, protocol, query, database):
        pair = (asked.pair.query_traversal, asked.pair.database_traversal)
        counts = found.setdefault(pair, [0, len(asked.database_rows), 0, 0])
        positive = asked.relation.is_positive
        counts[0] += len(asked.query_rows)
        counts[2] += int(positive.any(axis=1).sum())
        counts[3] += int(positive.sum())
    return found


@pytest.mark.parametrize("protocol", BOREAS, ids=[p.name for p in BOREAS])
def test_every_protocol_counts_as_the_script_does(
    protocol: Protocol, frames: Frames, renamed: Frames, folder: Path
) -> None:
    base = protocol.name.removesuffix("-any-heading")
    expected = count(folder, base, None if base != protocol.name else 60.0)
    of_28 = base == "boreas-rangebev"
    found = counted(frames if of_28 else renamed, protocol)

    def name(file: str) -> str:
        run = file.removeprefix("boreas-")
        return run if of_28 else STAND_INS.get(run, run)

    assert {(name(a), name(b)): list(n) for (a, b), n in expected.items()} == found
    assert set(RULES) == {p.name.removesuffix("-any-heading") for p in BOREAS}


def test_thinned_counts_are_the_known_ones(drives: dict[str, np.ndarray]) -> None:
    """Known ranges over six runs; and the preparer's rule, as the crow flies, agrees but in curves."""
    for spacing, low, high in ((5.0, 1217, 1292), (10.0, 692, 710), (20.0, 367, 376)):
        for file, rows in drives.items():
            plane = rows[:, [4, 8]]
            by_way = len(thinned(list(map(tuple, np.column_stack([plane, plane[:, 0]]))), spacing))
            assert low <= by_way <= high, file
            assert by_way - 4 <= len(spaced(plane, spacing)) <= by_way


def pair_statistics(frames: Frames, protocol: Protocol) -> np.ndarray:
    """Means over ordered pairs: queries, share with a right answer, right answers a query, opposite share of them.

    Opposite are headings that differ by 120° or more.
    """
    limited = counted(frames, replace(protocol, heading_limit_rad=2 * np.pi / 3))
    free = counted(frames, replace(protocol, heading_limit_rad=None))
    rows = [(n[0], n[2] / n[0], n[3] / n[0], 1 - limited[pair][3] / n[3]) for pair, n in free.items()]
    return np.mean(rows, axis=0)


@pytest.mark.parametrize(
    ("spacing", "radius", "queries", "answered", "per_query", "opposite"),
    [
        (5.0, 5.0, 1245, 0.997, 2.03, 0.237),
        (5.0, 10.0, 1245, 0.998, 5.45, 0.423),
        (10.0, 9.0, 698, 0.998, 2.67, 0.408),
        (10.0, 10.0, 698, 0.998, 3.05, 0.423),
        (10.0, 25.0, 698, 1.0, 8.39, 0.469),
        (20.0, 20.0, 370, 0.999, 3.52, 0.465),
    ],
)
def test_the_known_means_over_six_runs_hold_for_these_three(
    renamed: Frames, spacing: float, radius: float, queries: float, answered: float, per_query: float, opposite: float
) -> None:
    protocol = PROTOCOLS["boreas-5m-whole-route"]
    thin = {part: replace(getattr(protocol, part), spacing_m=spacing) for part in ("query", "database")}
    n, with_answer, rights, other_lane = pair_statistics(renamed, replace(protocol, radius_m=radius, **thin))
    assert n == pytest.approx(queries, rel=0.02)
    assert with_answer == pytest.approx(answered, abs=0.004)
    assert rights == pytest.approx(per_query, rel=0.02)
    assert other_lane == pytest.approx(opposite, abs=0.01)


def test_from_run_to_run_the_nearest_sweep_is_less_than_a_metre_away(drives: dict[str, np.ndarray]) -> None:
    for a in ALL:
        for b in ALL:
            if a != b:
                there = drives[b][:, [4, 8]]
                nearest = [np.hypot(*(there - here).T).min() for here in drives[a][:, [4, 8]][::5]]
                assert 0.70 <= np.median(nearest) <= 1.0, (a, b)


def test_the_rectangles_hold_the_known_number_of_frames(frames: Frames) -> None:
    protocol = PROTOCOLS["boreas-rangebev-any-heading"]
    rows = select(frames, protocol.query)
    per_run = [int((frames.traversal[rows] == run).sum()) for run in frames.traversal_names()]
    assert all(93 <= n <= 98 for n in per_run)
    counts = counted(frames, protocol).values()
    assert np.mean([n[3] / n[0] for n in counts]) == pytest.approx(7.67, rel=0.02)
    chance = np.mean([n[3] / n[0] / n[1] for n in counts])
    assert chance == pytest.approx(0.081, abs=0.002)
    assert [r.half_sides_m() for r in RANGEBEV_RECTANGLES] == [(50, 50), (20, 75), (50, 50), (60, 75)]


@pytest.mark.parametrize("name", ["boreas-5m", "boreas-5m-within", "boreas-rangebev", "boreas-unimpr"])
def test_places_of_training_validation_and_test_are_apart(name: str, frames: Frames, renamed: Frames) -> None:
    protocol = PROTOCOLS[name]
    here = frames if name == "boreas-rangebev" else renamed
    leaks = {(leak.test, leak.other): leak for leak in find_leaks(here, protocol)}
    for other in ("training", "validation"):
        leak = leaks["queries", other]
        assert leak.n_other > 20
        assert (leak.n_shared, leak.n_within_positive, leak.n_within_negative) == (0, 0, 0)
        assert leak.quantiles_m[0] >= 50
    train, validation = (select(here, part) for part in (protocol.split.train, protocol.split.validation))
    apart = [np.hypot(*(here.position_m[train, :2] - place).T).min() for place in here.position_m[validation, :2]]
    assert min(apart) >= 50


@pytest.mark.parametrize("name", ["boreas-5m-whole-route", "boreas-unimpr-whole-route"])
def test_the_whole_route_shares_places_but_no_run_with_training(name: str, frames: Frames) -> None:
    """The three real runs, none of which is renamed, so that one of them is trained on."""
    protocol = PROTOCOLS[name]
    trained = set(frames.traversal[select(frames, protocol.split.train)])
    assert trained
    assert not trained & {*protocol.query.traversals, *protocol.database.traversals}
    leaks = {(leak.test, leak.other): leak for leak in find_leaks(frames, protocol)}
    assert leaks["queries", "training"].n_shared == 0
    assert leaks["queries", "training"].n_within_positive > 100


# --- the tables ----------------------------------------------------------------------------------


def elementary(axis: int, angle: float) -> np.ndarray:
    """As pyboreas has them: the transposes of the usual rotations."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array(
        [
            [[1, 0, 0], [0, c, s], [0, -s, c]],
            [[c, 0, -s], [0, 1, 0], [s, 0, c]],
            [[c, s, 0], [-s, c, 0], [0, 0, 1]],
        ][axis]
    )


@pytest.fixture(scope="module")
def run(real_data: Callable[[str], Path]) -> Path:
    return real_data("boreas-run") / "boreas-2021-08-05-13-34"


def as_of_the_store(run: Path, to: Path) -> Path:
    """The run with positions from its first pose, as the store has them from that of the first run."""
    for part in POSES.values():
        header, *lines = (run / part).read_text().splitlines()
        rows = [line.split(",") for line in lines]
        for row in rows:
            for i, origin in ((1, 623426.0), (2, 4848821.0), (3, 153.6)):
                row[i] = repr(float(row[i]) - origin)
        (to / part).parent.mkdir(parents=True, exist_ok=True)
        (to / part).write_text("\n".join([header, *(",".join(row) for row in rows)]) + "\n")
    return to


@pytest.mark.parametrize("sensor", POSES)
def test_utm_is_recognised_and_the_table_of_the_store_is_the_cure(sensor: str, run: Path, tmp_path: Path) -> None:
    with pytest.raises(CrossplaceError, match=r"which is UTM .* fetch the table from the store"):
        read_poses(run / POSES[sensor])
    assert len(read_poses(as_of_the_store(run, tmp_path) / POSES[sensor]).time_us) > 10_000


def test_poses_are_those_of_an_independent_computation(run: Path, tmp_path: Path) -> None:
    for part in POSES.values():
        poses = read_poses(as_of_the_store(run, tmp_path) / part)
        values = np.loadtxt(run / part, delimiter=",", skiprows=1)
        for row in range(0, len(values), 97):
            roll, pitch, heading = values[row, 7:10]
            expected = elementary(0, roll) @ elementary(1, pitch) @ elementary(2, heading)
            np.testing.assert_allclose(poses.world_from_sensor[row, :3, :3], expected, atol=1e-12)
            assert poses.time_us[row] == values[row, 0]


def test_the_lidar_looks_aside_and_the_body_along_the_road(run: Path, tmp_path: Path) -> None:
    """By the real mount: the LiDAR's x axis is 47° off the direction of travel, the body's is not."""
    lidar = read_poses(as_of_the_store(run, tmp_path) / POSES["lidar"])
    mount = np.loadtxt(run / "calib" / "T_applanix_lidar.txt")
    forward = np.arctan2(mount[1, 1], mount[1, 0])
    assert np.degrees(heading_error_rad(lidar.world_from_sensor)) == pytest.approx(np.degrees(forward), abs=1.0)
    turned = np.eye(4)
    turned[:2, :2] = [[np.cos(forward), -np.sin(forward)], [np.sin(forward), np.cos(forward)]]
    assert np.degrees(heading_error_rad(lidar.world_from_sensor @ turned)) < 1.0


def test_nearly_every_sweep_has_an_image_within_the_limit(run: Path, tmp_path: Path) -> None:
    recording = Recording(as_of_the_store(run, tmp_path))
    apart_us = [np.abs(recording.camera.time_us - time).min() for time in recording.lidar.time_us[100:-100:50]]
    assert np.mean(np.array(apart_us) <= 50_000) > 0.97


def test_rows_of_the_script_are_read_like_arrays(folder: Path, drives: dict[str, np.ndarray]) -> None:
    rows = rows_of(folder / f"{ALL[0]}.txt")
    np.testing.assert_allclose(np.array(rows)[:, :2], drives[ALL[0]][:, [4, 8]])
