import sys
import types
from dataclasses import replace

import numpy as np
import pytest
import torch
from batches import batch_of, sample_of
from four_beams import FOUR_BEAMS, sample
from torch import Tensor

from benchmark.contract.overfitting import SPLIT
from datasets.prepared import PreparedDataset
from methods.batch import collate
from methods.depth import QUICK_DEPTH, DepthConfig, DepthNetwork, DepthPlugin
from methods.depth_layout import PRESETS, VARIANTS, DepthLayout, DepthLayoutConfig
from methods.layers.range_image import RangeView

SMALL = replace(PRESETS["quick"], depth=replace(QUICK_DEPTH, source=DepthNetwork(height=24, width=32, channels=(4, 8))))


def new_method(config: DepthLayoutConfig = SMALL) -> DepthLayout:
    torch.manual_seed(0)
    return DepthLayout(config).eval()


def test_an_image_with_true_depth_looks_like_its_cloud(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wall 10 m ahead, as the depth of a plug-in and as the points of a LiDAR."""
    module = types.ModuleType("walls")
    module.depth = lambda image, frame: torch.full((60, 80), 10.0)
    monkeypatch.setitem(sys.modules, "walls", module)
    source = DepthPlugin(function="walls:depth")
    view = RangeView(rows=30, columns=40, azimuth_deg="camera")
    method = new_method(replace(SMALL, depth=DepthConfig(source=source), view=view, size=(30, 40)))
    left, up = torch.meshgrid(torch.linspace(-11, 11, 600), torch.linspace(-6, 6, 400), indexing="ij")
    wall = torch.stack([torch.full_like(left, 10.0), left, up], dim=-1).flatten(0, 1)
    lidar = replace(FOUR_BEAMS, beams=30, vertical_fov_deg=(-14.5, 14.5))
    seen = replace(sample(wall, lidar), image=torch.zeros(3, 100, 100, dtype=torch.uint8))
    batch = collate([seen])
    torch.testing.assert_close(method.image_inputs(batch), method.cloud_inputs(batch)[:, 0], atol=0.05, rtol=0.0)


def test_both_sides_go_through_one_network_at_once(tiny_town: PreparedDataset) -> None:
    method, batch = new_method(), batch_of(tiny_town, 0, 30, 67)
    seen: list[int] = []
    method.encoder.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))
    stage = method.stages(SPLIT)[-1].eval()
    with torch.no_grad():
        stage(batch)
    assert seen == [6], "images and clouds in one pass"
    assert method.cloud_encoder is None
    apart = new_method(VARIANTS["two-networks"].change(SMALL))
    assert apart.cloud_encoder is not None
    assert apart.cloud_encoder in apart.stages(SPLIT)[-1].trainable()


def test_depth_is_trained_first_and_then_left_alone(tiny_town: PreparedDataset) -> None:
    method, batch = new_method(), batch_of(tiny_town, 0, 1, 67, 68)
    depth, contrast = method.stages(SPLIT)
    assert [depth.name, contrast.name] == ["depth", "contrast"]
    assert depth.is_shared
    trained = {id(p) for module in contrast.trainable() for p in module.parameters()}
    assert not trained & {id(p) for p in method.depth.parameters()}
    contrast(batch).loss.backward()
    assert all(p.grad is None for p in method.depth.parameters())
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in method.encoder.parameters())


def test_a_turned_cloud_has_its_views_in_another_order(tiny_town: PreparedDataset) -> None:
    """Twenty-four views: a vehicle that is turned by 15° sees in one view what it saw in the next one before."""
    method = new_method(VARIANTS["all-around"].change(SMALL))
    whole = sample_of(tiny_town, 0)
    assert whole.points is not None
    angle = torch.tensor(15.0).deg2rad()
    turn = torch.tensor([[angle.cos(), -angle.sin(), 0], [angle.sin(), angle.cos(), 0], [0, 0, 1]])
    clouds = [replace(whole, points=points) for points in (whole.points, whole.points @ turn.T)]
    views = [method.cloud_inputs(collate([cloud]))[0] for cloud in clouds]
    assert views[0].shape[0] == 24
    same = (views[1].roll(-1, dims=0) - views[0]).abs().mean()
    other = (views[1] - views[0]).abs().mean()
    assert same < 0.1 * other


def test_random_light_changes_the_image_alone(tiny_town: PreparedDataset) -> None:
    whole = sample_of(tiny_town, 0)
    for has_light in (False, True):
        source = DepthNetwork(height=24, width=32, channels=(4, 8), has_random_light=has_light)
        stage = new_method(replace(SMALL, depth=replace(QUICK_DEPTH, source=source))).stages(SPLIT)[0]
        drawn = [stage.augment(whole, np.random.default_rng(seed)) for seed in range(20)]
        brightness = torch.tensor([sample.image.float().mean() for sample in drawn])
        assert all(set(map(abs, s.points[:, 1].tolist())) == set(map(abs, whole.points[:, 1].tolist())) for s in drawn)
        assert (brightness.std() > 20) == has_light, "jitter changes brightness less than random light"


def test_worse_frames_train_the_depth_network_too_and_leave_depth_of_others_alone() -> None:
    change = VARIANTS["worse-frames"].change
    worse = change(PRESETS["quick"])
    assert worse.depth.source.largest_blur == worse.training.relighting.blur == 0.03
    assert worse.training.lost_points == 0.8
    of_files = DepthConfig(source=DepthPlugin(function="walls:depth"))
    assert change(replace(SMALL, depth=of_files)).depth == of_files


def test_gaps_are_filled_in_training_as_in_descriptions(tiny_town: PreparedDataset) -> None:
    batch = batch_of(tiny_town, 0, 30)
    filled, bare = (new_method(config).cloud_inputs(batch) for config in (VARIANTS["gaps-filled"].change(SMALL), SMALL))
    empty = bare[:, 0, 2] == bare[:, 0, 2].min()
    assert (filled[:, 0, 2] >= bare[:, 0, 2]).all()
    assert 0 < (filled[:, 0, 2] == filled[:, 0, 2].min()).sum() < empty.sum()
    seen: list[Tensor] = []
    method = new_method(VARIANTS["gaps-filled"].change(SMALL))
    method.encoder.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    with torch.no_grad():
        method.stages(SPLIT)[-1].eval()(batch)
    torch.testing.assert_close(seen[0][2:], filled[:, 0])
