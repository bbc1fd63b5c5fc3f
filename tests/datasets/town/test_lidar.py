from dataclasses import dataclass, replace

import numpy as np
import pytest

from datasets.town.drives import world_from_lidar
from datasets.town.ground import GroundMap
from datasets.town.lidar import HEIGHT_M, LIDARS, LMS_FRONT, RangeSensor
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
    lidar = LIDARS["town-32"]
    points = lidar.scan(courtyard(), poses(yaw))[:, :3]
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
    points = LIDARS["town-32"].scan(
        courtyard(), poses(np.pi / 2)
    )  # heads north: the north wall is ahead, the west left
    level = points[np.abs(points[:, 2]) < 1]
    assert level[:, 0].max() < 20.01
    assert level[:, 1].max() < 30.01
    assert np.isclose(level[:, 1].min(), -10, atol=0.01)
    assert points[:, 2].min() >= -HEIGHT_M - 0.005


@pytest.mark.parametrize(
    ("name", "beams", "lowest_deg", "highest_deg"),
    [("town-32", 32, -22.5, 22.5), ("hdl-64", 64, -24.8, 2.0), ("os1-64", 64, -22.5, 22.5), ("vlp-32", 32, -25, 15)],
)
def test_beams_are_as_declared(name, beams, lowest_deg, highest_deg):
    lidar = LIDARS[name]
    elevation = np.rad2deg(np.arcsin(lidar.directions[:, 2].astype(float))).round(3)
    assert (np.diff(elevation[:beams]) > 0).all()
    assert len(np.unique(elevation)) == lidar.block().beams == beams
    assert lidar.block().vertical_fov_deg == (lowest_deg, highest_deg)
    np.testing.assert_allclose([elevation.min(), elevation.max()], [lowest_deg, highest_deg], atol=2e-3)
    np.testing.assert_allclose(np.linalg.norm(lidar.directions, axis=1), 1, atol=1e-6)


def test_the_push_broom_sweeps_across_the_driving_direction_from_side_to_side_over_the_ground():
    rays = LMS_FRONT.directions @ LMS_FRONT.lidar_from_sensor[:3, :3].T
    assert len(rays) == 541
    np.testing.assert_allclose(rays[270], (np.sin(np.deg2rad(6.5)), 0, -np.cos(np.deg2rad(6.5))), atol=1e-6)
    angles = np.rad2deg(np.arccos(np.einsum("ni,ni->n", LMS_FRONT.directions[1:], LMS_FRONT.directions[:-1])))
    np.testing.assert_allclose(angles, 0.5, atol=0.02)
    assert rays[0, 1] < -0.7  # begins up to the right …
    assert rays[-1, 1] > 0.7  # … and ends up to the left
    assert rays[0, 2] > 0.7 * np.cos(np.deg2rad(7))
    pose = poses(0.0) @ LMS_FRONT.lidar_from_sensor
    points = LMS_FRONT.scan(courtyard(), pose)[:, :3] @ pose[:3, :3].T + pose[:3, 3]
    walls = points[points[:, 2] > 0.01]
    assert (np.isclose(walls[:, 1], 20.0, atol=0.01)).all()  # the south wall is out of range
    np.testing.assert_allclose(points[points[:, 2] < 0.01][:, 2], 0.0, atol=5e-3)
    assert np.ptp(points[:, 0]) < 5.5  # 20 m up the wall at 6.5°, twice


# --- noise, dropout, intensity -------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class OneRay(RangeSensor):
    """The same ray again and again."""

    along: tuple[float, ...]
    pulses: int = 20_000

    @property
    def directions(self):
        unit = np.array(self.along, np.float32) / np.linalg.norm(np.array(self.along, np.float32))
        return np.tile(unit.astype(np.float32), (self.pulses, 1))


REFLECTIVITY = float(courtyard().reflectivity[-1])


def test_range_noise_is_unbiased_and_as_strong_as_declared():
    sensor = OneRay(along=(1.0, 0.0, 0.0), max_range_m=80.0, range_noise_m=0.03, half_return_m=1e4)
    points = sensor.scan(courtyard(), poses(0.0), np.random.default_rng(3))
    assert len(points) == 20_000
    error = points[:, 0] - 10.0
    assert abs(error.mean()) < 4 * 0.03 / np.sqrt(20_000) + 1e-5
    assert abs(error.std() / 0.03 - 1) < 4 / np.sqrt(2 * 20_000)
    assert (points[:, 1:3] == 0).all(), "noise lies along the ray"


@pytest.mark.parametrize(
    ("along", "distance_m", "cos"),
    [((1, 0, 0), 10, 1), ((0, -1, 0), 200, 1), ((-3, 4, 0), 25, 0.8), ((-1, 0, 0), 30, 1), ((-4, 3, 0), 100 / 3, 0.6)],
)
@pytest.mark.parametrize("half_return_m", [60.0, 15.0])
def test_pulses_drop_out_with_range_and_grazing_incidence(along, distance_m, cos, half_return_m):
    sensor = OneRay(along=along, max_range_m=300.0, half_return_m=half_return_m)
    points = sensor.scan(courtyard(), poses(0.0), np.random.default_rng(5))
    power = (REFLECTIVITY / 0.1) * cos * (half_return_m / distance_m) ** 2
    chance = 1 - 0.5**power
    deviation = np.sqrt(20_000 * chance * (1 - chance))
    assert abs(len(points) - 20_000 * chance) <= 5 * deviation + 1
    np.testing.assert_allclose(points[:, 3], REFLECTIVITY * cos, rtol=1e-4)


def test_wet_ground_returns_less_and_walls_as_before():
    lidar = replace(LIDARS["town-32"], half_return_m=20.0)
    dry, wet = (lidar.scan(courtyard(), poses(0.0), wet=wet) for wet in (0.0, 1.0))
    np.testing.assert_array_equal(dry[:, :3], wet[:, :3])
    off_walls = (dry[:, 0] > -29.9) & (dry[:, 0] < 9.9) & (dry[:, 1] < 19.9)
    ground = off_walls & (dry[:, 2] < -HEIGHT_M + 0.01)
    np.testing.assert_allclose(wet[ground, 3], 0.2 * dry[ground, 3], rtol=1e-5)
    np.testing.assert_array_equal(wet[dry[:, 2] > -1.8, 3], dry[dry[:, 2] > -1.8, 3])
    returned = [
        (lidar.scan(courtyard(), poses(0.0), np.random.default_rng(1), wet=share)[:, 2] < -1.8).sum()
        for share in (0.0, 1.0)
    ]
    assert returned[1] < 0.95 * returned[0]


def test_snow_is_bright_on_the_ground_and_not_on_walls():
    lidar = LIDARS["town-32"]
    bare, snowy = (lidar.scan(courtyard(), poses(0.0), snow=share) for share in (0.0, 1.0))
    np.testing.assert_array_equal(snowy[bare[:, 2] > -1.8, 3], bare[bare[:, 2] > -1.8, 3])
    steepest = np.argmin(np.hypot(*bare[:, :2].T))  # 22.5° below the horizon
    assert snowy[steepest, 3] == pytest.approx(0.8 * np.sin(np.deg2rad(22.5)), rel=1e-4)


def test_the_same_generator_gives_the_same_scan_and_another_one_another():
    scans = [LIDARS["town-32"].scan(courtyard(), poses(0.0), np.random.default_rng(seed)) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(scans[0], scans[1])
    assert scans[0].dtype == np.float32
    assert scans[0].shape != scans[2].shape or (scans[0] != scans[2]).any()


@pytest.mark.parametrize("name", LIDARS)
def test_intensities_are_shares(name):
    intensity = LIDARS[name].scan(courtyard(), poses(0.2), np.random.default_rng(1))[:, 3]
    assert intensity.min() > 0
    assert intensity.max() <= 1
    assert np.ptp(intensity) > 0.1
