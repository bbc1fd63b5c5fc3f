import math

import torch
from batches import batch_of

from datasets.prepared import PreparedDataset
from methods.layers.range_image import RangeView, Windows
from methods.layers.range_picture import cloud_pictures, nearness_and_height, range_picture


def test_nearness_height_and_presence_by_hand() -> None:
    windows = Windows(*(torch.tensor([x]) for x in (-math.pi / 6, math.pi / 6, 0.5, 1.0, 100.0)), torch.tensor([2]))
    nearness, height_m, is_there = nearness_and_height(torch.tensor([[[1.0, 10.0, 0.0], [0.5, 99.999, 0.0]]]), windows)
    up = math.sin(math.radians(15))
    torch.testing.assert_close(nearness, torch.tensor([[[1.0, 0.5, 0.0], [1.0, 0.0, 0.0]]]), atol=1e-5, rtol=0.0)
    expected = torch.tensor([[[up, 10 * up, 0.0], [-0.5 * up, -99.999 * up, 0.0]]])
    torch.testing.assert_close(height_m, expected, atol=1e-4, rtol=0.0)
    assert is_there.tolist() == [[[1.0, 1.0, 0.0], [1.0, 1.0, 0.0]]]


def test_a_picture_is_scaled_and_may_leave_height_out() -> None:
    windows = Windows(*(torch.tensor([x]) for x in (-0.4, 0.4, 0.5, 1.0, 100.0)), torch.tensor([4]))
    ranges_m = torch.full((1, 4, 6), 10.0)
    picture = range_picture(ranges_m, windows, (8, 12), has_height=False)
    torch.testing.assert_close(picture, torch.full((1, 3, 8, 12), (0.5 - 0.4) / 0.3))
    nearness, height, presence = range_picture(ranges_m, windows, (8, 12), has_height=True)[0]
    torch.testing.assert_close(nearness, picture[0, 0])
    assert (height[0] > height[-1]).all(), "the upper rows look up"
    torch.testing.assert_close(presence, torch.full((8, 12), (1 - 0.4) / 0.3))


def test_headings_are_windows_that_are_turned_evenly(tiny_town: PreparedDataset) -> None:
    batch, view = batch_of(tiny_town, 0, 5), RangeView(rows=16, columns=32, azimuth_deg=(44.3, -45.1))
    around = cloud_pictures(batch, view, (16, 32), has_height=True, headings=4)
    for i in range(4):
        alone = RangeView(rows=16, columns=32, azimuth_deg=(44.3 + 90 * i, -45.1 + 90 * i))
        expected = cloud_pictures(batch, alone, (16, 32), has_height=True)[:, 0]
        differs = ((around[:, i] - expected).abs() > 1e-4).float().mean()
        assert differs < 0.02, "but for points on the edge of a pixel"
