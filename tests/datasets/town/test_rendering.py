import numpy as np
import pytest

from datasets.town import furniture
from datasets.town.furniture import Spot
from datasets.town.ground import FAR_M, GroundMap, map_ground
from datasets.town.light import LIGHTS, Light
from datasets.town.materials import Material, looks
from datasets.town.rendering import seen
from datasets.town.scene import Mesh, Scene
from datasets.town.solids import box, placed
from datasets.town.streets import Street, StreetGraph

BLACK = (0.0, 0.0, 0.0)


def light(**changes):
    """No light at all, in clear air."""
    dark = {"sun": BLACK, "zenith": BLACK, "horizon": BLACK, "ambient": BLACK}
    plain = {"sun_azimuth_deg": 0.0, "sun_elevation_deg": 45.0, "exposure": 1.0, "haze_m": 1e9, "noise": 0.0}
    return Light(**(dark | plain | changes))


def lawn():
    return GroundMap(south_west_m=np.array([-50.0, -50.0]), clearance_m=np.full((400, 400), FAR_M, np.float32))


def solid(triangles, material=Material.PLAIN, albedo=0.5):
    look = looks(len(triangles), material)
    return Mesh(triangles_m=triangles, albedo=np.full((len(triangles), 3), albedo), look=look)


def from_above(scene, east, north, under, height_m=30.0):
    """Mean brightness of the surfaces straight below some spots."""
    east, north = np.broadcast_arrays(np.asarray(east, float), north)
    origin = np.array([0.0, 0.0, height_m])
    rays = np.stack([east, north, np.full(east.shape, -height_m)], axis=1)
    rays = (rays / np.linalg.norm(rays, axis=1, keepdims=True)).astype(np.float32)
    return seen(scene, origin, rays, under).mean(1)


def test_a_shadow_falls_where_geometry_says():
    """A sun in the east at 45° lays the shadow of a block 4 m high over the 4 m to its west."""
    scene = Scene(solid(placed(box(2.0, 20.0, 4.0), (6.0, 0.0, 0.0), 0.0)), lawn())
    east = np.arange(-3.0, 4.6, 0.25)
    is_lit = from_above(scene, east, 0.0, light(sun=(1.0, 1.0, 1.0))) > 0
    assert is_lit[east < 0.9].all()  # the block's west side stands at east 5
    assert not is_lit[east > 1.1].any()


def test_a_shadow_of_a_spread_sun_has_soft_edges():
    scene = Scene(solid(placed(box(2.0, 20.0, 4.0), (6.0, 0.0, 0.0), 0.0)), lawn())
    north = np.linspace(-5, 5, 400)
    sharp, soft = (light(sun=(1.0, 1.0, 1.0), sun_spread=spread) for spread in (0.0, 0.5))
    share = [(from_above(scene, np.full(400, 1.4), north, sun) > 0).mean() for sun in (sharp, soft)]
    assert share[0] == 0
    assert 0.1 < share[1] < 0.9


def test_night_is_brighter_under_a_lamp_than_away_from_it_and_dark_in_its_shadow():
    lamp = furniture.lamp(Spot(np.zeros(2), 0.0))
    roof = solid(placed(box(2.0, 2.0, 0.2), (-6.0, 0.0, 2.0), 0.0))
    scene = Scene(Mesh.joined([lamp, roof]), lawn())
    np.testing.assert_allclose(scene.lamps_m, [[1.6, 0.0, 5.825]], atol=1e-6)
    near, far, farther = (
        from_above(scene, np.full(100, 1.6), np.linspace(north, north + 1, 100), light(lamps=1.0)).mean()
        for north in (1.0, 8.0, 18.0)
    )
    assert near > 3 * far > 9 * farther > 0
    beside = from_above(scene, np.full(100, -9.0), np.linspace(-0.3, 0.3, 100), light(lamps=1.0)).mean()
    unshaded = from_above(scene, np.full(100, -9.0), np.linspace(4.0, 4.6, 100), light(lamps=1.0)).mean()
    assert beside < 0.1 * unshaded


def test_headlights_light_what_is_ahead():
    scene = Scene(solid(box(0.1, 0.1, 0.1)), lawn())
    rays = np.array([(1, y, -0.15) for y in np.linspace(-0.1, 0.1, 50)], np.float32)
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    eye = np.array([-30.0, 0.0, 1.5])
    ahead, aside = (
        seen(scene, eye, rays, light(headlights=1.0), np.array(forward)).mean()
        for forward in ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
    )
    assert ahead > 0.001 > 10 * aside


def test_snow_covers_faces_that_look_up_and_no_others():
    scene = Scene(solid(placed(box(8.0, 8.0, 3.0), (10.0, 0.0, 0.0), 0.0), albedo=0.1), lawn())
    snowy, bare = (light(ambient=(1.0, 1.0, 1.0), snow=snow) for snow in (1.0, 0.0))
    roof = [from_above(scene, np.linspace(10, 15, 50), 0.0, sky, 10.0).mean() for sky in (snowy, bare)]
    assert roof[0] > 0.7 > 0.11 > roof[1]
    level = np.tile(np.array([[1.0, 0.0, 0.0]], np.float32), (5, 1))
    wall = [seen(scene, np.array([0.0, 0.0, 2.0]), level, sky).mean() for sky in (snowy, bare)]
    assert wall[0] == wall[1]


@pytest.fixture
def street_ground():
    """A road along north 0 from east -40 to 40, kerbs 5 m to either side."""
    ends = np.array([[-40.0, 0.0], [40.0, 0.0]])
    street = Street(ends=(0, 1), centreline_m=ends, half_width_m=5.0, has_parking=False)
    return map_ground(StreetGraph(junctions_m=ends, streets=(street,), circuit=()))


def test_snow_is_thin_in_the_tracks_of_tyres(street_ground):
    scene = Scene(solid(placed(box(0.1, 0.1, 0.1), (0.0, 30.0, 0.0), 0.0)), street_ground)
    snowy = light(ambient=(1.0, 1.0, 1.0), snow=1.0)
    east = np.linspace(-5, 5, 60)
    track, lane, lawn_level = (from_above(scene, east, north, snowy).mean() for north in (-2.45, -1.7, 12.0))
    assert track < 0.6 * lane < 0.7 * lawn_level


def test_a_wet_road_mirrors_what_stands_behind_it(street_ground):
    wall = solid(placed(box(1.0, 30.0, 30.0), (30.0, 0.0, 0.0), 0.0))
    wall.albedo[:] = (0.9, 0.0, 0.0)
    scene = Scene(wall, street_ground)
    rays = np.array([(1, y, -0.08) for y in np.linspace(-0.1, 0.1, 200)], np.float32)
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    wet, dry = (light(ambient=(1.0, 1.0, 1.0), wet=wet) for wet in (1.0, 0.0))
    red, green, _ = seen(scene, np.array([-10.0, 0.0, 1.6]), rays, wet).mean(0)
    assert red > 1.5 * green
    red, green, _ = seen(scene, np.array([-10.0, 0.0, 1.6]), rays, dry).mean(0)
    assert red < 1.1 * green


def test_wet_weather_is_seen_where_no_road_is_in_sight():
    scene = Scene(solid(placed(box(1.0, 30.0, 30.0), (30.0, 0.0, 0.0), 0.0)), lawn())
    level = np.tile(np.array([[1.0, 0.0, 0.0]], np.float32), (5, 1))
    under_each = (light(ambient=(1.0, 1.0, 1.0), wet=wet) for wet in (1.0, 0.0))
    wet, dry = (seen(scene, np.array([0.0, 0.0, 2.0]), level, weather) for weather in under_each)
    assert (wet > 0).all()
    assert (wet < dry).all()


def test_conditions_look_as_they_are_called():
    assert LIGHTS["winter"].snow > 0
    assert LIGHTS["winter"].is_leafless
    assert LIGHTS["wet"].wet > 0
    assert min(LIGHTS["night"].lamps, LIGHTS["night"].windows, LIGHTS["night"].headlights) > 0
    assert LIGHTS["day"].sun_spread == 0 < LIGHTS["overcast"].sun_spread
    assert max(LIGHTS["day"].lamps, LIGHTS["day"].headlights) == 0
