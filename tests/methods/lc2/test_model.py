import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from batches import batch_of, count
from torch import Tensor, nn

from datasets.base import Lidar
from datasets.errors import CrossplaceError
from datasets.kitti.recording import HDL_64E
from datasets.oxford.oxford import SUBMAP
from datasets.prepared import PreparedDataset
from datasets.town.lidar import LIDARS
from datasets.vivid.vivid import OS1_64
from methods.batch import Batch
from methods.depth import QUICK_DEPTH, DepthConfig, DepthNetwork, DepthPlugin
from methods.lc2 import Lc2
from methods.lc2.config import PRESETS, Lc2Config
from methods.lc2.inputs import around, camera_headings, cloud_views, columns_of, disparity

NO_WEIGHTS = DepthConfig(source=DepthPlugin(function="math:sqrt"))
"""A source of depth without parameters; never asked."""
SMALL = Lc2Config(
    weights="none",
    depth=replace(QUICK_DEPTH, source=DepthNetwork(height=24, width=32, channels=(4, 8))),
    backbone="resnet18",
    backbone_block=1,
    image_size=(16, 32),
    fov_deg=None,
    clusters=3,
)


@pytest.fixture
def batch(small_world: PreparedDataset) -> Batch:
    return batch_of(small_world, 0, 5, 9)


def paper(**changes: object) -> Lc2:
    """The published architecture without memory for its weights."""
    config = replace(PRESETS["paper"], weights="none", depth=NO_WEIGHTS, **changes)
    with torch.device("meta"):
        return Lc2(config)


# --- architecture --------------------------------------------------------------------------------


def test_the_published_model_has_the_computed_number_of_parameters() -> None:
    """Two VGG16 up to conv5_3, one NetVLAD of 16 clusters without bias, GeM's exponent: 29.45 M."""
    vgg, netvlad = 14_714_688, 2 * 16 * 512
    assert count(paper()) == 2 * vgg + netvlad + 1
    assert round((2 * vgg + netvlad) / 1e6, 2) == 29.45


def test_the_published_descriptor_takes_32_kib() -> None:
    [spec] = paper().descriptors
    assert (spec.size, spec.size * 4) == (8192, 32 * 1024)


def test_published_features_are_512_channels_at_a_sixteenth_with_both_signs() -> None:
    method = paper()
    assert (method.image_encoder.channels, method.image_encoder.map_size) == (512, (30, 40))
    layers = [*method.image_encoder.encoder.features]
    assert isinstance(layers[28], nn.Conv2d)
    assert isinstance(layers[29], nn.Identity)
    assert len(layers) == 30


def test_with_pretrained_weights_only_conv5_is_trained_and_from_scratch_all() -> None:
    method = paper()
    everything = {id(p) for module in method.trained_encoders() for p in module.parameters()}
    encoders = {id(p) for e in (method.image_encoder, method.cloud_encoder) for p in e.parameters()}
    assert everything == encoders
    method.config = replace(method.config, weights="vgg16.safetensors")
    trained = [p for module in method.trained_encoders() for p in module.parameters()]
    assert sum(p.numel() for p in trained) == 2 * 7_079_424  # 14.2 M
    branches = [encoder.encoder.features for encoder in (method.image_encoder, method.cloud_encoder)]
    kernels = {id(layers[i].weight) for layers in branches for i in (24, 26, 28)}
    assert kernels == {id(p) for p in trained if p.ndim == 4}


def test_with_pretrained_weights_the_last_stage_of_a_resnet_is_trained() -> None:
    method = Lc2(SMALL)
    method.config = replace(SMALL, weights="timm")
    trained = {id(p) for module in method.trained_encoders() for p in module.parameters()}
    stages = (method.image_encoder.encoder.layer1, method.cloud_encoder.encoder.layer1)
    assert trained == {id(p) for stage in stages for p in stage.parameters()}


def test_the_encoders_share_nothing_and_the_pooling_is_one() -> None:
    method = Lc2(SMALL)
    images, clouds = ({id(p) for p in e.parameters()} for e in (method.image_encoder, method.cloud_encoder))
    assert not images & clouds
    picture = torch.rand(1, 1, 16, 32)
    assert not torch.equal(method.image_features(picture), method.cloud_features(picture))


def test_published_training() -> None:
    config = PRESETS["paper"]
    phases = (config.contrastive, config.vlad, config.triplet)
    assert [(r.epochs, r.learning_rate) for r in phases] == [(20, 1e-3), (5, 1e-3), (25, 1e-4)]
    for recipe in phases:
        assert (recipe.optimizer, recipe.momentum, recipe.weight_decay) == ("sgd", 0.9, 1e-3)
        assert [recipe.learning_rate_at(e) / recipe.learning_rate for e in (0, 4, 5, 10)] == [1, 1, 0.5, 0.25]
        assert recipe.early_stop == 10
    assert (config.tau, config.margin, config.hard_negatives, config.scale_augmentation) == (1.0, 0.1, 5, 0.2)
    assert (config.image_size, config.fov_deg, config.training_views, config.clusters) == ((480, 640), 90.0, 8, 16)


# --- inputs --------------------------------------------------------------------------------------


def test_disparity_is_bright_where_it_is_near_and_black_where_nothing_is_known() -> None:
    found = disparity(torch.tensor([0.0, 1.0, 4.0, 8.0, 40.0]), nearest_m=4.0)
    torch.testing.assert_close(found, torch.tensor([0.0, 1.0, 1.0, 0.5, 0.1]))


VLP_16 = Lidar(beams=16, vertical_fov_deg=(-15.0, 15.0), max_range_m=100.0, form="scan")


@pytest.mark.parametrize(
    ("lidar", "columns"),
    [
        (HDL_64E, 2048),
        (OS1_64, 1024),
        (SUBMAP, 1024),
        (VLP_16, 1024),
        *((LIDARS[name].block(), columns) for name, columns in (("hdl-64", 2048), ("os1-64", 1024), ("vlp-32", 1024))),
    ],
)
def test_sensors_of_the_datasets_have_the_published_columns(lidar: Lidar, columns: int) -> None:
    assert columns_of(lidar) == columns


def ring(range_m: float, centre_deg: float, width_deg: float) -> Tensor:
    """Points on the horizon around an azimuth."""
    azimuth = torch.deg2rad(torch.linspace(centre_deg - width_deg / 2, centre_deg + width_deg / 2, 200))
    return torch.stack([range_m * azimuth.cos(), range_m * azimuth.sin(), torch.zeros(200)], dim=1)


def with_clouds(batch: Batch, *clouds: Tensor) -> Batch:
    assert batch.clouds is not None
    index = torch.repeat_interleave(torch.tensor([len(cloud) for cloud in clouds]))
    batch.clouds = replace(batch.clouds, points=torch.cat(clouds), batch_index=index)
    return batch


def test_the_single_view_is_where_the_camera_looks(batch: Batch) -> None:
    """The small world's camera looks along x and is 90° wide: only what stands ahead is seen, left on the left."""
    ahead_left, behind = ring(8.0, 30.0, 20.0), ring(5.0, 180.0, 150.0)
    method = Lc2(SMALL)
    heading, width = camera_headings(batch)
    torch.testing.assert_close(heading, torch.zeros(3), atol=1e-6, rtol=0)
    torch.testing.assert_close(width, torch.full((3,), math.pi / 2))
    found = method.cloud_inputs(with_clouds(batch, behind, ahead_left, torch.cat([behind, ahead_left])))
    assert found.shape == (3, 1, 16, 32)
    assert not found[0].any()
    torch.testing.assert_close(found[1], found[2])
    columns = (found[1, 0].amax(0) > 0.1).nonzero()[:, 0]
    # 20° to 40° left of ahead, of 45° to each side: columns 32 · (45 - 40) / 90 to 32 · (45 - 20) / 90
    assert (int(columns.min()), int(columns.max())) == (1, 8)
    assert float(found[1].max()) == pytest.approx(0.5, abs=0.01)


def test_a_panorama_is_seen_in_overlapping_views(batch: Batch) -> None:
    """One thing 8 m away to the left (90°), seen in the views at 45°, 90° and 135°."""
    config = replace(SMALL, views=8, fov_deg=95.0)
    found = Lc2(config).cloud_inputs(with_clouds(batch, ring(8.0, 90.0, 4.0), ring(8.0, 90.0, 4.0), torch.zeros(0, 3)))
    assert found.shape == (3, 8, 16, 32)
    assert found[0].flatten(1).any(1).tolist() == [False, True, True, True, False, False, False, False]
    assert not found[2].any()
    where = [int(found[0, view].amax(0).argmax()) for view in (1, 2, 3)]
    assert where[0] < 3
    assert where[1] in (14, 15, 16, 17)
    assert where[2] > 28


def test_a_panorama_s_views_are_single_views_towards_their_headings(batch: Batch) -> None:
    config = replace(SMALL, views=4, fov_deg=90.0)
    method, headings = Lc2(config).eval(), around(4, torch.zeros(1))
    whole = method.cloud_inputs(batch)
    encoded = method.encode_clouds(whole)["main"]
    assert encoded.shape == (3, 4, method.descriptors[0].size)
    for view in range(4):
        alone = cloud_views(batch, headings[view].expand(3, 1), config)
        torch.testing.assert_close(whole[:, view : view + 1], alone)
        torch.testing.assert_close(method.encode_clouds(alone)["main"][:, 0], encoded[:, view])
    assert method.encode_images(method.image_inputs(batch))["main"].shape[1] == 1


def test_a_sensor_s_view_does_not_depend_on_other_sensors_in_the_batch(batch: Batch) -> None:
    assert batch.clouds is not None
    other = Lidar(beams=64, vertical_fov_deg=(-24.8, 2.0), max_range_m=120.0, form="scan")
    submap = replace(other, beams=1, form="submap")
    method = Lc2(SMALL)
    alike = method.cloud_inputs(batch)
    batch.clouds = replace(batch.clouds, lidars=(batch.clouds.lidars[0], other, submap))
    mixed = method.cloud_inputs(batch)
    torch.testing.assert_close(mixed[0], alike[0])
    assert not torch.equal(mixed[1], alike[1])
    assert mixed[2].any()


def test_a_frame_without_lidar_block_is_named(batch: Batch) -> None:
    assert batch.clouds is not None
    batch.clouds = replace(batch.clouds, lidars=(*batch.clouds.lidars[:2], None))
    batch.frames = (*batch.frames[:2], replace(batch.frames[2], lidar=None), *batch.frames[3:])
    with pytest.raises(CrossplaceError, match=batch.frames[2].frame_id):
        Lc2(SMALL).cloud_inputs(batch)


def test_rows_of_depth_are_cut_from_the_whole_image(batch: Batch) -> None:
    config = replace(SMALL, image_size=(8, 32), depth_rows=(0.25, 0.75))
    torch.manual_seed(0)
    cut = Lc2(config).eval()
    torch.manual_seed(0)
    whole = Lc2(replace(config, image_size=(16, 32), depth_rows=(0.0, 1.0))).eval()
    torch.testing.assert_close(cut.image_inputs(batch), whole.image_inputs(batch)[:, :, 4:12])


def test_images_need_no_calibration_and_a_panorama_neither(batch: Batch) -> None:
    frames = tuple(replace(frame, intrinsics=None, camera_from_lidar=None) for frame in batch.frames)
    bare = replace(batch, frames=frames, intrinsics=None, camera_from_lidar=None)
    single, panorama = Lc2(SMALL), Lc2(replace(SMALL, views=8, fov_deg=90.0))
    torch.testing.assert_close(single.eval().image_inputs(bare), single.image_inputs(batch))
    assert panorama.cloud_inputs(bare).shape[1] == 8
    with pytest.raises(CrossplaceError, match=frames[0].frame_id):
        single.cloud_inputs(bare)


def test_encoders_see_three_equal_channels_from_minus_one_to_one(monkeypatch: pytest.MonkeyPatch) -> None:
    method, seen = Lc2(SMALL), []
    monkeypatch.setattr(method.cloud_encoder, "forward", lambda x: seen.append(x) or torch.zeros(len(x), 64, 2, 2))
    method.cloud_features(torch.tensor([0.0, 0.5, 1.0]).view(1, 1, 1, 3))
    np.testing.assert_allclose(seen[0][0].tolist(), [[[-1.0, 0.0, 1.0]]] * 3)
