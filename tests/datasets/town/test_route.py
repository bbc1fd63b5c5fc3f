import numpy as np
import pytest

from datasets.town.drives import route_of
from datasets.town.route import ALONG_M_S2, CRUISE_M_S, LANE_OFFSET_M, SIDEWAYS_M_S2, SLOWEST_M_S
from datasets.town.seeding import generator_for
from datasets.town.streets import lay_streets
from datasets.town.town import PRESETS, Town

PLANS = [plan for preset in PRESETS.values() for plan in preset.districts]


@pytest.fixture(scope="module", params=[0, 3], ids=lambda seed: f"seed {seed}")
def drive(request):
    return next(drive for drive in Town(seed=request.param).drives() if drive.name == "test-day")


def walked(route, step_m=0.05):
    """Positions and headings of travel along the route, in small steps."""
    position, _ = route.pose_at(np.arange(0, route.length_m + step_m, step_m))
    step = np.diff(position, axis=0)
    return position, np.arctan2(step[:, 1], step[:, 0])


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.name)
def test_streets_can_be_laid_from_any_seed(plan):
    for seed in range(8):
        graph = lay_streets(plan, generator_for(seed, plan.name, "streets"))
        assert len(graph.circuit) == 2 * len(graph.streets)


def test_distance_is_path_length(drive):
    position, _ = walked(route_of(drive))
    length = np.hypot(*np.diff(position, axis=0).T)
    assert length.max() <= 0.05 + 1e-9
    # Corners of the stored polyline are cut by at most this share.
    assert length.sum() == pytest.approx(route_of(drive).length_m, rel=1e-3)
    assert np.diff(route_of(drive).distance_at(drive.frame_times_s())) == pytest.approx(5.0)


def test_a_lap_is_closed_and_smooth(drive):
    route = route_of(drive)
    at_start, at_end = route.pose_at(np.array([0.0])), route.pose_at(np.array([route.length_m - 1e-9]))
    np.testing.assert_allclose(at_start[0], at_end[0], atol=1e-6)
    _, yaw = route.pose_at(np.arange(0, route.length_m, 0.1))
    turning = np.abs((np.diff(yaw, append=yaw[:1]) + np.pi) % (2 * np.pi) - np.pi) / 0.1
    assert turning.max() < 0.5  # rad per metre: no tighter than a radius of 2 m


def test_the_sensor_heads_where_it_drives(drive):
    route = route_of(drive)
    _, travel = walked(route)
    _, yaw = route.pose_at(np.arange(len(travel)) * 0.05 + 0.025)
    assert np.abs((yaw - travel + np.pi) % (2 * np.pi) - np.pi).max() < np.deg2rad(5)


def test_every_street_is_driven_once_in_each_direction_on_the_right_hand_side(drive):
    graph = lay_streets(drive.plan, generator_for(drive.seed, drive.plan.name, "streets"))
    position, travel = walked(route_of(drive))
    for street in graph.streets:
        middle = len(street.centreline_m) // 2
        spot, ahead = street.centreline_m[middle], np.diff(street.centreline_m[[middle - 1, middle + 1]], axis=0)[0]
        ahead = ahead / np.hypot(*ahead)
        offset = position[:-1] - spot
        along, left = offset @ ahead, offset @ np.array([-ahead[1], ahead[0]])
        crossed = np.flatnonzero((np.abs(left) < 5) & (np.sign(along) != np.sign(np.roll(along, -1))))
        forward = np.sign(np.cos(travel[crossed] - np.arctan2(ahead[1], ahead[0])))
        assert sorted(forward) == [-1, 1]
        np.testing.assert_allclose(-left[crossed] * forward, LANE_OFFSET_M, atol=0.7)


def test_drives_of_one_district_differ_but_little():
    first, second = (route_of(drive) for drive in Town().drives() if drive.name in ("test-day", "test-winter"))
    a, b = walked(first)[0][::20], walked(second)[0][::20]
    gap = np.min(np.hypot(a[:, None, 0] - b[None, :, 0], a[:, None, 1] - b[None, :, 1]), axis=1)
    assert np.median(gap) > 0.05
    assert gap.max() < 2.0


# --- time ----------------------------------------------------------------------------------------


def test_time_and_distance_are_each_others_inverse_over_many_laps(drive):
    route = route_of(drive)
    distance = np.linspace(0, 3 * route.length_m, 5000)
    time = route.time_at(distance)
    assert (np.diff(time) > 0).all()
    np.testing.assert_allclose(route.distance_at(time), distance, atol=1e-6)
    assert route.time_at(np.array([2 * route.length_m]))[0] == pytest.approx(2 * route.lap_s)


def test_speed_is_smooth_and_slower_in_turns(drive):
    route = route_of(drive)
    time = np.arange(0, 2 * route.lap_s, 0.25)
    speed = np.diff(route.distance_at(time)) / 0.25
    assert speed.min() > SLOWEST_M_S - 0.1
    assert speed.max() < CRUISE_M_S + 1.01
    assert np.abs(np.diff(speed)).max() / 0.25 < 1.1 * ALONG_M_S2
    _, yaw = route.pose_at(route.distance_at(time))
    turning = np.abs((np.diff(yaw) + np.pi) % (2 * np.pi) - np.pi) / 0.25
    assert speed[turning > 0.4].mean() < 0.7 * speed[turning < 0.05].mean()
    assert np.percentile(speed * turning, 99) < 1.5 * SIDEWAYS_M_S2


def test_poses_are_continuous_in_time(drive):
    poses = drive.pose_at(np.arange(0, route_of(drive).lap_s + 1, 0.02))
    step = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1)
    assert step.max() < (CRUISE_M_S + 1.1) * 0.02
    turned = np.einsum("nij,nij->n", poses[1:, :3, :3], poses[:-1, :3, :3])  # 1 + 2 cos(angle)
    assert np.arccos(np.clip((turned.min() - 1) / 2, -1, 1)) < 0.04
    at_once = drive.pose_at(np.array([10.0, 50.0]))
    np.testing.assert_array_equal(at_once[1], drive.pose_at(np.array([50.0]))[0])
