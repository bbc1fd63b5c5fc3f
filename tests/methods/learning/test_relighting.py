from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from methods.learning.relighting import Relighting

NONE = Relighting(**dict.fromkeys(Relighting.__slots__, 0.0) | {"blur": Relighting().blur})
IMAGE = torch.from_numpy(np.random.default_rng(0).integers(1, 256, (3, 24, 32), dtype=np.uint8))


def test_no_strength_changes_nothing() -> None:
    assert NONE(IMAGE, np.random.default_rng(1)).equal(IMAGE)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_same_generator_gives_the_same_image_and_the_original_stays(seed: int) -> None:
    before = IMAGE.clone()
    first, second = (Relighting()(IMAGE, np.random.default_rng(seed)) for _ in range(2))
    assert first.equal(second)
    assert first.dtype == torch.uint8
    assert first.shape == IMAGE.shape
    assert IMAGE.equal(before)


@pytest.mark.parametrize("part", ["exposure", "gamma", "cast", "ramp", "patches", "blur_probability", "noise"])
def test_each_strength_changes_images_by_itself(part: str) -> None:
    light = Relighting(**{**{f: getattr(NONE, f) for f in NONE.__slots__}, part: getattr(Relighting(), part)})
    rng = np.random.default_rng(2)
    assert any(not light(IMAGE, rng).equal(IMAGE) for _ in range(10))


def test_a_larger_blur_leaves_less_of_an_edge() -> None:
    edge = torch.zeros(3, 20, 200, dtype=torch.uint8)
    edge[..., 100:] = 200
    steepest = []
    for blur in (0.002, 0.01, 0.03):
        blurred = replace(NONE, blur_probability=1.0, blur=blur)(edge, np.random.default_rng(3)).float()
        steepest.append(float(blurred.diff(dim=2).max()))
    assert steepest == sorted(steepest, reverse=True)
    assert steepest[0] > 100 > 50 > steepest[2]


def test_without_colour_all_channels_are_equal() -> None:
    light = Relighting(**{**{f: getattr(NONE, f) for f in NONE.__slots__}, "grey_probability": 1.0})
    red, green, blue = light(IMAGE, np.random.default_rng(0))
    assert red.equal(green)
    assert red.equal(blue)
    assert (red.float() - IMAGE.float().mean(0)).abs().max() <= 1


def test_bright_ground_leaves_the_upper_rows_alone() -> None:
    light = Relighting(**{**{f: getattr(NONE, f) for f in NONE.__slots__}, "ground_probability": 1.0})
    dark = torch.full((3, 20, 10), 10, dtype=torch.uint8)
    changed = light(dark, np.random.default_rng(0))
    assert changed[:, :9].equal(dark[:, :9])
    assert (changed[:, 14:] > 50).all()
