import math
import sys
import types
from dataclasses import replace

import numpy as np
import pytest
import torch
from batches import batch_of, count
from torch import Tensor, nn

from datasets.base import Frame, Selection, Split
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset
from methods.base import Stage
from methods.batch import Batch
from methods.depth import QUICK_DEPTH, DepthConfig, DepthNetwork, DepthPlugin
from methods.i2prec import I2pRec, I2pRecConfig, pseudo_points, thinned
from methods.layers.bev import BevGrid
from methods.layers.projection import project

SPLIT = Split(train=Selection(), validation=Selection())
GRID = BevGrid(rows=16, columns=16, forward_m=(0.0, 32.0), left_m=(-16.0, 16.0), height_m=(-3.0, 9.0))
SMALL = I2pRecConfig(
    weights="none",
    depth=replace(QUICK_DEPTH, source=DepthNetwork(height=24, width=32, channels=(4, 8))),
    depth_size=(12, 16),
    grid=GRID,
    backbone="resnet18",
    backbone_block=1,
    clusters=3,
    hardest=False,
)


@pytest.fixture
def batch(small_world: PreparedDataset) -> Batch:
    return batch_of(small_world, 0, 5, 9)


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    module = types.ModuleType("a_depth_plugin")
    monkeypatch.setitem(sys.modules, "a_depth_plugin", module)
    return module


def stage_of(method: I2pRec, name: str) -> Stage:
    """A stage as the harness runs it: everything frozen but what it trains, and only that in training mode."""
    stage = {s.name: s for s in method.stages(SPLIT)}[name]
    method.requires_grad_(False)
    stage.eval()
    for module in stage.trainable():
        module.requires_grad_(True).train()
    return stage


# --- points --------------------------------------------------------------------------------------


def test_points_of_a_depth_image_by_hand() -> None:
    """90° wide and high: a pixel a quarter right of the middle and a quarter above it, 8 m deep."""
    depth_m = torch.zeros(2, 1, 2, 2)
    depth_m[1, 0, 0, 1] = 8.0
    points, index = pseudo_points(depth_m, torch.tensor([[0.5, 0.5, 0.5, 0.5]] * 2))
    assert points.tolist() == [[8.0, -4.0, 4.0]]
    assert index.tolist() == [1]


def test_points_project_back_onto_their_pixels_at_their_depth() -> None:
    generator = torch.Generator().manual_seed(0)
    depth_m = torch.rand(3, 1, 5, 7, generator=generator) * 50 + 1
    intrinsics = torch.tensor([[0.9, 1.2, 0.45, 0.55], [0.5, 0.7, 0.5, 0.5], [2.0, 1.0, 0.3, 0.6]])
    points, index = pseudo_points(depth_m, intrinsics)
    found = project(points, index, intrinsics)
    assert found.in_view.all()
    torch.testing.assert_close(found.depth_m, depth_m.flatten())
    expected = torch.stack(
        torch.meshgrid((torch.arange(5) + 0.5) / 5, (torch.arange(7) + 0.5) / 7, indexing="ij")[::-1], dim=-1
    )
    torch.testing.assert_close(found.uv, expected.reshape(-1, 2).repeat(3, 1))


def test_of_each_slice_of_a_cell_one_point_is_left() -> None:
    points = torch.tensor(
        [[1.0, 1.0, 0.0], [1.5, 0.5, 0.3], [1.0, 1.0, 0.5], [3.0, 1.0, 0.0], [50.0, 0.0, 0.0], [1.0, 1.0, 0.0]]
    )
    index = torch.tensor([0, 0, 0, 0, 0, 1])
    found, samples = thinned(points, index, 2, GRID, 0.4)
    cells = {
        (int(s), math.floor(x / 2), math.floor(y / 2), math.floor((z + 3) / 0.4))
        for s, (x, y, z) in zip(samples.tolist(), found.tolist(), strict=True)
    }
    assert cells == {(0, 0, 0, 7), (0, 0, 0, 8), (0, 1, 0, 7), (1, 0, 0, 7)}
    assert len(found) == 4
    again, _ = thinned(points.flip(0), index.flip(0).sort().values, 2, GRID, 0.4)
    assert len(again) <= 4


def test_thinning_equals_a_set_of_cells() -> None:
    rng = np.random.default_rng(0)
    points = torch.from_numpy(rng.uniform((-1, -18, -4), (34, 18, 10), (3000, 3))).float()
    index = torch.from_numpy(np.sort(rng.integers(0, 3, 3000)))
    found, samples = thinned(points, index, 3, GRID, 0.5)
    expected = {
        (s, math.floor(x / 2), math.floor((y + 16) / 2), math.floor((z + 3) / 0.5))
        for s, (x, y, z) in zip(index.tolist(), points.tolist(), strict=True)
        if 0 <= x < 32 and -16 <= y < 16 and -3 <= z < 9
    }
    assert len(found) == len(expected)
    assert {
        (s, math.floor(x / 2), math.floor((y + 16) / 2), math.floor((z + 3) / 0.5))
        for s, (x, y, z) in zip(samples.tolist(), found.tolist(), strict=True)
    } == expected


# --- from above ----------------------------------------------------------------------------------


def test_an_image_with_the_true_depth_and_its_cloud_look_alike(batch: Batch, plugin: types.ModuleType) -> None:
    """A wall across the view, 10.5 m ahead of the camera: the same cells are filled."""
    assert batch.clouds is not None
    plugin.wall = lambda image, frame: torch.full((12, 16), 10.5)  # type: ignore[attr-defined]
    method = I2pRec(replace(SMALL, depth=DepthConfig(source=DepthPlugin(function="a_depth_plugin:wall"))))
    # in the LiDAR's frame; its camera is 0.2 m behind and 0.1 m above
    left, up = np.meshgrid(np.linspace(-9.5, 9.5, 80), np.linspace(-9.5, 9.5, 80))
    wall = torch.from_numpy(np.stack([np.full_like(left, 10.7), left, up], axis=-1).reshape(-1, 3)).float()
    batch.clouds = replace(batch.clouds, points=wall.repeat(3, 1), batch_index=torch.arange(3).repeat_interleave(6400))
    images, clouds = method.image_inputs(batch), method.cloud_inputs(batch)
    assert images.shape == clouds.shape == (3, 1, 16, 16)
    assert images[0].any()
    assert torch.equal(images > 0, clouds > 0)
    assert (images - clouds).abs().max() < 0.35
    [row] = (images[0, 0] > 0).any(1).nonzero()[:, 0].tolist()
    assert row == 16 - 1 - math.floor(10.5 / 2)  # ahead is up


def test_what_the_camera_does_not_see_does_not_count(batch: Batch) -> None:
    assert batch.clouds is not None
    method = I2pRec(SMALL)
    seen = method.cloud_inputs(batch)
    beside = torch.tensor([[5.0, 12.0, 0.0], [-5.0, 0.0, 0.0], [5.0, 0.0, 8.0]]).repeat(3, 1)
    order = torch.cat([batch.clouds.batch_index, torch.arange(3).repeat_interleave(3)]).sort(stable=True)
    more = torch.cat([batch.clouds.points, beside])[order.indices]
    batch.clouds = replace(batch.clouds, points=more, batch_index=order.values)
    assert torch.equal(method.cloud_inputs(batch), seen)


def test_both_kinds_go_through_one_encoder(batch: Batch) -> None:
    method = I2pRec(SMALL).eval()
    seen = method.cloud_inputs(batch)
    assert torch.equal(method.encode_images(seen)["main"], method.encode_clouds(seen)["main"])
    names = {name.split(".")[0] for name, _ in method.named_parameters()}
    assert names == {"depth", "encoder", "netvlad"}


def test_both_kinds_need_calibration(batch: Batch) -> None:
    frames = tuple(replace(frame, intrinsics=None, camera_from_lidar=None) for frame in batch.frames)
    bare = replace(batch, frames=frames, intrinsics=None, camera_from_lidar=None)
    for inputs in (I2pRec(SMALL).image_inputs, I2pRec(SMALL).cloud_inputs):
        with pytest.raises(CrossplaceError, match=rf"{frames[0].frame_id}.*calibration"):
            inputs(bare)


def test_unknown_depth_is_no_point(batch: Batch, plugin: types.ModuleType) -> None:
    plugin.nothing = lambda image, frame: torch.zeros(4, 4)  # type: ignore[attr-defined]
    method = I2pRec(replace(SMALL, depth=DepthConfig(source=DepthPlugin(function="a_depth_plugin:nothing")))).eval()
    seen = method.image_inputs(batch)
    assert not seen.any()
    assert method.encode_images(seen)["main"].isfinite().all()


def test_descriptors_and_parameters_of_the_paper_preset() -> None:
    """ResNet-34 to its second stage (1,338,000 parameters) and NetVLAD of 64 clusters of 128 numbers."""
    config = replace(
        I2pRec.presets["paper"], weights="none", depth=DepthConfig(source=DepthPlugin(function="math:sqrt"))
    )
    with torch.device("meta"):
        method = I2pRec(config)
    stem, layer1 = 9408 + 128, 3 * (2 * (36864 + 128))
    layer2 = (73728 + 256) + (147456 + 256) + (8192 + 256) + 3 * 2 * (147456 + 256)
    assert count(method) == stem + layer1 + layer2 + 2 * 64 * 128
    assert method.descriptors[0].size == 8192


# --- training ------------------------------------------------------------------------------------


def test_stages_and_what_they_train() -> None:
    method = I2pRec(SMALL)
    depth, retrieval = method.stages(SPLIT)
    assert (depth.name, retrieval.name) == ("depth", "retrieval")
    assert "retrieval" in depth.ignores
    assert "grid" in depth.ignores
    assert retrieval.ignores == ()
    trained = {id(p) for module in retrieval.trainable() for p in module.parameters()}
    assert trained == {id(p) for module in (method.encoder, method.netvlad) for p in module.parameters()}


@pytest.mark.parametrize("hardest", [True, False])
def test_loss_equals_a_loop_over_triplets(batch: Batch, hardest: bool) -> None:
    torch.manual_seed(0)
    method = I2pRec(replace(SMALL, hardest=hardest)).eval()
    output = method.stages(SPLIT)[1](batch)
    images = method.encode_images(method.image_inputs(batch))["main"][:, 0]
    clouds = method.encode_clouds(method.cloud_inputs(batch))["main"][:, 0]
    distance = torch.cdist(images, clouds).detach()
    losses = []
    for anchors in (distance, distance.T):  # three places far apart: each frame's own partner is the only positive
        for i in range(3):
            others = [float(anchors[i, j]) for j in range(3) if j != i]
            chosen = [min(others)] if hardest else others
            losses += [max(float(anchors[i, i]) - other + SMALL.margin, 0.0) for other in chosen]
    assert float(output.loss_sum.detach()) == pytest.approx(sum(losses), rel=1e-3)
    assert float(output.statistics["active"]) == sum(loss > 0 for loss in losses)
    assert float(output.statistics["triplets"]) == len(losses)


def test_depth_is_scaled_in_training_alone() -> None:
    method = I2pRec(SMALL)
    stage, depth_m = stage_of(method, "retrieval"), torch.full((50, 1, 2, 2), 10.0)
    torch.manual_seed(0)
    scaled = stage._scaled(depth_m)
    assert (scaled - 10).abs().max() <= 1
    assert scaled[:, 0, 0, 0].std() > 0.3
    assert torch.equal(scaled.amin((2, 3)), scaled.amax((2, 3)))
    stage.eval()
    assert torch.equal(stage._scaled(depth_m), depth_m)


def brightness(image: Tensor, frame: Frame) -> Tensor:
    """Dark is near: the small world's pictures are all different."""
    return 4 + image.float().mean(0) / 10


def test_it_learns_which_image_belongs_to_which_cloud(small_world: PreparedDataset, plugin: types.ModuleType) -> None:
    """Six places of the small world, learnt by heart."""
    plugin.brightness = brightness  # type: ignore[attr-defined]
    torch.manual_seed(0)
    depth = DepthConfig(source=DepthPlugin(function="a_depth_plugin:brightness"))
    method = I2pRec(replace(SMALL, depth=depth, scale_augmentation=0.0))
    for norm in (m for m in method.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.momentum = 0.5  # so few steps: statistics must keep up
    rows = (0, 2, 4, 6, 9, 11)
    batch = batch_of(small_world, *rows)
    stage = stage_of(method, "retrieval")
    with torch.no_grad():
        stage.before([batch])
    optimizer = torch.optim.Adam([p for m in stage.trainable() for p in m.parameters()], lr=1e-3)
    for _ in range(40):
        output = stage(batch)
        optimizer.zero_grad()
        (output.loss_sum / output.count.clamp(min=1)).backward()
        optimizer.step()
    method.eval()
    with torch.no_grad():
        images = method.encode_images(method.image_inputs(batch))["main"][:, 0]
        clouds = method.encode_clouds(method.cloud_inputs(batch))["main"][:, 0]
    assert torch.cdist(images, clouds).argmin(1).tolist() == [*range(6)]
