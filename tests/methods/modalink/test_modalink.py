from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from batches import batch_of, count, sample_of
from scipy.spatial.distance import cdist
from torch import Tensor

from datasets.base import Frames, Selection, Split
from datasets.errors import CrossplaceError
from datasets.kitti import Kitti
from datasets.prepared import PreparedDataset
from methods.base import ImageInput
from methods.batch import collate
from methods.layers.camera_plane import densified, depth_image
from methods.modalink import ModaLink
from methods.modalink.config import PRESETS, VARIANTS, ModaLinkConfig
from methods.modalink.stages import SharedStage, cross_modal_triplets, nearest_beyond

SMALL = ModaLinkConfig(
    weights="none",
    backbone="resnet18",
    backbone_block=1,
    image=ImageInput(height=24, width=32, per_image=True),
    clusters=4,
    factors=3,
    updates=10,
)
SPLIT = Split(train=Selection(), validation=Selection())


def new_method(config: ModaLinkConfig = SMALL) -> ModaLink:
    torch.manual_seed(0)
    return ModaLink(config)


def stage_of(method: ModaLink) -> SharedStage:
    [stage] = method.stages(SPLIT)
    assert isinstance(stage, SharedStage)
    return stage


# --- the published architecture ------------------------------------------------------------------


@pytest.fixture(scope="module")
def published() -> ModaLink:
    """Everything that can be in a descriptor, without pretrained weights."""
    return ModaLink(replace(PRESETS["paper"], weights="none", mlp=True)).eval()


def test_the_resnet34_part_has_8_17_million_parameters(published: ModaLink) -> None:
    assert count(published.network.backbone) == 8_170_304


def test_descriptors_are_as_long_as_published(published: ModaLink) -> None:
    assert published.network.pool.out_channels == 16_384
    assert published.network.heat_pool.out_channels == 1_024
    assert published.descriptors[0].size == 18_432  # 72 KiB in float32
    with torch.inference_mode():
        maps = published.network.feature_map(torch.randn(1, 3, 128, 800))
        assert maps.shape == (1, 256, 8, 50)
        torch.testing.assert_close(maps.norm(dim=1), torch.ones(1, 8, 50))
        found = published.network.describe(maps)
    assert found.shape == (1, 18_432)
    parts = found[0].split([16_384, 1_024, 1_024])
    torch.testing.assert_close(torch.stack([part.norm() for part in parts]), torch.full((3,), 3**-0.5))


@pytest.mark.parametrize(
    ("variant", "size"),
    [("", 4 * 64 + 4 * 3), ("without-nmf", 4 * 64), ("nmf-per-batch", 268), ("with-mlp", 268 + 1024)],
)
def test_variants_change_the_branches(variant: str, size: int, small_world: PreparedDataset) -> None:
    method = new_method(VARIANTS[variant].change(SMALL) if variant else SMALL).eval()
    assert method.descriptors[0].size == size
    assert method.encode_images(method.image_inputs(batch_of(small_world, 0, 5)))["main"].shape == (2, 1, size)


def test_presets_hold_the_published_values() -> None:
    paper = PRESETS["paper"]
    assert isinstance(paper, ModaLinkConfig)
    recipe = paper.recipe
    assert (recipe.optimizer, recipe.epochs, recipe.batch_size, recipe.learning_rate) == ("adam", 200, 20, 1e-4)
    assert recipe.learning_rate_at(10) == pytest.approx(0.9e-4)
    assert (paper.margin, paper.map_margin, paper.updates, paper.nmf) == (0.3, 0.03, 50, "sample")
    kitti = PRESETS["paper-kitti"]
    assert isinstance(kitti, ModaLinkConfig)
    assert round(kitti.upper_cut * 376) == 165


# --- inputs --------------------------------------------------------------------------------------


def test_a_cloud_becomes_the_densified_depth_as_a_grey_image(small_world: PreparedDataset) -> None:
    method, batch = new_method(), batch_of(small_world, 0, 5)
    found = method.cloud_inputs(batch)
    matrices, intrinsics = batch.camera_from_lidar, batch.intrinsics
    depth_m = depth_image(batch.clouds.points, batch.clouds.batch_index, matrices, intrinsics, 24, 32)
    filled = densified(depth_m, 4, 2)
    assert 0 < (depth_m > 0).sum() < (filled > 0).sum()
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    grey = found * std[:, None, None] + mean[:, None, None]
    torch.testing.assert_close(grey, (filled / 80).expand(-1, 3, -1, -1), atol=1e-5, rtol=1e-5)


def test_depth_beyond_the_limit_is_as_bright_as_an_image_gets(small_world: PreparedDataset) -> None:
    found = new_method(replace(SMALL, far_m=1.0, fill_passes=0)).cloud_inputs(batch_of(small_world, 0))
    assert found[0, 0].max() == pytest.approx((1 - 0.485) / 0.229)
    assert found[0, 0].min() == pytest.approx((0 - 0.485) / 0.229)


def test_image_and_depth_lose_the_same_upper_rows(small_world: PreparedDataset) -> None:
    sample = sample_of(small_world, 0)
    sample.image[:, :12] = 0
    cut = new_method(replace(SMALL, upper_cut=0.5, image=ImageInput(height=12, width=32), fill_passes=0))
    whole = new_method(replace(SMALL, image=ImageInput(height=24, width=32), fill_passes=0))
    batch = collate([sample])
    torch.testing.assert_close(cut.image_inputs(batch), whole.image_inputs(batch)[:, :, 12:])
    torch.testing.assert_close(cut.cloud_inputs(batch), whole.cloud_inputs(batch)[:, :, 12:])


@pytest.mark.data
def test_real_scans_fill_the_image_below_the_crop(kitti_mini: Path, tmp_path: Path) -> None:
    for _ in Kitti().prepare(kitti_mini, tmp_path):
        pass
    dataset = PreparedDataset.read(tmp_path)
    method = ModaLink(
        replace(SMALL, upper_cut=165 / 376, image=ImageInput(height=128, width=800, per_image=True), fill_radius=4)
    )
    inputs = method.cloud_inputs(batch_of(dataset, 0, len(dataset.frames) - 1))
    is_known = inputs > inputs.min()
    assert (is_known.float().mean((1, 2, 3)) > 0.98).all()


def test_missing_calibration_is_a_sentence(small_world: PreparedDataset) -> None:
    sample = sample_of(small_world, 3)
    bare = replace(sample, intrinsics=None, frame=replace(sample.frame, intrinsics=None))
    with pytest.raises(CrossplaceError, match="morning-3: this method needs intrinsics"):
        new_method().cloud_inputs(collate([bare]))


# --- descriptors ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("variant", "depends"), [("", False), ("nmf-per-batch", True)])
def test_only_the_published_factorisation_mixes_the_frames_of_a_batch(
    small_world: PreparedDataset, variant: str, *, depends: bool
) -> None:
    method = new_method(VARIANTS[variant].change(SMALL) if variant else SMALL).eval()
    inputs = method.cloud_inputs(batch_of(small_world, 0, 4, 8))
    with torch.inference_mode():
        together, alone = method.network(inputs)[0], method.network(inputs[:1])[0]
    heat = method.network.pool.out_channels
    torch.testing.assert_close(together[:heat], alone[:heat], atol=1e-5, rtol=1e-5)
    assert bool((together[heat:] - alone[heat:]).abs().max() > 1e-4) == depends


def test_both_modalities_go_through_one_network(small_world: PreparedDataset) -> None:
    method = new_method().eval()
    pixels = method.cloud_inputs(batch_of(small_world, 0, 4))
    with torch.inference_mode():
        assert torch.equal(method.encode_images(pixels)["main"], method.encode_clouds(pixels)["main"])


# --- training ------------------------------------------------------------------------------------


def triplets_by_loop(distance: Tensor, negative: Tensor, margin: float, mining: str) -> list[float]:
    losses = []
    for rows, others in ((distance, negative), (distance.T, negative.T)):
        for i in range(len(rows)):
            found = [float(rows[i, j]) for j in range(len(rows)) if others[i, j]]
            chosen = [min(found)] if mining == "hardest" and found else found
            losses += [max(float(rows[i, i]) - d + margin, 0.0) for d in chosen]
    return losses


@pytest.mark.parametrize("mining", ["hardest", "all"])
def test_triplets_are_those_of_a_loop(mining: str) -> None:
    generator = torch.Generator().manual_seed(0)
    distance = torch.rand(6, 6, generator=generator)
    negative = torch.rand(6, 6, generator=generator) > 0.5
    negative = negative & negative.T & ~torch.eye(6, dtype=torch.bool)
    negative[2], negative[:, 2] = False, False  # an anchor without negatives
    found = cross_modal_triplets(distance, negative, 0.3, mining)
    torch.testing.assert_close(found, torch.tensor(triplets_by_loop(distance, negative, 0.3, mining)))


def test_the_loss_is_that_of_descriptors_and_of_maps(small_world: PreparedDataset) -> None:
    method = new_method().eval()
    rows = (0, 12, 5, 8)  # the second is a metre beside the first: no negative of it
    batch = batch_of(small_world, *rows)
    with torch.no_grad():
        output = stage_of(method)(batch)
    network = method.network.requires_grad_(False)
    images = network.feature_map(method.image_inputs(batch))
    clouds = network.feature_map(method.cloud_inputs(batch))
    position_m = small_world.frames.position_m[list(rows)]
    negative = torch.from_numpy(cdist(position_m[:, :2], position_m[:, :2]) > 2.0)
    assert negative.sum() == 10
    descriptors = (network.describe(images)[:, None] - network.describe(clouds)[None]).norm(dim=2)
    maps = (images[:, None] - clouds[None]).abs().mean((2, 3, 4))
    first = triplets_by_loop(descriptors, negative, 0.3, "hardest")
    second = triplets_by_loop(maps, negative, 0.03, "hardest")
    assert float(output.count) == len(first) == 8
    assert float(output.loss_sum) == pytest.approx(sum(first) + sum(second), rel=1e-4)
    assert float(output.statistics["active"]) == sum(loss > 0 for loss in first)


def test_heat_maps_teach_their_pooling_but_not_the_backbone(small_world: PreparedDataset) -> None:
    method = new_method()
    maps = method.network.feature_map(method.image_inputs(batch_of(small_world, 0, 4)))
    method.network.heat_pool(method.network.heat(maps))[:, 0].sum().backward()
    assert all(p.grad is None for p in method.network.backbone.parameters())
    assert all(p.grad is not None for p in method.network.heat_pool.parameters())


def test_clusters_start_from_features_of_both_modalities(small_world: PreparedDataset) -> None:
    method = new_method().eval()
    before = {name: p.clone() for name, p in method.named_parameters()}
    with torch.no_grad():
        stage_of(method).before(iter([batch_of(small_world, 0, 4), batch_of(small_world, 8, 11)]))
    moved = {name for name, p in method.named_parameters() if not torch.equal(p, before[name])}
    pools = ("pool", "heat_pool")
    assert moved == {f"network.{p}.{n}" for p in pools for n in ("centres", "assignment.weight", "assignment.bias")}


def world_of(frames: Frames, rows: list[int]) -> Frames:
    """The same frames, some of them in another world."""
    world = frames.world.copy()
    world[rows] = "elsewhere"
    return replace(frames, world=world)


def test_partners_are_the_nearest_frames_of_another_place_in_the_same_world(small_world: PreparedDataset) -> None:
    frames = world_of(small_world.frames, [3, 30])
    found = nearest_beyond(frames, 2.0)
    for row, partner in enumerate(found):
        distances = {
            other: float(np.hypot(*(frames.position_m[other, :2] - frames.position_m[row, :2])))
            for other in range(len(frames))
            if frames.world[other] == frames.world[row]
        }
        beyond = {other: d for other, d in distances.items() if d > 2.0}
        assert distances[int(partner[0])] == min(beyond.values())
    assert found[3].tolist() == [30]
    assert nearest_beyond(frames.take(np.array([0, 3])), 2.0)[0].size == 0


def test_batches_hold_frames_with_their_hard_partners(small_world: PreparedDataset) -> None:
    sampler = stage_of(new_method()).sampler(small_world.frames, training=True)
    batches = sampler.batches(np.random.default_rng(0))
    assert all(len(batch) == 20 for batch in batches[:-1])
    drawn = {row for batch in batches for row in batch}
    assert len(drawn) > len(small_world.frames) - 4  # a last batch of fewer than four is left out
    position_m = small_world.frames.position_m
    for first, second in (batch[i : i + 2] for batch in batches for i in range(0, len(batch), 2)):
        assert 2.0 < np.hypot(*(position_m[first, :2] - position_m[second, :2])) <= 12.5
