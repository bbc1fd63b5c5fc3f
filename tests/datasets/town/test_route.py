import numpy as np
import pytest

from datasets.town.drives import route_of
from datasets.town.route import LANE_OFFSET_M
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
    assert np.diff(drive.distances_m()) == pytest.approx(5.0)


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
    first, second = (route_of(drive) for drive in Town().drives() if drive.name in ("test-day", "test-dusk"))
    a, b = walked(first)[0][::20], walked(second)[0][::20]
    gap = np.min(np.hypot(a[:, None, 0] - b[None, :, 0], a[:, None, 1] - b[None, :, 1]), axis=1)
    assert np.median(gap) > 0.05
    assert gap.max() < 2.0
