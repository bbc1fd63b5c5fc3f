import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from four_beams import CAMERA_FROM_LIDAR, FOUR_BEAMS, direction, sample
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from datasets.errors import CrossplaceError
from methods.batch import Batch, collate
from methods.layers.range_image import RangeView, as_pixels, camera_window, range_image, range_shares

EIGHTHS = RangeView(rows=4, columns=8)


def batch(*clouds: Tensor) -> Batch:
    return collate([sample(points) for points in clouds])


def random_cloud(n: int, seed: int) -> Tensor:
    random = np.random.default_rng(seed)
    return torch.from_numpy(random.normal(scale=(20, 20, 5), size=(n, 3)))


def naive(points: Tensor, view: RangeView, lower_deg: float, upper_deg: float, max_range_m: float) -> Tensor:
    """Point after point, in plain arithmetic."""
    left_deg, right_deg = view.azimuth_deg
    image = torch.zeros(view.rows, view.columns, dtype=torch.float64)
    for x, y, z in points.tolist():
        range_m = math.sqrt(x * x + y * y + z * z)
        if not 0 < range_m < max_range_m:
            continue
        row = (upper_deg - math.degrees(math.asin(z / range_m))) / (upper_deg - lower_deg) * view.rows
        column = (left_deg - math.degrees(math.atan2(y, x))) % 360 / (left_deg - right_deg) * view.columns
        if 0 <= row < view.rows and column < view.columns:
            before = image[int(row), int(column)]
            image[int(row), int(column)] = min(range_m, before) if before else range_m
    return image


@pytest.mark.parametrize(
    "view",
    [
        RangeView(rows=16, columns=60, vertical_fov_deg=(-25.0, 3.0), max_range_m=40.0),
        RangeView(rows=5, columns=7, vertical_fov_deg=(-30.0, 30.0), azimuth_deg=(60.0, -60.0), max_range_m=40.0),
        RangeView(rows=8, columns=20, vertical_fov_deg=(-30.0, 30.0), azimuth_deg=(225.0, 135.0), max_range_m=40.0),
    ],
)
def test_images_are_those_of_a_loop_over_points(view: RangeView) -> None:
    clouds = [random_cloud(700, seed) for seed in range(3)]
    found = range_image(batch(*clouds), view)
    for cloud, image in zip(clouds, found, strict=True):
        expected = naive(cloud, view, *view.vertical_fov_deg, 40.0)
        assert (expected > 0).any()
        torch.testing.assert_close(image, expected, atol=1e-12, rtol=0)


def test_pixels_worked_out_by_hand() -> None:
    points = torch.tensor(
        [
            direction(10, 15, 20),  # topmost beam, left of ahead
            direction(12, 15, 9),  # the same pixel, nearer
            direction(-80, -15, 5),  # lowest beam, to the right
            direction(179, 5, 7),  # second beam, behind to the left: the first column
            direction(-179, 5, 8),  # behind to the right: the last column
            direction(0.1, 21, 4),  # above the window
            direction(0.1, 0, 50),  # not within range
            [0.0, 0.0, 0.0],
        ]
    )
    expected = torch.zeros(4, 8)
    expected[0, 3], expected[3, 5], expected[1, 0], expected[1, 7] = 9, 5, 7, 8
    torch.testing.assert_close(range_image(batch(points), EIGHTHS)[0], expected)
    marked = range_image(batch(points), EIGHTHS, empty_m=-1.0)[0]
    assert (marked == -1).equal(expected == 0)


@given(st.integers(0, 2**32 - 1), st.permutations(range(40)))
@settings(max_examples=20, deadline=None)
def test_neither_order_nor_the_rest_of_the_batch_matter(seed: int, order: list[int]) -> None:
    cloud = random_cloud(40, seed).float()
    alone = range_image(batch(cloud), EIGHTHS)[0]
    nothing = torch.zeros(0, 3)
    together = range_image(batch(nothing, random_cloud(30, seed + 1).float(), cloud[order], nothing), EIGHTHS)
    assert together[2].equal(alone)
    assert not together[0].any()
    assert not together[3].any()


def test_each_beam_has_a_row_of_its_own_whatever_the_noise() -> None:
    beams = [direction(30, elevation, 10) for elevation in (15, 5, -5, -15)]
    for error_deg in (-4.9, 0.0, 4.9):
        noisy = [direction(30, elevation + error_deg, 10) for elevation in (15, 5, -5, -15)]
        found = range_image(batch(torch.tensor(noisy)), EIGHTHS)[0]
        assert (found > 0).equal(range_image(batch(torch.tensor(beams)), EIGHTHS)[0] > 0)
        assert (found > 0).sum() == 4


def test_a_sensor_with_fewer_beams_fills_several_rows_with_each_beside_one_with_more() -> None:
    two_beams = replace(FOUR_BEAMS, beams=2)
    points = torch.tensor([direction(10, elevation, 10 + elevation / 15) for elevation in (15, -15)])
    image = range_image(collate([sample(points, two_beams), sample(points)]), EIGHTHS)
    torch.testing.assert_close(image[0, :, 3], torch.tensor([11.0, 11.0, 9.0, 9.0]))
    torch.testing.assert_close(image[1, :, 3], torch.tensor([11.0, 0.0, 0.0, 9.0]))


def test_a_submap_has_no_beams_and_is_cut_at_its_stated_edges() -> None:
    submap = replace(FOUR_BEAMS, beams=1, form="submap")
    points = torch.tensor([direction(10, elevation, 10) for elevation in (14.9, 1, -14.9, -15.1)])
    image = range_image(collate([sample(points, submap)]), EIGHTHS)[0, :, 3]
    assert (image > 0).tolist() == [True, True, False, True]


@pytest.mark.parametrize("yaw_deg", [0.0, 30.0, 180.0, -100.0])
def test_the_camera_s_window_turns_with_the_camera(yaw_deg: float) -> None:
    view = replace(EIGHTHS, azimuth_deg="camera")
    points = torch.tensor([direction(yaw_deg + ahead, 5, 10 + ahead / 10) for ahead in (44, 1, -44, 46, -46)])
    image = range_image(collate([sample(points, yaw_deg=yaw_deg)]), view)[0]
    expected = torch.zeros(4, 8)
    expected[1, 0], expected[1, 3], expected[1, 7] = 14.4, 10.1, 5.6
    torch.testing.assert_close(image, expected)


def test_an_off_centre_principal_point_shifts_the_camera_s_window() -> None:
    left, width = camera_window(
        torch.tensor([[1.0, 1.0, 0.25, 0.5]]), torch.from_numpy(CAMERA_FROM_LIDAR).float()[None]
    )
    assert left.item() == pytest.approx(math.atan(0.25))
    assert width.item() == pytest.approx(math.atan(0.25) + math.atan(0.75))


def test_without_lidar_block_a_view_in_full_is_drawn_and_any_other_is_an_error_that_names_the_frame() -> None:
    points = torch.tensor([direction(10, 0, 10)])
    bare = collate([sample(points, lidar=None)])
    full = RangeView(rows=2, columns=2, vertical_fov_deg=(-10.0, 10.0), max_range_m=20.0)
    assert range_image(bare, full).max() == pytest.approx(10)
    for lacking in (replace(full, vertical_fov_deg=None), replace(full, max_range_m=None)):
        with pytest.raises(CrossplaceError, match=r"drive/7.*lidar block"):
            range_image(bare, lacking)
    with pytest.raises(CrossplaceError, match=r"drive/7.*camera_from_lidar"):
        range_image(collate([sample(points, yaw_deg=None)]), replace(full, azimuth_deg="camera"))


def test_shares_are_of_each_sensor_s_own_range() -> None:
    near_sighted = replace(FOUR_BEAMS, max_range_m=20.0)
    points = torch.tensor([direction(10, 15, 10)])
    shares = range_shares(collate([sample(points), sample(points, near_sighted)]), EIGHTHS, empty=0.9)
    expected = torch.full((2, 4, 8), 0.9)
    expected[:, 0, 3] = torch.tensor([0.2, 0.5])
    torch.testing.assert_close(shares, expected)


def test_pixels_are_three_equal_channels_on_the_scale_of_imagenet() -> None:
    grey = torch.tensor([[[0.0, 1.0]], [[0.5, 0.5]]])
    pixels = as_pixels(grey, 2, 4)
    assert pixels.shape == (2, 3, 2, 4)
    back = (
        pixels * torch.tensor([0.229, 0.224, 0.225])[:, None, None] + torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    )
    torch.testing.assert_close(back[1], torch.full((3, 2, 4), 0.5))
    torch.testing.assert_close(back[0], torch.tensor([0.0, 0.25, 0.75, 1.0]).expand(3, 2, 4))
