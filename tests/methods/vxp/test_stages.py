from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from batches import sample_of
from small_vxp import (
    CONFIG,
    PLACES,
    SPLIT,
    changed,
    mean_loss,
    optimizer_of,
    snapshot,
    stage_of,
    train_step,
)
from torch import Tensor, nn

from datasets.prepared import PreparedDataset
from methods.batch import Batch, Sample, collate
from methods.learning.augment import joint_turn, mirror
from methods.learning.losses import batch_hard_triplet, pair_masks
from methods.learning.normalisation import measured_statistics
from methods.learning.relighting import Relighting
from methods.vxp import Vxp
from methods.vxp.cloud_branch import InViewVoxels
from methods.vxp.config import Augmentation
from methods.vxp.stages import pixels_at

STAGES = ("teacher", "local", "global")


@pytest.fixture
def method() -> Vxp:
    torch.manual_seed(0)
    return Vxp(CONFIG)


# --- all stages ----------------------------------------------------------------------------------


def test_stages_come_in_the_published_order(method: Vxp) -> None:
    stages = method.stages(SPLIT)
    assert [stage.name for stage in stages] == list(STAGES)
    assert [stage.modalities for stage in stages] == [("image",), ("image", "cloud"), ("image", "cloud")]
    assert [stage.recipe for stage in stages] == [CONFIG.teacher, CONFIG.local_stage, CONFIG.global_stage]


@pytest.mark.parametrize(
    ("name", "trained"),
    [
        ("teacher", {"image_branch.backbone", "image_branch.pool", "image_branch.head"}),
        ("local", {"cloud_branch.feature_encoder", "cloud_branch.encoder"}),
        (
            "global",
            {"cloud_branch.feature_encoder", "cloud_branch.encoder", "cloud_branch.pool", "cloud_branch.head"},
        ),
    ],
)
def test_a_step_changes_what_the_stage_trains_and_nothing_else(
    method: Vxp, batch: Batch, name: str, trained: set[str]
) -> None:
    stage = stage_of(method, name)
    before = snapshot(method)
    train_step(stage, batch, optimizer_of(stage))
    # batch-norm statistics included: those of a frozen teacher must stand still
    assert changed(method, before) == trained
    frozen = [p for n, p in method.named_parameters() if ".".join(n.split(".")[:2]) not in trained]
    assert all(p.grad is None for p in frozen)


@pytest.mark.parametrize("name", ["local", "global"])
def test_no_gradient_reaches_the_teacher_even_if_nobody_freezes_it(method: Vxp, batch: Batch, name: str) -> None:
    stage = stage_of(method, name)
    method.requires_grad_(True)
    mean_loss(stage, batch).backward()
    assert all(p.grad is None for p in method.image_branch.parameters())
    assert all(p.grad is not None for p in method.cloud_branch.encoder.parameters())


@pytest.mark.parametrize("name", STAGES)
def test_gradients_reach_every_trained_parameter_and_are_finite(method: Vxp, batch: Batch, name: str) -> None:
    for norm in (m for m in method.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.ones_(norm.weight)  # timm starts some at zero, which stops the gradient of the layer before
    stage = stage_of(method, name)
    mean_loss(stage, batch).backward()
    for module in stage.trainable():
        for parameter in module.parameters():
            assert parameter.grad.isfinite().all()
            assert parameter.grad.abs().sum() > 0


@pytest.mark.parametrize("name", STAGES)
def test_one_step_lowers_the_loss_of_a_fixed_batch(method: Vxp, batch: Batch, name: str) -> None:
    stage = stage_of(method, name)
    before = mean_loss(stage, batch).item()
    train_step(stage, batch, optimizer_of(stage))
    assert mean_loss(stage, batch).item() < before


@pytest.mark.parametrize("name", ["local", "global"])
@pytest.mark.parametrize("empty", [(0,), (2,), (5,), tuple(range(6))], ids=["first", "middle", "last", "all"])
def test_empty_clouds_give_finite_losses_and_gradients(
    method: Vxp, small_world: PreparedDataset, name: str, empty: tuple[int, ...]
) -> None:
    samples = [sample_of(small_world, row) for row in PLACES]
    for i in empty:
        samples[i].points = torch.zeros(0, 3)
    stage = stage_of(method, name)
    loss = mean_loss(stage, collate(samples))
    loss.backward()
    assert loss.isfinite()
    gradients = [p.grad for p in method.cloud_branch.parameters() if p.grad is not None]
    assert gradients
    assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("name", STAGES)
def test_a_batch_of_one_frame_trains(method: Vxp, small_world: PreparedDataset, name: str) -> None:
    stage = stage_of(method, name)
    loss = mean_loss(stage, collate([sample_of(small_world, 0)]))
    loss.backward()
    assert loss.isfinite()


# --- teacher -------------------------------------------------------------------------------------


def test_teacher_loss_is_the_batch_hard_triplet_of_its_descriptors(method: Vxp, batch: Batch) -> None:
    stage = stage_of(method, "teacher").eval()
    with torch.no_grad():
        output = stage(batch)
        embeddings = method.encode_images(method.image_inputs(batch))["main"][:, 0]
        loss_sum, active, triplets = batch_hard_triplet(embeddings, *pair_masks(batch.frames, SPLIT, "cpu"), 0.3)
    assert float(triplets) == 6
    torch.testing.assert_close(output.loss_sum, loss_sum)
    assert torch.equal(output.count, active)
    assert output.statistics == {"active": active, "triplets": triplets}


def test_teacher_is_chosen_by_loss_times_share_of_active_triplets(method: Vxp) -> None:
    stage = stage_of(method, "teacher")
    assert stage.score({"loss": 0.4, "active": 30.0, "triplets": 120.0}) == pytest.approx(0.1)
    assert stage.score({"loss": 0.0, "active": 0.0, "triplets": 0.0}) == 0
    assert stage_of(method, "global").score({"loss": 0.4}) == 0.4


def test_teacher_batches_are_pairs_of_places_that_grow_in_training_only(
    method: Vxp, small_world: PreparedDataset
) -> None:
    stage, frames = stage_of(method, "teacher"), small_world.frames
    sampler = stage.sampler(frames, training=True)
    batches = sampler.batches(np.random.default_rng(0))
    rows = [row for drawn in batches for row in drawn]
    for first, second in zip(rows[::2], rows[1::2], strict=True):
        # drives are at most 2 m apart at the same place, places 12 m
        assert first % 12 == second % 12
        assert first != second
    assert len(batches[0]) == CONFIG.teacher.batch_size
    few = {"active": 1.0, "triplets": 10.0}
    validation = stage.sampler(frames, training=False)
    for grown in (sampler, validation):
        grown.after_epoch(few)
    assert (sampler.batch_size, validation.batch_size) == (22, 16)


# --- local ---------------------------------------------------------------------------------------


def test_local_loss_agrees_with_a_loop_over_voxels(method: Vxp, batch: Batch) -> None:
    stage = stage_of(method, "local").eval()
    with torch.no_grad():
        output = stage(batch)
        feature_map = method.image_branch.backbone(method.image_inputs(batch))
        seen = method.cloud_branch.in_view(method.cloud_inputs(batch))
    side, terms = feature_map.shape[-1], []
    for i in range(len(seen.features)):
        u, v = (seen.uv[i] * side).tolist()
        target = feature_map[seen.batch_index[i], :, int(v), int(u)]
        for difference in (seen.features[i] - target).abs().tolist():
            smooth = 0.5 * difference**2 if difference < 1 else difference - 0.5
            terms.append(smooth / float(seen.depth_m[i]))
    assert len(seen.features) > 20
    assert int(output.count) == len(terms) == len(seen.features) * 64
    assert mean_loss(stage, batch).item() == pytest.approx(sum(terms) / len(terms), rel=1e-4)


def test_pixels_are_looked_up_by_the_cell_a_voxel_falls_into() -> None:
    # the value of a cell is 100 · sample + 10 · row + column
    sample, row, column = torch.meshgrid(torch.arange(2), torch.arange(3), torch.arange(4), indexing="ij")
    feature_map = (100 * sample + 10 * row + column).float()[:, None]
    uv = torch.tensor([[1e-7, 1e-7], [0.2499, 0.34], [0.25, 0.34], [0.9999999, 0.9999999], [0.6, 0.5]])
    index = torch.tensor([0, 0, 0, 0, 1])
    seen = InViewVoxels(features=torch.zeros(5, 1), batch_index=index, uv=uv, depth_m=torch.ones(5))
    assert pixels_at(feature_map, seen)[:, 0].tolist() == [0, 10, 11, 23, 112]


# --- global --------------------------------------------------------------------------------------


def test_global_loss_is_the_mean_smooth_l1_to_the_teacher_s_descriptors(method: Vxp, batch: Batch) -> None:
    stage = stage_of(method, "global").eval()
    with torch.no_grad():
        images = method.encode_images(method.image_inputs(batch))["main"].flatten().tolist()
        clouds = method.encode_clouds(method.cloud_inputs(batch))["main"].flatten().tolist()
        found = float(mean_loss(stage, batch))
    differences = [abs(a - b) for a, b in zip(images, clouds, strict=True)]
    expected = [0.5 * d**2 if d < 1 else d - 0.5 for d in differences]
    assert found == pytest.approx(sum(expected) / len(expected), rel=1e-4)


@pytest.mark.parametrize("name", ["local", "global"])
def test_alignment_sees_every_frame_once_an_epoch(method: Vxp, small_world: PreparedDataset, name: str) -> None:
    batches = stage_of(method, name).sampler(small_world.frames, training=True).batches(np.random.default_rng(0))
    assert sorted(row for drawn in batches for row in drawn) == list(range(len(small_world.frames)))
    assert len(batches[0]) == 8


def test_centred_descriptors_are_deviations_from_what_the_global_stage_measured(method: Vxp, batch: Batch) -> None:
    torch.manual_seed(0)
    centred = Vxp(replace(CONFIG, is_centred=True))
    stage = stage_of(centred, "global")
    seen = {}
    for side, norm in centred.centring.items():
        norm.register_forward_pre_hook(lambda _, inputs, side=side: seen.update({side: inputs[0]}))
    with torch.no_grad(), measured_statistics(*stage.trainable()):
        mean_loss(stage, batch)
    measured = dict(seen)
    images, clouds = centred.image_inputs(batch), centred.cloud_inputs(batch)
    for side, encode, branch, inputs in (
        ("image", centred.encode_images, centred.image_branch, images),
        ("cloud", centred.encode_clouds, centred.cloud_branch, clouds),
    ):
        with torch.no_grad():
            found, answers = encode(inputs)["main"][:, 0], branch(inputs)
        expected = (answers - measured[side].mean(0)) / (measured[side].var(0) + 1e-5).sqrt()
        torch.testing.assert_close(found, expected / expected.norm(dim=1, keepdim=True), rtol=1e-3, atol=1e-4)


def test_the_loss_knows_nothing_of_centring(method: Vxp, batch: Batch) -> None:
    torch.manual_seed(0)
    centred = stage_of(Vxp(replace(CONFIG, is_centred=True)), "global").eval()
    assert torch.equal(mean_loss(centred, batch), mean_loss(stage_of(method, "global").eval(), batch))


# --- augmentation --------------------------------------------------------------------------------


def augmented(name: str, sample: Sample, seeds: Iterable[int], **options: Any) -> list[Sample]:
    """What the stage makes of a sample, once for each seed."""
    stage = stage_of(Vxp(replace(CONFIG, augmentation=Augmentation(**options))), name)
    return [stage.augment(sample, np.random.default_rng(seed)) for seed in seeds]


@pytest.mark.parametrize("name", STAGES)
def test_augmentation_follows_from_the_generator_alone(small_world: PreparedDataset, name: str) -> None:
    sample = sample_of(small_world, 0)
    first, again, other = augmented(name, sample, (1, 1, 2))
    assert torch.equal(first.image, again.image)
    assert torch.equal(first.points, again.points)
    assert not torch.equal(first.image, other.image)


def test_teacher_changes_only_the_image(small_world: PreparedDataset) -> None:
    sample = sample_of(small_world, 0)
    for found in augmented("teacher", sample, range(5), mirror_probability=1.0):
        assert not torch.equal(found.image, sample.image)
        assert torch.equal(found.points, sample.points)
        assert torch.equal(found.intrinsics, sample.intrinsics)


def test_local_stage_mirrors_image_and_cloud_together_or_not_at_all(small_world: PreparedDataset) -> None:
    sample = sample_of(small_world, 0)
    flipped = sample.points * torch.tensor([1.0, -1.0, 1.0])
    outcomes = []
    for found in augmented("local", sample, range(20), jitter=0.0):
        mirrored = torch.equal(found.image, sample.image.flip(-1))
        assert mirrored or torch.equal(found.image, sample.image)
        assert torch.equal(found.points, flipped if mirrored else sample.points)
        outcomes.append(mirrored)
    assert 4 <= sum(outcomes) <= 16


@pytest.mark.parametrize("name", ["local", "global"])
def test_augmentation_can_be_turned_off(small_world: PreparedDataset, name: str) -> None:
    sample = sample_of(small_world, 0)
    [found] = augmented(name, sample, [0], jitter=0.0, mirror_probability=0.0, rigid=False)
    assert torch.equal(found.image, sample.image)
    assert torch.equal(found.points, sample.points)


def test_random_light_takes_the_place_of_jitter_and_leaves_clouds_alone(small_world: PreparedDataset) -> None:
    sample, light = sample_of(small_world, 0), Relighting(blur_probability=0.0)
    for name in ("teacher", "local"):
        options = {"relighting": light, "mirror_probability": 0.0, "teacher_affine": False}
        [found] = augmented(name, sample, [3], **options)
        rng = np.random.default_rng(3)
        if name == "local":
            rng.random()  # the draw for mirroring
        assert torch.equal(found.image, light(sample.image, rng))
        assert torch.equal(found.points, sample.points)


@pytest.mark.parametrize("name", ["teacher", "local"])
def test_a_turn_is_that_of_a_vehicle_and_lost_points_are_lost(small_world: PreparedDataset, name: str) -> None:
    sample = sample_of(small_world, 0)
    options = {"jitter": 0.0, "mirror_probability": 0.0, "teacher_affine": False, "turn_deg": 8.0, "lost_points": 0.4}
    angles, shares = [], []
    for seed, found in enumerate(augmented(name, sample, range(8), **options)):
        rng = np.random.default_rng(seed)
        if name == "local":
            rng.random()  # the draw for mirroring
        turned = joint_turn(sample, float(rng.uniform(-8.0, 8.0)))
        assert torch.equal(found.image, turned.image)
        kept = {tuple(point) for point in found.points.tolist()}
        assert kept <= {tuple(point) for point in turned.points.tolist()}
        angles.append(torch.equal(found.image, sample.image))
        shares.append(len(found.points) / len(sample.points))
    assert sum(angles) < 4
    assert all(0.5 < share <= 1.0 for share in shares)
    assert (min(shares) < 0.9) == (name == "local"), "the teacher has no use for points"


@pytest.mark.parametrize("affine", [False, True])
def test_global_stage_moves_the_cloud_and_the_image_only_where_published(
    small_world: PreparedDataset, affine: bool
) -> None:
    sample = sample_of(small_world, 0)
    found = augmented("global", sample, range(5), jitter=0.0, mirror_probability=0.0, affine=affine)
    assert all(torch.equal(f.image, sample.image) != affine for f in found)
    for f in found:
        moved_m = (f.points - sample.points).norm(dim=1)
        assert moved_m.max() > 0.1
        # at most 1.5 m an axis and a turn of some 10.4° about the LiDAR
        assert (moved_m <= 1.5 * 3**0.5 + 0.19 * sample.points.norm(dim=1)).all()


# --- cached answers of the teacher ---------------------------------------------------------------


def cached(**options: object) -> Vxp:
    torch.manual_seed(0)
    still = Augmentation(jitter=0.0, mirror_probability=0.5, rigid=False)
    return Vxp(replace(CONFIG, augmentation=still, teacher_features="cached", **options))


@pytest.mark.parametrize("name", ["local", "global"])
def test_cached_answers_give_the_loss_of_live_ones_also_for_mirrored_frames(
    small_world: PreparedDataset, name: str
) -> None:
    samples = [sample_of(small_world, row) for row in PLACES]
    mirrored = [mirror(sample) if number % 2 else sample for number, sample in enumerate(samples)]
    kept = stage_of(cached(), name)
    live = stage_of(Vxp(replace(cached().config, teacher_features="live")), name)
    live.method.load_state_dict(kept.method.state_dict())
    # the second round comes from memory, in another order
    for some in (samples, mirrored, samples[::-1], mirrored[::-1]):
        batch = collate(some)
        found, expected = (mean_loss(stage.eval(), batch) for stage in (kept, live))
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(
        kept(collate(mirrored)).loss_sum, kept(collate([mirror(mirror(m)) for m in mirrored])).loss_sum
    )


@pytest.mark.parametrize("name", ["local", "global"])
def test_voxels_of_thinned_clouds_are_not_kept(small_world: PreparedDataset, name: str) -> None:
    method = cached()
    thinned = replace(method.config.augmentation, lost_points=0.5)
    stage = stage_of(Vxp(replace(method.config, augmentation=thinned)), name).eval()
    sample = sample_of(small_world, 0)
    first, other = ([stage.augment(sample, np.random.default_rng(seed))] for seed in (1, 2))
    asked = [mean_loss(stage, collate(some)).item() for some in (first, other, first)]
    assert asked[0] == asked[2] != asked[1]


@pytest.mark.parametrize("name", ["local", "global"])
def test_the_teacher_and_the_voxels_are_asked_once_for_each_frame_and_its_mirror_image(
    small_world: PreparedDataset, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage, asked = stage_of(cached(), name), {"image": 0, "cloud": 0}
    method = stage.method
    original_image, original_cloud = method.image_inputs, method.cloud_branch.inputs

    def image_inputs(batch: Batch) -> Tensor:
        asked["image"] += len(batch)
        return original_image(batch)

    def cloud_inputs(batch: Batch) -> object:
        asked["cloud"] += len(batch)
        return original_cloud(batch)

    monkeypatch.setattr(method, "image_inputs", image_inputs)
    monkeypatch.setattr(method.cloud_branch, "inputs", cloud_inputs)
    samples = [sample_of(small_world, row) for row in PLACES]
    for some in (samples, samples[:2], [mirror(sample) for sample in samples], samples):
        mean_loss(stage, collate(some)).backward()
    assert asked == {"image": 12, "cloud": 12}


def test_a_forgetful_stage_gives_bit_for_bit_the_same_losses(small_world: PreparedDataset) -> None:
    samples = [sample_of(small_world, row) for row in PLACES]
    knows, forgets = (stage_of(cached(), "global").eval() for _ in range(2))
    mean_loss(knows, collate(samples))
    forgets._answers.limit_bytes = forgets._clouds.remembered.limit_bytes = 0
    for some in (samples[:1], samples[1:4], samples[2:]):
        assert torch.equal(mean_loss(knows, collate(some)), mean_loss(forgets, collate(some)))


def test_autocast_leaves_no_trace_in_cached_answers(small_world: PreparedDataset) -> None:
    batch, stage = collate([sample_of(small_world, row) for row in PLACES]), stage_of(cached(), "global")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        asked_in_half = stage.answers(stage.teacher, batch)
    anew = stage_of(cached(), "global")
    assert torch.equal(asked_in_half, anew.answers(anew.teacher, batch))


def test_cached_answers_mean_images_without_jitter_and_moved_clouds_are_voxelized_anew(
    small_world: PreparedDataset,
) -> None:
    sample = sample_of(small_world, 0)
    config = replace(CONFIG, augmentation=Augmentation(affine=True), teacher_features="cached")
    for name in ("local", "global"):
        stage = stage_of(Vxp(config), name)
        for seed in range(6):
            found = stage.augment(sample, np.random.default_rng(seed))
            assert torch.equal(found.image, sample.image.flip(-1) if found.is_mirrored else sample.image)
        assert stage._clouds.is_kept == (name == "local")
