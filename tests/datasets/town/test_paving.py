import numpy as np
import pytest

from datasets.town.ground import RoadSpots, map_ground
from datasets.town.materials import Material
from datasets.town.paving import markings, paint_ground
from datasets.town.streets import Street, StreetGraph


def on_road(street, left_m, to_end_m, half_width_m=5.0):
    left, along = np.broadcast_arrays(np.asarray(left_m, float), np.asarray(to_end_m, float))
    number = np.full(left.shape, street)
    return RoadSpots(clearance_m=np.abs(left) - half_width_m, left_m=left, to_end_m=along, street=number)


def test_a_centreline_is_dashed_three_metres_in_six_and_seven_centimetres_to_either_side():
    along = np.array([18.5, 20.5, 21.5, 23.5, 24.5])
    assert markings(on_road(1, 0.0, along)).tolist() == [True, True, False, False, True]
    assert markings(on_road(1, [-0.06, 0.06, 0.08, -0.5], 19.0)).tolist() == [True, True, False, False]
    assert not markings(on_road(7, 0.0, along)).any()  # one street in four has none


def test_a_stop_line_crosses_the_road_before_the_junction():
    assert markings(on_road(2, 2.0, [7.4, 7.7, 8.1])).tolist() == [False, True, False]
    assert markings(on_road(2, [-4.6, 4.8], 7.7)).tolist() == [True, False]


def test_a_zebra_crossing_has_bars_half_a_metre_wide_along_the_road():
    across = [-1.75, -1.25, 0.25, 0.75, 1.25]
    assert markings(on_road(3, across, 10.0)).tolist() == [True, False, True, False, True]
    assert not markings(on_road(3, across, 12.0)).any()
    assert not markings(on_road(2, across, 10.0)).any()


@pytest.fixture
def bent_street():
    """From (0, 0) 40 m east, then 40 m north; kerbs 4 m to either side."""
    line = np.array([[0.0, 0.0], [40.0, 0.0], [40.0, 40.0]])
    street = Street(ends=(0, 1), centreline_m=line, half_width_m=4.0, has_parking=False)
    return map_ground(StreetGraph(junctions_m=line[[0, 2]], streets=(street,), circuit=()))


def test_spots_know_where_they_lie_along_their_street(bent_street):
    spots = bent_street.along_streets(np.array([[10.0, 1.3], [10.03, -2.2], [42.0, 25.0], [39.0, 30.0]], np.float32))
    np.testing.assert_allclose(spots.left_m, [1.3, -2.2, -2.0, 1.0], atol=0.01)
    np.testing.assert_allclose(spots.to_end_m, [10, 10.03, 15, 10], atol=0.03)
    np.testing.assert_allclose(spots.clearance_m, [-2.7, -1.8, -2, -3], atol=0.01)


def test_a_dashed_line_a_kerb_and_grass_show_where_they_are(bent_street):
    north = np.array([0.0, 0.6, 4.1, 12.0])
    position = np.stack([np.full(4, 14.0), north, np.zeros(4)], axis=1).astype(np.float32)
    kinds = np.array([Material.ROAD, Material.ROAD, Material.PAVEMENT, Material.GRASS], np.uint8)
    (line, asphalt, kerb, grass), mirror = paint_ground(
        position, kinds, np.full(4, 5, np.float32), bent_street, 0.0, 0.0
    )
    assert line.mean() > 2.5 * asphalt.mean()
    assert kerb.mean() > 2 * asphalt.mean()
    assert grass[1] > 1.3 * max(grass[0], grass[2])
    assert (mirror == 0).all()


def test_wet_asphalt_is_darker_and_mirrors(bent_street):
    position = np.stack([np.linspace(5, 35, 300), np.full(300, 1.5), np.zeros(300)], axis=1).astype(np.float32)
    kinds, near = np.full(300, Material.ROAD, np.uint8), np.full(300, 5, np.float32)
    dry, wet = (paint_ground(position, kinds, near, bent_street, 0.0, wet) for wet in (0.0, 1.0))
    assert wet[0].mean() < 0.7 * dry[0].mean()
    assert (wet[1] > 0).all()
