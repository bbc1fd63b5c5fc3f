from dataclasses import replace

import numpy as np
import pytest
import torch
from batches import batch_of, count
from torch import Tensor
from torch.nn import functional

from datasets.base import Selection, Split
from datasets.prepared import PreparedDataset
from methods.base import ImageInput
from methods.batch import Batch
from methods.layers.range_image import RangeView, range_image
from methods.learning.losses import soft_target_cross_entropy, symmetric_info_nce
from methods.liploc import EMPTY, HDL64_AHEAD, PRESETS, LipLoc, ProjectionHead, random_triplet

SPLIT = Split(train=Selection(), validation=Selection())
SMALL = replace(
    PRESETS["quick"],
    image=ImageInput(height=24, width=32, per_image=True),
    view=RangeView(rows=16, columns=32, azimuth_deg="camera", max_range_m=50.0),
    holes_probability=0.0,
)


@pytest.fixture
def batch(small_world: PreparedDataset) -> Batch:
    return batch_of(small_world, 0, 12, 5, 10)


# --- architecture --------------------------------------------------------------------------------


@pytest.mark.parametrize(("preset", "millions"), [("paper", 48.20), ("paper-vit", 46.09)])
def test_parameters_are_as_many_as_published(preset: str, millions: float) -> None:
    method = LipLoc(replace(PRESETS[preset], weights="none"))
    assert round(count(method) / 1e6, 2) == millions
    assert 4 * method.descriptors[0].size == 1024
    assert method.descriptors[0].distance == "dot"


def test_the_head_is_linear_plus_a_residual_normalised_by_layer() -> None:
    head = ProjectionHead(7, 5, dropout=0.5).eval()
    features = torch.randn(3, 7)
    projected = features @ head.projection.weight.T + head.projection.bias
    _, linear, _ = head.residual
    wanted = projected + functional.gelu(projected) @ linear.weight.T + linear.bias
    wanted = (wanted - wanted.mean(1, keepdim=True)) / (wanted.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(head(features), wanted)


def test_a_transformer_keeps_its_final_norm_and_is_widened_to_the_head() -> None:
    method = LipLoc(replace(PRESETS["paper-vit"], weights="none", image=ImageInput(height=32, width=32)))
    backbone, wider = method.image_branch.encoder
    pixels = torch.randn(2, 3, 32, 32)
    features = backbone.eval()(pixels)
    torch.testing.assert_close(features.mean(1), torch.zeros(2), atol=1e-5, rtol=0)
    assert wider(features).shape == (2, 2048)


# --- inputs --------------------------------------------------------------------------------------


def test_the_window_ahead_is_the_published_crop_of_the_full_image(batch: Batch) -> None:
    full = RangeView(rows=64, columns=900, vertical_fov_deg=(-25.0, 3.0), max_range_m=50.0)
    found, whole = range_image(batch, HDL64_AHEAD), range_image(batch, full)
    assert (found > 0).sum() > 100
    different = found != whole[:, :32, 300:600]
    assert different.float().mean() < 1e-3  # points on the very edge of a pixel


def test_pixels_are_grey_levels_of_range(batch: Batch) -> None:
    image = ImageInput(height=16, width=32)  # the size of the view, so that nothing is resampled
    method = LipLoc(replace(SMALL, image=image))
    mean, std = torch.tensor(method.config.image.mean), torch.tensor(method.config.image.std)
    grey = (method.cloud_inputs(batch) * std[:, None, None] + mean[:, None, None]) * 255
    range_m = range_image(batch, method.config.view)
    expected = torch.where(range_m > 0, (5.1 * range_m).floor(), 255 * EMPTY)
    assert (range_m > 0).any()
    assert ((grey - expected[:, None]).abs() < 1e-3).float().mean() > 0.999
    assert np.array(-1 * 5.1).astype(np.int32).astype(np.uint8) == EMPTY * 255


# --- training ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "function"),
    [("soft", soft_target_cross_entropy), ("diagonal", symmetric_info_nce), ("triplet", random_triplet)],
)
def test_the_configured_loss_is_taken_of_both_branches(batch: Batch, loss: str, function: object) -> None:
    torch.manual_seed(0)
    method = LipLoc(replace(SMALL, loss=loss)).eval()
    images = method.encode_images(method.image_inputs(batch))["main"][:, 0]
    clouds = method.encode_clouds(method.cloud_inputs(batch))["main"][:, 0]
    output = method.stages(SPLIT)[0](batch)
    assert output.loss_sum.item() == pytest.approx(function(images, clouds, SMALL.temperature)[0].item(), rel=1e-5)
    assert output.count == 4


def test_random_triplets_worked_out_by_hand() -> None:
    images, clouds = torch.tensor([[0.0], [1.0], [5.0]]), torch.tensor([[0.5], [1.05], [0.1]])
    # to the own cloud, and to the cloud of the frame before: 0.5, 0.1; 0.05, 0.5; 4.9, 3.95
    of_images = (0.5 - 0.1 + 0.2) + 0 + (4.9 - 3.95 + 0.2)
    # to the own image, and to the image of the frame before: 0.5, 4.5; 0.05, 1.05; 4.9, 0.9
    of_clouds = 0 + 0 + (4.9 - 0.9 + 0.2)
    total, count = random_triplet(images, clouds)
    assert total.item() == pytest.approx((of_images + of_clouds) / 2, abs=1e-4)
    assert count == 3


def test_each_part_learns_at_its_published_rate_and_only_heads_decay() -> None:
    config = replace(PRESETS["paper"], weights="none")
    method = LipLoc(config)
    stage = method.stages(SPLIT)[0]
    rates = [config.recipe.learning_rate * group.learning_rate_factor for group in stage.groups()]
    assert rates == pytest.approx([1e-5, 1e-4, 1e-3])
    decays = [config.recipe.weight_decay if g.weight_decay is None else g.weight_decay for g in stage.groups()]
    assert decays == [0, 0, 1e-3]
    in_groups = [id(p) for g in stage.groups() for m in g.modules for p in m.parameters()]
    assert sorted(in_groups) == sorted(id(p) for p in method.parameters())
    # Patience 1: after the second epoch without a better score.
    assert [config.recipe.learning_rate_at(e, [1.0, 2.0, 2.0, 2.0][:e]) for e in range(4)] == [
        1e-3,
        1e-3,
        1e-3,
        pytest.approx(8e-4),
    ]


def test_holes_are_cut_in_training_alone(batch: Batch) -> None:
    torch.manual_seed(0)
    method = LipLoc(replace(SMALL, holes_probability=1.0, dropout=0.0))
    stage = method.stages(SPLIT)[0].eval()

    def loss() -> Tensor:
        torch.manual_seed(1)
        return stage(batch).loss_sum.detach()

    whole = loss()
    for module in stage.trainable()[1:]:  # the networks stay as they are in validation
        module.train()
    assert not torch.isclose(loss(), whole)


@pytest.mark.parametrize("name", LipLoc.variants)
def test_each_variant_changes_every_preset_but_those_that_are_so(name: str) -> None:
    same = [preset for preset, config in PRESETS.items() if LipLoc.variants[name].change(config) == config]
    assert same == {"resnet50": ["gpu", "paper"], "vit-s16": ["paper-vit"]}.get(name, [])
