import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from methods.learning.coarse_dropout import CoarseDropout


def test_images_are_whole_outside_training_and_with_probability_zero() -> None:
    pixels = torch.randn(4, 3, 30, 40)
    assert CoarseDropout(1.0).eval()(pixels) is pixels
    assert CoarseDropout(0.0).train()(pixels) is pixels


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_holes_are_rectangles_of_the_published_sizes(seed: int) -> None:
    torch.manual_seed(seed)
    layer = CoarseDropout(1.0, holes=1).train()
    found = layer(torch.ones(8, 3, 224, 224))
    for image in found:
        assert image.equal(image[:1].expand(3, -1, -1))
        is_hole = image[0] == 0
        rows, columns = is_hole.any(1), is_hole.any(0)
        assert is_hole.equal(rows[:, None] & columns)
        for side in (rows, columns):
            assert 49 <= side.sum() <= 101
            assert side.int().diff().abs().sum() <= 2  # in one piece


def test_as_many_images_are_hit_as_the_probability_says_and_the_same_ones_for_the_same_seed() -> None:
    layer = CoarseDropout(0.9).train()
    torch.manual_seed(0)
    found = layer(torch.ones(400, 3, 16, 16))
    assert 0.85 < (found == 0).flatten(1).any(1).float().mean() < 0.95
    torch.manual_seed(0)
    assert layer(torch.ones(400, 3, 16, 16)).equal(found)


def test_sides_are_those_that_are_asked_for() -> None:
    torch.manual_seed(0)
    layer = CoarseDropout(1.0, holes=1, heights=(0.5, 0.5), widths=(0.1, 0.2)).train()
    for image in layer(torch.ones(20, 3, 100, 100)):
        is_hole = image[0] == 0
        assert 49 <= is_hole.any(1).sum() <= 51
        assert 9 <= is_hole.any(0).sum() <= 21
