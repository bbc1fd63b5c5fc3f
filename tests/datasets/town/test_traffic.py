from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from datasets.town import furniture, traffic
from datasets.town.drives import route_of, scene_of, traffic_of
from datasets.town.furniture import Spot
from datasets.town.ground import FAR_M, GroundMap
from datasets.town.scene import MISS, Mesh, Scene
from datasets.town.seeding import generator_for
from datasets.town.solids import box, normals, placed
from datasets.town.streets import lay_streets
from datasets.town.town import Town
from datasets.town.traffic import SceneWithTraffic, intrudes

DRIVES = [drive for preset in ("tiny", "small") for drive in Town(preset=preset).drives() if drive.light == "day"]


@pytest.fixture(scope="module", params=DRIVES, ids=lambda drive: f"{drive.name} every {drive.spacing_m:g} m")
def drive(request):
    return request.param


def corners(position_m, yaw_rad, length_m=4.8, width_m=1.85):
    """Corners of vehicles seen from above, counter-clockwise."""
    ahead = np.stack([np.cos(yaw_rad), np.sin(yaw_rad)], axis=1) * length_m / 2
    left = np.stack([-np.sin(yaw_rad), np.cos(yaw_rad)], axis=1) * width_m / 2
    return np.stack([position_m + a * ahead + b * left for a, b in ((1, 1), (-1, 1), (-1, -1), (1, -1))], axis=1)


def overlap(a, b):
    """Whether rectangles overlap, by separating axes."""
    apart = np.zeros(len(a), dtype=bool)
    for sides in (a, b):
        for i in range(2):
            axis = sides[:, i + 1] - sides[:, i]
            one, other = (np.einsum("nki,ni->nk", corner, axis) for corner in (a, b))
            apart |= (one.max(1) < other.min(1)) | (other.max(1) < one.min(1))
    return ~apart


def test_overlap_is_that_of_rectangles():
    origin, still = np.zeros((3, 2)), np.zeros(3)
    a = corners(origin, still)
    b = corners(np.array([[4.7, 0.0], [4.9, 0.0], [3.0, 1.9]]), np.array([0.0, 0.0, 0.6]))
    assert overlap(a, b).tolist() == [True, False, True]


def test_no_vehicle_is_ever_inside_another(drive):
    times = np.arange(0, route_of(drive).lap_s, 0.13)
    pose = drive.pose_at(times)
    vehicles = [(pose[:, :2, 3], np.arctan2(pose[:, 1, 0], pose[:, 0, 0]))]
    vehicles += [car.pose_at(times) for car in traffic_of(drive).cars]
    outlines = [corners(*vehicle) for vehicle in vehicles]
    assert not any(overlap(a, b).any() for a, b in combinations(outlines, 2))
    assert not any(intrudes(car, times, *vehicles[0]).any() for car in traffic_of(drive).cars)


def test_cars_keep_to_the_lanes_and_drive_both_ways(drive):
    times = np.arange(0, 60, 0.5)
    graph = lay_streets(drive.plan, generator_for(drive.seed, drive.plan.name, "streets"))
    cars = traffic_of(drive).cars
    position = np.concatenate([car.pose_at(times)[0] for car in cars])
    lines = np.concatenate([street.centreline_m for street in graph.streets])
    assert np.hypot(*(position[:, None] - lines[None]).transpose(2, 0, 1)).min(1).max() < 12.0
    turned = [np.sign(car.route.yaw_rad[-1] - car.route.yaw_rad[0]) for car in cars]
    assert set(turned) == {-1.0, 1.0}  # laps to the right and to the left: both lanes of the same streets


def test_traffic_is_seen_on_many_frames(drive):
    times = drive.frame_times_s()
    ego = drive.pose_at(times)[:, :2, 3]
    gap = [np.hypot(*(car.pose_at(times)[0] - ego).T) for car in traffic_of(drive).cars]
    assert (np.min(gap, axis=0) < 40).mean() > 0.3


def test_traffic_differs_from_drive_to_drive_and_not_from_call_to_call():
    day, evening = Town(preset="tiny").drives()[:2]
    again = traffic.plan_traffic(
        lay_streets(day.plan, generator_for(0, day.plan.name, "streets")),
        route_of(day),
        generator_for(0, day.name, "traffic"),
    )
    starts = [[car.start_s for car in found.cars] for found in (traffic_of(day), again, traffic_of(evening))]
    assert starts[0] == starts[1] != starts[2]
    second = replace(day, occasion=2)
    assert second.name == "train-day-2"
    assert [car.start_s for car in traffic_of(second).cars] != starts[0]


def test_a_car_moves_at_the_pace_of_its_route():
    car = traffic_of(DRIVES[0]).cars[0]
    position, yaw = car.pose_at(np.arange(0, car.route.lap_s, 0.1))
    step = np.diff(position, axis=0)
    assert np.hypot(*step.T).max() < 0.1 * 9.01
    assert np.cos(np.arctan2(step[:, 1], step[:, 0]) - yaw[:-1]).min() > 0.95


def test_a_moved_car_is_the_one_built_in_that_place():
    """Triangles, colours and looks, with the panels that plates and paint lie on."""
    car = traffic_of(DRIVES[0]).cars[0]
    (position,), (yaw,) = car.pose_at(np.array([12.0]))
    built = furniture.car(Spot(position, float(yaw)), np.random.default_rng(3), is_lit=True)
    same = replace(car, mesh=furniture.car(Spot(np.zeros(2), 0.0), np.random.default_rng(3), is_lit=True))
    moved = traffic.Traffic(cars=(same,)).mesh_at(12.0, position + 100.0 / 2**0.5)
    np.testing.assert_allclose(moved.triangles_m, built.triangles_m, atol=1e-9)
    np.testing.assert_array_equal(moved.albedo, built.albedo)
    for name in ("material", "number"):
        np.testing.assert_array_equal(moved.look[name], built.look[name])
    upright = np.abs(normals(built.triangles_m)[:, 2]) < 0.9
    np.testing.assert_allclose(moved.look["panel"][upright], built.look["panel"][upright], atol=1e-4)
    assert traffic.Traffic(cars=(same,)).mesh_at(12.0, position + 100.0) is None


# --- the scene with traffic ----------------------------------------------------------------------


def ground():
    return GroundMap(south_west_m=np.array([-60.0, -60.0]), clearance_m=np.full((480, 480), FAR_M, np.float32))


def boxes(*easts, albedo):
    triangles = np.concatenate([placed(box(2.0, 2.0, 2.0), (east, 0.0, 0.0), 0.2) for east in easts])
    return Mesh(triangles_m=triangles, albedo=np.full((len(triangles), 3), albedo))


def test_a_scene_with_traffic_is_that_of_all_triangles_at_once():
    standing, moving = boxes(10.0, -12.0, albedo=0.3), boxes(5.0, 20.0, -5.0, albedo=0.8)
    both = SceneWithTraffic(Scene(standing, ground()), moving)
    expected = Scene(Mesh.joined([standing, moving]), ground())
    random = np.random.default_rng(0)
    rays = random.normal(size=(4000, 3)) * (1, 0.4, 0.2)
    rays = (rays / np.linalg.norm(rays, axis=1, keepdims=True)).astype(np.float32)
    origin = np.array([0.0, 0.0, 1.0])
    found, wanted = both.cast(origin, rays), expected.cast(origin, rays)
    np.testing.assert_allclose(found.distance_m, wanted.distance_m, rtol=1e-5)
    hit = np.flatnonzero(found.face != MISS)
    assert (hit == np.flatnonzero(wanted.face != MISS)).all()
    surfaces = []
    for scene, hits in ((both, found), (expected, wanted)):
        part = replace(hits, distance_m=hits.distance_m[hit], face=hits.face[hit])
        surfaces.append(scene.surface(part, origin, rays[hit]))
    for rows in ("albedo", "normal", "reflectivity"):
        np.testing.assert_allclose(
            getattr(both, rows)[surfaces[0]], getattr(expected, rows)[surfaces[1]], rtol=1e-5, atol=1e-6
        )
    assert (both.albedo[surfaces[0]] == np.float32(0.8)).all(1).mean() > 0.1
    assert both.ground is both._standing.ground


def test_a_moving_car_is_at_the_same_place_for_rays_lidar_and_camera():
    """Where its position says it is, at that time and no other."""
    drive = DRIVES[0]
    times = drive.frame_times_s()
    seen = 0
    for time in times.tolist():
        pose = drive.pose_at(np.array([time]))[0]
        for car in traffic_of(drive).cars:
            (position,), _ = car.pose_at(np.array([time]))
            middle = np.linalg.inv(pose) @ [*position, 0.6, 1.0]
            reach = np.linalg.norm(middle[:3])
            if not 6 < reach < 20:
                continue
            ray = (middle[:3] / reach).astype(np.float32)[None]
            (with_car,), (without,) = (
                drive.cast(time, ray).distance_m,
                scene_of(drive).cast(pose[:3, 3], ray @ pose[:3, :3].T.astype(np.float32)).distance_m,
            )
            if without < reach - 3:
                continue  # hidden behind something that stands
            seen += 1
            assert reach - 2.7 < with_car < reach
            near = np.linalg.norm(drive.scan(drive.lidar, time, is_ideal=True)[:, :3] - middle[:3], axis=1)
            assert (near < 2.7).sum() > 5
            depth = drive.camera.depth(drive.scene_at(time), pose)
            x, y, z = (drive.camera.camera_from_lidar @ middle)[:3]
            k = drive.camera.intrinsics
            u, v = int(k.fx * x / z + k.cx), int(k.fy * y / z + k.cy)
            if z > 0 and 0 <= u < k.width and 0 <= v < k.height:
                assert abs(depth[v, u] - z) < 3
    assert seen > 10
