import numpy as np
import pytest

from datasets.town.district import CHARACTERS, build_district
from datasets.town.drives import route_of, world_from_lidar
from datasets.town.ground import MARGIN_M, Plots, map_ground
from datasets.town.materials import Material
from datasets.town.scene import MISS, Hits
from datasets.town.seeding import generator_for
from datasets.town.streets import Street, StreetGraph, lay_streets
from datasets.town.town import PRESETS, Town


@pytest.fixture(scope="module")
def drive():
    return Town(preset="tiny").drives()[0]


@pytest.fixture(scope="module")
def district(drive):
    graph = lay_streets(drive.plan, generator_for(0, drive.plan.name, "streets"))
    return build_district(drive.plan.name, graph, seed=0)


@pytest.fixture
def straight_street():
    """100 m towards east along north 0, kerbs 5 m to either side."""
    junctions = np.array([[0.0, 0.0], [100.0, 0.0]])
    street = Street(ends=(0, 1), centreline_m=junctions, half_width_m=5.0, has_parking=True)
    return map_ground(StreetGraph(junctions_m=junctions, streets=(street,), circuit=()))


def test_clearance_is_the_distance_from_the_kerb(straight_street):
    spots = np.array([[50.0, 1.0], [50.0, 5.0], [20.0, -7.0], [103.0, 4.0]])
    np.testing.assert_allclose(straight_street.at(spots), [-4, 0, 2, 0], atol=0.02)
    assert (straight_street.at(np.array([[50.0, 20.0], [5000.0, 0.0]])) > 5).all()


def test_a_plot_can_be_claimed_once_and_only_off_the_road(straight_street):
    plots = Plots(straight_street)
    assert plots.claim(np.array([50.0, 15.0]), (10.0, 10.0), 0.0, 2.0)
    assert not plots.claim(np.array([58.0, 19.0]), (10.0, 4.0), 0.5, 2.0)
    assert plots.claim(np.array([62.0, 15.0]), (10.0, 10.0), 0.0, 2.0)
    assert not plots.claim(np.array([20.0, 11.0]), (10.0, 10.0), 0.0, 2.0)  # reaches into the pavement
    assert plots.claim(np.array([20.0, 11.0]), (10.0, 10.0), 0.0, 0.9)
    assert not plots.claim(np.array([160.0, 0.0]), (10.0, 10.0), 0.0, 2.0)  # reaches off the map


def test_nothing_stands_on_a_road(district):
    corners = district.standing.triangles_m.reshape(-1, 3)
    low = corners[corners[:, 2] < 2.0]
    assert (district.ground.at(low[:, :2]) > 0.0).all()


def test_nothing_is_near_a_passing_vehicle(drive, district):
    scene = district.on_day(drive.seed, drive.day)
    route = route_of(drive)
    for pose in world_from_lidar(*route.pose_at(np.arange(0, route.length_m, 4.0))):
        assert np.linalg.norm(drive.lidar.scan(scene, pose)[:, :3], axis=1).min() > 0.8


def test_parked_cars_change_from_day_to_day_and_nothing_else_does(district):
    monday, tuesday, monday_again = (district.on_day(0, day) for day in ("monday", "tuesday", "monday"))
    assert np.array_equal(monday.albedo, monday_again.albedo)
    assert not np.array_equal(monday.albedo, tuesday.albedo)
    standing = len(district.standing.albedo)
    assert np.array_equal(monday.albedo[: standing + 3], tuesday.albedo[: standing + 3])


def test_trees_are_bare_in_winter_and_nothing_else_changes(drive, district):
    summer, winter = (district.on_day(0, "monday", light) for light in ("day", "winter"))
    route = route_of(drive)
    leaf_hits = dict.fromkeys(("summer", "winter"), 0)
    for pose in world_from_lidar(*route.pose_at(np.linspace(0, route.length_m, 10))):
        rays = drive.lidar.directions @ pose[:3, :3].T.astype(np.float32)
        for name, scene in (("summer", summer), ("winter", winter)):
            hits = scene.cast(pose[:3, 3], rays)
            hit = np.flatnonzero(hits.face != MISS)
            solid = Hits(distance_m=hits.distance_m[hit], face=hits.face[hit])
            kinds = scene.look["material"][scene.surface(solid, pose[:3, 3], rays[hit])]
            leaf_hits[name] += int((kinds == Material.LEAVES).sum())
    assert 0 < leaf_hits["winter"] < 0.6 * leaf_hits["summer"]
    for material in Material:
        if material not in (Material.LEAVES, Material.BARK):
            count = [(scene.look["material"] == material).sum() for scene in (summer, winter)]
            assert count[0] == count[1]


def test_a_district_has_lamps_over_its_streets_signs_and_houses(district):
    scene = district.on_day(0, "monday")
    assert len(scene.lamps_m) > 10
    assert (district.ground.at(scene.lamps_m[:, :2]) < 0.5).all()
    assert {Material.SIGN, Material.SHOP_SIGN, Material.HEDGE, Material.PLATE} < set(scene.look["material"])
    assert scene.reflectivity[scene.look["material"] == Material.SIGN].min() > 1 > scene.reflectivity[0]


def test_a_district_depends_on_its_name_and_seed_alone(drive, district):
    again = build_district(drive.plan.name, district.graph, seed=0)
    assert np.array_equal(again.standing.triangles_m, district.standing.triangles_m)
    other = build_district(drive.plan.name, district.graph, seed=1)
    assert other.standing.triangles_m.shape != district.standing.triangles_m.shape


def test_shares_of_characters_make_a_whole():
    assert sum(character.share for character in CHARACTERS.values()) == pytest.approx(1)


@pytest.mark.parametrize("preset", PRESETS)
def test_districts_are_500_m_apart(preset):
    graphs = [lay_streets(plan, generator_for(0, plan.name, "streets")) for plan in PRESETS[preset].districts]
    low = np.array([graph.junctions_m.min(0) - MARGIN_M for graph in graphs])
    high = np.array([graph.junctions_m.max(0) + MARGIN_M for graph in graphs])
    for i in range(len(graphs)):
        for j in range(i):
            gap = np.maximum(np.maximum(low[i] - high[j], low[j] - high[i]), 0)
            assert np.hypot(*gap) >= 500
