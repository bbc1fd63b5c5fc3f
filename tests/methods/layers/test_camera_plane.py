import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from datasets.errors import CrossplaceError
from methods.layers.camera_plane import KeptRows, densified, depth_image, without_upper_rows

LOOKING_ALONG_X = torch.tensor([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
PINHOLE = torch.tensor([0.5, 0.5, 0.5, 0.5])


def seen(points: list[tuple[float, float, float]], height: int = 4, width: int = 4) -> Tensor:
    """Depth image of points of one sample through a camera at the LiDAR's place that sees 90° each way."""
    cloud = torch.tensor(points).reshape(-1, 3)
    index = torch.zeros(len(cloud), dtype=torch.long)
    return depth_image(cloud, index, LOOKING_ALONG_X[None], PINHOLE[None], height, width)[0, 0]


# --- projection ----------------------------------------------------------------------------------


def test_a_point_lands_in_its_pixel_with_its_depth_along_the_axis() -> None:
    # left and up by a quarter of the depth: u = v = 0.5 - 0.5 / 4 = 0.375
    expected = torch.zeros(4, 4)
    expected[1, 1] = 8.0
    assert torch.equal(seen([(8.0, 2.0, 2.0)]), expected)


def test_the_nearest_point_of_a_pixel_counts_in_any_order() -> None:
    points = [(8.0, 2.0, 2.0), (4.0, 1.0, 1.0), (6.0, 1.5, 1.5)]
    for order in (points, points[::-1]):
        assert seen(order)[1, 1] == 4.0


@pytest.mark.parametrize(
    "point",
    [(-8.0, 2.0, 2.0), (0.0, 0.0, 0.0), (1.0, 1.0, 0.0), (1.0, 0.0, -1.5), (1.0, -2.0, 0.0)],
    ids=["behind", "at the camera", "on the edge", "below", "beside"],
)
def test_points_out_of_view_leave_nothing(point: tuple[float, float, float]) -> None:
    assert not seen([point]).any()


def test_no_points_give_an_empty_image_of_the_stated_size() -> None:
    assert torch.equal(seen([], height=3, width=7), torch.zeros(3, 7))


def test_a_point_at_the_very_edge_stays_inside() -> None:
    nearly_one = float(np.nextafter(np.float32(1), np.float32(0)))
    intrinsics = torch.tensor([[0.5, 0.5, nearly_one, nearly_one]])
    index = torch.zeros(1, dtype=torch.long)
    found = depth_image(torch.tensor([[5.0, 0.0, 0.0]]), index, LOOKING_ALONG_X[None], intrinsics, 128, 800)
    assert found[0, 0, -1, -1] == 5.0


def by_loop(points: Tensor, index: Tensor, matrices: Tensor, intrinsics: Tensor, height: int, width: int) -> Tensor:
    """The z-buffer, point by point, in the camera's own axes."""
    image = torch.zeros(len(matrices), 1, height, width)
    for point, sample in zip(points, index.tolist(), strict=True):
        right, down, forward, _ = (matrices[sample] @ torch.cat([point, torch.ones(1)])).tolist()
        fx, fy, cx, cy = intrinsics[sample].tolist()
        if forward <= 1e-6:
            continue
        u, v = fx * right / forward + cx, fy * down / forward + cy
        if not (0 < u < 1 and 0 < v < 1):
            continue
        pixel = image[sample, 0, int(v * height)]
        if pixel[int(u * width)] == 0 or forward < pixel[int(u * width)]:
            pixel[int(u * width)] = forward
    return image


@given(st.integers(0, 60), st.integers(1, 3), st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_projection_agrees_with_a_loop_over_points(n: int, batch_size: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand(n, 3, generator=generator) * 20 - torch.tensor([5.0, 10.0, 10.0])
    index = torch.randint(batch_size, (n,), generator=generator).sort().values
    matrices = LOOKING_ALONG_X.repeat(batch_size, 1, 1)
    matrices[:, :3, 3] = torch.rand(batch_size, 3, generator=generator) - 0.5
    intrinsics = PINHOLE + torch.rand(batch_size, 4, generator=generator) * 0.2
    found = depth_image(points, index, matrices, intrinsics, 5, 9)
    torch.testing.assert_close(found, by_loop(points, index, matrices, intrinsics, 5, 9), atol=1e-5, rtol=1e-5)


def test_cutting_upper_rows_shows_the_lower_part_of_the_same_image() -> None:
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(2000, 3, generator=generator) * 20 - torch.tensor([0.0, 10.0, 10.0])
    index, matrix = torch.zeros(len(points), dtype=torch.long), LOOKING_ALONG_X[None]
    whole = depth_image(points, index, matrix, PINHOLE[None], 8, 8)
    lower = depth_image(points, index, matrix, without_upper_rows(PINHOLE[None], 3 / 8), 5, 8)
    assert torch.equal(lower, whole[:, :, 3:])


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_no_more_than_the_whole_image_can_be_cut(share: float) -> None:
    with pytest.raises(CrossplaceError, match="share"):
        without_upper_rows(PINHOLE[None], share)


# --- densification -------------------------------------------------------------------------------


def one_pass_by_loop(depth_m: Tensor, radius: int) -> Tensor:
    """Every empty pixel from the known ones of its window, one by one."""
    filled = depth_m.clone()
    height, width = depth_m.shape
    for row in range(height):
        for column in range(width):
            if depth_m[row, column] > 0:
                continue
            weighted = total = 0.0
            for r in range(max(row - radius, 0), min(row + radius + 1, height)):
                for c in range(max(column - radius, 0), min(column + radius + 1, width)):
                    if depth_m[r, c] > 0:
                        weight = 1 / ((r - row) ** 2 + (c - column) ** 2)
                        weighted, total = weighted + weight * float(depth_m[r, c]), total + weight
            filled[row, column] = weighted / total if total else 0.0
    return filled


@given(st.integers(1, 3), st.integers(1, 3), st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_densification_agrees_with_a_loop_over_pixels(radius: int, passes: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    depth_m = torch.rand(9, 11, generator=generator) * 60 + 1
    depth_m[torch.rand(9, 11, generator=generator) > 0.08] = 0
    expected = depth_m
    for _ in range(passes):
        expected = one_pass_by_loop(expected, radius)
    torch.testing.assert_close(densified(depth_m[None, None], radius, passes)[0, 0], expected, atol=1e-4, rtol=1e-5)


def test_known_pixels_stay_and_filled_ones_lie_between_them() -> None:
    generator = torch.Generator().manual_seed(0)
    depth_m = torch.rand(2, 1, 30, 40, generator=generator) * 60 + 1
    depth_m[torch.rand(2, 1, 30, 40, generator=generator) > 0.1] = 0
    filled, known = densified(depth_m), depth_m > 0
    assert torch.equal(filled[known], depth_m[known])
    assert (filled > 0).all()
    assert filled.min() >= depth_m[known].min() - 1e-4
    assert filled.max() <= depth_m.max() + 1e-4


def test_what_is_farther_than_the_passes_reach_stays_empty() -> None:
    depth_m = torch.zeros(1, 1, 1, 20)
    depth_m[..., 0] = 7.0
    assert (densified(depth_m, radius=2, passes=3)[0, 0, 0] > 0).tolist() == [True] * 7 + [False] * 13


def test_an_empty_image_stays_empty_beside_a_full_one() -> None:
    depth_m = torch.zeros(2, 1, 6, 6)
    depth_m[1] = 3.0
    assert torch.equal(densified(depth_m), depth_m)


def test_an_image_is_filled_alike_alone_and_in_a_batch() -> None:
    generator = torch.Generator().manual_seed(1)
    depth_m = torch.rand(5, 1, 32, 48, generator=generator) * 60 + 1
    depth_m[torch.rand(5, 1, 32, 48, generator=generator) > 0.1] = 0
    together = densified(depth_m)
    for row in range(5):
        torch.testing.assert_close(densified(depth_m[row : row + 1])[0], together[row], atol=1e-5, rtol=1e-6)


# --- kept rows -----------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [(0.0, 1.0), (0.25, 0.75), (0.15, 0.85), (0.5, 1.0)])
def test_kept_rows_of_a_depth_image_are_the_image_through_their_intrinsics(share: tuple[float, float]) -> None:
    rows = KeptRows.of(8, share)
    rng = np.random.default_rng(0)
    ahead = rng.uniform(3, 30, 500)
    cloud = np.column_stack([ahead, ahead * rng.uniform(-1.2, 1.2, 500), ahead * rng.uniform(-1.2, 1.2, 500)])
    points, index = torch.from_numpy(cloud).float(), torch.zeros(500, dtype=torch.long)
    whole = depth_image(points, index, LOOKING_ALONG_X[None], PINHOLE[None], rows.whole_height, 10)
    part = depth_image(points, index, LOOKING_ALONG_X[None], rows.intrinsics(PINHOLE[None]), 8, 10)
    assert (part > 0).any()
    torch.testing.assert_close(rows(whole), part)


def test_kept_rows_by_hand() -> None:
    assert KeptRows.of(64, (0.15, 0.85)) == (91, 14, 64)
    assert KeptRows.of(150, (126 / 376, 1.0)) == (226, 76, 150)
    assert KeptRows.of(5, (0.0, 1.0)) == (5, 0, 5)


@pytest.mark.parametrize("share", [(0.5, 0.5), (0.8, 0.2), (-0.1, 1.0), (0.0, 1.1)])
def test_rows_that_are_none_are_a_sentence(share: tuple[float, float]) -> None:
    with pytest.raises(CrossplaceError, match=f"two rising shares from 0 to 1, found {share[0]:g} and {share[1]:g}"):
        KeptRows.of(8, share)
    KeptRows.of(8, (0.2, 0.8))
