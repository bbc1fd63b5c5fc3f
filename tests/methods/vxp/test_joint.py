"""Both branches of VXP trained together."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from batches import sample_of
from small_vxp import CONFIG, PLACES, SPLIT, changed, mean_loss, optimizer_of, snapshot, stage_of, train_step
from torch.nn import functional

from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset
from methods.batch import Batch, collate
from methods.learning.contrastive import contrast_masks, masked_info_nce
from methods.vxp import Vxp
from methods.vxp.variants import VARIANTS

JOINT = VARIANTS["joint"].change(CONFIG)


@pytest.fixture
def method() -> Vxp:
    torch.manual_seed(0)
    return Vxp(JOINT)


@pytest.fixture
def batch(small_world: PreparedDataset) -> Batch:
    return collate([sample_of(small_world, row) for row in PLACES])


def test_a_step_changes_both_branches_and_the_temperature_and_lowers_the_loss(method: Vxp, batch: Batch) -> None:
    stage, before = stage_of(method, "joint"), snapshot(method)
    first = mean_loss(stage, batch).item()
    train_step(stage, batch, optimizer_of(stage))
    parts = {f"image_branch.{part}" for part in ("backbone", "pool", "head")}
    parts |= {f"cloud_branch.{part}" for part in ("feature_encoder", "encoder", "pool", "head")}
    assert changed(method, before) == parts | {"temperature.log_scale"}
    assert mean_loss(stage, batch).item() < first


def test_the_loss_is_the_contrastive_one_of_the_descriptors_that_are_compared_plus_the_local_one(
    method: Vxp, batch: Batch
) -> None:
    stage = stage_of(method, "joint").eval()
    local = stage_of(Vxp(CONFIG), "local").eval()
    local.method.load_state_dict(method.state_dict(), strict=False)
    with torch.no_grad():
        images = method.encode_images(method.image_inputs(batch))["main"][:, 0]
        clouds = method.encode_clouds(method.cloud_inputs(batch))["main"][:, 0]
        terms, count = masked_info_nce(
            images, clouds, *contrast_masks(batch.frames, SPLIT, "cpu"), method.temperature()
        )
        torch.testing.assert_close(images.norm(dim=1), torch.ones(len(batch)))
        torch.testing.assert_close(functional.normalize(clouds, dim=1), clouds)
        torch.testing.assert_close(mean_loss(stage, batch), terms / count + mean_loss(local, batch))
    assert int(stage(batch).count) == 2 * len(batch)


def test_pixels_get_no_gradient_from_the_voxels_that_follow_them(method: Vxp, batch: Batch) -> None:
    stage = stage_of(method, "joint")
    mean_loss(stage, batch.only(0)).backward()  # one frame has no negatives, so that the contrastive loss is zero
    of_images = [p.grad for p in method.image_branch.backbone.parameters() if p.grad is not None]
    assert sum(float(gradient.abs().sum()) for gradient in of_images) == pytest.approx(0, abs=1e-6)
    assert sum(float(p.grad.abs().sum()) for p in method.cloud_branch.encoder.parameters()) > 0


def test_pairs_come_from_different_traversals_and_every_frame_comes_once(
    method: Vxp, small_world: PreparedDataset
) -> None:
    frames = small_world.frames
    batches = stage_of(method, "joint").sampler(frames, training=True).batches(np.random.default_rng(0))
    rows = [row for drawn in batches for row in drawn]
    assert sorted(rows) == list(range(len(frames)))
    first, second = rows[0], rows[1]
    assert first % 12 == second % 12
    assert frames.traversal[first] != frames.traversal[second]


def test_the_branches_can_start_from_a_trained_teacher() -> None:
    names = [stage.name for stage in Vxp(VARIANTS["joint-after-teacher"].change(CONFIG)).stages(SPLIT)]
    assert names == ["teacher", "joint"]


def test_a_class_token_is_refused_until_another_pooling_is_chosen() -> None:
    with pytest.raises(CrossplaceError, match="choose another pooling or set the epochs of joint_stage to 0"):
        replace(JOINT, pooling="class-token")
    students = CONFIG.local_stage.epochs + CONFIG.global_stage.epochs
    assert replace(JOINT, pooling="layout").joint_stage.epochs == 2 * students
    assert replace(JOINT, pooling="class-token", joint_stage=CONFIG.joint_stage).pooling == "class-token"
