"""The interface for writers of other formats: poses and rays at any time."""

from dataclasses import replace

import numpy as np
import pytest

from datasets.town.casting import cast_from
from datasets.town.drives import route_of, scene_of
from datasets.town.ground import FAR_M, GroundMap
from datasets.town.lidar import HEIGHT_M, LMS_FRONT
from datasets.town.light import LIGHTS
from datasets.town.scene import Mesh, Scene
from datasets.town.solids import box, placed
from datasets.town.town import Town


@pytest.fixture(scope="module")
def drive():
    return Town(preset="tiny").drives()[0]


def test_echoes_carry_distance_normal_and_colour_of_what_is_hit():
    wall = Mesh(
        triangles_m=placed(box(1.0, 40.0, 9.0), (10.5, 0.0, 0.0), 0.0), albedo=np.full((12, 3), (0.1, 0.2, 0.3))
    )
    ground = GroundMap(south_west_m=np.array([-50.0, -50.0]), clearance_m=np.full((400, 400), FAR_M, np.float32))
    pose = np.eye(4)
    pose[:3, :3] = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]  # heads north: the wall in the east is to the right
    pose[:3, 3] = (0.0, 0.0, HEIGHT_M)
    rays = np.array([[0, -1, 0], [0.6, -0.8, 0], [0, 0, -1], [0, 0, 1]], dtype=np.float32)
    echoes = cast_from(Scene(wall, ground), pose, rays)
    np.testing.assert_allclose(echoes.distance_m, [10, 12.5, HEIGHT_M, np.inf], atol=1e-4)
    np.testing.assert_allclose(echoes.normal, [[-1, 0, 0], [-1, 0, 0], [0, 0, 1], [0, 0, 0]], atol=1e-6)
    np.testing.assert_allclose(echoes.cos_incidence, [1, 0.8, 1, 0], atol=1e-6)
    np.testing.assert_allclose(echoes.albedo[:2], [[0.1, 0.2, 0.3]] * 2, atol=1e-6)
    assert (echoes.reflectivity[:3] > 0).all()
    assert echoes.reflectivity[3] == 0
    assert (echoes.albedo[3] == 0).all()


def test_rays_leave_from_where_the_sensor_is_mounted(drive):
    mount = np.eye(4)
    mount[:3, 3] = (1.8, 0.0, 0.5 - HEIGHT_M)
    down = np.array([[0, 0, -1]], dtype=np.float32)
    assert drive.cast(3.0, down).distance_m == pytest.approx([HEIGHT_M], abs=1e-4)
    assert drive.cast(3.0, down, mount).distance_m == pytest.approx([0.5], abs=1e-4)


def test_an_ideal_scan_is_what_the_rays_of_its_directions_meet(drive):
    echoes = drive.cast(7.5, drive.lidar.directions)
    returned = echoes.distance_m <= drive.lidar.max_range_m
    expected = echoes.distance_m[returned, None] * drive.lidar.directions[returned]
    np.testing.assert_array_equal(drive.scan(drive.lidar, 7.5, is_ideal=True)[:, :3], expected)


def test_a_scan_depends_on_drive_and_time_alone(drive):
    first, other = drive.scan(drive.lidar, 7.5), drive.scan(drive.lidar, 8.5)
    np.testing.assert_array_equal(drive.scan(drive.lidar, 7.5), first)
    assert first.shape != other.shape or (first != other).any()
    ideal = drive.scan(drive.lidar, 7.5, is_ideal=True)
    assert 0.5 * len(ideal) < len(first) < len(ideal)


def test_water_on_the_road_takes_returns(drive, monkeypatch):
    dry = drive.scan(drive.lidar, 7.5)
    monkeypatch.setitem(LIGHTS, drive.light, replace(LIGHTS[drive.light], wet=1.0))
    wet = drive.scan(drive.lidar, 7.5)
    lost = [1 - part(wet).sum() / part(dry).sum() for part in (lambda p: p[:, 2] < -1.8, lambda p: p[:, 2] > -1.8)]
    assert lost[0] > 0.05
    assert lost[1] < 0.7 * lost[0]  # of the rest, roofs of cars and the like are wet too


def test_pushed_sweeps_lay_the_street_out_as_the_lidar_sees_it(drive):
    """Sweeps of 4 s, placed with the poses of their times, lie on the surfaces that one ideal scan looks at."""
    times = np.arange(5.0, 9.0, 5 / LMS_FRONT.sweeps_per_s)
    poses = drive.pose_at(times) @ LMS_FRONT.lidar_from_sensor
    standing = scene_of(drive)
    points = [LMS_FRONT.scan(standing, pose)[:, :3].astype(float) @ pose[:3, :3].T + pose[:3, 3] for pose in poses]
    swept = np.concatenate(points)
    assert np.ptp(swept[:, 2]) > 5
    centre = drive.pose_at(np.array([7.0]))[0, :3, 3]
    reach = np.linalg.norm(swept - centre, axis=1)
    first = standing.cast(centre, (swept - centre) / reach[:, None]).distance_m
    assert (first < reach + 0.02).mean() > 0.99  # nothing swept floats before what the LiDAR would see …
    assert (np.abs(first - reach) < 0.02).mean() > 0.5  # … and most of it is just that


def test_a_lap_starts_at_time_zero_and_frames_fill_it(drive):
    times = drive.frame_times_s()
    assert times[0] == 0
    assert times[-1] < route_of(drive).lap_s < times[-1] + 5
    np.testing.assert_allclose(drive.pose_at(times + route_of(drive).lap_s), drive.pose_at(times), atol=1e-6)
