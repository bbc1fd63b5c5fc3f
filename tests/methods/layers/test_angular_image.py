import math

import pytest
import torch
from four_beams import FOUR_BEAMS, direction, sample

from methods.batch import collate
from methods.layers.angular_image import angular_images, angular_ranges
from methods.layers.range_image import RangeView, Windows, nearest_ranges

SIDE = 200
VIEW = RangeView(rows=30, columns=40, azimuth_deg="camera")


def spot(right: float, down: float) -> torch.Tensor:
    """A black image with one white square of five pixels around a place in it, given in pixels."""
    image = torch.zeros(3, SIDE, SIDE, dtype=torch.uint8)
    image[:, int(down) - 2 : int(down) + 3, int(right) - 2 : int(right) + 3] = 255
    return image


@pytest.mark.parametrize("yaw_deg", [0.0, 30.0, -100.0])
@pytest.mark.parametrize(("azimuth_deg", "elevation_deg"), [(0, 0), (20, 8), (-30, -12), (40, 5)])
def test_what_the_camera_sees_lies_where_the_clouds_point_in_that_direction_lies(
    yaw_deg: float, azimuth_deg: float, elevation_deg: float
) -> None:
    """The pinhole by hand: a camera that looks ``yaw_deg`` to the left, 90° wide, with its centre in the middle."""
    alpha, beta = math.radians(azimuth_deg), math.radians(elevation_deg)
    right = SIDE * (0.5 - 0.5 * math.tan(alpha))
    down = SIDE * (0.5 - 0.5 * math.tan(beta) / math.cos(alpha))
    point = torch.tensor([direction(azimuth_deg + yaw_deg, elevation_deg, 10.0)])
    batch = collate([sample(point, yaw_deg=yaw_deg)])
    windows = VIEW.windows(batch)
    seen = angular_images([spot(right, down)], windows, *batch.calibration(), rows=30, columns=40)[0].mean(0)
    lines = windows._replace(lines=torch.tensor([30]))
    ranges_m = nearest_ranges(point, torch.tensor([0]), lines, rows=30, columns=40)[0]
    brightest, nearest = (divmod(int(image.argmax()), 40) for image in (seen, ranges_m))
    assert abs(brightest[0] - nearest[0]) <= 1
    assert abs(brightest[1] - nearest[1]) <= 1
    assert (seen > 0).sum() < 40


def test_directions_outside_the_image_and_behind_the_camera_are_black() -> None:
    batch = collate([sample(torch.zeros(0, 3))])
    white = torch.full((3, SIDE, SIDE), 255, dtype=torch.uint8)
    turn = Windows(*(torch.tensor([x]) for x in (-0.2, 0.2, math.pi, 2 * math.pi, 50.0)), torch.tensor([4]))
    seen = angular_images([white], turn, *batch.calibration(), rows=4, columns=360)[0, 0]
    azimuth_deg = 180 - (torch.arange(360) + 0.5)
    assert (seen[:, azimuth_deg.abs() > 46] == 0).all()
    assert (seen[:, azimuth_deg.abs() < 44] > 254).all()


def test_a_larger_picture_of_the_same_scene_gives_the_same_input() -> None:
    batch = collate([sample(torch.zeros(0, 3))])
    waves = (torch.arange(SIDE) / SIDE * 4 * math.pi).sin()
    image = (127 + 100 * waves[None, :, None] * waves).expand(3, -1, -1)
    large = torch.nn.functional.interpolate(image[None], scale_factor=4, mode="bilinear")[0]
    small, larger = (
        angular_images([x.round().to(torch.uint8)], VIEW.windows(batch), *batch.calibration(), rows=30, columns=40)
        for x in (image, large)
    )
    torch.testing.assert_close(small, larger, atol=6.0, rtol=0.0)


def test_the_view_of_an_image_needs_no_cloud() -> None:
    with_cloud = collate([sample(torch.ones(5, 3))])
    without = collate([sample(torch.ones(5, 3))])
    without.clouds = None
    for a, b in zip(VIEW.windows(with_cloud), VIEW.windows(without), strict=True):
        torch.testing.assert_close(a, b)
    assert VIEW.windows(without).lines.tolist() == [FOUR_BEAMS.beams]


def ranges_of(depth_m: torch.Tensor, yaw_deg: float = 0.0, rows: int = 30, columns: int = 40) -> torch.Tensor:
    batch = collate([sample(torch.zeros(0, 3), yaw_deg=yaw_deg)])
    windows = VIEW.windows(batch)
    return angular_ranges(depth_m[None, None], windows, *batch.calibration(), rows=rows, columns=columns)[0]


def test_a_wall_across_the_road_is_farther_to_the_sides_by_hand() -> None:
    """Depth 10 m everywhere: the range is 10 m over the cosines of azimuth and elevation."""
    found = ranges_of(torch.full((SIDE, SIDE), 10.0))
    elevation_deg = 20 - (torch.arange(30) + 0.5) / 30 * 40  # half a beam beyond 15°
    azimuth_deg = 45 - (torch.arange(40) + 0.5) / 40 * 90
    cosines = elevation_deg.deg2rad().cos()[:, None] * azimuth_deg.deg2rad().cos()
    torch.testing.assert_close(found, 10 / cosines, atol=1e-3, rtol=0.0)


@pytest.mark.parametrize("yaw_deg", [0.0, 30.0, -100.0])
def test_depth_and_points_of_the_same_wall_have_the_same_ranges(yaw_deg: float) -> None:
    """A wall 10 m ahead of the camera, slanted: nearer on the left. As depth, and as points."""
    share = (torch.arange(SIDE) + 0.5) / SIDE
    tangent = (2 * share - 1)[None, :]  # of the angle to the right
    depth_m = (8 / (1 - 0.2 * tangent)).expand(SIDE, -1)  # forward = 8 + 0.2 × right
    found = ranges_of(depth_m, yaw_deg)
    right, up = torch.meshgrid(torch.linspace(-11, 11, 900), torch.linspace(-4, 4, 300), indexing="ij")
    forward = 8 + 0.2 * right
    yaw = math.radians(yaw_deg)
    x = forward * math.cos(yaw) + right * math.sin(yaw)
    y = forward * math.sin(yaw) - right * math.cos(yaw)
    points = torch.stack([x, y, up], dim=-1).flatten(0, 1)
    batch = collate([sample(points, yaw_deg=yaw_deg)])
    lines = VIEW.windows(batch)._replace(lines=torch.tensor([30]))
    expected = nearest_ranges(points, torch.zeros(len(points), dtype=torch.long), lines, rows=30, columns=40)[0]
    both = (found > 0) & (expected > 0)
    assert both.float().mean() > 0.8
    assert ((found - expected)[both].abs() / expected[both]).max() < 0.05


def test_there_is_nothing_where_depth_is_unknown_or_far_or_not_seen() -> None:
    depth_m = torch.full((SIDE, SIDE), 10.0)
    depth_m[:, : SIDE // 4] = 0.0
    depth_m[:, -SIDE // 4 :] = 60.0  # the window ends at 50 m
    found = ranges_of(depth_m, columns=90)
    azimuth_deg = 45 - (torch.arange(90) + 0.5)
    edge_deg = math.degrees(math.atan(0.5))
    assert (found[:, azimuth_deg.abs() > edge_deg + 1] == 0).all()
    assert (found[:, azimuth_deg.abs() < edge_deg - 1] > 0).all()
    turn = Windows(*(torch.tensor([x]) for x in (-0.2, 0.2, math.pi, 2 * math.pi, 50.0)), torch.tensor([4]))
    batch = collate([sample(torch.zeros(0, 3))])
    whole = torch.full((1, 1, SIDE, SIDE), 10.0)
    around = angular_ranges(whole, turn, *batch.calibration(), rows=4, columns=360)[0]
    azimuth_deg = 180 - (torch.arange(360) + 0.5)
    assert (around[:, azimuth_deg.abs() > 46] == 0).all()
    assert (around[:, azimuth_deg.abs() < 44] > 0).all()
