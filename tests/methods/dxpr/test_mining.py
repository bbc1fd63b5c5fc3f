import math
from dataclasses import replace

import pytest
import torch
from batches import bare_frame
from torch import Tensor

from methods.dxpr.config import PRESETS, DxprConfig, MiningConfig
from methods.dxpr.mining import Pairs, mined_pairs

CONFIG = MiningConfig()


def degrees(value: float) -> float:
    return math.radians(value)


FRAMES = [
    bare_frame("here", 0),
    bare_frame("five metres on, ten degrees", 5, yaw_rad=degrees(10)),
    bare_frame("near, but turned further", 1, yaw_rad=degrees(-11)),
    bare_frame("a bit too far", 5.5),
    bare_frame("twenty metres on", 20),
    bare_frame("beyond", 20.5),
    bare_frame("another world", 0, world="b"),
]
OVERLAPS = {(0, 2): 0.36, (0, 3): 0.35, (0, 4): 0.02}
"""Overlaps of the pairs with the first frame; all other pairs overlap by a fifth."""


def overlaps_of(pairs: Tensor) -> Tensor:
    return torch.tensor([OVERLAPS.get((i, j), 0.2) for i, j in pairs.tolist()])


def mined(config: MiningConfig = CONFIG) -> Pairs:
    return mined_pairs(FRAMES, overlaps_of, config, "cpu")


def test_pairs_by_hand_as_published() -> None:
    found = mined()
    assert found.positive[0].tolist() == [True, True, True, False, False, False, False]
    assert found.negative.equal(~found.positive), "every pair is the one or the other"
    assert found.overlap[0].tolist() == pytest.approx([1, 1, 0.36, 0.35, 0.02, 0, 0])
    for matrix in found:
        assert matrix.equal(matrix.T)


def test_pairs_of_little_overlap_are_masked_between_both_limits() -> None:
    found = mined(replace(CONFIG, negative_overlap=0.05))
    assert found.positive.equal(mined().positive)
    assert found.negative[0].tolist() == [False, False, False, False, True, True, True]


def test_overlap_is_asked_for_pairs_in_between_alone_and_once() -> None:
    asked: list[tuple[int, ...]] = []

    def remember(pairs: Tensor) -> Tensor:
        asked.extend(map(tuple, pairs.tolist()))
        return torch.zeros(len(pairs))

    mined_pairs(FRAMES, remember, CONFIG, "cpu")
    assert [pair for pair in asked if pair[0] == 0] == [(0, 2), (0, 3), (0, 4)]
    assert len(asked) == len(set(asked))
    assert all(i < j for i, j in asked)


def test_frames_that_are_all_far_apart_ask_for_nothing() -> None:
    def refuse(pairs: Tensor) -> Tensor:
        raise AssertionError("no pair lies in between")

    found = mined_pairs([FRAMES[0], FRAMES[5]], refuse, CONFIG, "cpu")
    assert found.positive.equal(torch.eye(2, dtype=torch.bool))


def test_images_and_clouds_share_what_their_frames_are_to_each_other() -> None:
    frames = mined()
    both = frames.of_both_modalities()
    n = len(FRAMES)
    for i in range(2 * n):
        for j in range(2 * n):
            assert bool(both.positive[i, j]) == (i != j and bool(frames.positive[i % n, j % n]))
            assert bool(both.negative[i, j]) == bool(frames.negative[i % n, j % n])
            assert both.overlap[i, j] == frames.overlap[i % n, j % n]
    assert both.positive[0, n], "an image and its own cloud"


def test_presets_hold_the_published_values() -> None:
    for name in ("paper", "paper-kitti", "paper-boreas", "gpu"):
        config = PRESETS[name]
        assert isinstance(config, DxprConfig)
        mining = config.mining
        assert (mining.near_deg, mining.near_m, mining.far_m) == (10, 5, 20)
        assert (mining.positive_overlap, mining.negative_overlap) == (0.35, 0.35)
        assert (mining.base, mining.base_slope) == (0.2, -0.1)
        assert (mining.matching.tolerance_m, mining.matching.tolerance_share) == (0.25, 0.1)
        assert (mining.matching.union, config.encoding) == ("confirmed", "log")
        assert config.recipe.early_stop == 5
        assert all(size % 14 == 0 for size in config.size)
    kitti, boreas = PRESETS["paper-kitti"], PRESETS["paper-boreas"]
    assert isinstance(kitti, DxprConfig)
    assert isinstance(boreas, DxprConfig)
    for config, published in ((kitti, (150, 744)), (boreas, (112, 341))):
        assert all(abs(a - b) <= 7 for a, b in zip(config.size, published, strict=True))
    # the kept rows have the published shape: pixels stay about square
    for config, (width, height) in ((kitti, (1241, 376)), (boreas, (2448, 2048))):
        kept = (config.rows[1] - config.rows[0]) * height
        assert (config.size[0] / kept) / (config.size[1] / width) == pytest.approx(1, abs=0.04)
