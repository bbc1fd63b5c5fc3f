import numpy as np
import pytest

from datasets.base import Intrinsics
from datasets.town.camera import PinholeCamera, forward_camera
from datasets.town.drives import route_of, scene_of, world_from_lidar
from datasets.town.ground import GroundMap
from datasets.town.light import LIGHTS
from datasets.town.scene import Mesh, Scene
from datasets.town.solids import box, placed
from datasets.town.town import Town

DRIVE = Town(preset="tiny").drives()[0]
CAMERA, LIDAR = DRIVE.camera, DRIVE.lidar


@pytest.fixture(scope="module")
def street():
    """A furnished district of the town and some poses in it."""
    route = route_of(DRIVE)
    return scene_of(DRIVE), world_from_lidar(*route.pose_at(np.linspace(0, route.length_m, 12)))


def in_camera(points):
    matrix = CAMERA.camera_from_lidar
    return points.astype(np.float64) @ matrix[:3, :3].T + matrix[:3, 3]


def test_the_first_surface_towards_a_return_is_that_return_or_hides_it(street):
    scene, poses = street
    same, hidden = 0, 0
    for pose in poses:
        points = LIDAR.scan(scene, pose)[:, :3].astype(np.float64) @ pose[:3, :3].T + pose[:3, 3]
        centre = CAMERA.world_from_camera(pose)[:3, 3]
        reach = np.linalg.norm(points - centre, axis=1)
        first = scene.cast(centre, (points - centre) / reach[:, None]).distance_m
        same += (np.abs(first - reach) <= 0.02).sum()
        hidden += (first < reach - 0.02).sum()
        assert (first <= reach + 0.02).mean() > 0.998  # at an edge, the last millimetre may slip past
    assert same / (same + hidden) > 0.95


def test_returns_agree_with_the_rendered_depth_of_their_pixel(street):
    scene, poses = street
    k = CAMERA.intrinsics
    near, hidden, visible = 0, 0, 0
    for pose in poses:
        points = LIDAR.scan(scene, pose)[:, :3]
        x, y, z = in_camera(points).T
        u, v = k.fx * x / z + k.cx, k.fy * y / z + k.cy
        seen = (z > 0.5) & (u >= 0) & (u < k.width) & (v >= 0) & (v < k.height)
        depth = CAMERA.depth(scene, pose)[v[seen].astype(int), u[seen].astype(int)]
        tolerance = 0.05 * z[seen] + 0.1  # within a pixel, grazed ground and walls recede
        near += (np.abs(depth - z[seen]) <= tolerance).sum()
        hidden += (depth < z[seen] - tolerance).sum()  # by parallax
        visible += seen.sum()
    assert visible > 1000 * len(poses)
    assert near / visible >= 0.92
    assert (near + hidden) / visible >= 0.97


def test_pixels_follow_the_convention_of_intrinsics():
    """A wall that ends dead ahead and 1 m below the horizon ends on the projected column and row."""
    wall = placed(box(1.0, 20.0, 9.0), (10.5, 10.0, 0.0), 0.0)  # the left half of the view, from 10 m ahead
    ground = GroundMap(south_west_m=np.array([-50.0, -50.0]), clearance_m=np.full((400, 400), 9, np.float32))
    scene = Scene(Mesh(triangles_m=wall, albedo=np.ones((12, 3))), ground)
    axes = np.eye(4)
    axes[:3, :3] = [[0, -1, 0], [0, 0, -1], [1, 0, 0]]
    intrinsics = Intrinsics(fx=100.0, fy=100.0, cx=41.0, cy=30.0, width=80, height=60)
    camera = PinholeCamera(intrinsics=intrinsics, camera_from_lidar=axes)
    depth = camera.depth(scene, world_from_lidar(np.zeros((1, 2)), np.zeros(1))[0])
    # Height 1.9 m: the wall meets the ground 19 pixels below cy, at 10 m.
    assert np.isclose(depth[:49, :41], 10.0, atol=1e-3).all()
    assert np.isinf(depth[:30, 41:]).all()
    np.testing.assert_allclose(depth[49:, 0], 190 / (np.arange(49, 60) + 0.5 - 30), rtol=1e-4)


def test_the_camera_sits_ahead_of_and_below_the_lidar_and_looks_ahead():
    lidar_from_camera = np.linalg.inv(forward_camera(160, 120, 78.0).camera_from_lidar)
    np.testing.assert_allclose(lidar_from_camera[:3, 3], [0.3, 0.06, -0.3])
    right, down, forward = lidar_from_camera[:3, :3].T
    assert forward @ (1, 0, 0) > np.cos(np.deg2rad(4))
    assert right @ (0, -1, 0) > 0.99
    assert down @ (0, 0, -1) > 0.99
    assert forward[2] > 0  # a little upwards: more of the houses, less of the road


def test_an_image_shows_the_sky_where_depth_is_infinite(street):
    scene, poses = street
    pixels = CAMERA.image(scene, poses[0], LIGHTS["day"], np.random.default_rng(0))
    depth = CAMERA.depth(scene, poses[0])
    sky = pixels[np.isinf(depth)].mean(0)
    near = pixels[depth < 15].mean(0)
    assert sky[2] > sky[0] + 10
    assert sky.mean() > near.mean() + 40


def test_the_same_noise_gives_the_same_image(street):
    scene, poses = street
    images = [CAMERA.image(scene, poses[3], LIGHTS["dusk"], np.random.default_rng(seed)) for seed in (5, 5, 6)]
    assert (images[0] == images[1]).all()
    assert (images[0] != images[2]).any()
