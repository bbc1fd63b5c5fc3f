import math
import sys
import types
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from batches import batch_of
from torch import Tensor, nn

from datasets.base import Frame, Selection, Split
from datasets.prepared import PreparedDataset
from methods.base import ImageInput, Stage
from methods.batch import Batch
from methods.depth import QUICK_DEPTH, DepthConfig, DepthNetwork, DepthPlugin
from methods.lc2 import Lc2
from methods.lc2.config import Lc2Config
from methods.lc2.stages import hard_triplets
from methods.lc2.variants import VARIANTS
from methods.learning.overlap import Views, overlap_contrastive, overlaps

SMALL = Lc2Config(
    weights="none",
    depth=replace(QUICK_DEPTH, source=DepthNetwork(height=24, width=32, channels=(4, 8))),
    backbone="resnet18",
    backbone_block=1,
    image_size=(16, 32),
    fov_deg=None,
    clusters=3,
    training_views=1,
)
SPLIT = Split(train=Selection(), validation=Selection())


@pytest.fixture
def method() -> Lc2:
    torch.manual_seed(0)
    return Lc2(SMALL)


def stage_of(method: Lc2, name: str) -> Stage:
    """A stage as the harness runs it: everything frozen but what it trains, and only that in training mode."""
    stage = {s.name: s for s in method.stages(SPLIT)}[name]
    method.requires_grad_(False)
    stage.eval()
    for module in stage.trainable():
        module.requires_grad_(True).train()
    return stage


def test_stages_in_order_without_those_of_no_epochs() -> None:
    assert [s.name for s in Lc2(SMALL).stages(SPLIT)] == ["depth", "contrastive", "vlad", "triplet"]
    assert [s.name for s in Lc2(VARIANTS["no-contrastive"].change(SMALL)).stages(SPLIT)] == ["depth", "vlad", "triplet"]
    given = replace(SMALL, depth=DepthConfig(source=DepthPlugin(function="math:sqrt")))
    assert [s.name for s in Lc2(given).stages(SPLIT)] == ["contrastive", "vlad", "triplet"]


def test_what_stages_train(method: Lc2) -> None:
    encoders = {id(p) for e in (method.image_encoder, method.cloud_encoder) for p in e.parameters()}
    expected = {
        "depth": {id(p) for p in method.depth.parameters()},
        "contrastive": encoders | {id(method.gem.p)},
        "vlad": {id(p) for p in method.netvlad.parameters()},
        "triplet": encoders | {id(p) for p in method.netvlad.parameters()},
    }
    for stage in method.stages(SPLIT):
        assert {id(p) for module in stage.trainable() for p in module.parameters()} == expected[stage.name]


def test_contrastive_loss_equals_a_loop_over_all_pairs(method: Lc2, batch: Batch) -> None:
    """Images and clouds of all frames; in validation every cloud's view is the camera's."""
    stage = stage_of(method, "contrastive").eval()
    output = stage(batch)
    method.eval()
    images = method.gem_pooled(method.image_features(method.image_inputs(batch)))
    clouds = method.gem_pooled(method.cloud_features(method.cloud_inputs(batch)))
    embeddings = [*images, *clouds]
    position = np.array([f.position_m[:2] for f in batch.frames] * 2)
    heading = np.array([f.yaw_rad for f in batch.frames] * 2)
    world = np.array([f.world for f in batch.frames] * 2, dtype=object)
    together, apart = [], []
    for i in range(len(embeddings)):
        for j in range(i + 1, len(embeddings)):
            one, other = (
                Views(position[[k]], heading[[k]], np.array([math.pi / 2]), SMALL.reach_m, world[[k]]) for k in (i, j)
            )
            psi = torch.from_numpy(overlaps(one, other)).float()
            distance = (embeddings[i] - embeddings[j]).norm().view(1, 1)
            kind = together if float(psi) > 0.01 else apart
            kind.append(float(overlap_contrastive(distance, psi, SMALL.tau).detach()))
    assert together
    assert apart
    mean = (np.mean(together) + np.mean(apart)) / 2
    assert float((output.loss_sum / output.count).detach()) == pytest.approx(mean, rel=1e-3)
    assert float(output.statistics["overlapping"]) == len(together)


def test_turned_views_overlap_less_with_their_own_images(method: Lc2, batch: Batch) -> None:
    method.config = replace(SMALL, training_views=8)
    stage = stage_of(method, "contrastive")
    torch.manual_seed(0)
    turned = torch.stack([stage._turned(batch) for _ in range(40)])
    assert sorted({round(math.degrees(x)) for x in turned.flatten().tolist()}) == [45 * k for k in range(8)]
    stage.eval()
    assert not stage._turned(batch).any()
    quarter = torch.zeros(6)
    quarter[0] = math.pi / 2
    width = torch.full((12,), math.pi / 2)
    psi = stage._psi(batch, torch.cat([torch.zeros(6), quarter]), width)
    assert float(psi[0, 6]) == pytest.approx(0, abs=0.02)
    assert float(psi[1, 7]) == pytest.approx(1, abs=1e-6)


def test_depth_is_scaled_in_training_alone(method: Lc2, batch: Batch) -> None:
    stage = stage_of(method, "triplet")
    torch.manual_seed(0)
    plain, scaled = method.image_depth(batch), stage.image_inputs(batch)
    ratio = (SMALL.nearest_m / scaled / plain).flatten(1)  # the untrained network answers about 10 m
    torch.testing.assert_close(ratio, ratio[:, :1].expand_as(ratio), rtol=1e-3, atol=0)
    assert (ratio[:, 0] - 1).abs().max() <= 0.2
    assert ratio[:, 0].std() > 0.02
    stage.eval()
    torch.testing.assert_close(stage.image_inputs(batch), method.image_inputs(batch))


# --- triplets ------------------------------------------------------------------------------------


@pytest.mark.parametrize("hard_negatives", [1, 3, 50])
def test_hard_triplets_equal_a_loop(hard_negatives: int) -> None:
    generator = torch.Generator().manual_seed(0)
    n = 9
    distance = torch.rand(n, n, generator=generator)
    positive = torch.rand(n, n, generator=generator) < 0.3
    negative = ~positive & (torch.rand(n, n, generator=generator) < 0.6)
    positive[2], negative[4] = False, False
    expected = []
    for i in range(n):
        near = [float(distance[i, j]) for j in range(n) if positive[i, j]]
        far = sorted(float(distance[i, j]) for j in range(n) if negative[i, j])
        if near:
            expected += [max(min(near) - d + 0.1, 0.0) for d in far[:hard_negatives]]
    found = hard_triplets(distance, positive, negative, 0.1, hard_negatives)
    np.testing.assert_allclose(sorted(found.tolist()), sorted(expected), atol=1e-6)


def test_a_batch_of_one_place_has_no_triplet_and_a_finite_gradient(method: Lc2, batch: Batch) -> None:
    stage = stage_of(method, "triplet")
    one = replace(batch, frames=batch.frames[:1] * 6)
    output = stage(one)
    assert (float(output.loss_sum.detach()), float(output.count)) == (0, 0)
    (output.loss_sum / output.count.clamp(min=1)).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in method.parameters())


def test_clusters_are_found_before_netvlad_is_trained(method: Lc2, batch: Batch) -> None:
    before = method.netvlad.centres.clone()
    with torch.no_grad():
        stage_of(method, "triplet").before([batch])
        assert torch.equal(method.netvlad.centres, before)  # the stage before it has done so
        stage_of(method, "vlad").before([batch])
    assert not torch.equal(method.netvlad.centres, before)
    alone = Lc2(replace(SMALL, vlad=replace(SMALL.vlad, epochs=0)))
    untouched = alone.netvlad.centres.clone()
    with torch.no_grad():
        stage_of(alone, "triplet").before([batch])
    assert not torch.equal(alone.netvlad.centres, untouched)


# --- sharing -------------------------------------------------------------------------------------

CHANGES = {
    "weights_sha256": "0" * 64,
    "views": 8,
    "clusters": 5,
    "margin": 0.5,
    "hard_negatives": 1,
    "vlad": replace(SMALL.vlad, learning_rate=0.5),
    "triplet": replace(SMALL.triplet, learning_rate=0.5),
    "tau": 0.3,
    "reach_m": 20.0,
    "scale_augmentation": 0.0,
    "contrastive": replace(SMALL.contrastive, learning_rate=0.5),
    "training_views": 8,
    "nearest_m": 2.0,
    "fov_deg": 70.0,
    "range_columns": 90,
    "image_size": (24, 24),
    "image": ImageInput(height=8, width=8),
    "depth_rows": (0.2, 0.8),
    "backbone_block": 2,
    "backbone": "resnet34",
    "weights": "timm",
}
"""Another value of every field but the one that the depth stage reads."""


def learnt(config: Lc2Config, name: str, batch: Batch) -> list[Tensor]:
    """What a stage's first step would change its parameters by."""
    torch.manual_seed(3)
    method = Lc2(config)
    stage = stage_of(method, name)
    with torch.no_grad():
        stage.before([batch])
    torch.manual_seed(4)
    output = stage(batch)
    (output.loss_sum / output.count.clamp(min=1)).backward()
    return [p.grad for module in stage.trainable() for p in module.parameters() if p.grad is not None]


@pytest.mark.parametrize("name", ["depth", "contrastive", "vlad", "triplet"])
def test_what_a_stage_ignores_changes_nothing_that_it_learns(name: str, batch: Batch) -> None:
    ignored = {s.name: s for s in Lc2(SMALL).stages(SPLIT)}[name].ignores
    assert set(ignored) <= set(CHANGES) == {f.name for f in fields(SMALL)} - {"depth"}
    expected = learnt(SMALL, name, batch)
    for field in set(ignored) - {"weights"}:  # nothing to download here
        found = learnt(replace(SMALL, **{field: CHANGES[field]}), name, batch)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, msg=lambda text, field=field: f"{field}: {text}")


# --- learning ------------------------------------------------------------------------------------


def brightness(image: Tensor, frame: Frame) -> Tensor:
    """Dark is near: the small world's pictures are all different."""
    return 4 + image.float().mean(0) / 10


def test_triplets_bring_images_to_their_own_clouds(
    small_world: PreparedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six places of the small world, learnt by heart: from guessing to all right."""
    module = types.ModuleType("brightness_as_depth")
    module.brightness = brightness  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "brightness_as_depth", module)
    torch.manual_seed(0)
    method = Lc2(
        replace(SMALL, depth=DepthConfig(source=DepthPlugin(function="brightness_as_depth:brightness")), margin=0.5)
    )
    for norm in (m for m in method.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.momentum = 0.5  # so few steps: statistics must keep up
    rows = (0, 2, 4, 6, 9, 11)
    batch = batch_of(small_world, *rows)
    with torch.no_grad():
        stage_of(method, "vlad").before([batch])
    stage = stage_of(method, "triplet")
    optimizer = torch.optim.Adam([p for m in stage.trainable() for p in m.parameters()], lr=1e-3)
    for _ in range(40):
        output = stage(batch)
        optimizer.zero_grad()
        (output.loss_sum / output.count).backward()
        optimizer.step()
    method.eval()
    with torch.no_grad():
        images = method.encode_images(method.image_inputs(batch))["main"][:, 0]
        clouds = method.encode_clouds(method.cloud_inputs(batch))["main"][:, 0]
    assert torch.cdist(images, clouds).argmin(1).tolist() == [*range(6)]


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_change_something(name: str) -> None:
    config = replace(SMALL, training_views=1)
    assert VARIANTS[name].change(config) != config
