import numpy as np

from datasets.town.drives import world_from_lidar
from datasets.town.ground import GroundMap
from datasets.town.lidar import HEIGHT_M, SpinningLidar
from datasets.town.scene import Mesh, Scene
from datasets.town.solids import box, placed


def courtyard():
    """Four walls around the origin, their inner sides at east 10, north 20, west 30 and south 200 m."""
    walls = [
        placed(box(1.0, 500.0, 200.0), (10.5, 0.0, 0.0), 0.0),
        placed(box(500.0, 1.0, 200.0), (0.0, 20.5, 0.0), 0.0),
        placed(box(1.0, 500.0, 200.0), (-30.5, 0.0, 0.0), 0.0),
        placed(box(500.0, 1.0, 200.0), (0.0, -200.5, 0.0), 0.0),
    ]
    triangles = np.concatenate(walls)
    ground = GroundMap(south_west_m=np.array([-300.0, -300.0]), clearance_m=np.full((2400, 2400), 9, np.float32))
    return Scene(Mesh(triangles_m=triangles, albedo=np.zeros((len(triangles), 3))), ground)


def poses(yaw_rad):
    return world_from_lidar(np.zeros((1, 2)), np.array([yaw_rad]))[0]


def test_every_return_lies_on_the_nearest_wall_or_the_ground_and_within_range():
    yaw = 0.3
    lidar = SpinningLidar()
    points = lidar.scan(courtyard(), poses(yaw))
    assert points.dtype == np.float32
    rays = lidar.directions @ poses(yaw)[:3, :3].T
    with np.errstate(divide="ignore"):
        wall_m = np.min(
            [
                np.where(rays[:, axis] * side > 0, side * reach / rays[:, axis], np.inf)
                for axis, side, reach in [(0, 1, 10), (1, 1, 20), (0, -1, 30), (1, -1, 200)]
            ],
            axis=0,
        )
        ground_m = np.where(rays[:, 2] < 0, -HEIGHT_M / rays[:, 2], np.inf)
    expected = np.minimum(wall_m, ground_m)
    assert (expected > 80).any()
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), expected[expected <= 80], atol=5e-3)
    np.testing.assert_allclose(points, (expected[:, None] * lidar.directions)[expected <= 80], atol=5e-3)


def test_axes_are_forward_left_up_whatever_the_heading():
    points = SpinningLidar().scan(courtyard(), poses(np.pi / 2))  # heads north: the north wall is ahead, the west left
    level = points[np.abs(points[:, 2]) < 1]
    assert level[:, 0].max() < 20.01
    assert level[:, 1].max() < 30.01
    assert np.isclose(level[:, 1].min(), -10, atol=0.01)
    assert points[:, 2].min() >= -HEIGHT_M - 0.005


def test_beams_are_as_declared():
    lidar = SpinningLidar()
    elevation = np.rad2deg(np.arcsin(lidar.directions[:, 2])).round(3)
    assert len(np.unique(elevation)) == lidar.block().beams == 32
    assert (elevation.min(), elevation.max()) == lidar.block().vertical_fov_deg
