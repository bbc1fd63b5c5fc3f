from dataclasses import replace

import pytest
import torch
from batches import batch_of, count
from small_vxp import CONFIG
from torch import Tensor, nn

from datasets.prepared import PreparedDataset
from methods.base import ImageInput
from methods.layers.projection import network_from_lidar, voxel_centres
from methods.layers.sparse.modules import RowNorm, SparseTensor
from methods.layers.sparse.sites import Sites
from methods.vxp import Vxp
from methods.vxp.cloud_branch import CloudBranch
from methods.vxp.config import VxpConfig
from methods.vxp.image_branch import ImageBranch
from methods.vxp.published import KITTI, OXFORD

SMALL = replace(CONFIG, image=ImageInput(height=64, width=64, antialias=False))


@pytest.fixture(scope="module")
def published() -> CloudBranch:
    """The cloud branch of the paper beside a ViT-S/8, whose feature map has 384 channels."""
    return CloudBranch(VxpConfig(), out_channels=384)


@pytest.fixture
def small() -> Vxp:
    torch.manual_seed(0)
    return Vxp(SMALL).eval()


# --- the published architecture ------------------------------------------------------------------


def test_parameter_counts_are_the_published_ones(published: CloudBranch) -> None:
    assert count(published.feature_encoder) == 18_944
    assert count(published.encoder) == 5_773_952
    assert count(published.pool) + count(published.head) == 98_561
    assert count(published) == 5_891_457


def test_sparse_encoder_goes_from_110_over_55_and_55_to_28_cells(published: CloudBranch) -> None:
    tensor = SparseTensor(torch.rand(1, 128), Sites(torch.tensor([[0, 40, 48, 60]]), (110, 110, 110), 1))
    shapes, channels, n_sites = [], [], []
    with torch.no_grad():
        for unit in published.encoder.eval():
            tensor = unit(tensor)
            shapes.append(tensor.sites.shape[0])
            channels.append(tensor.features.shape[1])
            n_sites.append(len(tensor.features))
            assert len(set(tensor.sites.shape)) == 1
    assert shapes == [110, 110, 55, 55, 55, 55, 55, 55, 28]
    assert channels == [16, 16, 32, 64, 64, 128, 256, 256, 384]
    # an even cell feeds one output of stride 2; the regular layer of stride 1 dilates it to 3 × 3 × 3
    assert n_sites == [1, 1, 1, 1, 1, 27, 27, 27, 27]
    assert tensor.features.min() >= 0


def test_descriptors_are_linear_in_pooled_features_and_not_normalised(small: Vxp) -> None:
    image = torch.randn(2, 3, 64, 64)
    branch = small.image_branch
    with torch.no_grad():
        found = small.encode_images(image)["main"]
        feature_map = branch.backbone(image)
        pooled = feature_map.clamp(min=1e-6).pow(3).mean((2, 3)).pow(1 / 3)
    assert found.shape == (2, 1, 12)
    torch.testing.assert_close(found[:, 0], pooled @ branch.head.weight.T + branch.head.bias, atol=1e-5, rtol=1e-4)
    assert (found.norm(dim=-1) - 1).abs().min() > 0.01
    assert [(spec.name, spec.size, spec.distance) for spec in small.descriptors] == [("main", 12, "l2")]


def test_both_branches_meet_in_channels_and_descriptor_size(small: Vxp) -> None:
    assert isinstance(small.image_branch, ImageBranch)
    assert small.cloud_branch.head.in_features == small.image_branch.head.in_features == 64
    assert small.cloud_branch.head.out_features == small.image_branch.head.out_features == 12


def test_occupied_output_sites_are_the_cells_of_four_voxels_a_side_that_hold_a_return(
    small_world: PreparedDataset,
) -> None:
    branch = Vxp(replace(SMALL, output_sites="occupied")).eval().cloud_branch
    inputs = branch.inputs(batch_of(small_world, 0, 14))
    with torch.no_grad():
        encoded = branch.encoder(
            SparseTensor(branch.feature_encoder(inputs.points, inputs.voxels), inputs.voxels.sites)
        )
    cells = {(b, z // 4, y // 4, x // 4) for b, z, y, x in inputs.voxels.sites.indices.tolist()}
    assert [tuple(site) for site in encoded.sites.indices.tolist()] == sorted(cells)
    centres = voxel_centres(encoded.sites.indices, SMALL.grid, is_mean=True)
    index, points = (
        inputs.voxels.sites.indices[inputs.voxels.voxel_of_point, 0],
        inputs.points[inputs.voxels.point_rows],
    )
    half_m = torch.tensor(SMALL.grid.size_m) * 2 + 1e-4
    for site, centre in zip(encoded.sites.indices, centres, strict=True):
        assert ((points[index == site[0]] - centre).abs() <= half_m).all(1).any()


def test_the_momentum_of_the_cloud_branch_is_a_choice() -> None:
    for momentum in (0.01, 0.1):
        branch = Vxp(replace(SMALL, norm_momentum=momentum)).cloud_branch
        assert {module.momentum for module in branch.modules() if isinstance(module, RowNorm)} == {momentum}


# --- voxels in view ------------------------------------------------------------------------------


def naive_view(centre: Tensor, intrinsics: Tensor) -> tuple[float, float, float]:
    """Image position (fractions) and depth of a point of the network frame."""
    (forward, left, up), (fx, fy, cx, cy) = centre.tolist(), intrinsics.tolist()
    return cx - fx * left / forward, cy - fy * up / forward, forward


def test_voxels_in_view_are_those_whose_true_centre_projects_into_the_image(
    small: Vxp, small_world: PreparedDataset
) -> None:
    batch = batch_of(small_world, 0, 14)
    inputs = small.cloud_inputs(batch)
    with torch.no_grad():
        seen = small.cloud_branch.in_view(inputs)
        encoded = small.cloud_branch.encoder(
            SparseTensor(small.cloud_branch.feature_encoder(inputs.points, inputs.voxels), inputs.voxels.sites)
        )
    expected = []
    for row, (b, z, y, x) in enumerate(encoded.sites.indices.tolist()):
        # two strides of 2: output i is centred on input voxel 4 i
        centre = torch.tensor([0 + (4 * x + 0.5) * 1.0, -22 + (4 * y + 0.5) * 1.0, -4 + (4 * z + 0.5) * 0.5])
        u, v, depth_m = naive_view(centre, batch.intrinsics[b])
        if 0 < u < 1 and 0 < v < 1:
            expected.append((row, b, u, v, depth_m))
    assert 10 < len(expected) < len(encoded.features)
    rows, samples, us, vs, depths = map(torch.tensor, zip(*expected, strict=True))
    assert torch.equal(seen.features, encoded.features[rows])
    assert torch.equal(seen.batch_index, samples)
    torch.testing.assert_close(seen.uv, torch.stack([us, vs], dim=1))
    torch.testing.assert_close(seen.depth_m, depths)
    assert set(samples.tolist()) == {0, 1}


def test_clouds_are_encoded_in_the_frame_of_their_own_camera(small: Vxp, small_world: PreparedDataset) -> None:
    batch = batch_of(small_world, 0, 1)
    batch.camera_from_lidar[1, 0, 3] += 5.0
    points = small.cloud_inputs(batch).points
    for sample, matrix in enumerate(network_from_lidar(batch.camera_from_lidar)):
        own = batch.clouds.points[batch.clouds.batch_index == sample]
        moved = torch.cat([own, torch.ones(len(own), 1)], dim=1) @ matrix.T
        torch.testing.assert_close(points[batch.clouds.batch_index == sample], moved[:, :3])


def test_what_lies_outside_grid_or_image_does_not_matter(small: Vxp, small_world: PreparedDataset) -> None:
    batch = batch_of(small_world, 0)
    with torch.no_grad():
        expected = small.encode_clouds(small.cloud_inputs(batch))["main"]
        behind_and_far = torch.tensor([[-5.0, 0.0, 0.0], [200.0, 0.0, 0.0], [10.0, 60.0, 0.0]])
        batch.clouds.points = torch.cat([batch.clouds.points, behind_and_far])
        batch.clouds.batch_index = torch.zeros(len(batch.clouds.points), dtype=torch.long)
        found = small.encode_clouds(small.cloud_inputs(batch))["main"]
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)


def test_the_order_of_points_does_not_matter(small: Vxp, small_world: PreparedDataset) -> None:
    batch = batch_of(small_world, 0)
    with torch.no_grad():
        expected = small.encode_clouds(small.cloud_inputs(batch))["main"]
        batch.clouds.points = batch.clouds.points[torch.randperm(len(batch.clouds.points))]
        torch.testing.assert_close(small.encode_clouds(small.cloud_inputs(batch))["main"], expected)


# --- choices -------------------------------------------------------------------------------------


def variant(**changes: object) -> Vxp:
    """One small network under any configuration; its features are large enough to matter in the descriptors."""
    torch.manual_seed(0)
    method = Vxp(replace(SMALL, **changes)).eval()  # type: ignore[arg-type]
    for module in method.cloud_branch.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.running_var.fill_(0.05)
    return method


def test_the_nearest_voxel_of_each_cell_of_the_feature_map_wins(small_world: PreparedDataset) -> None:
    plain = variant()
    inputs = plain.cloud_inputs(batch_of(small_world, 0, 14))
    height, width = plain.image_branch.backbone.map_size
    with torch.no_grad():
        everything = plain.cloud_branch.in_view(inputs)
        seen = variant(collisions="nearest-wins").cloud_branch.in_view(inputs)
    nearest: dict[tuple[int, int, int], int] = {}
    for row, (u, v) in enumerate(everything.uv.tolist()):
        cell = (int(everything.batch_index[row]), int(v * height), int(u * width))
        if cell not in nearest or everything.depth_m[row] < everything.depth_m[nearest[cell]]:
            nearest[cell] = row
    rows = sorted(nearest.values())
    assert (height, width) == (16, 16)
    assert 10 < len(rows) < len(everything.uv)
    for found, whole in zip(vars(seen).values(), vars(everything).values(), strict=True):
        assert torch.equal(found, whole[rows])


def test_pooling_by_inverse_depth_is_a_weighted_generalised_mean(small_world: PreparedDataset) -> None:
    method = variant(collisions="inverse-depth")
    inputs = method.cloud_inputs(batch_of(small_world, 3))
    with torch.no_grad():
        seen = method.cloud_branch.in_view(inputs)
        share = (1 / seen.depth_m) / (1 / seen.depth_m).sum()
        pooled = (share[:, None] * seen.features.clamp(min=1e-6) ** 3).sum(0) ** (1 / 3)
        found, plain = method.cloud_branch(inputs), variant().cloud_branch(inputs)
        torch.testing.assert_close(found[0], method.cloud_branch.head(pooled))
    assert (found - plain).abs().max() > 1e-4


@pytest.mark.parametrize(
    "changes",
    [
        {"collisions": "nearest-wins"},
        {"collisions": "inverse-depth"},
        {"stretched_centres": True},
        {"stretched_centres": True, "as_published": OXFORD, "max_voxels": 60},
    ],
    ids=["nearest wins", "inverse depth", "stretched", "as published"],
)
def test_choices_change_descriptors_but_not_with_the_batch(
    changes: dict[str, object], small_world: PreparedDataset
) -> None:
    method, other = variant(**changes), variant()
    with torch.no_grad():
        together = method.encode_clouds(method.cloud_inputs(batch_of(small_world, 0, 14, 5)))["main"]
        alone = [method.encode_clouds(method.cloud_inputs(batch_of(small_world, row)))["main"] for row in (0, 14, 5)]
        plain = other.encode_clouds(other.cloud_inputs(batch_of(small_world, 0, 14, 5)))["main"]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-6, rtol=1e-4)
    assert ((together - plain).abs().amax(2) > 1e-4).all()


def test_the_published_camera_replaces_the_frames_own(small_world: PreparedDataset) -> None:
    batch = batch_of(small_world, 0, 1)
    expected = network_from_lidar(batch.camera_from_lidar)
    own_transform = variant(as_published=OXFORD).cloud_inputs(batch)
    assert own_transform.points.dtype == torch.float64
    batch.camera_from_lidar = batch.intrinsics = None
    published = variant(as_published=KITTI).cloud_inputs(batch)
    for inputs, intrinsics, matrix in [
        (own_transform, OXFORD.intrinsics, expected[0].double()),
        (published, KITTI.intrinsics, KITTI.affine.network_from_lidar()),
    ]:
        assert inputs.intrinsics.tolist() == [list(intrinsics)] * 2
        moved = batch.clouds.points.double() @ matrix[:3, :3].T + matrix[:3, 3]
        torch.testing.assert_close(inputs.points, moved, atol=1e-6, rtol=0)
