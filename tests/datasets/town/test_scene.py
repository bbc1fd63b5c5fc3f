import numpy as np
import pytest

from datasets.town.ground import FAR_M, GroundMap
from datasets.town.scene import MISS, Mesh, Scene
from datasets.town.solids import boulder, box, placed


def flat_ground(centre_m, half_side_cells=400):
    clearance = np.full((2 * half_side_cells, 2 * half_side_cells), FAR_M, dtype=np.float32)
    return GroundMap(south_west_m=np.array(centre_m, dtype=float) - half_side_cells * 0.25, clearance_m=clearance)


def scene_of(triangles, centre_m=(0.0, 0.0)):
    return Scene(Mesh(triangles_m=triangles, albedo=np.full((len(triangles), 3), 0.5)), flat_ground(centre_m))


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def naive_distance_m(triangles, origin, direction):
    """Möller and Trumbore, one ray and one triangle at a time, in double precision."""
    nearest = np.inf
    for a, b, c in triangles:
        p = np.cross(direction, c - a)
        determinant = p @ (b - a)
        if abs(determinant) < 1e-12:
            continue
        s = origin - a
        u, q = s @ p / determinant, np.cross(s, b - a)
        v, distance = direction @ q / determinant, (c - a) @ q / determinant
        if u >= 0 and v >= 0 and u + v <= 1 and distance > 0:
            nearest = min(nearest, distance)
    return nearest


def test_rays_hit_what_a_naive_loop_says():
    random = np.random.default_rng(1)
    solids = [box(*random.uniform(1, 8, 3)) for _ in range(10)]
    solids += [boulder((2.0, 2.0, 3.0), 0.2, random) for _ in range(2)]
    spots = random.uniform((960, 460, 0), (1040, 540, 3), size=(len(solids), 3))
    triangles = np.concatenate([placed(solid, tuple(spot), spot[0]) for solid, spot in zip(solids, spots, strict=True)])
    scene = scene_of(triangles, centre_m=(1000, 500))
    origins = random.uniform((-10, -10, 12), (10, 10, 20), size=(80, 3)) + np.array([1000.0, 500.0, 0.0])
    directions = unit(random.normal(size=(80, 3)) * (1, 1, 0.4))
    hits = scene.cast(origins, directions)
    with np.errstate(divide="ignore"):
        ground = np.where(directions[:, 2] < 0, -origins[:, 2] / directions[:, 2], np.inf)
    for origin, direction, below, found in zip(origins, directions, ground, hits.distance_m, strict=True):
        expected = min(naive_distance_m(triangles, origin, direction), below)
        if expected < 400:  # the ground ends somewhere
            assert found == pytest.approx(expected, abs=2e-3, rel=1e-5)
    assert 10 < np.isinf(hits.distance_m).sum() < 70
    assert ((hits.face == MISS) == np.isinf(hits.distance_m)).all()


def test_the_ground_is_flat_to_five_millimetres_within_80_m():
    scene = scene_of(box(1.0, 1.0, 1.0), centre_m=(900, -700))
    random = np.random.default_rng(2)
    bearing, reach = random.uniform(0, 2 * np.pi, 5000), random.uniform(3, 79, 5000)
    spots = np.stack([reach * np.cos(bearing), reach * np.sin(bearing), np.full(5000, -1.9)], axis=1)
    hits = scene.cast(np.array([930.0, -690.0, 1.9]), unit(spots))
    np.testing.assert_allclose(hits.distance_m, np.linalg.norm(spots, axis=1), atol=5e-3)


def test_no_ray_slips_through_the_edges_of_a_closed_solid():
    scene = scene_of(placed(box(4.0, 4.0, 4.0), (0.0, 0.0, 0.0), 0.3))
    corners = np.stack(np.meshgrid(*[np.linspace(-1, 1, 41)] * 3), axis=-1).reshape(-1, 3)
    outward = unit(corners[np.abs(corners).max(1) == 1] + 0.0)
    hits = scene.cast(np.array([0.0, 0.0, 2.0]), outward)
    assert (hits.distance_m <= 2 * np.sqrt(3) + 1e-3).all()


def test_kinds_of_ground_follow_the_map():
    ground = flat_ground((0, 0))
    columns = np.arange(ground.clearance_m.shape[1]) * 0.25 - 100 + 0.125
    ground.clearance_m[:] = np.abs(columns) - 4  # a road along north, kerbs at ±4 m, pavement to ±6 m
    scene = Scene(Mesh(triangles_m=placed(box(1.0, 1.0, 1.0), (50.0, 0.0, 0.0), 0.0), albedo=np.zeros((12, 3))), ground)
    east = np.array([0.0, -3.9, 3.9, 4.1, -5.9, 6.1, -30.0, 400.0])
    origin = np.array([0.0, 10.0, 5.0])
    rays = unit(np.stack([east, np.zeros(8), np.full(8, -5.0)], axis=1))
    kinds = scene.surface(scene.cast(origin, rays), origin, rays)
    assert kinds.tolist() == [0, 0, 0, 1, 1, 2, 2, 2]


def test_surfaces_carry_the_colour_and_outward_normal_of_their_triangle():
    triangles = np.concatenate([placed(box(2.0, 2.0, 2.0), (east, 0.0, 0.0), 0.0) for east in (10.0, -10.0)])
    albedo = np.repeat([[0.1, 0.2, 0.3], [0.7, 0.8, 0.9]], 12, axis=0)
    scene = Scene(Mesh(triangles_m=triangles, albedo=albedo), flat_ground((0, 0)))
    origin, rays = np.array([0.0, 0.0, 1.0]), np.array([[1.0, 0.01, 0.0], [-1.0, 0.01, 0.0]])
    rows = scene.surface(scene.cast(origin, rays), origin, rays)
    np.testing.assert_allclose(scene.albedo[rows], [[0.1, 0.2, 0.3], [0.7, 0.8, 0.9]])
    np.testing.assert_allclose(scene.normal[rows], [[-1, 0, 0], [1, 0, 0]], atol=1e-6)
