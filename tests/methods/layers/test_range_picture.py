import math
from dataclasses import replace

import numpy as np
import torch
from batches import batch_of
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from jaxtyping import Float

from datasets.prepared import PreparedDataset
from methods.layers.range_image import RangeView, Windows
from methods.layers.range_picture import cloud_pictures, nearness_and_height, range_picture, without_gaps


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


def test_gaps_are_filled_with_the_farther_side_and_the_sky_stays() -> None:
    sky, gap = 0.0, 0.0
    seen = torch.tensor([[[sky, sky, sky], [sky, sky, sky], [9.0, 9.0, 9.0], [gap, gap, gap], [5.0, 5.0, 6.0]]])
    filled = without_gaps(seen, 3, 1)
    assert filled[0, :2].eq(sky).all()
    assert filled[0, 3].tolist() == [9.0, 9.0, 9.0]
    assert without_gaps(filled, 3, 1).equal(filled)
    assert without_gaps(seen, 1, 1).equal(seen)


ranges = arrays(
    np.float32, st.tuples(st.just(1), st.integers(1, 9), st.integers(1, 9)), elements=st.sampled_from([0.0, 2, 5, 9])
)


@settings(deadline=None)
@given(ranges, st.sampled_from([1, 3, 5]), st.sampled_from([1, 3, 7]))
def test_filling_agrees_with_loops_over_windows(seen: Float[np.ndarray, "1 h w"], rows: int, columns: int) -> None:
    """A pixel takes the farthest of the nearest ranges of all windows that hold it, if each of them holds any."""
    height, width = seen.shape[1:]

    def window(row: int, column: int) -> tuple[slice, slice]:
        lower, left = row - rows // 2, column - columns // 2
        return slice(max(lower, 0), lower + rows), slice(max(left, 0), left + columns)

    nearest = {
        place: np.min(seen[0][window(*place)], where=seen[0][window(*place)] > 0, initial=np.inf)
        for place in np.ndindex(height, width)
    }
    expected = seen.copy()
    for row, column in np.ndindex(height, width):
        if seen[0, row, column]:
            continue
        around = window(row, column)
        farthest = max(
            nearest[place]
            for place in np.ndindex(height, width)
            if all(part.start <= i < part.stop for part, i in zip(around, place, strict=True))
        )
        expected[0, row, column] = farthest if np.isfinite(farthest) else 0
    assert np.array_equal(without_gaps(torch.from_numpy(seen), rows, columns).numpy(), expected)


def test_lost_beams_and_points_change_a_filled_picture_less(tiny_town: PreparedDataset) -> None:
    batch, view, size = batch_of(tiny_town, 0, 5), RangeView(rows=32, columns=64, azimuth_deg="camera"), (32, 64)
    clouds = batch.require_clouds()
    kept = torch.rand(len(clouds.points), generator=torch.Generator().manual_seed(0)) < 0.25
    thin = replace(batch, clouds=replace(clouds, points=clouds.points[kept], batch_index=clouds.batch_index[kept]))

    def change(gap: tuple[int, int]) -> float:
        whole, lost = (cloud_pictures(b, view, size, has_height=True, gap=gap) for b in (batch, thin))
        return float((whole - lost).abs().mean())

    assert change((9, 5)) < 0.5 * change((1, 1))


def test_headings_are_windows_that_are_turned_evenly(tiny_town: PreparedDataset) -> None:
    batch, view = batch_of(tiny_town, 0, 5), RangeView(rows=16, columns=32, azimuth_deg=(44.3, -45.1))
    around = cloud_pictures(batch, view, (16, 32), has_height=True, headings=4)
    for i in range(4):
        alone = RangeView(rows=16, columns=32, azimuth_deg=(44.3 + 90 * i, -45.1 + 90 * i))
        expected = cloud_pictures(batch, alone, (16, 32), has_height=True)[:, 0]
        differs = ((around[:, i] - expected).abs() > 1e-4).float().mean()
        assert differs < 0.02, "but for points on the edge of a pixel"
