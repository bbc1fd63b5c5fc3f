from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from batches import count, sample_of
from torch import Tensor, nn

from datasets.base import Selection, Split
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset
from methods.base import ImageInput, Stage
from methods.batch import Batch, collate
from methods.cattaneo import Cattaneo
from methods.cattaneo.config import PRESETS, VARIANTS, CattaneoConfig, EncoderWidths
from methods.cattaneo.networks import CloudBranch, FrontViewEncoder, ImageBranch, VladHead
from methods.layers.sparse.modules import RowNorm, SparseTensor
from methods.layers.sparse.sites import Sites
from methods.layers.voxels import VoxelGrid

SMALL = CattaneoConfig(
    weights="none",
    backbone="resnet18",
    backbone_block=1,
    image=ImageInput(height=24, width=32, antialias=False, per_image=True),
    clusters=4,
    descriptor_size=12,
    grid=VoxelGrid(lower_m=(0.0, -12.0, -4.0), upper_m=(24.0, 12.0, 8.0), size_m=(1.5, 1.5, 0.75)),
    feature_channels=(8, 16),
    widths=EncoderWidths(entry=8, stages=((8,), (8, 8)), exit=8),
    aspp_channels=16,
    aspp_rates=(1, 2, 3),
)
SPLIT = Split(train=Selection(), validation=Selection())


def new_method(config: CattaneoConfig = SMALL) -> Cattaneo:
    torch.manual_seed(0)
    return Cattaneo(config)


def stage_of(method: Cattaneo, name: str) -> Stage:
    """A stage as the harness runs it: everything frozen but what it trains, and only that in training mode."""
    stage = {s.name: s for s in method.stages(SPLIT)}[name]
    method.requires_grad_(False)
    stage.eval()
    for module in stage.trainable():
        module.requires_grad_(True).train()
    return stage


def snapshot(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def train(stage: Stage, batch: Batch, steps: int, learning_rate: float = 1e-3) -> None:
    optimizer = torch.optim.Adam([p for m in stage.trainable() for p in m.parameters()], lr=learning_rate)
    for _ in range(steps):
        output = stage(batch)
        optimizer.zero_grad()
        (output.loss_sum / output.count.clamp(min=1)).backward()
        optimizer.step()


# --- the published architecture ------------------------------------------------------------------


@pytest.fixture(scope="module")
def student() -> CloudBranch:
    torch.manual_seed(0)
    return CloudBranch(CattaneoConfig()).eval()


def test_the_student_has_as_many_parameters_as_its_published_layers(student: CloudBranch) -> None:
    assert count(student.feature_encoder) == (6 * 32 + 2 * 32) + (64 * 128 + 2 * 128)
    widths = [128, 16, 16, *[32] * 3, *[64] * 9]
    convolutions = sum(27 * i * o for i, o in pairwise(widths)) + 3 * 64 * 64
    assert count(student.encoder) == convolutions + 2 * (sum(widths[1:]) + 64)
    assert student.encoder.out_channels == 128
    assert count(student.pool) == 2 * 64 * 512 + 64
    assert count(student.head) == 64 * 512 * 256 + 2 * 256


def test_the_front_view_is_the_published_map(student: CloudBranch) -> None:
    assert student.config.grid.shape == (67, 67, 67)
    indices = torch.tensor([[0, 33, 33, 33], [1, 0, 0, 0], [1, 66, 66, 66]])
    with torch.inference_mode():
        found = student.encoder(SparseTensor(torch.rand(3, 128), Sites(indices, (67, 67, 67), 2)))
    assert found.shape == (2, 128, 34, 34)


def test_rows_of_the_front_view_are_heights_and_columns_are_sides() -> None:
    torch.manual_seed(0)
    encoder = FrontViewEncoder(4, EncoderWidths(entry=4, stages=((4,), (4,)), exit=4), cells=24)
    indices = torch.tensor([[0, 20, 4, 9]])  # high, far to the right, some way ahead
    found = encoder(SparseTensor(torch.rand(1, 4), Sites(indices, (24, 24, 24), 1)))
    assert found.shape == (1, 4 * 5, 12, 12)
    cells = found[0].abs().sum(0).nonzero()
    assert len(cells)
    assert ((cells - torch.tensor([10, 2])).abs() <= 1).all()


def test_the_teacher_is_vgg16_up_to_conv5_3_with_gem() -> None:
    config = replace(PRESETS["paper-oxford"], weights="none", image=ImageInput(height=64, width=96))
    teacher = ImageBranch(config).eval()
    assert count(teacher.backbone) == 14_714_688
    assert count(teacher.pool) + count(teacher.head) == 1 + 512 * 256 + 256
    with torch.inference_mode():
        feature_map = teacher.backbone(torch.randn(1, 3, 64, 96))
    assert feature_map.shape == (1, 512, 4, 6)
    assert feature_map.min() < 0  # before the last ReLU


def test_presets_hold_the_published_values() -> None:
    oxford, kitti, vivid = (PRESETS[f"paper-{name}"] for name in ("oxford", "kitti", "vivid"))
    assert isinstance(oxford, CattaneoConfig)
    assert isinstance(kitti, CattaneoConfig)
    assert isinstance(vivid, CattaneoConfig)
    assert (oxford.image.size, kitti.image.size) == ((240, 320), (240, 720))
    assert (oxford.growth_rate, oxford.growth_threshold, oxford.growth_limit) == (1.4, 0.7, 256)
    assert (kitti.growth_rate, kitti.growth_threshold, kitti.growth_limit) == (1.2, 0.8, 128)
    assert (oxford.teacher_pooling, vivid.teacher_pooling, vivid.gating) == ("gem", "netvlad", True)
    for config in (oxford, kitti, vivid):
        assert (config.teacher.epochs, config.student.epochs, config.student.batch_size) == (100, 50, 16)
        assert config.teacher.learning_rate_at(95) == 1e-6
        assert config.student.learning_rate_at(49) == pytest.approx(8.1e-7, rel=1e-2)
        assert config.augmentation.affine
        assert config.augmentation.rigid


# --- heads and variants --------------------------------------------------------------------------


def test_gates_scale_the_projection(batch: Batch) -> None:
    torch.manual_seed(0)
    head = VladHead(7, 5, gating=True).eval()
    vectors = torch.randn(3, 7)
    projected = (vectors @ head.project.weight.T) / (head.norm.running_var + head.norm.eps).sqrt()
    gates = 1 / (1 + torch.exp(-(projected @ head.gates[0].weight.T) / (1 + head.norm.eps) ** 0.5))
    torch.testing.assert_close(head(vectors), projected * gates)


def test_a_single_sample_can_be_trained_on(batch: Batch) -> None:
    assert VladHead(7, 5, gating=True).train()(torch.randn(1, 7)).isfinite().all()


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_trains_a_step_in_each_stage(name: str, batch: Batch) -> None:
    config = VARIANTS[name].change(SMALL)
    assert config != SMALL
    method = new_method(config)
    for stage_name in ("teacher", "student"):
        stage = stage_of(method, stage_name)
        with torch.no_grad():
            stage.before(iter([batch]))
        output = stage(batch)
        (output.loss_sum / output.count.clamp(min=1)).backward()
        assert all(p.grad.isfinite().all() for m in stage.trainable() for p in m.parameters())


# --- training ------------------------------------------------------------------------------------


def test_the_student_s_loss_is_the_mean_smooth_l1_to_the_teacher(batch: Batch) -> None:
    method = new_method()
    stage = stage_of(method, "student").eval()
    with torch.no_grad():
        images = method.encode_images(method.image_inputs(batch))["main"].flatten().tolist()
        clouds = method.encode_clouds(method.cloud_inputs(batch))["main"].flatten().tolist()
        output = stage(batch)
    differences = [abs(a - b) for a, b in zip(images, clouds, strict=True)]
    expected = [0.5 * d**2 if d < 1 else d - 0.5 for d in differences]
    assert float(output.loss_sum / output.count) == pytest.approx(sum(expected) / len(expected), rel=1e-4)


@pytest.mark.parametrize(("name", "frozen"), [("teacher", "cloud_branch"), ("student", "image_branch")])
def test_a_stage_leaves_the_other_branch_alone(name: str, frozen: str, batch: Batch) -> None:
    method = new_method()
    before = snapshot(getattr(method, frozen))
    train(stage_of(method, name), batch, steps=1)
    assert all(torch.equal(tensor, before[key]) for key, tensor in getattr(method, frozen).state_dict().items())


def test_the_student_s_clusters_start_from_features_that_tell_cells_apart(batch: Batch) -> None:
    method = new_method(replace(SMALL, dropout=0.0))
    stage = stage_of(method, "student")
    method.eval()
    before = method.cloud_branch.pool.centres.clone()
    with torch.no_grad():
        stage.before(iter([batch]))
    centres = method.cloud_branch.pool.centres
    assert not torch.equal(centres, before)
    assert torch.pdist(centres).min() > 0.05
    assert not any(module.training for module in method.modules())
    # evaluated as it was trained: the statistics are those of the batch
    inputs, student = method.cloud_inputs(batch), method.cloud_branch
    with torch.no_grad():
        evaluated, trained = student.feature_map(inputs), student.train().feature_map(inputs)
    assert (evaluated - trained).abs().mean() < 0.05 * trained.abs().mean()
    assert {norm.momentum for norm in student.modules() if isinstance(norm, RowNorm)} == {0.01, 0.1}


@pytest.mark.parametrize("scale", [False, True])
def test_the_student_starts_with_the_spread_of_the_teacher_if_wanted(batch: Batch, *, scale: bool) -> None:
    method = new_method(replace(SMALL, scale_from_teacher=scale))
    stage = stage_of(method, "student").eval()
    with torch.no_grad():
        images = method.image_branch(method.image_inputs(batch))
        stage.before(iter([batch]))
        clouds = method.cloud_branch.train()(method.cloud_inputs(batch))
    mean, spread = (images.mean(0), images.std(0)) if scale else (torch.zeros(12), torch.ones(12))
    torch.testing.assert_close(clouds.mean(0), mean, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(clouds.std(0), spread if scale else spread * (6 / 5) ** 0.5, atol=0.05, rtol=0.05)


def test_the_teacher_ignores_what_only_the_student_reads(batch: Batch) -> None:
    changes = {
        "grid": VoxelGrid(size_m=(2.0, 2.0, 1.0)),
        "max_voxels": 50,
        "feature_channels": (4,),
        "widths": EncoderWidths(entry=4, stages=((4,), (4,)), exit=4),
        "aspp_channels": 4,
        "aspp_rates": (1,),
        "dropout": 0.5,
        "scale_from_teacher": True,
        "student": replace(SMALL.student, epochs=1),
        "teacher_features": "cached",
    }
    outcomes = []
    for config in (SMALL, replace(SMALL, **changes)):
        method = new_method(config)
        stage = stage_of(method, "teacher")
        assert set(stage.ignores) == set(changes)
        assert set(changes) <= {f.name for f in fields(CattaneoConfig)}
        train(stage, batch, steps=1)
        outcomes.append(snapshot(method.image_branch))
    assert all(torch.equal(outcomes[0][key], outcomes[1][key]) for key in outcomes[0])


def test_the_student_s_clouds_are_moved_and_images_changed(small_world: PreparedDataset) -> None:
    sample = sample_of(small_world, 0)
    stage = new_method().stages(SPLIT)[1]
    found = [stage.augment(sample, np.random.default_rng(seed)) for seed in range(6)]
    assert all((f.points - sample.points).norm(dim=1).max() > 0.1 for f in found)
    assert all(not torch.equal(f.image, sample.image) for f in found)


def test_missing_calibration_is_a_sentence(small_world: PreparedDataset) -> None:
    sample = sample_of(small_world, 3)
    bare = replace(sample, camera_from_lidar=None, frame=replace(sample.frame, camera_from_lidar=None))
    with pytest.raises(CrossplaceError, match="morning-3: this method needs intrinsics and camera_from_lidar"):
        new_method().cloud_inputs(collate([bare]))
