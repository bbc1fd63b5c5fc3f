import sys
import types
from dataclasses import fields, replace

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
from methods.dxpr import Dxpr
from methods.dxpr.config import PRESETS, VARIANTS, DxprConfig, SaladConfig
from methods.dxpr.mining import mined_pairs
from methods.dxpr.stages import SharedStage, _view_overlaps
from methods.i2prec import I2pRec
from methods.layers.camera_plane import densified, depth_image
from methods.lc2 import Lc2
from methods.learning.overlap import Views, overlaps

SPLIT = Split(train=Selection(), validation=Selection())
SMALL = DxprConfig(
    weights="none",
    depth=replace(QUICK_DEPTH, source=DepthNetwork(height=24, width=32, channels=(4, 8))),
    backbone="resnet18",
    backbone_block=1,
    size=(16, 32),
    rows=(0.25, 0.75),
    fill_radius=1,
    salad=SaladConfig(clusters=4, cluster_channels=8, token_channels=8, hidden=16, dropout=0.0),
)


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    module = types.ModuleType("a_depth_plugin")
    monkeypatch.setitem(sys.modules, "a_depth_plugin", module)
    return module


def plugged(name: str) -> DepthConfig:
    return DepthConfig(source=DepthPlugin(function=f"a_depth_plugin:{name}"))


def new_method(config: DxprConfig = SMALL) -> Dxpr:
    torch.manual_seed(0)
    return Dxpr(config)


def stage_of(method: Dxpr, name: str = "shared") -> Stage:
    """A stage as the harness runs it: everything frozen but what it trains, and only that in training mode."""
    stage = {s.name: s for s in method.stages(SPLIT)}[name]
    method.requires_grad_(False)
    stage.eval()
    for module in stage.trainable():
        module.requires_grad_(True).train()
    return stage


def shared(method: Dxpr) -> SharedStage:
    stage = stage_of(method)
    assert isinstance(stage, SharedStage)
    return stage


# --- what the network sees -----------------------------------------------------------------------


def test_a_cloud_is_seen_as_its_completed_depth_in_the_kept_rows(batch: Batch) -> None:
    method = new_method()
    intrinsics, matrices = batch.calibration()
    assert batch.clouds is not None
    whole = depth_image(batch.clouds.points, batch.clouds.batch_index, matrices, intrinsics, 32, 32)
    found = method.cloud_depth(batch)
    assert 0 < (whole[:, :, 8:24] > 0).sum() < (found > 0).sum()
    assert found.equal(densified(whole, 1, 2)[:, :, 8:24])
    seen = method.cloud_inputs(batch)
    assert seen.shape == (6, 1, 16, 32)
    torch.testing.assert_close(seen, method.seen(found))


def test_log_depth_by_hand() -> None:
    method = new_method(replace(SMALL, per_image=False))
    # from 1 m to 80 m the scale goes from -1 to 1; 0 is unknown, and so far
    depth_m = torch.tensor([0.5, 1.0, 80**0.5, 80.0, 200.0, 0.0]).view(1, 1, 1, 6)
    torch.testing.assert_close(method.seen(depth_m).flatten(), torch.tensor([-1.0, -1, 0, 1, 1, 1]))


@pytest.mark.parametrize("encoding", ["log", "raw", "inverse"])
def test_each_image_is_normalised_by_itself(encoding: str, batch: Batch) -> None:
    method = new_method(replace(SMALL, encoding=encoding))  # type: ignore[arg-type]
    found = method.seen(torch.rand(3, 1, 16, 32) * 60 + 2)
    torch.testing.assert_close(found.mean((1, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    assert (found.std((1, 2, 3)) > 0.3).all()


def test_a_wrong_scale_of_depth_changes_nothing_where_each_image_is_normalised() -> None:
    method, depth_m = new_method(), torch.rand(2, 1, 16, 32) * 20 + 3
    torch.testing.assert_close(method.seen(0.6 * depth_m), method.seen(depth_m), atol=0.02, rtol=0)
    fixed = new_method(replace(SMALL, per_image=False))
    assert (fixed.seen(0.6 * depth_m) - fixed.seen(depth_m)).abs().min() > 0.1


def test_an_image_with_the_true_depth_and_its_cloud_look_alike(batch: Batch, plugin: types.ModuleType) -> None:
    """A wall before an open sky, 10.5 m ahead of the camera: both sides see the same."""
    assert batch.clouds is not None
    top = 6
    plugin.wall = lambda image, frame: torch.cat([torch.zeros(top, 32), torch.full((10, 32), 10.5)])  # type: ignore[attr-defined]
    method = new_method(replace(SMALL, depth=plugged("wall"), rows=(0.0, 1.0), fill_passes=1, per_image=False))
    intrinsics, matrices = batch.calibration()
    fx, fy, cx, cy = intrinsics[0]
    v, u = torch.meshgrid((torch.arange(top, 16) + 0.5) / 16, (torch.arange(32) + 0.5) / 32, indexing="ij")
    camera = 10.5 * torch.stack([(u - cx) / fx, (v - cy) / fy, torch.ones_like(u), torch.ones_like(u) / 10.5], dim=-1)
    lidar = (camera.reshape(-1, 4) @ torch.linalg.inv(matrices[0]).T)[:, :3]
    index = torch.arange(6).repeat_interleave(len(lidar))
    batch.clouds = replace(batch.clouds, points=lidar.repeat(6, 1), batch_index=index)
    images, clouds = method.image_inputs(batch), method.cloud_inputs(batch)
    assert images[0].min() < images[0].max() == 1
    differs = (images - clouds).abs().amax((0, 1)) > 1e-3
    assert differs.any(1).nonzero().flatten().tolist() == [top - 1], "only the row that completion reaches"


def test_both_kinds_go_through_one_encoder(batch: Batch) -> None:
    method = new_method().eval()
    seen = method.cloud_inputs(batch)
    assert method.encode_images(seen)["main"].equal(method.encode_clouds(seen)["main"])
    assert {name.split(".")[0] for name, _ in method.named_parameters()} == {"depth", "encoder"}


def test_too_many_clusters_for_an_image_are_refused_before_training() -> None:
    with pytest.raises(CrossplaceError, match=r"32 local features cannot fill 40 clusters.*fewer clusters"):
        new_method(replace(SMALL, salad=replace(SMALL.salad, clusters=40)))
    new_method(replace(SMALL, salad=replace(SMALL.salad, clusters=31)))


def test_descriptors_and_parameters_of_the_paper_preset() -> None:
    """ViT-B/14 (DINOv2 without its last norm, 11 × 53 patches), a norm and SALAD of 8448 numbers."""
    config = replace(
        PRESETS["paper-kitti"], weights="none", depth=DepthConfig(source=DepthPlugin(function="math:sqrt"))
    )
    assert isinstance(config, DxprConfig)
    method = Dxpr(config)
    assert method.encoder.backbone.map_size == (11, 53)
    assert method.descriptors[0].size == 8448
    salad = 3 * (768 * 512 + 512) + 512 * (64 + 128 + 256) + (64 + 128 + 256) + 1
    block = 2 * 2 * 768 + 768 * 3 * 768 + 3 * 768 + 768 * 768 + 768 + 2 * 768 * 3072 + 3072 + 768 + 2 * 768
    embedding = 3 * 14 * 14 * 768 + 768 + 768 + (11 * 53 + 1) * 768
    assert count(method.encoder.pool) == salad
    assert count(method) == embedding + 12 * block + 2 * 768 + salad


# --- training ------------------------------------------------------------------------------------


def test_stages_and_what_they_train() -> None:
    method = new_method()
    depth, retrieval = method.stages(SPLIT)
    assert (depth.name, retrieval.name) == ("depth", "shared")
    assert set(depth.ignores) == {f.name for f in fields(DxprConfig)} - {"depth"}
    trained = {id(p) for module in retrieval.trainable() for p in module.parameters()}
    assert trained == {id(p) for p in method.encoder.parameters()}


def test_the_quick_depth_network_is_shared_with_other_methods() -> None:
    assert PRESETS["quick"].depth == I2pRec.presets["quick"].depth == Lc2.presets["quick"].depth


def test_of_a_pretrained_transformer_the_last_blocks_are_trained() -> None:
    config = replace(SMALL, backbone="vit_tiny_patch16_224", backbone_block=5, size=(64, 64), trained_blocks=2)
    method = new_method(config)
    assert shared(method).trainable() == [method.encoder]
    method.encoder._trained_blocks = 2  # as with weights, of which there are none here
    trained = shared(method).trainable()
    blocks = [*method.encoder.backbone.encoder.blocks]
    assert len(blocks) == 6
    assert trained == [*blocks[4:], method.encoder.norm, method.encoder.pool]


def naive_loss(descriptors: Tensor, positive: Tensor, negative: Tensor, base: Tensor) -> float:
    """Without mining, which a large margin switches off."""
    total, n = 0.0, len(descriptors)
    for i in range(n):
        pull = sum(torch.exp(-(descriptors[i] @ descriptors[j] - base[i, j])) for j in range(n) if positive[i, j])
        push = sum(torch.exp(50 * (descriptors[i] @ descriptors[j])) for j in range(n) if negative[i, j])
        total += float(torch.log(1 + torch.as_tensor(pull)) + torch.log(1 + torch.as_tensor(push)) / 50)
    return total


def test_loss_equals_a_loop_over_pairs(batch: Batch) -> None:
    method = new_method(replace(SMALL, mining=replace(SMALL.mining, margin=9.0))).eval()
    stage = method.stages(SPLIT)[1]
    output = stage(batch)
    with torch.no_grad():
        images = method.encode_images(method.image_inputs(batch))["main"][:, 0]
        clouds = method.encode_clouds(method.cloud_inputs(batch))["main"][:, 0]
    assert isinstance(stage, SharedStage)
    pairs = mined_pairs(batch.frames, stage._depth_overlaps(batch, method.cloud_depth(batch)), SMALL.mining, "cpu")
    assert pairs.positive.sum() > 6, "a place in the morning and in the evening is one"
    both = pairs.of_both_modalities()
    expected = naive_loss(torch.cat([images, clouds]), both.positive, both.negative, 0.2 - 0.1 * both.overlap)
    assert float(output.loss_sum.detach()) == pytest.approx(expected, rel=1e-3)
    assert float(output.count) == 12


def test_a_batch_is_mirrored_as_a_whole_and_in_training_alone() -> None:
    stage, seen = shared(new_method()), torch.rand(4, 1, 3, 5)
    torch.manual_seed(0)
    drawn = [stage._mirrored(seen) for _ in range(20)]
    assert all(found.equal(seen) or found.equal(seen.flip(-1)) for found in drawn)
    assert {found.equal(seen) for found in drawn} == {True, False}
    stage.eval()
    assert all(stage._mirrored(seen).equal(seen) for _ in range(20))


def test_overlap_of_views_looks_where_the_camera_looks(batch: Batch) -> None:
    pairs = torch.tensor([[0, 1], [2, 3]])
    found = _view_overlaps(batch, 50.0)(pairs)
    intrinsics, _ = batch.calibration()
    fx, _, cx, _ = intrinsics.double().unbind(1)
    to_left, to_right = torch.atan(cx / fx), torch.atan((1 - cx) / fx)
    views = Views(
        torch.tensor([f.position_m[:2] for f in batch.frames]).numpy(),
        # the small world's cameras look along the heading
        (torch.tensor([f.yaw_rad for f in batch.frames], dtype=torch.float64) + (to_left - to_right) / 2).numpy(),
        (to_left + to_right).numpy(),
        50.0,
        torch.zeros(6).numpy(),
    )
    expected = overlaps(views, views)
    assert found.tolist() == pytest.approx([expected[0, 1], expected[2, 3]], abs=0.02)


def brightness(image: Tensor, frame: Frame) -> Tensor:
    """Dark is near: the small world's pictures are all different."""
    return 4 + image.float().mean(0) / 10


def test_it_learns_which_image_belongs_to_which_cloud(small_world: PreparedDataset, plugin: types.ModuleType) -> None:
    """Six places of the small world, learnt by heart."""
    plugin.brightness = brightness  # type: ignore[attr-defined]
    method = new_method(replace(SMALL, depth=plugged("brightness"), mirror_probability=0.0))
    for norm in (m for m in method.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.momentum = 0.5  # so few steps: statistics must keep up
    batch = batch_of(small_world, 0, 2, 4, 6, 9, 11)
    stage = stage_of(method)
    optimizer = torch.optim.AdamW([p for m in stage.trainable() for p in m.parameters()], lr=1e-3)
    for _ in range(60):
        output = stage(batch)
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
    method.eval()
    with torch.no_grad():
        images = method.encode_images(method.image_inputs(batch))["main"][:, 0]
        clouds = method.encode_clouds(method.cloud_inputs(batch))["main"][:, 0]
    assert torch.cdist(images, clouds).argmin(1).tolist() == [*range(6)]


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("preset", ["quick", "paper"])
def test_variants_change_what_they_say(name: str, preset: str, batch: Batch) -> None:
    config = PRESETS[preset]
    assert isinstance(config, DxprConfig)
    changed = VARIANTS[name].change(config)
    assert changed != config
    small = replace(VARIANTS[name].change(SMALL), depth=SMALL.depth)
    output = shared(new_method(small))(batch)
    assert output.loss_sum.isfinite()
