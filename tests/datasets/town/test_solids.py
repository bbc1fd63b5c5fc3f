import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.town.solids import boulder, box, column, gable, normals, placed, rod, upright

SIZE = st.floats(0.1, 30.0)


def volume_m3(triangles):
    """By Gauss: positive only if the corners run counter-clockwise seen from outside."""
    return np.linalg.det(triangles).sum() / 6


def edges(triangles):
    corners = [tuple(corner) for corner in triangles.reshape(-1, 3).round(6)]
    return [(corners[i], corners[i - i % 3 + (i + 1) % 3]) for i in range(len(corners))]


def assert_closed(triangles):
    found = edges(triangles)
    assert len(set(found)) == len(found)
    assert {(b, a) for a, b in found} == set(found)


@given(SIZE, SIZE, SIZE)
def test_a_box_is_closed_and_has_the_volume_of_its_sides(length_m, width_m, height_m):
    triangles = box(length_m, width_m, height_m)
    assert len(triangles) == 12
    assert_closed(triangles)
    assert volume_m3(triangles) == pytest.approx(length_m * width_m * height_m)


@given(SIZE, SIZE, SIZE)
def test_a_gable_is_closed_and_holds_half_its_box(length_m, width_m, height_m):
    triangles = gable(length_m, width_m, height_m)
    assert_closed(triangles)
    assert volume_m3(triangles) == pytest.approx(length_m * width_m * height_m / 2)


def test_a_column_of_six_sides_is_a_hexagonal_prism():
    triangles = column(2.0, 5.0, 2.0, sides=6)
    assert_closed(triangles)
    assert volume_m3(triangles) == pytest.approx(5.0 * 6 * np.sqrt(3))  # hexagon: 3/2 · √3 · r²


@given(st.integers(0, 1000), st.floats(0, 0.3))
def test_a_boulder_is_closed_and_near_its_ellipsoid(seed, roughness):
    triangles = boulder((2.0, 1.0, 3.0), roughness, np.random.default_rng(seed))
    assert len(triangles) == 80
    assert_closed(triangles)
    radius = np.linalg.norm(triangles.reshape(-1, 3) / (2.0, 1.0, 3.0), axis=1)
    assert (np.abs(radius - 1) <= roughness + 1e-9).all()


def test_placing_turns_before_it_moves():
    corner = np.array([[[1.0, 0.0, 0.5]] * 3])
    np.testing.assert_allclose(placed(corner, (10.0, 20.0, 3.0), np.pi / 2)[0, 0], [10, 21, 3.5], atol=1e-12)


def test_a_rod_is_closed_and_runs_from_its_start_to_its_end():
    for end in ((3.0, 1.0, 4.0), (-5.0, 0.0, 1.0), (1.0, 1.0, 9.0)):
        triangles = rod((1.0, 1.0, 1.0), end, 0.2)
        assert len(triangles) == 8
        assert_closed(triangles)
        assert volume_m3(triangles) > 0
        corners = triangles.reshape(-1, 3)
        axis = np.subtract(end, (1.0, 1.0, 1.0))
        along = (corners - 1.0) @ axis / (axis @ axis)
        np.testing.assert_allclose(np.unique(along.round(6)), [0, 1], atol=1e-6)


def test_coarse_boulders_have_20_faces():
    triangles = boulder((1.0, 2.0, 1.0), 0.2, np.random.default_rng(0), is_coarse=True)
    assert len(triangles) == 20
    assert_closed(triangles)
    assert volume_m3(triangles) > 0


def test_what_stands_upright_faces_along_x():
    plate = upright(box(2.0, 1.0, 0.1))
    assert_closed(plate)
    assert volume_m3(plate) == pytest.approx(0.2)
    np.testing.assert_allclose(np.ptp(plate.reshape(-1, 3), axis=0), [0.1, 2.0, 1.0])
    np.testing.assert_allclose(normals(plate)[-2:], [[1, 0, 0]] * 2)
