import numpy as np

from datasets.town import furniture
from datasets.town.furniture import Spot
from datasets.town.materials import NEAR_INFRARED, Material, across, panels
from datasets.town.solids import box, normals, placed


def test_every_material_has_a_reflectivity_and_only_retroreflectors_exceed_white():
    assert set(NEAR_INFRARED) == set(Material)
    assert {material for material, share in NEAR_INFRARED.items() if share > 1} == {Material.SIGN, Material.PLATE}
    assert NEAR_INFRARED[Material.GLASS] < NEAR_INFRARED[Material.ROAD] < NEAR_INFRARED[Material.LEAVES]


def test_both_halves_of_an_upright_face_have_the_same_panel_of_its_size():
    triangles = placed(box(6.0, 4.0, 3.0), (100.0, -50.0, 1.0), 0.7)
    normal = normals(triangles)
    found = panels(triangles, normal)
    for one, other in zip(found[:4], found[4:8], strict=True):  # the sides, first halves and second halves
        np.testing.assert_allclose(one, other)
    np.testing.assert_allclose(found[:4, 1:], [[6, 1, 3], [4, 1, 3], [6, 1, 3], [4, 1, 3]])
    corner = across(triangles[0], np.tile(normal[0], (3, 1))) - found[0, 0]
    np.testing.assert_allclose([corner.min(), corner.max()], [0, 6], atol=1e-9)


def test_across_runs_to_the_right_for_who_looks_at_the_face():
    """A wall that faces south, seen from the south: east is right."""
    spots, south = np.array([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0]]), np.array([[0.0, -1.0, 0.0]] * 2)
    np.testing.assert_allclose(across(spots, south), [0, 2], atol=1e-5)


def faces_of(mesh, material):
    return mesh.triangles_m[mesh.looks()["material"] == material]


def test_a_sign_faces_along_its_heading_and_has_one_panel():
    random = np.random.default_rng(3)
    for _ in range(20):
        sign = furniture.traffic_sign(Spot(np.array([5.0, 7.0]), np.pi / 2), random)
        faces = faces_of(sign, Material.SIGN)
        np.testing.assert_allclose(normals(faces), [[0, 1, 0]] * len(faces), atol=1e-9)
        panel = sign.looks()["panel"][sign.looks()["material"] == Material.SIGN]
        assert len(np.unique(panel, axis=0)) <= 2  # one or two plates
        assert faces[:, :, 2].min() > 2.0
        assert np.isclose(faces[:, :, 2].min(), panel[:, 2].min())


def test_the_front_of_a_car_is_ahead_and_its_lamps_obey():
    for is_lit in (False, True):
        car = furniture.car(Spot(np.zeros(2), 0.0), np.random.default_rng(0), is_lit)
        paint = car.looks()["material"] == Material.PAINT
        number, normal = car.looks()["number"], normals(car.triangles_m)
        front = paint & (number & 1 == 1)
        np.testing.assert_allclose(normal[front], [[1, 0, 0]] * 2, atol=1e-9)
        assert bool((number[front] & 2).all()) == is_lit
        assert len(faces_of(car, Material.PLATE)) == 24


def test_a_house_has_its_front_towards_the_street():
    house = furniture.building(Spot(np.zeros(2), 0.0), (10.0, 8.0, 6.0), True, np.random.default_rng(0))
    look = house.looks()
    is_front = (look["material"] == Material.FACADE) & (look["number"] & 3 == 0)
    np.testing.assert_allclose(normals(house.triangles_m)[is_front], [[0, -1, 0]] * 2, atol=1e-9)
    assert len(set((look["number"] >> 2)[look["material"] == Material.FACADE])) == 1


def test_trees_keep_their_trunk_and_lose_their_leaves():
    random = np.random.default_rng(1)
    trees = [furniture.tree(Spot(np.zeros(2), 0.0), 2.0, random) for _ in range(40)]
    broad = [tree for tree in trees if not len(faces_of(tree.bare, Material.LEAVES))]
    assert 20 < len(broad) < 40  # the others are conifers
    for tree in broad:
        assert np.array_equal(tree.bare.triangles_m[:20], tree.in_leaf.triangles_m[:20])
        assert len(faces_of(tree.in_leaf, Material.LEAVES)) >= 100
        low = tree.in_leaf.triangles_m[tree.in_leaf.looks()["material"] == Material.LEAVES][:, :, 2].min()
        assert low > 1.6
