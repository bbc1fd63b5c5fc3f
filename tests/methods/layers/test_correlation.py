import pytest
import torch

from methods.layers.correlation import correlation


@pytest.mark.parametrize("reach", [0, 1, 4])
def test_the_cost_volume_is_that_of_naive_loops(reach: int) -> None:
    a, b = torch.randn(2, 2, 5, 3, 4, generator=torch.Generator().manual_seed(reach))
    found, side = correlation(a, b, reach), range(-reach, reach + 1)
    assert found.shape == (2, (2 * reach + 1) ** 2, 3, 4)
    for channel, (dy, dx) in enumerate([(dy, dx) for dy in side for dx in side]):
        for n in range(2):
            for y in range(3):
                for x in range(4):
                    is_inside = 0 <= y + dy < 3 and 0 <= x + dx < 4
                    expected = (a[n, :, y, x] * b[n, :, y + dy, x + dx]).mean() if is_inside else torch.tensor(0.0)
                    assert torch.isclose(found[n, channel, y, x], expected, atol=1e-6)


def test_content_that_moves_right_is_found_at_the_shift_right() -> None:
    b = torch.zeros(1, 1, 5, 5)
    a = b.clone()
    a[0, 0, 2, 1], b[0, 0, 2, 3] = 1.0, 1.0
    found = correlation(a, b, 2)[0, :, 2, 1].view(5, 5)
    assert found.nonzero().tolist() == [[2, 4]]  # no shift down, two to the right
